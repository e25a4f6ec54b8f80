"""Intervals and tests, made from bootstrap draws and permutations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from medtaskatlas.atlas.counts import Counts

LEVEL = 0.95
MIN_SUBJECTS = 5
# Percentiles of fewer cover less than they say: of five datasets 83 to 86 % and not 95, of 15 90 %
# (tests/atlas/test_coverage.py).
MANY = 40
EXACT_FLIPS = 14  # datasets whose signs are flipped in all ways
FLIPS = 20000


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


def difference_sd(one: np.ndarray, other: np.ndarray) -> float | None:
    """Standard deviation of a difference of means over seeds, [S] each, that are drawn apart."""
    spread = [each.var(ddof=1) for each in (one, other) if len(each) > 1]
    return float(np.sqrt(sum(spread))) if spread else None


class HasRole(Protocol):
    """What is known of an encoder."""

    @property
    def role(self) -> str:
        """``model``, ``ablation``, ``control`` or ``baseline``."""


R = TypeVar("R", bound=HasRole)


def against_baselines(
    encoders: Collection[R], of: Callable[[R], Hashable] = lambda encoder: None
) -> Iterator[tuple[R, R]]:
    """Every trained encoder with every baseline of the same ``of``, such as the split."""
    for one, other in product(encoders, repeat=2):
        if one.role != "baseline" and other.role == "baseline" and of(one) == of(other):
            yield one, other


def no_interval(reason: str) -> Interval:
    """No interval, and the reason for the note column."""
    return Interval(None, None, None, reason)


def bootstrap_interval(
    draws: np.ndarray,
    estimate: float,
    n: Mapping[Any, Any],
    *,
    n_seeds: int,
    low: float = -np.inf,
    high: float = np.inf,
    centred: bool = False,
    side: str | None = None,
    unit: str = "subject",
) -> Interval:
    r"""Interval of a bootstrapped statistic; draws [B] that are not finite are left out.

    With 40 datasets or more (subjects, where there is one dataset) by percentiles; with fewer by
    Student's t around the estimate, with the standard deviation of the draws, brought to that of
    independent ones by :math:`\sqrt{n/(n-1)}`, and n - 1 degrees of freedom.

    Parameters
    ----------
    draws, estimate
        The statistic on every draw, and on the data.
    n
        ``n_subjects`` and ``n_datasets`` that it rests on; of under five subjects, none.
    n_seeds
        Seeds that are drawn.
    low, high
        Least and largest value that the statistic can have.
    centred
        Whether resampling shifts the statistic, so that percentiles are taken around the estimate:
        subjects that repeat add scatter between means that the data do not have, and noise only
        ever adds to a distance or to a share of variance.
    side
        What has so few subjects, where they are not those of all pairs; for the note.
    unit
        What subjects are called where others are drawn.
    """
    n_subjects, n_datasets = int(n["n_subjects"]), int(n["n_datasets"])
    if n_subjects < MIN_SUBJECTS:
        few = f"1 {unit}" if n_subjects == 1 else f"{n_subjects} {unit}s"
        few = few if side is None else f"{side} has {few}"
        return no_interval(f"no interval: {few}, at least {MIN_SUBJECTS} are needed")
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0 or not np.isfinite(estimate):
        return no_interval("no interval: the statistic is undefined")
    steps = [*(["dataset"] * (n_datasets > 1)), unit, *(["seed"] * (n_seeds > 1))]
    how = f"bootstrap over {' > '.join(steps)}"
    units = n_units(n)
    if units < MANY:
        margin = float(stdtrit(units - 1, (1 + LEVEL) / 2)) * _standard_error(draws, units)
        ends = np.array([estimate - margin, estimate + margin])
        method = f"t of {units - 1} degrees of freedom, standard error by {how}, {LEVEL:.0%}"
    else:
        ends = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        ends = ends + (estimate - draws.mean() if centred else 0.0)
        method = f"percentile {how}, {LEVEL:.0%}{', centred' if centred else ''}"
    ends = np.clip(ends, low, high)
    return Interval(float(ends[0]), float(ends[1]), method, None)


def jackknife_interval(
    estimate: float, each: np.ndarray, unit: str, *, low: float = -np.inf, high: float = np.inf
) -> Interval:
    r"""Interval of a statistic from its values [n] with each of n units left out once.

    Student's t of n - 1 degrees of freedom around the estimate, with the standard error
    :math:`\sqrt{\frac{n-1}{n} \sum_i (\hat\theta_{(i)} - \bar\theta)^2}` (Tukey, 1958). None where
    there is one unit, or the statistic is undefined without one.

    Parameters
    ----------
    estimate, each
        The statistic on all units, and without each.
    unit
        What a unit is called.
    low, high
        Least and largest value that the statistic can have.
    """
    n = len(each)
    if n < 2:
        return no_interval(f"no interval: {n} {unit}")
    if not (np.isfinite(each).all() and np.isfinite(estimate)):
        return no_interval(f"no interval: undefined without one {unit} or another")
    error = np.sqrt((n - 1) / n * ((each - each.mean()) ** 2).sum())
    margin = float(stdtrit(n - 1, (1 + LEVEL) / 2) * error)
    ends = np.clip([estimate - margin, estimate + margin], low, high)
    method = (
        f"t of {n - 1} degrees of freedom, standard error by jackknife over {unit}s, {LEVEL:.0%}"
    )
    return Interval(float(ends[0]), float(ends[1]), method, None)


def n_units(n: Mapping[Any, Any]) -> int:
    """How many independent things a statistic rests on: datasets, or the subjects of one.

    Datasets that show fewer subjects than they are many are not independent.
    """
    subjects, datasets = int(n["n_subjects"]), int(n["n_datasets"])
    return min(datasets, subjects) if datasets > 1 else subjects


def _standard_error(draws: np.ndarray, units: int) -> float:
    """Standard error from bootstrap draws of few units, whose spread is too small."""
    return float(draws.std() * np.sqrt(units / (units - 1)))


def interval_columns(
    draws: np.ndarray,
    estimate: float,
    n: Counts,
    n_seeds: int,
    *,
    low: float = -np.inf,
    high: float = np.inf,
) -> dict[str, Any]:
    """Columns of :func:`bootstrap_interval` and of the counts that a number rests on."""
    made = bootstrap_interval(draws, estimate, n, n_seeds=n_seeds, low=low, high=high)
    return {**vars(made), **n}


def bootstrap_p(
    draws: np.ndarray,
    estimate: float,
    n: Mapping[Any, Any],
    *,
    centred: bool = False,
) -> float:
    """Two-sided p of a bootstrapped difference [B] from 0, by inverting :func:`bootstrap_interval`.

    With many units ``2 min((1 + #{draw <= 0}) / (1 + B), (1 + #{draw >= 0}) / (1 + B))``, at most
    1, of draws that are moved around the estimate where ``centred``; with few that of t.
    """
    draws = draws[np.isfinite(draws)]
    units = n_units(n)
    if units < MANY:
        error = _standard_error(draws, units)
        if error == 0:
            return float(estimate == 0)
        return float(2 * stdtr(units - 1, -abs(estimate) / error))
    if centred:
        draws = draws - draws.mean() + estimate
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(1.0, 2 * (1 + tail) / (1 + len(draws)))


def sign_flip_p(differences: np.ndarray, rng: np.random.Generator) -> float | None:
    """Two-sided p of the mean of differences [D], one a dataset, by flipping their signs.

    In all ways up to 14 datasets, so that the least is 2 / 2^D; else in 20,000 random ones. None
    of fewer than two. It assumes that datasets are independent and differences symmetric about 0
    where there are none (Fisher, 1935), and nothing else.
    """
    D = len(differences)
    if D < 2:
        return None
    if D <= EXACT_FLIPS:
        signs = 1 - 2 * ((np.arange(2**D)[:, None] >> np.arange(D)) & 1)
        null = np.abs(signs @ differences)
        observed = abs(differences.sum())
        return float((null >= observed * (1 - 1e-9)).mean())
    signs = 1 - 2 * rng.integers(0, 2, (FLIPS, D))
    return permutation_p(abs(differences.sum()), np.abs(signs @ differences))


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
