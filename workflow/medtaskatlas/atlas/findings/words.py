"""Words that findings share: numbers with their intervals, what they rest on, cautions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from medtaskatlas.atlas.inference import MIN_GROUPS

Tables = Mapping[str, pd.DataFrame]
Rows = Iterator[dict[str, Any]]
WHERE = {
    "groups": "On patients, volumes and regions never seen in training",
    "datasets": "On whole datasets never seen in training",
    "tasks": "For tasks never seen in training",
}
NUMBERS = ("estimate", "seed_sd", "ci_low", "ci_high", "ci_method")
COUNTS = ("n_pairs", "n_images", "n_groups", "n_datasets")
TEST = ("p", "p_adjusted", "p_family")
ALPHA = 0.05


def models(tables: Tables) -> list[str]:
    """Encoders that learned from tasks and are neither controls nor ablations.

    Parameters
    ----------
    tables
        With `identification`.

    Returns
    -------
    list of str
        Names, sorted.
    """
    frame = tables["identification"]
    return sorted(set(frame[frame["role"] == "model"]["encoder"]))


def of_models(tables: Tables, name: str) -> pd.DataFrame:
    """Rows of a table that are about models.

    Parameters
    ----------
    tables
        With `identification`.
    name
        The table.

    Returns
    -------
    pandas.DataFrame
        Some of its rows.
    """
    frame = tables[name]
    return frame[frame["encoder"].isin(models(tables))]


def copied(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Numbers, counts and note of a row of another table."""
    return {name: row[name] for name in (*NUMBERS, *COUNTS, "note") if name in row}


def known(value: Any) -> bool:
    """Whether a value is there."""
    return not pd.isna(value)


def percent(row: Mapping[Any, Any], unit: str = " %") -> str:
    """Estimate and interval in percent."""
    text = f"{100 * row['estimate']:.0f}{unit}"
    if known(row["ci_low"]):
        text += f" (95 % interval {100 * row['ci_low']:.0f} to {100 * row['ci_high']:.0f})"
    else:
        text += " (no interval)"
    return text


def interval(row: Mapping[Any, Any]) -> str:
    """Interval of a number that is no share."""
    if not known(row["ci_low"]):
        return "no interval"
    return f"95 % interval {row['ci_low']:.2f} to {row['ci_high']:.2f}"


def rests_on(row: Mapping[Any, Any]) -> str:
    """What a number rests on."""
    named = zip(COUNTS, ("pair", "image", "independent group", "dataset"), strict=True)
    pairs, images, groups, sets = (
        f"{row[column]:,} {word}{'' if row[column] == 1 else 's'}" for column, word in named
    )
    return f"n = {pairs} from {images} in {groups} of {sets}"


def caution(row: Mapping[Any, Any]) -> str:
    """The note of a row as a caution, where there is one."""
    # Too few groups are told at the end of the sentence, by _with_control.
    told = row["n_groups"] < MIN_GROUPS
    return f" Caution: {row['note']}." if known(row["note"]) and not told else ""
