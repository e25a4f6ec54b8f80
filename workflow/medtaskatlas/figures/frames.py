"""What the figures share in reading tables: files to frames, names and numbers for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.counts import of_subjects
from medtaskatlas.formats.parquet import read_parquet
from medtaskatlas.tasks.task import FAMILIES

WHERE = {
    "groups": "held-out groups",
    "datasets": "held-out datasets",
    "regions": "held-out regions of known subjects",
    "tasks": "held-out tasks",
}
# Query sets whose tasks a training has seen.
SEEN = ("groups", "datasets", "regions")


def read_frame(path: str | Path) -> pd.DataFrame:
    """A table of the run; a missing or damaged file is a DataError."""
    return read_parquet(path)[0].to_pandas()


def plain(name: str) -> str:
    """An identifier as words: ``bias field correction``."""
    return name.replace("_", " ")


def modality_name(modality: str) -> str:
    """A modality in running text: abbreviations stay (MR), words become small (fundus)."""
    return modality if len(modality) <= 3 else modality.lower()


def family_order(families: Iterable[str]) -> list[str]:
    """Families in the order of every figure and legend: our three first, others by name."""
    there = set(families)
    return [f for f in FAMILIES if f in there] + sorted(there - set(FAMILIES))


def by_family(families: dict[str, str]) -> list[str]:
    """Tasks in the order of every figure: by family, then by name."""
    order = family_order(families.values())
    return sorted(families, key=lambda task: (order.index(families[task]), task))


def splits_of(values: Iterable[str], among: Collection[str] = tuple(WHERE)) -> list[str]:
    """Query sets that a table has, the usual one first."""
    there = set(values)
    return [split for split in among if split in there]


def count(n: float, word: str) -> str:
    """A number of things: ``1,234 pairs``."""
    return f"{int(n):,} {word}{'' if n == 1 else 's'}"


def counts_of(row: Mapping[Any, Any]) -> str:
    """How much a row of a table rests on: ``1,234 pairs, 45 groups of 9 subjects, 8 datasets``."""
    pairs, sets = (count(row[f"n_{word}s"], word) for word in ("pair", "dataset"))
    return f"{pairs}, {groups_of(row)}, {sets}"


def groups_of(row: Mapping[Any, Any]) -> str:
    """Groups of a row of a table, and their subjects where there are fewer."""
    return count(row["n_groups"], "group") + of_subjects(row)


def count_text(rows: pd.DataFrame) -> str:
    """How much that one of some rows rests on that rests on most; empty without rows."""
    return "" if rows.empty else counts_of(rows.sort_values("n_pairs").iloc[-1].to_dict())


def each_text(rows: pd.DataFrame, what: str) -> str:
    """How much each row rests on at most: ``up to 120 pairs of 9 groups a task``."""
    if rows.empty:
        return ""
    return f"up to {int(rows['n_pairs'].max()):,} pairs of {most_groups(rows)} {what}"


def most_groups(rows: pd.DataFrame) -> str:
    """Groups of that one of some rows that has most."""
    return groups_of(rows.sort_values("n_groups").iloc[-1].to_dict())


def number(value: Any) -> str:
    """A number with the digits that matter, or a dash."""
    return "–" if pd.isna(value) else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"


def interval(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval: ``0.71 [0.64, 0.78]``."""
    text = number(row["estimate"])
    if pd.notna(row["ci_low"]):
        text += f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
    return text


def html_table(heads: list[str], rows: list[list[str]], numbers: Collection[int] = ()) -> str:
    """An HTML table; heads are plain text, cells HTML, columns `numbers` are set flush right."""
    if not rows:
        return "<p>None in this run.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    kind = dict.fromkeys(numbers, ' class="number"')
    lines = ["".join(f"<td{kind.get(i, '')}>{cell}</td>" for i, cell in enumerate(r)) for r in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
