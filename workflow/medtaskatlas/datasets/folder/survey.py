"""What belongs to what in a folder dataset: images, masks, rows of tables, groups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from medtaskatlas.core.limits import SECONDS
from medtaskatlas.datasets.folder.description import DESCRIPTION, Description
from medtaskatlas.datasets.folder.files import Finding, list_files
from medtaskatlas.datasets.folder.match import Survey, some, sort_beside, sort_images
from medtaskatlas.datasets.folder.tables import (
    BOXES,
    LABELS,
    SPLIT_COLUMNS,
    Columns,
    Row,
    Table,
    boxes_by_image,
    by_image,
    label_names,
    labels_of,
    numbers_by_image,
    read_table,
)


def survey(folder: Path, description: Description) -> Survey:
    """Put the parts of a folder dataset together; no pixel is read, mistakes become findings."""
    found = Survey(folder, description)
    entries = list_files(folder)
    names = sort_images(found, entries)
    for kind in description.beside:
        sort_beside(found, entries, kind, names)
    _tables(found, [item.name for item in names])
    _patterns(found, "group")
    _patterns(found, "subject")
    _splits_are_whole(found)
    return found


def _tables(found: Survey, names: list[str]) -> None:
    """Labels, boxes, values, groups, subjects and splits by image."""
    d = found.description
    known = set(names)
    if d.labels:
        table, rows = _table(found, d.labels, LABELS, known)
        _labels(found, table, rows)
        _published(found, table, rows)
    if d.boxes:
        table = read_table(found.folder, d.boxes, BOXES)
        found.boxes = boxes_by_image(table, known)
        found.findings += table.findings
    if d.splits:
        _published(found, *_table(found, d.splits, SPLIT_COLUMNS, known))
    for file in sorted({values.file for values in d.values.values()} - {d.labels, d.splits}):
        found.findings += _table(found, file, (("image",), ()), known)[0].findings


def _table(
    found: Survey, file: str, columns: Columns, known: set[str]
) -> tuple[Table, dict[str, Row]]:
    """A table and its rows by image; values in it are noted."""
    own = [name for name, values in found.description.values.items() if values.file == file]
    table = read_table(found.folder, file, ((*columns[0], *own), columns[1]))
    rows = by_image(table, known)
    found.values |= {name: numbers_by_image(table, rows, name) for name in own}
    return table, rows


def _labels(found: Survey, table: Table, rows: dict[str, Row]) -> None:
    """Label of each image, or its labels where it may have several."""
    d = found.description
    several = d.label_kind == "multi_label"
    numbers = label_names(table.rows, d.label_names, d.label_kind)
    for name, row in rows.items():
        texts = labels_of(row, several=several)
        if unknown := [text for text in texts if text not in numbers]:
            table.error(
                row.line,
                f"label {unknown[0]!r} is not in `label_names` of dataset.yaml",
                "add it there, or mend the line",
            )
        elif several:
            found.findings_of[name] = tuple(text in texts for text in numbers if text)
            one = numbers[texts[0]] if texts else 0
            found.labels[name] = one if len(set(texts)) <= 1 else None
        elif texts:
            found.labels[name] = numbers[texts[0]]
    if bare := [item.name for item in found.items if item.name not in found.labels]:
        found.findings.append(
            Finding(
                "warning",
                table.file,
                "",
                f"{len(bare)} images have no label: {some(bare)}",
                "they are kept with a null label; tasks that need one leave them out",
            )
        )


def _published(found: Survey, table: Table, rows: dict[str, Row]) -> None:
    """Groups, subjects and splits of a table, and its mistakes."""
    for name, row in rows.items():
        if split := row.values.get("split"):
            found.splits[name] = split
        if group := row.values.get("group"):
            found.groups[name] = (group, "published")
        if subject := row.values.get("subject"):
            found.subjects[name] = subject
        for column in ("group", "subject"):
            if row.values.get(column) == "":
                said = f"{name} has no {column}"
                table.error(row.line, said, f"fill in the column {column}")
    found.findings += table.findings


def _patterns(found: Survey, what: Literal["group", "subject"]) -> None:
    """Groups or subjects by their pattern, where no table knows better."""
    key = f"{what}_pattern"
    pattern = getattr(found.description, key)
    if pattern is None:
        return
    import regex

    known: dict[str, Any] = found.groups if what == "group" else found.subjects
    odd = []
    end = time.monotonic() + SECONDS.most
    for item in found.items:
        if item.name in known:
            continue
        try:
            # Of the module re, a pattern such as ^(a+)+$ could take years for one name.
            match = regex.search(pattern, item.name, timeout=max(end - time.monotonic(), 1e-3))
        except TimeoutError:
            found.error(
                DESCRIPTION,
                key,
                f"{pattern!r} takes more than {SECONDS.most:g} seconds for the names of images "
                f"({SECONDS.variable})",
                "write it without repetitions of repetitions, such as (a+)+, or write "
                f"{what}s into labels.csv or splits.csv",
            )
            return
        if match and match[1]:
            known[item.name] = (match[1], "pattern") if what == "group" else match[1]
        else:
            odd.append(item.name)
    if odd:
        found.error(
            DESCRIPTION,
            key,
            f"{pattern!r} finds no {what} in {len(odd)} names: {some(odd)}",
            f"widen the pattern, or write {what}s into labels.csv or splits.csv",
        )


def _splits_are_whole(found: Survey) -> None:
    """No group or subject is in two published splits, and no group belongs to two subjects."""
    d = found.description
    group = {i.name: found.groups.get(i.name, (i.stem, ""))[0] for i in found.items}
    subject = {i.name: found.subjects[i.name] for i in found.items if i.name in found.subjects}
    file = d.splits or d.labels or DESCRIPTION
    if found.splits:
        split = {name: found.splits.get(name, "(none)") for name in group}
        for word, of in (("group", group), ("subject", subject)):
            for one, shown in _torn(of, split):
                said = f"{word} {one} is in two splits: {shown.format('in')}"
                found.error(file, "", said, f"put all images of a {word} into one split")
    for one, shown in _torn({name: group[name] for name in subject}, subject):
        said = f"group {one} belongs to two subjects: {shown.format('to')}"
        found.error(file, "", said, "a group is of one subject: mend the groups or the subjects")


def _torn(of: dict[str, str], what: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Groups or subjects, `of` images, that differ in `what`, and two images that show it."""
    first: dict[str, str] = {}
    for name, one in of.items():
        other = first.setdefault(one, name)
        if what[other] != what[name]:
            shown = f"{other} {{0}} {what[other]}, {name} {{0}} {what[name]}"
            yield one, shown
