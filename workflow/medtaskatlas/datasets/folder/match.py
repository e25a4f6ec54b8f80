"""The files of a folder dataset by the image that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    description_finding,
)
from medtaskatlas.datasets.folder.files import Entry, Finding, Item, to_items, within
from medtaskatlas.datasets.folder.quantities import MAP, VALID

LABEL_MAPS = {"masks": "mask", "instances": "instance map"}
_SHOWN = 10  # names in a message


@dataclass
class Survey:
    """The parts of a folder dataset, put together."""

    folder: Path
    description: Description
    items: list[Item] = field(default_factory=list)  # to read, sorted by name
    left: dict[str, str] = field(default_factory=dict)  # image id: why it is left out
    # What lies beside the images: its kind, then the stem of the image.
    beside: dict[str, dict[str, Item]] = field(default_factory=dict)
    # By name of an image; what is absent is not known.
    labels: dict[str, int | None] = field(default_factory=dict)
    findings_of: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)  # by quantity first
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)  # and who says so
    subjects: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)  # of DICOM headers: published split
    boxes: dict[str, list[tuple[int, tuple[float, ...]]]] | None = None  # with their lines
    findings: list[Finding] = field(default_factory=list)  # mistakes and doubts

    def path(self, item: Item, kind: str = "images") -> Path:
        """First file of an item in the folder of images or of a kind beside them."""
        return self.place(kind) / item.files[0]

    def place(self, kind: str = "images") -> Path:
        """Folder of the images or of a kind beside them."""
        folders = {"images": self.description.images, **self.description.beside}
        return self.folder / folders[kind]

    def modality(self, item: Item) -> str:
        """Modality of one image."""
        return self.description.modality_exceptions.get(item.name, self.description.modality)

    @property
    def label_maps(self) -> list[str]:
        """Kinds of label maps that the dataset has."""
        return [kind for kind in self.description.beside if kind in LABEL_MAPS]

    def error(self, file: str, where: str, problem: str, remedy: str) -> None:
        """Note a mistake."""
        self.findings.append(Finding("error", file, where, problem, remedy))


def missing_files(description: Description, entries: list[Entry]) -> list[Finding]:
    """Keys of a description that name no file or folder, or an empty one."""
    names = {entry.name for entry in entries}
    findings = []
    folders = {"images": description.images}
    for kind, folder in description.beside.items():
        what, _, name = kind.rpartition(".")
        key = {"map": f"maps.{name}.folder", "valid": f"maps.{name}.valid"}.get(what, kind)
        folders[key] = folder
    for key, value in {**folders, **description.tables}.items():
        as_file = key not in folders or description.packed
        if value not in names if as_file else not within(entries, value):
            kind = "file" if as_file else "folder with files"
            remedy = f"put it there, or mend `{key}`; there are {_tops(names)}"
            findings.append(description_finding(key, f"there is no {kind} {value!r}", remedy))
    return findings


def _tops(names: set[str]) -> str:
    """What lies in the folder, for a message."""
    tops = sorted({name.split("/")[0] + "/" * ("/" in name) for name in names} - {DESCRIPTION})
    return ", ".join(tops[:12]) + (" ..." if len(tops) > 12 else "") or "no other files"


def sort_images(found: Survey, entries: list[Entry]) -> list[Item]:
    """Sort the images into those to read and those left out; all of them are returned."""
    d = found.description
    loose = d.images == "."
    but = d.beside.values() if loose else []
    names = within(entries, d.images, but)
    items, others = to_items(found.folder / d.images, names)
    if d.images in (d.masks, d.instances):
        taken = {item.name for item in named(items, str(d.mask_pattern))}
        items = [item for item in items if item.name not in taken]
    if d.image_pattern:
        all_items, items = items, named(items, d.image_pattern)
        fit = {item.name for item in items}
        none = {item.stem for item in all_items if item.name not in fit}
        found.left.update(dict.fromkeys(none, "not found by `image_pattern`"))
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


def named(items: Iterable[Item], pattern: str) -> list[Item]:
    """Items that a pattern finds, called by its groups."""
    return [
        replace(item, stem="/".join(filter(None, match.groups())))
        for item in items
        if (match := re.search(pattern, item.stem))
    ]


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


def sort_beside(found: Survey, entries: list[Entry], kind: str, images: list[Item]) -> None:
    """Label maps, maps or their masks by the images that they belong to."""
    place = found.description.beside[kind]
    items, others = to_items(found.folder / place, within(entries, place))
    if pattern := found.description.pattern(kind):
        items = named(items, pattern)
    for name, why in others.items() if place != found.description.images else ():
        found.findings.append(
            Finding("warning", f"{place}/{name}", "", why, "take it out of the folder")
        )
    there = _one_name_each(found, items, place)
    stems = {item.stem for item in images}
    word, optional, remedy = _terms(found.description, kind)
    if extra := sorted(there[stem].name for stem in there.keys() - stems):
        said = f"{len(extra)} of its files belong to no image: {some(extra)}"
        found.error(place, "", said, f"name each {word} like its image, or delete them")
    # The mask of a map is wanted where there is a map.
    wanted = found.beside.get(kind.replace(VALID, MAP)) if kind.startswith(VALID) else None
    wanting = [i for i in found.items if wanted is None or i.stem in wanted]
    if absent := sorted(item.name for item in wanting if item.stem not in there):
        said = f"{len(absent)} images have no {word}"
        if optional:
            said += f"{' and count as empty' * (kind in LABEL_MAPS)}: {some(absent)}"
            found.findings.append(Finding("info", place, "", said, ""))
        else:
            found.error(place, "", f"{said}: {some(absent)}", remedy)
    used = {item.stem for item in found.items}
    found.beside[kind] = {stem: there[stem] for stem in there.keys() & used}


def _terms(d: Description, kind: str) -> tuple[str, bool, str]:
    """Word for a kind, whether an image may be without it, and what to do if it may not."""
    if kind in LABEL_MAPS:
        word, optional = LABEL_MAPS[kind], d.masks_optional
        key = "`masks_optional: true` in dataset.yaml if nothing is to be seen in them"
    else:
        what, _, name = kind.partition(".")
        if what == "valid":
            word = f"mask of where {name} counts"
            return word, False, f"add them, or delete the maps of {name} of these images"
        word, optional = f"map of {name}", d.maps[name].optional
        key = f"`optional: true` into `maps.{name}` of dataset.yaml if it is not known for them"
    adding = word.replace(" ", "s ", 1) if word.startswith("map ") else f"{word}s"
    return word, optional, f"add the {adding}, leave the images out by `exclude`, or write {key}"


def some(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
