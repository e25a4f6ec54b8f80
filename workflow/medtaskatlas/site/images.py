"""The images of the gallery in the docs: datasets whose licence lets pictures be passed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.tasks.preview import Candidates, candidates


@dataclass(frozen=True)
class Shown:
    """A dataset of the page.

    Attributes
    ----------
    name
        Of the catalogue.
    begins
        Only images whose id begins so; the one with just this id, the whole picture, goes first.
    credit
        Origin and licence of these images; empty takes the catalogue's.
    plane_is_label
        Whether the plane of a slice stands in as the image's label.
    """

    name: str
    begins: str = ""
    credit: str = ""
    plane_is_label: bool = False


# The preferred ones first.
SHOWN = (
    Shown(
        "ct_dicom",
        begins="explicit_VR-UN",
        credit="Pancreas-CT (Roth et al., The Cancer Imaging Archive, 2016), CC-BY-3.0, as it is "
        "stored: back up",
    ),
    Shown("mni152_regions", plane_is_label=True),
    Shown("ihc_colon"),
    Shown("fundus_retina"),
)


def shown_images(shown: Shown, folder: Path, image_px: int) -> Candidates:
    """Fetch and prepare a dataset of the page, and choose from its images.

    Parameters
    ----------
    shown
        The dataset.
    folder
        Folder for raw data and prepared images.
    image_px
        Side of the images, pixels.

    Returns
    -------
    Candidates
        Views into the prepared file, which must stay as long as they are used.

    Raises
    ------
    DataError
        If the packages that hold the images are not installed.
    """
    dataset = load_catalogue()[shown.name]
    raw, path = folder / "raw" / shown.name, folder / f"{shown.name}.arrow"
    fetch(dataset, raw)
    prepare(
        dataset, raw, path, image_size=image_px,
        splits={"train": 0.6, "val": 0.2, "test": 0.2}, seed=0,
    )  # fmt: skip
    images = ImageSet(path)
    ids = images.column("image_id").to_pylist()
    found = candidates(images, [k for k, name in enumerate(ids) if name.startswith(shown.begins)])
    found = _ordered(
        found, sorted(range(len(found.rows)), key=lambda k: ids[found.rows[k]] != shown.begins)
    )
    return _with_planes(found, images) if shown.plane_is_label else found


def _ordered(found: Candidates, order: Sequence[int]) -> Candidates:
    """Candidates in another order."""
    rows, samples = found.rows, found.samples
    return replace(
        found, rows=tuple(rows[k] for k in order), samples=tuple(samples[k] for k in order)
    )


def _with_planes(found: Candidates, images: ImageSet) -> Candidates:
    """The plane of a slice as the image's label; one image of every plane first."""
    plane = images.numpy("axis")[list(found.rows)]
    names, labels = np.unique(plane, return_inverse=True)
    samples = tuple(
        replace(sample, label=int(label), n_labels=len(names))
        for sample, label in zip(found.samples, labels, strict=True)
    )
    turn = [int((labels[:k] == label).sum()) for k, label in enumerate(labels)]
    return _ordered(replace(found, samples=samples), sorted(range(len(turn)), key=turn.__getitem__))
