"""Your own data by folder: dataset.yaml with what the folder holds; no pixel is read for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import one_spelling
from medtaskatlas.datasets.dataset import Dataset, Quantity
from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    check_description,
    read_description,
)
from medtaskatlas.datasets.folder.files import (
    VOLUMES,
    Entry,
    Finding,
    fingerprint,
    list_files,
    to_items,
    within,
)
from medtaskatlas.datasets.folder.match import missing_files
from medtaskatlas.datasets.folder.tables import (
    LABELS,
    NO_FINDING,
    SPLITS_FILE,
    label_names,
    read_table,
)

if TYPE_CHECKING:
    from medtaskatlas.datasets.io.frame import Cube, Excluded, Frame

COLOURED = frozenset({"DERMOSCOPY", "ENDOSCOPY", "HISTOLOGY", "FUNDUS", "MICROSCOPY", "PHOTO"})
_PAPERS = re.compile(r"^(readme|licen[cs]e|copying|citation)", re.IGNORECASE)


class FolderDataset(Dataset):
    """A dataset that is a folder of images with a dataset.yaml."""

    in_catalogue: ClassVar[bool] = False

    reader: Literal["folder"]
    folder: str
    description: Description = Field(description="its dataset.yaml")

    def is_own(self, file: str) -> bool:
        """Description, papers, tables, images and what lies beside them."""
        return _is_own(self.description, file)

    def read(
        self, folder: Path, *, image_size: int, limit: int | None, note: Callable[[str], None]
    ) -> Iterator[Frame | Excluded]:
        """Pictures and slices in the order of the names, one image or volume in memory at a time.

        What is left out as a file comes first. `note` hears of boxes that were clipped and values
        that were not finite.
        """
        from medtaskatlas.datasets.folder.read import read

        return read(self.description, folder, lambda finding: note(str(finding)))

    @property
    def windowing(self) -> dict[str, Any]:
        """As the description says."""
        return self.description.model_dump(
            include={"window", "percentiles"}, exclude_none=True, mode="json"
        )

    @property
    def has_volumes(self) -> bool:
        """Whether NIfTI or NRRD files or DICOM series lie among the images.

        Of an .npz file it could be told by opening it alone: it has none.
        """
        d, root = self.description, Path(str(self.folder))
        if d.packed:
            return False
        others = d.beside.values() if d.images == "." else ()
        items = to_items(root / d.images, within(list_files(root), d.images, others))[0]
        return any(item.kind in VOLUMES and item.name not in d.exclude for item in items)

    def read_volumes(
        self, folder: Path, *, volume_size: int, note: Callable[[str], None]
    ) -> Iterator[Cube | Excluded]:
        """Volumes in the order of the names, in the nearest anatomical orientation."""
        from medtaskatlas.datasets.folder.read import read_volumes

        return read_volumes(self.description, folder, lambda finding: note(str(finding)))


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


def _to_dataset(folder: Path, d: Description, entries: list[Entry]) -> FolderDataset:
    """The dataset of a description that has no mistakes."""
    written = SPLITS_FILE in {entry.name for entry in entries}
    if written and d.splits is None and not d.packed:
        d = d.model_copy(update={"splits": SPLITS_FILE})
    numbers = _label_numbers(folder, d)
    kind = d.label_kind or "none"
    has = {
        "mask": bool(d.masks),
        "classes": len(d.classes) >= 2,
        "instances": bool(d.instances),
        "boxes": bool(d.boxes),
        "label": bool(numbers),
    }
    annotated = [what for what, there in has.items() if there]
    given = [n for n in (d.masks, d.instances, d.labels, d.boxes) if n]
    given += [maps.folder for maps in d.maps.values()]
    known = bool(annotated or d.maps)
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
            "annotation": d.annotation if known else "none",
            "annotation_note": d.annotation_note
            or (f"as the folder has it: {', '.join(dict.fromkeys(given))}" if known else ""),
            "provides": annotated + ["colour"] * (d.modality in COLOURED),
            # Ids with holes (255 alone is common) are numbered anew; the reader does the same.
            "classes": {i: d.classes[k] for i, k in enumerate(sorted(d.classes), start=1)},
            "labels": [d.label_names.get(text, text) or NO_FINDING for text in numbers],
            "label_kind": kind,
            "maps": _quantities(d.maps),
            "values": _quantities(d.values),
            "subjects": d.subjects,
            "overlaps": d.overlaps,
            "group_note": d.group_note or d.groups or _group_note(folder, d),
            "left_out": d.exclude,
            "folder": one_spelling(folder),
            "fingerprint": fingerprint(entry for entry in entries if _is_own(d, entry.name)),
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
    return label_names(table.rows, d.label_names, d.label_kind)


def _quantities(declared: Mapping[str, Quantity]) -> dict[str, dict[str, str]]:
    """Quantities of a dataset, without where the folder has them."""
    return {n: {"unit": q.unit, "description": q.description} for n, q in declared.items()}


def _is_own(d: Description, file: str) -> bool:
    """Whether a file belongs to the dataset."""
    files = {DESCRIPTION, *d.tables.values(), d.images if d.packed else None}
    places = tuple(f"{place}/" for place in (d.images, *d.beside.values()))
    return bool(d.images == "." or file in files or file.startswith(places) or _PAPERS.match(file))


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


def _config_error(folder: Path, findings: list[Finding]) -> ConfigError:
    """All mistakes of a description as one error."""
    lines = [f.error(folder).problem for f in findings]
    return ConfigError("\n".join(lines), "; ".join(dict.fromkeys(f.remedy for f in findings)))
