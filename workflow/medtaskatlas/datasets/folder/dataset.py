"""Your own data by folder: dataset.yaml with what the folder holds.

Imported for every dry run, so it needs pydantic and yaml only, and no pixel is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.datasets.catalogue import Dataset
from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    check_description,
    description_finding,
    read_description,
)
from medtaskatlas.datasets.folder.files import Entry, Finding, fingerprint, list_files, within
from medtaskatlas.datasets.folder.tables import LABELS, label_names, read_table

SPLITS_FILE = "splits.csv"
COLOURED = frozenset({"DERMOSCOPY", "ENDOSCOPY", "HISTOLOGY", "FUNDUS", "MICROSCOPY", "PHOTO"})
_PAPERS = re.compile(r"^(readme|licen[cs]e|copying|citation)", re.IGNORECASE)


class FolderDataset(Dataset):
    """A dataset that is a folder of images with a dataset.yaml."""

    reader: Literal["folder"]
    folder: str = Field(description="where it is, as a posix path")
    fingerprint: str = Field(description="over names, sizes and times of its files")
    description: Description = Field(description="its dataset.yaml")


def load_folder_dataset(folder: Path) -> FolderDataset:
    """A dataset from its folder; no pixel is read.

    Parameters
    ----------
    folder
        Folder with a dataset.yaml.

    Returns
    -------
    FolderDataset
        What it is and what it provides.

    Raises
    ------
    ConfigError
        Names the file, the key, the value and the nearest valid keys of each mistake.
    DataError
        If the folder cannot be read, or labels.csv has mistakes.
    """
    folder = Path(folder)
    raw, findings = read_description(folder)
    if findings:
        raise _config_error(folder, findings)
    description, findings = check_description(raw)
    if description is None or findings:
        raise _config_error(folder, findings)
    entries = list_files(folder)
    if findings := missing_files(description, entries):
        raise _config_error(folder, findings)
    return to_dataset(folder, description, entries)


def find_folder_datasets(datasets_dir: Path) -> dict[str, Dataset]:
    """Datasets of a folder of folders.

    Parameters
    ----------
    datasets_dir
        Its sub-folders with a dataset.yaml are datasets; or it is one dataset itself.

    Returns
    -------
    dict of str to Dataset
        By name, in the order of the folders. Where one names another in `overlaps`, the other
        one names it in turn. What is no dataset is told by :func:`folder_messages`.

    Raises
    ------
    ConfigError
        If there is no dataset, two have one name, or one has mistakes.
    """
    found: dict[str, FolderDataset] = {}
    for folder in _dataset_folders(Path(datasets_dir))[0]:
        dataset = load_folder_dataset(folder)
        if dataset.name in found:
            raise ConfigError(
                f"{folder / DESCRIPTION}: name: {dataset.name} is also the name of "
                f"{found[dataset.name].folder}",
                "give one of them another name",
            )
        found[dataset.name] = dataset
    if not found:
        raise ConfigError(
            f"{datasets_dir} holds no folder with a {DESCRIPTION}",
            "write one with: medtaskatlas datasets init FOLDER",
        )
    return {
        name: dataset.model_copy(
            update={
                "overlaps": sorted(
                    {*dataset.overlaps, *(n for n, d in found.items() if name in d.overlaps)}
                )
            }
        )
        for name, dataset in found.items()
    }


def folder_messages(datasets_dir: Path) -> list[str]:
    """Sentences about sub-folders that are no datasets.

    Parameters
    ----------
    datasets_dir
        Folder of folders.

    Returns
    -------
    list of str
        One a sub-folder; hidden ones are not told.
    """
    return [
        f"{folder} is no dataset: it has no {DESCRIPTION} "
        f"(write one with: medtaskatlas datasets init {folder})"
        for folder in _dataset_folders(Path(datasets_dir))[1]
    ]


def manifest_files(dataset: FolderDataset) -> list[Path]:
    """Files that belong to a dataset: description, papers, tables, images and annotation.

    Parameters
    ----------
    dataset
        The dataset.

    Returns
    -------
    list of pathlib.Path
        Relative to its folder, sorted.
    """
    entries = list_files(Path(dataset.folder))
    return [Path(entry.name) for entry in _own(dataset.description, entries)]


def missing_files(description: Description, entries: list[Entry]) -> list[Finding]:
    """Keys of a description that name no file or folder, or an empty one.

    Parameters
    ----------
    description
        The checked dataset.yaml.
    entries
        Files of the folder.

    Returns
    -------
    list of Finding
        One a key.
    """
    names = {entry.name for entry in entries}
    findings = []
    for key in ("images", "masks", "instances", "labels", "boxes", "splits"):
        value = getattr(description, key)
        if value is None:
            continue
        as_file = key in ("labels", "boxes", "splits") or description.packed
        if value not in names if as_file else not within(entries, value):
            kind = "file" if as_file else "folder with files"
            remedy = f"put it there, or mend `{key}`; there are {_beside(names)}"
            findings.append(description_finding(key, f"there is no {kind} {value!r}", remedy))
    return findings


def to_dataset(folder: Path, description: Description, entries: list[Entry]) -> FolderDataset:
    """The dataset of a description that has no mistakes.

    Parameters
    ----------
    folder
        The dataset's folder.
    description
        The checked dataset.yaml.
    entries
        Its files.

    Returns
    -------
    FolderDataset
        With `splits` filled in where a splits.csv lies in the folder.

    Raises
    ------
    DataError
        If labels.csv has mistakes.
    """
    written = SPLITS_FILE in {entry.name for entry in entries}
    if written and description.splits is None and not description.packed:
        description = description.model_copy(update={"splits": SPLITS_FILE})
    numbers = label_numbers(folder, description)
    d = description
    has = {
        "mask": bool(d.masks),
        "classes": len(d.classes) >= 2,
        "instances": bool(d.instances),
        "boxes": bool(d.boxes),
        "label": bool(numbers),
    }
    annotated = [what for what, there in has.items() if there]
    given = [name for name in (d.masks, d.instances, d.labels, d.boxes) if name]
    return FolderDataset.model_validate(
        {
            "reader": "folder",
            "name": d.name,
            "source": "folder",
            "title": d.title or d.name,
            "modality": d.modality,
            "body_part": d.body_part,
            "licence": d.licence or "LicenseRef-not-stated",
            "citation": d.citation or d.source or "not stated",
            "annotation": d.annotation if annotated else "none",
            "annotation_note": d.annotation_note
            or (f"as the folder has it: {', '.join(dict.fromkeys(given))}" if annotated else ""),
            "provides": annotated + ["colour"] * (d.modality in COLOURED),
            # Ids with holes (255 alone is common) are numbered anew; the reader does the same.
            "classes": {i: d.classes[k] for i, k in enumerate(sorted(d.classes), start=1)},
            "labels": [d.label_names.get(text, text) for text in numbers],
            "overlaps": d.overlaps,
            "group_note": d.group_note or d.groups or _group_note(folder, d),
            "left_out": d.exclude,
            "folder": folder.as_posix(),
            "fingerprint": fingerprint(_own(d, entries)),
            "description": d,
        }
    )


def label_numbers(folder: Path, description: Description) -> dict[str, int]:
    """Number of each label as it is written; empty where there are none.

    Parameters
    ----------
    folder
        The dataset's folder.
    description
        Its dataset.yaml.

    Returns
    -------
    dict of str to int
        In the order of the numbers.

    Raises
    ------
    DataError
        If labels.csv has mistakes.
    """
    if description.labels is None:
        return {}
    if description.packed:
        return label_names([], description.label_names)
    table = read_table(folder, description.labels, LABELS)
    mistakes = [finding for finding in table.findings if finding.severity == "error"]
    if mistakes:
        raise mistakes[0].error(folder)
    return label_names(table.rows, description.label_names)


def _own(description: Description, entries: list[Entry]) -> list[Entry]:
    """Files that belong to the dataset."""
    d = description
    files = {DESCRIPTION, d.labels, d.boxes, d.splits, d.images if d.packed else None}
    places = tuple(f"{p}/" for p in (d.images, d.masks, d.instances) if p and p != ".")
    loose = d.images == "."
    return [
        entry
        for entry in entries
        if loose
        or entry.name in files
        or entry.name.startswith(places)
        or _PAPERS.match(entry.name)
    ]


def _group_note(folder: Path, description: Description) -> str:
    """What a group is, where the description does not say it."""
    for file in (description.splits, description.labels):
        if file and not description.packed:
            columns = read_table(folder, file, (("image",), ("group", "label", "split"))).columns
            if "group" in columns:
                return f"The column group of {file}."
    if description.group_pattern:
        return f"What {description.group_pattern} finds in the file name."
    return "Not known: every image or volume is a group of its own."


def _dataset_folders(datasets_dir: Path) -> tuple[list[Path], list[Path]]:
    """Folders with and without a description."""
    if not datasets_dir.is_dir():
        raise ConfigError(f"there is no folder {datasets_dir}", "mend `datasets_dir`")
    if (datasets_dir / DESCRIPTION).is_file():
        return [datasets_dir], []
    folders = sorted(p for p in datasets_dir.iterdir() if p.is_dir() and not p.name.startswith("."))
    return (
        [p for p in folders if (p / DESCRIPTION).is_file()],
        [p for p in folders if not (p / DESCRIPTION).is_file()],
    )


def _config_error(folder: Path, findings: list[Finding]) -> ConfigError:
    """All mistakes of a description as one error."""
    lines = [f.error(folder).problem for f in findings]
    return ConfigError("\n".join(lines), "; ".join(dict.fromkeys(f.remedy for f in findings)))


def _beside(names: set[str]) -> str:
    """What lies in the folder, for a message."""
    tops = sorted({name.split("/")[0] + "/" * ("/" in name) for name in names} - {DESCRIPTION})
    return ", ".join(tops[:12]) + (" ..." if len(tops) > 12 else "") or "no other files"
