"""Your own data by folder: dataset.yaml with what the folder holds; no pixel is read for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    check_description,
    read_description,
)
from medtaskatlas.datasets.folder.files import Entry, Finding, fingerprint, list_files
from medtaskatlas.datasets.folder.survey import SPLITS_FILE, missing_files
from medtaskatlas.datasets.folder.tables import LABELS, label_names, read_table

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Excluded, Frame
    from medtaskatlas.datasets.remote.remote_file import Limits

COLOURED = frozenset({"DERMOSCOPY", "ENDOSCOPY", "HISTOLOGY", "FUNDUS", "MICROSCOPY", "PHOTO"})
_PAPERS = re.compile(r"^(readme|licen[cs]e|copying|citation)", re.IGNORECASE)


class FolderDataset(Dataset):
    """A dataset that is a folder of images with a dataset.yaml."""

    in_catalogue: ClassVar[bool] = False

    reader: Literal["folder"]
    folder: str = Field(description="where it is, as a posix path")
    fingerprint: str = Field(description="over names, sizes and times of its files")
    description: Description = Field(description="its dataset.yaml")

    def fetch(
        self, folder: Path, *, image_size: int, mirror: str | None, limits: Limits | None
    ) -> list[dict[str, Any]]:
        """List the files, which stay where they are: description, papers, tables, images, maps."""
        root = Path(self.folder)
        own = _own(self.description, list_files(root))
        return [self.manifest_entry(root, entry.name, "folder") for entry in own]

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Pictures and slices in the order of the names, one image or volume in memory at a time.

        What is left out as a file comes first. `note` hears of boxes that were clipped and values
        that were not finite.
        """
        from medtaskatlas.datasets.folder.read import read

        return read(self.description, folder, lambda finding: note(str(finding)))

    def raw_folder(self, image_size: int) -> str:
        """The user's own folder."""
        return self.folder

    def fetched(self, data: Path) -> str:
        """It is on this disk."""
        return "yes"


def load_folder_dataset(folder: Path) -> FolderDataset:
    """A dataset from its folder, with `splits` filled in where a splits.csv lies in it.

    No pixel is read. An error names the file, the key, the value and the nearest valid keys of each
    mistake.
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
    return _to_dataset(folder, description, entries)


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
        one names it in turn. For what is no dataset see :func:`folder_messages`.

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
    both_ways = {
        name: sorted({*dataset.overlaps, *(n for n, d in found.items() if name in d.overlaps)})
        for name, dataset in found.items()
    }
    return {n: d.model_copy(update={"overlaps": both_ways[n]}) for n, d in found.items()}


def folder_messages(datasets_dir: Path) -> list[str]:
    """Sentences about the sub-folders that are no datasets; hidden ones are passed over."""
    return [
        f"{folder} is no dataset: it has no {DESCRIPTION} "
        f"(write one with: medtaskatlas datasets init {folder})"
        for folder in _dataset_folders(Path(datasets_dir))[1]
    ]


def _to_dataset(folder: Path, d: Description, entries: list[Entry]) -> FolderDataset:
    """The dataset of a description that has no mistakes."""
    written = SPLITS_FILE in {entry.name for entry in entries}
    if written and d.splits is None and not d.packed:
        d = d.model_copy(update={"splits": SPLITS_FILE})
    numbers = _label_numbers(folder, d)
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


def _label_numbers(folder: Path, d: Description) -> dict[str, int]:
    """Number of each label as it is written, in their order; empty where there are none."""
    if d.labels is None:
        return {}
    if d.packed:
        return label_names([], d.label_names)
    table = read_table(folder, d.labels, LABELS)
    mistakes = [finding for finding in table.findings if finding.severity == "error"]
    if mistakes:
        raise mistakes[0].error(folder)
    return label_names(table.rows, d.label_names)


def _own(d: Description, entries: list[Entry]) -> list[Entry]:
    """Files that belong to the dataset."""
    files = {DESCRIPTION, d.labels, d.boxes, d.splits, d.images if d.packed else None}
    places = tuple(f"{p}/" for p in (d.images, d.masks, d.instances) if p and p != ".")
    return [
        entry
        for entry in entries
        if d.images == "."
        or entry.name in files
        or entry.name.startswith(places)
        or _PAPERS.match(entry.name)
    ]


def _group_note(folder: Path, d: Description) -> str:
    """What a group is, where the description does not say it."""
    for file in (d.splits, d.labels):
        if file and not d.packed:
            columns = read_table(folder, file, (("image",), ("group", "label", "split"))).columns
            if "group" in columns:
                return f"The column group of {file}."
    if d.group_pattern:
        return f"What {d.group_pattern} finds in the file name."
    return "Not known: every image or volume is a group of its own."


def _dataset_folders(datasets_dir: Path) -> tuple[list[Path], list[Path]]:
    """Folders with and without a description."""
    if not datasets_dir.is_dir():
        raise ConfigError(f"there is no folder {datasets_dir}", "mend `datasets_dir`")
    if (datasets_dir / DESCRIPTION).is_file():
        return [datasets_dir], []
    folders = sorted(p for p in datasets_dir.iterdir() if p.is_dir() and not p.name.startswith("."))
    described = [p for p in folders if (p / DESCRIPTION).is_file()]
    return described, [p for p in folders if p not in described]


def _config_error(folder: Path, findings: list[Finding]) -> ConfigError:
    """All mistakes of a description as one error."""
    lines = [f.error(folder).problem for f in findings]
    return ConfigError("\n".join(lines), "; ".join(dict.fromkeys(f.remedy for f in findings)))
