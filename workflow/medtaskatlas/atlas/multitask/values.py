"""Numbers with their bootstrap draws: differences, means, intervals and tests of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medtaskatlas.atlas.inference import (
    LEVEL,
    Interval,
    bootstrap_interval,
    bootstrap_p,
    no_interval,
)
from medtaskatlas.atlas.multitask.answers import Counts


@dataclass(frozen=True)
class Value:
    """A number with its draws, or with the reason why there is none."""

    each: np.ndarray  # [S], of every seed
    estimate: float
    draws: np.ndarray  # [B]
    note: str | None = None
    caution: str | None = None  # what is to be known of the number where there is one
    low: float = -np.inf  # bounds of the number
    high: float = np.inf


def subject_interval(
    value: Value, n: Counts, n_problems: int = 1, side: str | None = None
) -> Interval:
    """Interval of a number from draws of subjects, and of problems where these are drawn."""
    made = bootstrap_interval(
        value.draws,
        value.estimate,
        _units(n, n_problems),
        n_seeds=len(value.each),
        low=value.low,
        high=value.high,
        side=side,
    )
    if n_problems > 1 and made.ci_method:
        below = "dataset > " if n["n_datasets"] > 1 else ""
        method = made.ci_method.replace("over dataset > ", f"over problem > {below}", 1)
        made = replace(made, ci_method=method)
    return made


def subject_p(value: Value, n: Counts, n_problems: int = 1) -> float:
    """P of a difference from 0, of the same draws as :func:`subject_interval`."""
    return bootstrap_p(value.draws, value.estimate, _units(n, n_problems))


def _units(n: Counts, n_problems: int) -> dict[str, int]:
    """What is independent: where problems are drawn, these."""
    many = n_problems if n_problems > 1 else n["n_datasets"]
    return {"n_subjects": n["n_subjects"], "n_datasets": many}


def measured(value: Value, n: Counts) -> dict[str, Any]:
    """Columns of a number: estimate, spread, interval, counts and note."""
    n_seeds = len(value.each)
    spread = float(value.each.std(ddof=1)) if n_seeds > 1 else None
    if value.note is not None:
        none = no_interval(value.note)
        return {"estimate": None, "seed_sd": None, **vars(none), **n}
    interval = subject_interval(value, n)
    notes = "; ".join(filter(None, [interval.note, value.caution])) or None
    return {"estimate": value.estimate, "seed_sd": spread, **vars(interval), **n, "note": notes}


def undefined(note: str) -> Value:
    """No number, and the reason."""
    return Value(np.array([np.nan]), np.nan, np.array([]), note)


def difference(one: Value, base: Value, *, higher: bool, relative: bool) -> Value:
    """One minus base, turned so that better is positive; relative to base, which must be above 0.

    Where it is relative, seeds and draws with a base of 0 or less are left out; none is made if
    such draws are so many that an interval of the others is no longer one.
    """
    note = one.note or base.note
    if relative and note is None:
        not_above = float(np.mean(base.draws <= 0))
        if not base.estimate > 0:
            note = f"no relative change: the reference scores {base.estimate:.3g}"
        elif not_above > (1 - LEVEL) / 2:
            note = (
                "no relative change: the reference scores 0 or less in "
                f"{not_above:.0%} of the bootstrap draws"
            )
    sign = 1 if higher else -1

    def of(a: Any, b: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return sign * (a - b) / np.where(b > 0, b, np.nan) if relative else sign * (a - b)

    return Value(
        of(one.each, base.each),
        float(of(one.estimate, base.estimate)),
        of(one.draws, base.draws),
        note,
        one.caution,
    )


def mean_of(values: Sequence[Value]) -> Value:
    """Mean of numbers that share draws and seeds; a number only where each is one."""
    note = next((v.note for v in values if v.note), None)
    if note is not None:
        return undefined(note)
    return Value(
        np.mean([v.each for v in values], axis=0),
        float(np.mean([v.estimate for v in values])),
        np.mean([v.draws for v in values], axis=0),
        caution="; ".join(dict.fromkeys(v.caution for v in values if v.caution)) or None,
        low=min(v.low for v in values),
        high=max(v.high for v in values),
    )


def with_test(value: Value, n: Counts, family: str) -> dict[str, Any]:
    """Columns of a change, with its test where it has an interval."""
    row = measured(value, n)
    there = row["ci_low"] is not None
    p = subject_p(value, n) if there else None
    return row | {"p": p, "p_family": family if there else None}
