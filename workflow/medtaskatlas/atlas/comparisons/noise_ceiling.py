"""Noise ceiling: how well anything could agree with the task distances of an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import rankdata

from medtaskatlas.atlas.comparisons.mantel import RESOLUTION, both
from medtaskatlas.atlas.distances import centroid_cosines
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, no_draws
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

HALVES = 100
MIN_DISTANCES = 10  # of five tasks


def noise_ceiling(distances: np.ndarray) -> tuple[float, float]:
    """Bounds of the Spearman correlation that the best possible model would reach.

    Several measurements of the same distances differ by noise. Each is compared with the mean of
    the ranks of the others (low: that mean is a model that has not seen it) and with the mean of
    the ranks of all (high: no model can do better on average) (Nili et al., 2014).

    Parameters
    ----------
    distances
        float [M, P], P distances in M measurements (seeds, or halves of the groups).

    Returns
    -------
    tuple of float
        Low and high, -1 to 1; NaN where the distances of a measurement are all the same but for
        rounding.

    Raises
    ------
    DataError
        If there are fewer than two measurements or three distances, or one is not finite.
    """
    distances = np.asarray(distances, float)
    if distances.ndim != 2 or distances.shape[0] < 2 or distances.shape[1] < 3:
        raise DataError(
            f"noise ceiling: distances are {distances.shape}, not (2 or more, 3 or more)",
            "train the encoder with two seeds at least: see `seeds` of the config",
        )
    if not np.isfinite(distances).all():
        raise DataError(
            "noise ceiling: some distances are not finite", "leave these pairs of tasks out"
        )
    if np.ptp(distances, axis=1).min() < RESOLUTION:
        return float("nan"), float("nan")
    ranks = rankdata(distances, axis=1)
    total = ranks.sum(axis=0)
    others = (total - ranks) / (len(ranks) - 1)
    low = _correlations(ranks, rankdata(others, axis=1))
    high = _correlations(ranks, rankdata(np.broadcast_to(total, ranks.shape), axis=1))
    return float(low.mean()), float(high.mean())


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlation of each row with its counterpart; 0 where one is constant."""
    one = one - one.mean(axis=1, keepdims=True)
    other = other - other.mean(axis=1, keepdims=True)
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(np.clip((one * other).sum(axis=1) / np.maximum(length, 1e-12), -1, 1))


def halves(design: Design, rng: np.random.Generator, n: int = HALVES) -> tuple[Draws, Draws]:
    """Split the groups of every dataset into two halves, many times.

    Parameters
    ----------
    design
        Who belongs to what.
    rng
        Generator.
    n
        Number of splits.

    Returns
    -------
    tuple of Draws
        Weights 0 and 1 [n, G]. A dataset of one group is in one half only; of an odd number of
        groups, the larger part falls to either half.
    """
    G = len(design.group_dataset)
    first = np.zeros((n, G), bool)
    for d in range(len(design.datasets)):
        members = np.flatnonzero(design.group_dataset == d)
        place = rng.permuted(np.tile(np.arange(len(members)), (n, 1)), axis=1)
        extra = rng.integers(0, 2, (n, 1)) * (len(members) % 2)
        first[:, members] = place < len(members) // 2 + extra
    dataset = np.ones((n, len(design.datasets)))
    return Draws(dataset, first.astype(float)), Draws(dataset, (~first).astype(float))


def noise_ceiling_rows(
    queries: EncoderQueries, seed: int, n_halves: int = HALVES
) -> Iterator[dict[str, Any]]:
    """Rows of the table `comparisons`: noise ceilings of one encoder, over seeds and over groups.

    Parameters
    ----------
    queries
        Held-out pairs of the encoder.
    seed
        The run's seed.
    n_halves
        Random splits of the groups.

    Yields
    ------
    dict
        Low and high over seeds, then over halves of the groups.
    """
    design = Design.of(queries.frame)
    pairs = np.triu_indices(len(design.tasks), 1)
    yield from _rows(*_over_seeds(queries, design, pairs), both(queries, queries, "seeds"))
    yield from _rows(
        *_over_halves(queries, design, pairs, seed, n_halves),
        both(queries, queries, "groups"),
    )


Bounds = tuple[float, float]
Pairs = tuple[np.ndarray, np.ndarray]


def _over_seeds(queries: EncoderQueries, design: Design, pairs: Pairs) -> tuple[Bounds | None, str]:
    """Bounds over seeds, and the note."""
    S = len(queries.seeds)
    if S < 2:
        return None, "undefined: one seed, at least two are needed"
    as_is, once = no_draws(design), np.ones((1, 1))
    distances = np.stack(
        [centroid_cosines(design, [v], as_is, once)[0][pairs] for v in queries.vectors]
    )
    known = np.isfinite(distances).all(axis=0)
    if known.sum() < MIN_DISTANCES:
        return None, f"undefined: {known.sum()} known distances, {MIN_DISTANCES} are needed"
    return noise_ceiling(distances[:, known]), f"no interval: each of {S} seeds left out once"


def _over_halves(
    queries: EncoderQueries, design: Design, pairs: Pairs, seed: int, n_halves: int
) -> tuple[Bounds | None, str]:
    """Mean bounds over random halves of the groups, and the note."""
    # The same halves for all encoders.
    one, other = halves(design, generator(seed, "halves", queries.query_set), n_halves)
    S = len(queries.seeds)
    weights = np.full((n_halves, S), 1 / S)
    both_halves = np.stack(
        [
            centroid_cosines(design, queries.vectors, half, weights)[:, *pairs]
            for half in (one, other)
        ],
        axis=1,
    )
    known = np.isfinite(both_halves).all(axis=1)
    found = np.array(
        [
            noise_ceiling(values[:, there])
            for values, there in zip(both_halves, known, strict=True)
            if there.sum() >= MIN_DISTANCES
        ]
    ).reshape(-1, 2)
    if len(found) == 0:
        return None, "undefined: too few groups to split in two halves that hold the tasks"
    low, high = found.mean(axis=0)
    note = f"no interval: mean over {len(found)} random splits; a half has half the data"
    return (float(low), float(high)), note


def _rows(bounds: Bounds | None, note: str, sides: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The two rows of a ceiling."""
    if bounds is not None and not np.isfinite(bounds).all():
        bounds, note = None, "undefined: distances between tasks are all the same"
    for i, end in enumerate(("low", "high")):
        yield {
            "contrast": "geometry",
            "measure": f"noise_ceiling_{end}",
            **sides,
            "estimate": None if bounds is None else bounds[i],
            "note": note,
        }
