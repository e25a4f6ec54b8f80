"""What the figures share in reading tables: files to frames, names and numbers for people."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from medtaskatlas.core.errors import DataError
from medtaskatlas.tasks.task import FAMILIES

WHERE = {
    "groups": "held-out groups",
    "datasets": "held-out datasets",
    "tasks": "held-out tasks",
}


def read_frame(path: str | Path) -> pd.DataFrame:
    """A table of the run."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", "start the run again to make it") from error
    except (OSError, ValueError) as error:
        remedy = f"delete {path} and start the run again"
        raise DataError(f"{path} is damaged or truncated ({error})", remedy) from error


def plain(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def modality_name(modality: str) -> str:
    """A modality as it is written in running text."""
    return modality if len(modality) <= 3 else modality.lower()


def family_order(families: Iterable[str]) -> list[str]:
    """Families in the order of every figure and legend."""
    there = set(families)
    return [f for f in FAMILIES if f in there] + sorted(there - set(FAMILIES))


def by_family(families: dict[str, str]) -> list[str]:
    """Tasks in the order of every figure: by family, then by name."""
    order = family_order(families.values())
    return sorted(families, key=lambda task: (order.index(families[task]), task))


def count_text(rows: pd.DataFrame) -> str:
    """How much some rows of a table rest on, in words."""
    if rows.empty:
        return ""
    row = rows.sort_values("n_pairs").iloc[-1]
    parts = [(row["n_pairs"], "pair"), (row["n_groups"], "group"), (row["n_datasets"], "dataset")]
    return ", ".join(f"{int(n):,} {word}{'' if n == 1 else 's'}" for n, word in parts)


def each_text(rows: pd.DataFrame, what: str) -> str:
    """How much each of some rows rests on, at most."""
    if rows.empty:
        return ""
    pairs, groups = int(rows["n_pairs"].max()), int(rows["n_groups"].max())
    return f"up to {pairs:,} pairs of {groups} group{'' if groups == 1 else 's'} {what}"


def splits_of(values: Iterable[str]) -> list[str]:
    """Query sets that a table has, the usual one first."""
    there = set(values)
    return [split for split in WHERE if split in there]
