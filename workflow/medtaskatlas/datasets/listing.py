"""Datasets as a table for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from medtaskatlas.datasets.catalogue import Dataset
from medtaskatlas.datasets.folder.dataset import FolderDataset
from medtaskatlas.datasets.published import NpzDataset

HEAD = ["name", "modality", "body part", "images", "annotation", "licence", "fetched", "title"]


def listing(
    datasets: Iterable[Dataset], data: Path, *, only_fetched: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Rows about datasets.

    Parameters
    ----------
    datasets
        The datasets.
    data
        Folder of the fetched data.
    only_fetched
        Leave out what is not on this disk.

    Returns
    -------
    head, rows
        Names of the columns; one row a dataset. Images are counted where the source states them.
    """
    rows = []
    for dataset in datasets:
        there = fetched(dataset, data)
        if only_fetched and there == "no":
            continue
        rows.append(
            [
                dataset.name,
                dataset.modality,
                dataset.body_part,
                images(dataset),
                ", ".join(p for p in dataset.provides if p != "colour") or "none",
                textwrap.shorten(dataset.licence, 40, placeholder=" ..."),
                there,
                dataset.title,
            ]
        )
    return HEAD, rows


def images(dataset: Dataset) -> str:
    """Number of images or volumes as the source states it, or a dash.

    Parameters
    ----------
    dataset
        The dataset.

    Returns
    -------
    str
        For example ``1,600`` or ``1,584 volumes``.
    """
    if not isinstance(dataset, NpzDataset):
        return "-"
    return f"{sum(dataset.samples.values()):,}" + (" volumes" if dataset.dimensions == 3 else "")


def fetched(dataset: Dataset, data: Path) -> str:
    """Whether a dataset is on this disk.

    Parameters
    ----------
    dataset
        The dataset.
    data
        Folder of the fetched data.

    Returns
    -------
    str
        yes, no, or the sides in pixels that are there of those that are published.
    """
    if isinstance(dataset, FolderDataset):
        return "yes"
    folder = data / dataset.source / dataset.name
    if isinstance(dataset, NpzDataset):
        sides = [side for side in dataset.files if (folder / str(side) / "MANIFEST.json").is_file()]
        return ", ".join(f"{side} px" for side in sides) or "no"
    return "yes" if (folder / "MANIFEST.json").is_file() else "no"
