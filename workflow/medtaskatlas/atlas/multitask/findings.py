"""Findings of multi-task systems: rows of `summary`, each with its sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings import NOT_SUPPORTED, NUMBERS, SUPPORTED, TEST, Row, Rows, Tables
from medtaskatlas.atlas.inference import MIN_SUBJECTS

AGAINST = {
    "stl": "single-task networks",
    "stl_wide": "those with as many parameters",
    "hps": "hard sharing with tuned fixed weights",
    "control": "its control, which has its parameters and not its idea",
}
# What a gain has to hold against: more parameters, and weights that are merely tuned.
CONTROLS = ("stl_wide", "hps")
# Of the score from scratch: a strategy that may lose more is not called lossless.
NO_LOSS = 0.01
TIME_SAVED = 0.5
COUNTS = ("n_images", "n_groups", "n_subjects", "n_datasets")


def gains(tables: Tables) -> Rows:
    """Whether a system beats every control, on each problem and over problems."""
    if "multitask_gains" not in tables:
        return
    frame = tables["multitask_gains"]
    # Intervals of problems that are drawn need five; the rest speak of the problems as they are.
    frame = frame[frame["scope"] != "these_problems"]
    deltas = frame[frame["measure"] == "delta_m"]
    controls = set(frame[frame["reference_kind"] == "control"]["reference"].dropna())
    deltas = deltas[~deltas["system"].isin(controls)]
    for (problem, system), rows in deltas.groupby(["problem", "system"], sort=False):
        by = {row["reference_kind"]: row for row in rows.to_dict("records")}
        judged = [by[kind] for kind in CONTROLS if kind in by]
        # Baselines are compared with lesser ones alone: they are no findings.
        if len(judged) < len(CONTROLS) or all(pd.isna(row["estimate"]) for row in judged):
            continue
        row = min(judged, key=_least)
        told = ", ".join(f"{_change(one)} against {AGAINST[kind]}" for kind, one in by.items())
        each = frame[
            (frame["problem"] == problem)
            & (frame["system"] == system)
            & (frame["measure"] == "relative_change")
            & (frame["reference_kind"] == "stl")
        ]
        own = "; ".join(f"{one['target']} {_change(one)}" for one in each.to_dict("records"))
        where = "over all problems" if problem == "all" else f"on {problem}"
        yield finding(
            "multitask_gain" if problem == "all" else f"multitask_gain_{problem}",
            row,
            f"{where}, {system} changes the mean score of the targets by {told}."
            + (f" Against single-task networks, target by target: {own}." if own else ""),
            all(above(one, 0) for one in judged),
            copied=TEST,
        )


def strategies(tables: Tables) -> Rows:
    """Whether a strategy of UMS-Rep saves half of the time and loses nothing."""
    if "ums_rep" not in tables:
        return
    frame = tables["ums_rep"]
    for (problem, system), rows in frame.groupby(["problem", "system"], sort=False):
        by = rows[rows["target"] == "all"].set_index("measure")
        row = by.loc["delta_m"].to_dict() | {"system": system}
        times = by["estimate"].reindex(
            ["cpu_seconds_ratio", "cpu_seconds_ratio_with_pretraining", "parameters_ratio"]
        )
        if pd.isna(row["estimate"]) or times.isna().any():
            continue
        alone, whole, parameters = times
        yield finding(
            f"ums_rep_{problem}",
            row,
            f"on {problem}, {system} ({row['strategy']}) changes the mean score of the targets by "
            f"{_change(row)} against training each from scratch, with {100 * alone:.0f} % of its "
            f"CPU seconds ({100 * whole:.0f} % with the whole pre-training) and "
            f"{100 * parameters:.0f} % of its trained parameters.",
            above(row, -NO_LOSS) and whole <= 1 - TIME_SAVED,
        )


FINDINGS: tuple[Callable[[Tables], Rows], ...] = (gains, strategies)


def finding(
    name: str, row: Row, sentence: str, supported: bool, *, copied: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Row of `summary`; an image with its truths counts as a pair."""
    images, _, subjects, datasets = (int(row[column]) for column in COUNTS)
    n = f"n = {images:,} images of {subjects:,} subjects in {datasets} "
    n += "dataset" if datasets == 1 else "datasets"
    caution = ""
    if pd.notna(row["note"]) and subjects >= MIN_SUBJECTS:
        caution = f" Caution: {row['note']}."
    columns = (*NUMBERS, *COUNTS, "note", *copied)
    return {
        "finding": name,
        "encoder": row["system"],
        "split": "groups",
        "sentence": f"On test images, {sentence} {n}.{caution}",
        "verdict": SUPPORTED if supported else NOT_SUPPORTED,
        "control": None,
        "n_pairs": images,
        **{column: row[column] for column in columns},
    }


def _least(row: Row) -> float:
    """Lower end of what may be true; a row without an interval speaks for least."""
    return row["ci_low"] if pd.notna(row["ci_low"]) else float("-inf")


def above(row: Row, reference: float) -> bool:
    """Whether the interval lies above a reference."""
    return bool(pd.notna(row["ci_low"]) and row["ci_low"] > reference)


def _change(row: Row) -> str:
    """A relative change with its interval, in percent."""
    if pd.isna(row["estimate"]):
        return f"nothing known ({row['note']})"
    text = f"{100 * row['estimate']:+.1f} %"
    if pd.isna(row["ci_low"]):
        return f"{text} (no interval)"
    return f"{text} (95 % interval {100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})"
