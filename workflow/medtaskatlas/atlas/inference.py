"""Intervals and tests, made from bootstrap draws and permutations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import Counts

LEVEL = 0.95
MIN_GROUPS = 5
FEW_DATASETS = 5


@dataclass(frozen=True)
class Interval:
    """An interval with how it was made; nulls, with the reason, where there is none."""

    ci_low: float | None
    ci_high: float | None
    ci_method: str | None
    note: str | None


def over_seeds(each: np.ndarray) -> dict[str, float | None]:
    """Columns ``estimate`` and ``seed_sd`` (None of one seed) of a number of each seed, [S]."""
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    return {"estimate": float(each.mean()), "seed_sd": spread}


def no_interval(reason: str) -> Interval:
    """No interval, and the reason for the note column."""
    return Interval(None, None, None, reason)


def percentile_interval(
    draws: np.ndarray,
    *,
    n_groups: int,
    n_datasets: int,
    n_seeds: int,
    side: str | None = None,
    unit: str = "group",
) -> Interval:
    """Percentile interval of a bootstrapped statistic [B]; draws that are not finite are left out.

    ``n_groups``, ``n_datasets`` and ``n_seeds`` are what it rests on; under five groups there is
    none. ``side`` says in the note what has so few groups, where they are not those of all pairs.
    ``unit`` is what groups are called where others than groups are drawn.
    """
    if n_groups < MIN_GROUPS:
        groups = f"1 {unit}" if n_groups == 1 else f"{n_groups} {unit}s"
        few = groups if side is None else f"{side} has {groups}"
        return no_interval(f"no interval: {few}, at least {MIN_GROUPS} are needed")
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return no_interval("no interval: the statistic is undefined")
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    steps = [*(["dataset"] * (n_datasets > 1)), unit, *(["seed"] * (n_seeds > 1))]
    note = None
    if 1 < n_datasets < FEW_DATASETS:
        note = f"interval from only {n_datasets} datasets: likely too narrow"
    method = f"percentile bootstrap over {' > '.join(steps)}, {LEVEL:.0%}"
    return Interval(float(low), float(high), method, note)


def interval_columns(draws: np.ndarray, n: Counts, n_seeds: int) -> dict[str, Any]:
    """Columns of :func:`percentile_interval` and of the counts that a number rests on."""
    made = percentile_interval(
        draws, n_groups=n["n_groups"], n_datasets=n["n_datasets"], n_seeds=n_seeds
    )
    return {**vars(made), **n}


def centred_interval(
    draws: np.ndarray,
    estimate: float,
    *,
    n_groups: int,
    n_datasets: int,
    n_seeds: int,
    low: float = -np.inf,
    high: float = np.inf,
    side: str | None = None,
) -> Interval:
    """Percentile interval around the estimate, of a statistic that resampling shifts.

    Drawn groups repeat each other, which adds scatter between means that the data do not have:
    noise only ever adds to a distance or to a share of variance. Drawn datasets are fewer distinct
    ones. Both move all draws alike, so their mean is brought back to the estimate.

    Parameters as of :func:`percentile_interval`, ``n_groups`` on the side that has fewer; ``low``
    and ``high`` are the least and largest value that the statistic can have.
    """
    moved = np.clip(centred_draws(draws, estimate), low, high)
    made = percentile_interval(
        moved, n_groups=n_groups, n_datasets=n_datasets, n_seeds=n_seeds, side=side
    )
    return replace(made, ci_method=made.ci_method and f"{made.ci_method}, centred")


def centred_draws(draws: np.ndarray, estimate: float) -> np.ndarray:
    """Finite draws [B], moved so that their mean is the estimate."""
    draws = draws[np.isfinite(draws)]
    return draws - draws.mean() + estimate if len(draws) else draws


def bootstrap_p(draws: np.ndarray, null: float = 0.0) -> float:
    """Two-sided p of a bootstrapped difference [B], by inverting the percentile interval.

    ``2 min((1 + #{draw <= null}) / (1 + B), (1 + #{draw >= null}) / (1 + B))``, at most 1.
    """
    draws = draws[np.isfinite(draws)]
    tail = min(int((draws <= null).sum()), int((draws >= null).sum()))
    return min(1.0, 2 * (1 + tail) / (1 + len(draws)))


def permutation_p(observed: float, null: np.ndarray) -> float:
    """One-sided p of a permutation test: how often chance does at least as well.

    ``(1 + #{null >= observed}) / (1 + n)`` for the statistics ``null`` [n] under permutations
    (Phipson and Smyth, 2010); large values speak against the null.
    """
    # Equal statistics summed in another order differ by rounding: they count as equal.
    slack = 1e-9 * max(1.0, abs(observed))
    return float((1 + (null >= observed - slack).sum()) / (1 + len(null)))


def adjust(frame: pd.DataFrame, method: Literal["bh", "holm"] = "bh") -> pd.DataFrame:
    """Add ``p_adjusted`` within each ``p_family``; null where ``p`` is.

    By Benjamini and Hochberg (1995), or by Holm (1979).
    """
    from scipy.stats import false_discovery_control

    def holm(p: np.ndarray) -> np.ndarray:
        order = np.argsort(p)
        stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
        return np.minimum(stepped, 1)[np.argsort(order)]

    by = {"bh": false_discovery_control, "holm": holm}[method]
    frame = frame.copy()
    frame["p_adjusted"] = np.nan
    p = frame["p"].astype(float)
    for _, rows in frame[p.notna()].groupby("p_family").groups.items():
        frame.loc[rows, "p_adjusted"] = by(p.loc[rows].to_numpy())
    return frame
