"""Tables that `datasets init` writes: labels and splits by folder, boxes of COCO and YOLO."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from medtaskatlas.core.files import atomic_write
from medtaskatlas.datasets.folder.files import Entry, Item

_SPLITS = {"train": "train", "training": "train", "tr": "train", "test": "test", "testing": "test"}
_SPLITS |= {"ts": "test", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
_MOST_LABELS = 50  # more folders than this are patients
_MOST_JSON = 1 << 30  # bytes
Rows = list[Sequence[object]]


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    with atomic_write(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def by_folder(items: list[Item]) -> tuple[dict[str, str], dict[str, str]]:
    """Label and published split of each image as the folders are called; empty if they tell none.

    Folders are labels where few of them hold several images each and no name has a digit, as those
    of patients have.
    """
    splits, labels = {}, {}
    for item in items:
        folders = PurePosixPath(item.name).parent.parts
        parts = [_SPLITS.get(folder.lower()) for folder in folders]
        if split := next(filter(None, parts), None):
            splits[item.name] = split
        rest = [folder for folder, part in zip(folders, parts, strict=True) if not part]
        if len(rest) == 1 and not any(map(str.isdigit, rest[0])):
            labels[item.name] = rest[0]
    counts = Counter(labels.values())
    told = (
        len(labels) == len(items) and 1 < len(counts) <= _MOST_LABELS and min(counts.values()) > 1
    )
    whole = len(splits) == len(items) and len(set(splits.values())) > 1
    return (labels if told else {}), (splits if whole else {})


def boxes_of(
    folder: Path, place: str, entries: list[Entry], items: list[Item]
) -> tuple[Rows, list[str]]:
    """Boxes in COCO's or YOLO's files as rows of boxes.csv, and where from, or why not."""
    find = _Finder([item for item in items if item.kind == "flat"])
    rows: Rows = []
    said = []
    for entry in entries:
        more: tuple[Rows, str] = [], ""
        if entry.name.lower().endswith(".json") and entry.size < _MOST_JSON:
            more = _coco(folder / entry.name, find)
        elif entry.name.lower().endswith(".txt") and (item := find(entry.name[:-4])):
            more = _yolo(folder / entry.name, folder / place / item.files[0], item.name)
        rows += more[0]
        if more[1]:
            said.append(f"{entry.name}: {more[1]}")
    names = _yolo_names(folder)
    return [(*row[:5], names.get(row[5], row[5])) for row in rows], said


class _Finder:
    """Pictures by the end of their path, which files about them use to name them."""

    def __init__(self, items: list[Item]) -> None:
        self.known: dict[str, Item | None] = {}
        for item in items:
            parts = item.stem.split("/")
            for at in range(len(parts)):
                end = "/".join(parts[at:])
                self.known[end] = None if end in self.known else item  # None: not one alone

    def __call__(self, stem: str) -> Item | None:
        """The one picture that a path, whose first folders may differ, must mean."""
        parts = stem.split("/")
        ends = ("/".join(parts[at:]) for at in range(len(parts)))
        return next((self.known[end] for end in ends if end in self.known), None)


def _coco(path: Path, find: _Finder) -> tuple[Rows, str]:
    """Boxes of a COCO file: bbox is [x, y, width, height] in pixels."""
    try:
        content = json.loads(path.read_bytes())
        if not {"images", "annotations", "categories"} <= set(content):
            return [], ""
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        files = {one["id"]: str(one["file_name"]) for one in content["images"]}
        rows: Rows = []
        lost = 0
        for one in content["annotations"]:
            x, y, width, height = map(float, one["bbox"])
            item = find(files[one["image_id"]].rsplit(".", 1)[0])
            if item is None or not (width > 0 and height > 0):
                lost += 1
                continue
            rows.append((item.name, x, y, x + width, y + height, names[one["category_id"]]))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        return [], f"no boxes of COCO are read ({type(error).__name__}: {error})"
    without = f", {lost} left out: empty, or of a picture that is not there" if lost else ""
    return rows, f"{len(rows)} boxes of COCO{without}"


def _yolo(path: Path, picture: Path, name: str) -> tuple[Rows, str]:
    """Boxes of a YOLO file: class, centre and size as shares of the picture."""
    rows: Rows = []
    width = height = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        box = _numbers(line)
        if len(box) != 5 or not all(0 <= share <= 1 for share in box[1:]):
            if line.strip():
                return [], "is not read: not YOLO's `class x y width height` with shares of 0 to 1"
            continue
        try:
            width, height = (width, height) if width else _size(picture)
        except (OSError, SyntaxError, ValueError) as error:
            return [], f"is not read: of {name} the size is not known ({error})"
        kind, x, y, w, h = box
        corners = [(x - w / 2) * width, (y - h / 2) * height]
        corners += [(x + w / 2) * width, (y + h / 2) * height]
        if w and h:
            rows.append((name, *(f"{corner:.6g}" for corner in corners), int(kind)))
    return rows, ""


def _numbers(line: str) -> list[float]:
    """Numbers of a line; none if one is no number."""
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return []


def _yolo_names(folder: Path) -> dict[Any, str]:
    """Names of YOLO's classes, where a file tells them."""
    for path in (folder / "data.yaml", folder / "dataset.yml"):
        if path.is_file():
            try:
                content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, RecursionError, ValueError):
                continue
            named = content.get("names", {}) if isinstance(content, dict) else {}
            if isinstance(named, dict | list):
                return named if isinstance(named, dict) else dict(enumerate(named))
    for path in (folder / "classes.txt", folder / "labels" / "classes.txt", folder / "obj.names"):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            return dict(enumerate(text.splitlines()))
    return {}


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as a viewer shows it."""
    from PIL import Image

    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) > 4
        return (image.height, image.width) if turned else (image.width, image.height)
