"""labels.csv, boxes.csv and splits.csv of a folder dataset; stdlib only."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from medtaskatlas.core.errors import nearest
from medtaskatlas.datasets.folder.files import Finding

SPLITS = ("train", "val", "test")
Columns = tuple[tuple[str, ...], tuple[str, ...]]  # required and optional
LABELS: Columns = (("image", "label"), ("group", "subject", "split"))
BOXES: Columns = (("image", "x0", "y0", "x1", "y1"), ("label",))
SPLIT_COLUMNS: Columns = (("image", "split"), ("group", "subject"))
SPLITS_FILE = "splits.csv"
_HINTS = 10  # rows for which near names are sought
NO_FINDING = "no finding"  # label 0 of a dataset whose images have several labels


@dataclass(frozen=True)
class Row:
    """A row of a table: its line in the file and its values by column, stripped."""

    line: int
    values: dict[str, str]


@dataclass
class Table:
    """A table with what is wrong with it."""

    file: str  # relative to the dataset's folder
    columns: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)  # those that can be used
    findings: list[Finding] = field(default_factory=list)
    unknown: int = 0  # rows that name no image

    def error(self, line: int, problem: str, remedy: str) -> None:
        """Note a mistake in a line."""
        self.findings.append(Finding("error", self.file, f"line {line}", problem, remedy))


def read_table(folder: Path, file: str, columns: Columns) -> Table:
    """Read a CSV file: comma-separated, UTF-8 (with or without byte-order mark), with a header.

    Empty lines do not count; mistakes become findings, and so do columns that are not used, unless
    none is optional.
    """
    table = Table(file)
    required, optional = columns
    try:
        raw = (folder / file).read_bytes()
    except OSError as error:
        table.error(1, f"cannot be read: {error.strerror}", "put it there, or mend dataset.yaml")
        return table
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        table.error(line, "is not UTF-8 text", "save it as CSV UTF-8")
        return table
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        _fill(table, reader, required, optional)
    except csv.Error as error:
        table.error(reader.line_num, f"is no CSV: {error}", "mend the quotes of this line")
    return table


def _fill(
    table: Table,
    reader: csv._reader,  # type: ignore[name-defined]
    required: tuple[str, ...],
    optional: tuple[str, ...],
) -> None:
    """Header and rows."""
    header = [name.strip() for name in next(reader, [])]
    known = (*required, *optional)
    wanted = f"the columns are {','.join(required)}" + "".join(f"[,{name}]" for name in optional)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        mark = "semicolons" if ";" in header[0] else "tabs"
        table.error(1, f"columns are separated by {mark}", f"use commas; {wanted}")
        return
    if absent := [name for name in required if name not in header]:
        found = ", ".join(header) or "nothing"
        table.error(1, f"lacks the column {', '.join(absent)}; it has {found}", wanted)
        return
    for name in header:
        if header.count(name) > 1:
            table.error(1, f"has the column {name} twice", wanted)
            return
        if optional and name not in known:
            said = nearest(name, known)
            table.findings.append(
                Finding("warning", table.file, "line 1", f"column {name} is not used", said)
            )
    table.columns = tuple(name for name in header if name in known)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            said = f"has {len(cells)} columns, the header {len(header)}"
            table.error(reader.line_num, said, 'put names with a comma in "quotes"')
            continue
        values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        if not values["image"]:
            table.error(reader.line_num, "names no image", "fill in the column image")
            continue
        table.rows.append(Row(reader.line_num, {name: values[name] for name in table.columns}))


def by_image(table: Table, known: set[str]) -> dict[str, Row]:
    """Rows by the image that they name, of those that are `known`; a second one is a mistake."""
    found: dict[str, Row] = {}
    for row in table.rows:
        name = row.values["image"]
        if name in found:
            said = f"{name} is listed twice (first in line {found[name].line})"
            table.error(row.line, said, "keep one of the lines")
        elif name not in known:
            _unknown(table, row, known)
        else:
            found[name] = row
        if (split := row.values.get("split", "")) and split not in SPLITS:
            table.error(row.line, f"split {split!r} is unknown", nearest(split, SPLITS))
    return found


def numbers_by_image(table: Table, rows: dict[str, Row], column: str) -> dict[str, float]:
    """Numbers of a column by image; an empty cell is not known."""
    found: dict[str, float] = {}
    for name, row in rows.items():
        if not (text := row.values[column]):
            continue
        if math.isfinite(number := _number(text)):
            found[name] = number
        else:
            said = f"{column} of {name} is {text!r}, which is no number"
            table.error(row.line, said, "write a number with a point, or leave the cell empty")
    return found


def boxes_by_image(table: Table, known: set[str]) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    """Boxes (x0, y0, x1, y1) in pixels by image, each with its line."""
    found: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
    shares: list[tuple[int, str]] = []
    for row in table.rows:
        if row.values["image"] not in known:
            _unknown(table, row, known)
            continue
        corners = [_number(row.values[name]) for name in BOXES[0][1:]]
        if not all(math.isfinite(corner) for corner in corners):
            table.error(row.line, "a corner of the box is no number", "write x0,y0,x1,y1 in pixels")
        elif corners[0] >= corners[2] or corners[1] >= corners[3]:
            table.error(
                row.line,
                f"the box {_shown(corners)} is empty: x0 < x1 and y0 < y1 must hold",
                "write the upper left corner first (x0,y0,x1,y1), or delete the line",
            )
        elif min(corners) >= 0 and max(corners) <= 1:
            shares.append((row.line, _shown(corners)))
        else:
            found.setdefault(row.values["image"], []).append((row.line, tuple(corners)))
    if shares:
        line, box = shares[0]
        table.error(
            line,
            f"the corners of {len(shares)} boxes lie between 0 and 1 (here {box}): are these "
            "shares of the picture?",
            "write pixels: x times the picture's width, y times its height",
        )
    return found


def outside(
    boxes: Iterable[tuple[int, tuple[float, ...]]], height: int, width: int
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Boxes, as line and text, that lie wholly or partly outside of a picture."""
    wholly, partly = [], []
    for line, (x0, y0, x1, y1) in boxes:
        shown = (line, _shown((x0, y0, x1, y1)))
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            wholly.append(shown)
        elif x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            partly.append(shown)
    return wholly, partly


def label_names(
    rows: Iterable[Row], given: dict[str, str], kind: str | None = None
) -> dict[str, int]:
    """Number of each label as it is written: sorted by text, or in the order of `given` by number.

    `given` are the `label_names` of dataset.yaml; ordinal ones that are no numbers stay in its
    order. An empty label is none, or number 0 where an image may have several.
    """
    several = kind == "multi_label"
    if kind == "ordinal" and not all(text.isdigit() for text in given):
        order = list(given)
    elif given:
        # 10 comes behind 9; names that are no numbers come last.
        order = sorted(given, key=lambda text: (not text.isdigit(), len(text), text))
    else:
        order = sorted({text for row in rows for text in labels_of(row, several=several)})
    if several:
        order.insert(0, "")
    return {text: number for number, text in enumerate(order)}


def labels_of(row: Row, *, several: bool) -> list[str]:
    """Labels in a row, as they are written."""
    texts = row.values["label"].split("|") if several else [row.values["label"]]
    return [text.strip() for text in texts if text.strip()]


def _unknown(table: Table, row: Row, there: set[str]) -> None:
    """Note a row that names no image."""
    name = row.values["image"]
    table.unknown += 1
    # Thousands of names would take minutes to compare, and nobody would read them.
    names = sorted(there)[:2000] if table.unknown <= _HINTS else []
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    remedy = f"write the file's name with its suffix, or delete the line{hint}"
    table.error(row.line, f"there is no image {name}", remedy)


def _number(text: str) -> float:
    """A number, or NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shown(corners: Iterable[float]) -> str:
    """A box for a message."""
    return ",".join(f"{corner:g}" for corner in corners)
