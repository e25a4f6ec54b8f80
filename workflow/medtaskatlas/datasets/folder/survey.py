"""What belongs to what in a folder dataset: images, masks, rows of tables, groups."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    description_finding,
)
from medtaskatlas.datasets.folder.files import Entry, Finding, Item, list_files, to_items, within
from medtaskatlas.datasets.folder.tables import (
    BOXES,
    LABELS,
    SPLIT_COLUMNS,
    Row,
    Table,
    boxes_by_image,
    by_image,
    label_names,
    read_table,
)

MAPS: tuple[Literal["masks", "instances"], ...] = ("masks", "instances")
SPLITS_FILE = "splits.csv"
_SHOWN = 10  # names in a message


@dataclass
class Survey:
    """The parts of a folder dataset, put together."""

    folder: Path
    description: Description
    items: list[Item] = field(default_factory=list)  # to read, sorted by name
    left: dict[str, str] = field(default_factory=dict)  # image id: why it is left out
    masks: dict[str, Item] = field(default_factory=dict)  # by stem
    instances: dict[str, Item] = field(default_factory=dict)
    # By name of an image; what is absent is not known.
    labels: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)  # and who says so
    boxes: dict[str, list[tuple[int, tuple[float, ...]]]] | None = None  # with their lines
    findings: list[Finding] = field(default_factory=list)  # mistakes and doubts

    def path(self, item: Item, kind: str = "images") -> Path:
        """First file of an item in the folder of images, masks or instances."""
        return self.folder / str(getattr(self.description, kind)) / item.files[0]

    def modality(self, item: Item) -> str:
        """Modality of one image."""
        return self.description.modality_exceptions.get(item.name, self.description.modality)

    @property
    def kinds(self) -> list[Literal["masks", "instances"]]:
        """Kinds of label maps that the dataset has."""
        return [kind for kind in MAPS if getattr(self.description, kind)]

    def error(self, file: str, where: str, problem: str, remedy: str) -> None:
        """Note a mistake."""
        self.findings.append(Finding("error", file, where, problem, remedy))


def missing_files(description: Description, entries: list[Entry]) -> list[Finding]:
    """Keys of a description that name no file or folder, or an empty one."""
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


def _beside(names: set[str]) -> str:
    """What lies in the folder, for a message."""
    tops = sorted({name.split("/")[0] + "/" * ("/" in name) for name in names} - {DESCRIPTION})
    return ", ".join(tops[:12]) + (" ..." if len(tops) > 12 else "") or "no other files"


def survey(folder: Path, description: Description) -> Survey:
    """Put the parts of a folder dataset together; no pixel is read, mistakes become findings."""
    found = Survey(folder, description)
    entries = list_files(folder)
    names = _images(found, entries)
    for kind in found.kinds:
        _label_maps(found, entries, kind, names)
    _tables(found, [item.name for item in names])
    _patterns(found)
    _splits_are_whole(found)
    return found


def _images(found: Survey, entries: list[Entry]) -> list[Item]:
    """Sort the images into those to read and those left out; all of them are returned."""
    d = found.description
    loose = d.images == "."
    but = [p for p in (d.masks, d.instances) if p] if loose else []
    names = within(entries, d.images, but)
    items, others = to_items(found.folder / d.images, names)
    if not loose:  # next to loose images lie dataset.yaml, README and tables
        found.left.update(others)
    for name in d.exclude:
        match = [item for item in items if name in (item.name, *item.files)]
        if match:
            found.left[match[0].stem] = f"excluded in dataset.yaml: {d.exclude[name]}"
        elif name not in others:
            found.error(DESCRIPTION, f"exclude.{name}", "there is no such image", "mend the name")
    found.items = [item for item in items if not {item.name, *item.files} & d.exclude.keys()]
    for name in d.modality_exceptions.keys() - {item.name for item in items}:
        where = f"modality_exceptions.{name}"
        found.error(DESCRIPTION, where, "there is no such image", "mend the name")
    _one_name_each(found, found.items, d.images)
    return items


def _one_name_each(found: Survey, items: Iterable[Item], place: str) -> dict[str, Item]:
    """Items by stem; two with one stem, be it in capitals, are a mistake."""
    by_stem: dict[str, Item] = {}
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.stem.casefold(), item)
        if other is not item:
            found.error(
                place,
                "",
                f"{other.name} and {item.name} have one name"
                + ("" if other.stem == item.stem else " but for capital letters"),
                "rename one of them, or leave it out by `exclude` in dataset.yaml",
            )
        else:
            by_stem[item.stem] = item
    return by_stem


def _label_maps(found: Survey, entries: list[Entry], kind: str, images: list[Item]) -> None:
    """Masks or instances by the images that they belong to."""
    d = found.description
    place = str(getattr(d, kind))
    items, others = to_items(found.folder / place, within(entries, place))
    for name, why in others.items():
        found.findings.append(
            Finding("warning", f"{place}/{name}", "", why, "take it out of the folder")
        )
    maps = _one_name_each(found, items, place)
    stems = {item.stem for item in images}
    used = {item.stem for item in found.items}
    word = "mask" if kind == "masks" else "instance map"
    if extra := sorted(maps[stem].name for stem in maps.keys() - stems):
        said = f"{len(extra)} of its files belong to no image: {_some(extra)}"
        found.error(place, "", said, f"name each {word} like its image, or delete them")
    if absent := sorted(item.name for item in found.items if item.stem not in maps):
        if d.masks_optional:
            said = f"{len(absent)} images have no {word} and count as empty: {_some(absent)}"
            found.findings.append(Finding("info", place, "", said, ""))
        else:
            found.error(
                place,
                "",
                f"{len(absent)} images have no {word}: {_some(absent)}",
                f"add the {word}s, leave the images out by `exclude`, or write "
                "`masks_optional: true` in dataset.yaml if nothing is to be seen in them",
            )
    getattr(found, kind).update({stem: maps[stem] for stem in maps.keys() & used})


def _tables(found: Survey, names: list[str]) -> None:
    """Labels, boxes, groups and splits by image."""
    d = found.description
    known = set(names)
    used = [item.name for item in found.items]
    if d.labels:
        table = read_table(found.folder, d.labels, LABELS)
        numbers = label_names(table.rows, d.label_names)
        rows = by_image(table, known)
        for name, row in rows.items():
            if row.values["label"] in numbers:
                found.labels[name] = numbers[row.values["label"]]
            elif row.values["label"]:
                table.error(
                    row.line,
                    f"label {row.values['label']!r} is not in `label_names` of dataset.yaml",
                    "add it there, or mend the line",
                )
        if bare := [name for name in used if name not in found.labels]:
            found.findings.append(
                Finding(
                    "warning",
                    d.labels,
                    "",
                    f"{len(bare)} images have no label: {_some(bare)}",
                    "they are kept with a null label; tasks that need one leave them out",
                )
            )
        _published(found, table, rows)
    if d.boxes:
        table = read_table(found.folder, d.boxes, BOXES)
        found.boxes = boxes_by_image(table, known)
        found.findings += table.findings
    if d.splits:
        table = read_table(found.folder, d.splits, SPLIT_COLUMNS)
        _published(found, table, by_image(table, known))


def _published(found: Survey, table: Table, rows: dict[str, Row]) -> None:
    """Groups and splits of a table, and its mistakes."""
    for name, row in rows.items():
        if split := row.values.get("split"):
            found.splits[name] = split
        if group := row.values.get("group"):
            found.groups[name] = (group, "published")
        elif "group" in table.columns:
            table.error(row.line, f"{name} has no group", "fill in the column group")
    found.findings += table.findings


def _patterns(found: Survey) -> None:
    """Groups by the pattern, where no table knows better."""
    pattern = found.description.group_pattern
    if pattern is None:
        return
    odd = []
    for item in found.items:
        if item.name in found.groups:
            continue
        match = re.search(pattern, item.name)
        if match and match[1]:
            found.groups[item.name] = (match[1], "pattern")
        else:
            odd.append(item.name)
    if odd:
        found.error(
            DESCRIPTION,
            "group_pattern",
            f"{pattern!r} finds no group in {len(odd)} names: {_some(odd)}",
            "widen the pattern, or write groups into labels.csv or splits.csv",
        )


def _splits_are_whole(found: Survey) -> None:
    """No group is in two published splits."""
    if not found.splits:
        return
    first: dict[str, str] = {}
    for item in found.items:
        group = found.groups.get(item.name, (item.stem, ""))[0]
        other = first.setdefault(group, item.name)
        a, b = (found.splits.get(name, "(none)") for name in (other, item.name))
        if a != b:
            found.error(
                found.description.splits or str(found.description.labels),
                "",
                f"group {group} is in two splits: {other} in {a}, {item.name} in {b}",
                "put all images of a group into one split",
            )


def _some(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
