"""Checking a folder dataset: everything is read once, and all mistakes are reported."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import ValidationError

from medtaskatlas.core.errors import AtlasError, DataError, unreadable
from medtaskatlas.core.files import atomic_write
from medtaskatlas.core.text import visible
from medtaskatlas.datasets.folder.description import (
    DESCRIPTION,
    Description,
    check_description,
    identifier,
    read_description,
)
from medtaskatlas.datasets.folder.files import Entry, Finding, list_files
from medtaskatlas.datasets.folder.match import missing_files, some
from medtaskatlas.datasets.folder.read import read_item, read_packed
from medtaskatlas.datasets.folder.sheet import Sheet
from medtaskatlas.datasets.folder.survey import survey
from medtaskatlas.datasets.folder.tables import NO_FINDING, SPLITS_FILE, label_names
from medtaskatlas.datasets.io.frame import Excluded, Frame

# What stands in for a key that is missing or wrong, so that the rest can be checked.
_STAND_IN = {"name": "checked", "modality": "PHOTO", "body_part": "unknown", "images": "images"}
# Files that a key should name, if they are there.
_USUAL = {"masks": "masks", "instances": "instances"}
_USUAL |= {"labels": "labels.csv", "boxes": "boxes.csv", "maps": "maps"}
_MASK_KEYS = {"masks", "classes", "masks_optional", "mask_pattern"}
# Keys that may contradict each other.
_TOGETHER = {*_MASK_KEYS, "window", "annotation", "labels", "instances", "boxes", "maps"}
_TOGETHER |= {"label_kind"}
_FEW_GROUPS = 10
_SHOWN = 10  # places of a folded finding
_FEW_VALUES = 3  # more grey values than a label map has in most slices


@dataclass
class _Seen:
    """What was read."""

    frames: int = 0
    groups: dict[str, str | None] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    unknown: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    # Of a quantity: how many images have it, the lowest and the highest number.
    quantities: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)
    sheet: Sheet | None = None
    few: list[str] = field(default_factory=list)  # pictures of few grey values
    pictures: dict[bytes, tuple[str, str]] = field(default_factory=dict)  # image and group

    def measure(self, name: str, low: float, high: float) -> None:
        """Widen the range of a quantity by one more image that has it."""
        count, lowest, highest = self.quantities.get(name, (0, low, high))
        self.quantities[name] = (count + 1, min(lowest, low), max(highest, high))


def check_folder(folder: Path, picture: Path | None = None) -> list[Finding]:
    """Read a folder dataset once and say what is wrong with it; goes on after each mistake.

    Errors stop a run; warnings weaken what it can show; the last findings tell what was read. A
    `picture` is a PNG file to be written: images with what is drawn on them.
    """
    folder = Path(folder)
    return _whatever_comes(_check(folder, picture), folder)


def _whatever_comes(check: Iterator[Finding], folder: Path) -> list[Finding]:
    """All findings; what no part of the check foresaw is one of them."""
    findings: list[Finding] = []
    try:
        for finding in check:
            findings.append(finding)
    except AtlasError as error:
        findings.append(_mistake(error, folder))
    except Exception as error:
        unforeseen = unreadable(folder, error, "look at the files that were added or changed last")
        findings.append(Finding("error", "", "", unforeseen.problem, unforeseen.remedy))
    return findings


def _check(folder: Path, picture: Path | None) -> Iterator[Finding]:
    """Findings in their order."""
    raw, findings = read_description(folder)
    yield from findings
    if not raw:
        return
    description, mistakes = check_description(raw)
    yield from mistakes
    description = description or _mended(raw)
    if description is None:
        return
    yield from _about(folder, raw, description)
    entries = list_files(folder)
    absent = missing_files(description, entries)
    yield from absent
    yield from _not_named(raw, description, entries)
    if "images" in {finding.where for finding in absent}:
        return
    description = _without(description, {finding.where for finding in absent})
    names = [description.classes[stored] for stored in sorted(description.classes)]
    numbers = label_names([], description.label_names, description.label_kind)
    labels = [description.label_names.get(text, NO_FINDING) for text in numbers]
    seen = _Seen(sheet=Sheet(dict(enumerate(names, start=1)), labels) if picture else None)
    yield from _read(folder, description, entries, seen)
    if picture:
        yield from _draw(seen, picture)
    if seen.frames:
        yield from _unused(description, seen)
    quantities = {**description.maps, **description.values}
    yield from _sums(seen, {name: quantity.unit for name, quantity in quantities.items()})


def _draw(seen: _Seen, picture: Path) -> Iterator[Finding]:
    """Write the contact sheet."""
    try:
        if seen.sheet and (count := seen.sheet.write(picture)):
            said = f"look at {picture}: {count} images with their annotation drawn over"
            yield Finding("info", "", "", said, "")
    except Exception as error:  # a picture stops no check
        problem = error.problem if isinstance(error, DataError) else f"no picture: {error}"
        yield Finding("warning", "", "", problem, "name another folder: --pictures FOLDER")


def _mended(raw: dict[Any, Any]) -> Description | None:
    """The description without its wrong keys, so that the images can be checked all the same."""
    kept = {str(key): value for key, value in raw.items()}
    # First keys that are wrong by themselves go, then those that do not go together.
    for _ in range(3):
        try:
            return Description.model_validate(kept)
        except ValidationError as error:
            wrong = {str(e["loc"][0]) for e in error.errors() if e["loc"]} or _TOGETHER
        if not {"masks", "classes"} <= kept.keys() - wrong:
            wrong |= _MASK_KEYS
        kept = {**_STAND_IN, **{key: value for key, value in kept.items() if key not in wrong}}
    return None


def _without(description: Description, lost: set[str]) -> Description:
    """The description without keys that name nothing, so that the rest can be checked."""
    kept = description.model_dump(exclude_unset=True, exclude=lost)
    for key in ("maps", "values"):  # one of several may be lost
        names = {where.split(".")[1] for where in lost if where.startswith(f"{key}.")}
        kept[key] = {name: q for name, q in kept.get(key, {}).items() if name not in names}
    if not kept.get("masks"):
        kept.pop("classes", None)
    if not (kept.get("masks") or kept.get("instances")):
        kept.pop("masks_optional", None)
        kept.pop("mask_pattern", None)
    if not kept.get("labels"):
        kept.pop("label_kind", None)
    return Description.model_validate(kept)


def _about(folder: Path, raw: dict[Any, Any], description: Description) -> Iterator[Finding]:
    """Doubts about dataset.yaml."""
    if "licence" not in raw:
        yield _warning(
            "licence",
            "no licence is given",
            "write its SPDX id, or LicenseRef-... with the terms in README.md; runs that are "
            "restricted by `licences` leave the dataset out",
        )
    for key in ("source", "citation"):
        if key not in raw:
            yield _warning(key, "is not given", "write where the data come from and what to cite")
    own_names = (folder.resolve().name, identifier(folder))
    if raw.get("name") == description.name not in own_names:
        yield _warning(
            "name",
            f"is {description.name!r}, the folder is {folder.resolve().name!r}",
            "give both one name, so that results can be found",
        )


def _not_named(
    raw: dict[Any, Any], description: Description, entries: list[Entry]
) -> Iterator[Finding]:
    """Annotation that lies there but that no key names."""
    if description.packed:
        return
    tops = {entry.name.split("/")[0] for entry in entries}
    used = [description.images, *description.beside.values(), *description.tables.values()]
    named = {name.split("/")[0] for name in used}
    for key, name in _USUAL.items():
        if name in tops - named and key not in raw:
            value = "{NAME: {folder: maps, scale: NUMBER, unit: UNIT}}" if key == "maps" else name
            yield _warning(
                key, f"is not given, though there is {name}", f"write `{key}: {value}` to use it"
            )


def _read(
    folder: Path, description: Description, entries: list[Entry], seen: _Seen
) -> Iterator[Finding]:
    """Read everything; mistakes and doubts of each image."""
    notes: list[Finding] = []
    if description.packed:
        try:
            for frame in read_packed(description, folder):
                yield from _take(frame, seen, description.images)
        except AtlasError as error:
            yield _mistake(error, folder, description.images)
        return
    if description.splits is None and SPLITS_FILE in {entry.name for entry in entries}:
        description = description.model_copy(update={"splits": SPLITS_FILE})
    found = survey(folder, description)
    yield from found.findings
    for name, reason in found.left.items():
        seen.excluded[reason] += 1
        if reason.startswith("no image"):
            yield Finding(
                "warning", f"{description.images}/{name}", "", reason, "take it out of the folder"
            )
    for item in found.items:
        file = f"{description.images}/{item.name}"
        try:
            for frame in read_item(found, item, notes.append):
                yield from _take(frame, seen, file)
        except DataError as error:
            yield _mistake(error, folder, file)
        yield from notes
        notes.clear()


def _take(frame: Frame | Excluded, seen: _Seen, file: str) -> Iterator[Finding]:
    """Count a picture; one that was there before is a doubt."""
    if isinstance(frame, Excluded):
        seen.excluded[frame.reason] += 1
        return
    import cv2

    seen.frames += 1
    if seen.sheet:
        seen.sheet.take(frame)
    seen.groups[frame.group_id] = frame.split
    seen.subjects.add(frame.subject or frame.group_id)
    known = frame.group_source != "unknown" or frame.split or frame.subject
    seen.unknown += not known
    for name, (values, valid) in frame.maps.items():
        if valid.any():
            seen.measure(name, values[valid].min(), values[valid].max())
    for name, value in frame.values.items():
        seen.measure(name, value, value)
    if frame.mask is not None:
        seen.classes.update(np.flatnonzero(np.bincount(frame.mask.reshape(-1))).tolist())
    if frame.labels:
        seen.labels.update(number for number, there in enumerate(frame.labels, start=1) if there)
    elif frame.label is not None:
        seen.labels[frame.label] += 1
    plane = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 0]
    # Of a picture of 4 megapixels 2 ms, where numpy's bincount takes 36.
    counts = cv2.calcHist([np.ascontiguousarray(plane)], [0], None, [256], [0, 256])
    if np.count_nonzero(counts) <= _FEW_VALUES:
        seen.few.append(frame.image_id)
    digest = hashlib.sha256(repr(frame.pixels.shape).encode())
    digest.update(frame.pixels.data)
    own = (frame.image_id, frame.group_id)
    image, group = seen.pictures.setdefault(digest.digest(), own)
    if image != frame.image_id:
        said, remedy = "one picture under two names", "only one of them is used"
        if group != frame.group_id:
            said += ", in two groups"
            remedy += "; put both into one group, or delete one"
        yield Finding("warning", file, f"{frame.image_id} and {image}", said, remedy)


def check_frames(
    frames: Iterable[Frame | Excluded],
    folder: Path,
    units: dict[str, str],
    picture: Path | None = None,
    sheet: Sheet | None = None,
) -> Iterator[Finding]:
    """Read the pictures of a dataset of any source once: doubts, and what was read."""
    seen = _Seen(sheet=sheet)
    yield from _whatever_comes((f for frame in frames for f in _take(frame, seen, "")), folder)
    if picture:
        yield from _draw(seen, picture)
    yield from _sums(seen, units)


def _unused(description: Description, seen: _Seen) -> Iterator[Finding]:
    """Classes and labels that nothing shows."""
    for number, stored in enumerate(sorted(description.classes), start=1):
        if not seen.classes[number]:
            name = description.classes[stored]
            yield _warning(
                f"classes.{stored}", f"{name} is in no mask", "delete the class, or mend the masks"
            )
    if description.label_names:
        numbers = label_names([], description.label_names, description.label_kind)
        for text, number in numbers.items():
            if text and not seen.labels[number]:
                name = description.label_names[text]
                yield _warning("label_names", f"no image is {name}", "delete it, or mend the table")


def _sums(seen: _Seen, units: dict[str, str]) -> Iterator[Finding]:
    """Doubts about the whole, and what was read; `units` of the quantities that are declared."""
    if not seen.frames:
        yield Finding("error", "", "", "no image is left", "see the findings above")
        return
    if seen.few:
        yield Finding(
            "warning",
            "",
            "images",
            f"{len(seen.few)} images have {_FEW_VALUES} grey values or fewer: {some(seen.few)}",
            "label maps among the images? Name their folder by `masks` (and `mask_pattern`), or "
            "take them out",
        )
    free = sum(split is None for split in seen.groups.values())
    if seen.unknown:
        yield Finding(
            "warning",
            "",
            "groups",
            f"no groups are known for {seen.unknown} of {seen.frames} images: pictures of one "
            "patient may be trained on and tested on",
            "write them into a column `group` of labels.csv or splits.csv, or give `group_pattern`",
        )
    if free and free < _FEW_GROUPS:
        what = "all of them become test images" if free < 3 else "val and test get one or two each"
        yield Finding(
            "warning",
            "",
            "groups",
            f"{free} groups are few to split: {what}",
            "add patients, or write a published split into splits.csv",
        )
    whose = f" of {len(seen.subjects)} subjects" * (len(seen.subjects) < len(seen.groups))
    said = f"{seen.frames} images in {len(seen.groups)} groups{whose} can be used"
    yield Finding("info", "", "", said, "")
    for name, unit in units.items():
        count, low, high = seen.quantities.get(name, (0, 0, 0))
        said = f"{name}: {count} of {seen.frames} images have it"
        if count:
            yield Finding("info", "", "", f"{said}, {low:g} to {high:g} {unit}", "")
        else:
            yield Finding("warning", "", name, said, "delete the key, or mend the files")
    for reason, n in sorted(seen.excluded.items()):
        yield Finding("info", "", "", f"{n} left out: {reason}", "")


def _warning(where: str, problem: str, remedy: str) -> Finding:
    """A doubt about dataset.yaml."""
    return Finding("warning", DESCRIPTION, where, problem, remedy)


def _mistake(error: AtlasError, folder: Path, file: str = "") -> Finding:
    """An error as a finding of a file: paths relative to the folder, each file named once."""
    problem = error.problem.replace(f"{folder}/", "")
    if file and problem.startswith((f"{file}: ", f"{file} ", f"{file}/")):
        return Finding("error", file, "", problem[len(file) :].lstrip(":/ "), error.remedy)
    # What another file is blamed for, such as a mask: the same words of many files can be folded.
    other, _, rest = problem.partition(": ")
    if rest and (folder / other).is_file():
        return Finding("error", file, other, rest, error.remedy)
    return Finding("error", file, "", problem, error.remedy)


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same, but for the file's name, as one that names the other places."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        own = rf"\b{re.escape(PurePosixPath(finding.file).name.split('.')[0])}(?=[._-])"
        problem, remedy = (re.sub(own, "", text) for text in (finding.problem, finding.remedy))
        alike.setdefault((finding.severity, problem, remedy), []).append(finding)
    return [_with_others(first, others) for first, *others in alike.values()]


def _with_others(first: Finding, others: list[Finding]) -> Finding:
    """A finding that names the places of others, too."""
    if not others:
        return first
    places = [other.where if other.file == first.file else other.file for other in others]
    shown = visible(", ".join(places[:_SHOWN]), keep="") + ", ..." * (len(places) > _SHOWN)
    return replace(first, problem=f"{first.problem} (and {len(others)} more: {shown})")


def write_findings(findings: Iterable[Finding], path: Path) -> str:
    """Write each finding as a line of a CSV file; says where, or why not: it stops no check."""
    try:
        with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerow([one.name for one in fields(Finding)])
            writer.writerows([visible(cell, keep="") for cell in astuple(f)] for f in findings)
    except (DataError, OSError) as error:
        return f"no list of each: {error}"
    return f"each in {path}"
