"""Task distances of two encoders: the Mantel test, and the noise ceiling of such an agreement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medtaskatlas.atlas.distances import centroid_cosines, encoder_matrix
from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, no_draws
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

PERMUTATIONS = 9999
# 4! orders of four tasks cannot reach p = 0.05 with ties; 5! can.
MIN_TASKS = 5
METRIC = "centroid_cosine"
# Cosines are made of 32-bit numbers: smaller differences are rounding and not geometry.
RESOLUTION = 1e-6
REMEDY = "give the distances of the same three or more things, each known and not all equal"
# Products held at once, so that memory does not grow with the number of permutations.
BLOCK = 4_000_000
HALVES = 100
MIN_DISTANCES = 10  # of five tasks


class _Encoder(Protocol):
    """Names that both predictions and queries of an encoder have."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def role(self) -> str: ...


E = TypeVar("E", bound=_Encoder)


def mantel(
    one: np.ndarray, other: np.ndarray, rng: np.random.Generator, n_permutations: int = PERMUTATIONS
) -> tuple[float, float]:
    """Spearman correlation of two distance matrices [T, T], and its p by relabelling one.

    The test of Mantel (1967), of agreement only: p is one-sided, ``(1 + #{as large}) /
    (1 + n_permutations)``. Ranks are taken once: relabelling does not change them.
    """
    x, y = _standardised(one, "first"), _standardised(other, "second")
    T = len(one)
    if len(other) != T:
        raise DataError(f"Mantel test: {T} rows in one matrix, {len(other)} in the other", REMEDY)
    a, b = np.triu_indices(T, 1)
    square = np.zeros((T, T))
    square[a, b] = square[b, a] = x
    flat = square.ravel()
    observed = float(np.clip(x @ y, -1, 1))
    null = np.empty(n_permutations)
    step = max(1, BLOCK // len(a))
    for start in range(0, n_permutations, step):
        count = min(step, n_permutations - start)
        order = rng.permuted(np.tile(np.arange(T), (count, 1)), axis=1)
        null[start : start + count] = flat[order[:, a] * T + order[:, b]] @ y
    return observed, permutation_p(observed, null)


def _standardised(matrix: np.ndarray, which: str) -> np.ndarray:
    """Ranks of the distances above the diagonal, centred and of length 1."""
    matrix = np.asarray(matrix, float)
    problem = None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        problem = f"is not square but {matrix.shape}"
    elif len(matrix) < 3:
        problem = f"has {len(matrix)} rows, at least three are needed"
    else:
        values = matrix[np.triu_indices(len(matrix), 1)]
        mirrored = matrix.T[np.triu_indices(len(matrix), 1)]
        if not np.isfinite(values).all():
            problem = f"has {int((~np.isfinite(values)).sum())} unknown distances (NaN or infinite)"
        elif not np.allclose(values, mirrored):
            problem = "is not symmetric"
        elif np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            problem = "has distances that are all the same"
    if problem:
        raise DataError(f"Mantel test: the {which} matrix {problem}", REMEDY)
    values = rankdata(values)
    values = values - values.mean()
    return np.asarray(values / np.linalg.norm(values))


def mantel_rows(
    table: pd.DataFrame,
    encoders: Iterable[_Encoder],
    query_set: str,
    seed: int,
    n_permutations: int = PERMUTATIONS,
) -> Iterator[dict[str, Any]]:
    """Rows of Spearman correlations of the task distances of every two encoders."""
    everyone = list(encoders)
    matrices = {e.name: encoder_matrix(table, e.name, query_set, METRIC) for e in everyone}
    for encoder, other in ordered_pairs(everyone):
        row: dict[str, Any] = {"contrast": "geometry", "measure": "mantel_spearman"}
        row |= both(encoder, other, METRIC)
        one, two, note = _common(matrices[encoder.name], matrices[other.name])
        why = None
        if len(one) < MIN_TASKS:
            tasks = "1 task" if len(one) == 1 else f"{len(one)} tasks"
            why = f"undefined: {tasks} with known distances, {MIN_TASKS} are needed"
        for side, matrix in ((encoder, one), (other, two)):
            if why is None and np.ptp(matrix[np.triu_indices(len(matrix), 1)]) < RESOLUTION:
                why = f"undefined: {side.name} puts all tasks equally far apart"
        if why:
            yield row | {"note": why}
            continue
        r, p = mantel(one, two, generator(seed, "mantel", query_set), n_permutations)
        family = f"comparisons, mantel: {query_set}"
        yield row | {"estimate": r, "p": p, "p_family": family, "note": note}


def ordered_pairs(encoders: Iterable[E]) -> Iterator[tuple[E, E]]:
    """Every two encoders once, in alphabetical order but a trained one before a baseline."""
    for a, b in combinations(sorted(encoders, key=lambda e: e.name), 2):
        swap = a.role == "baseline" and b.role != "baseline"
        yield (b, a) if swap else (a, b)


def both(encoder: _Encoder, other: _Encoder, method: str) -> dict[str, str]:
    """Columns of the table `comparisons` that name the two sides of a row."""
    return {
        "encoder": encoder.name,
        "kind": encoder.kind,
        "method": method,
        "other": other.name,
        "other_kind": other.kind,
        "other_method": method,
    }


def _common(one: pd.DataFrame, two: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, str]:
    """Distances between the tasks that both know, and a note that says how many were left out."""
    tasks = [task for task in one.index if task in set(two.index)]
    matrices = [m.loc[tasks, tasks].to_numpy(float) for m in (one, two)]
    known = np.isfinite(matrices[0]) & np.isfinite(matrices[1])
    kept = np.arange(len(tasks))
    # The task with most unknown distances goes first: it may be the only one to blame.
    while len(kept) and not known[np.ix_(kept, kept)].all():
        kept = np.delete(kept, known[np.ix_(kept, kept)].sum(axis=1).argmin())
    note = "no interval: tasks are a fixed set; see p (of agreement, one-sided)"
    gone = len(set(one.index) | set(two.index)) - len(kept)
    if gone:
        note += f"; {gone} task{'' if gone == 1 else 's'} without known distances left out"
    return matrices[0][np.ix_(kept, kept)], matrices[1][np.ix_(kept, kept)], note


def noise_ceiling(distances: np.ndarray) -> tuple[float, float]:
    """Bounds of the Spearman correlation that the best possible model would reach.

    Several measurements [M, P] of the same distances differ by noise. Each is compared with the
    mean of the ranks of the others (low: that mean is a model that has not seen it) and with the
    mean of the ranks of all (high: no model can do better on average) (Nili et al., 2014). NaN
    where the distances of a measurement are all the same but for rounding.
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
    """Weights 0 and 1 [n, G] that split the subjects of every dataset into two halves, n times.

    A dataset of one subject is in one half only; of an odd number, the larger part falls to either
    half.
    """
    G = len(design.subject_dataset)
    first = np.zeros((n, G), bool)
    for d in range(len(design.datasets)):
        members = np.flatnonzero(design.subject_dataset == d)
        place = rng.permuted(np.tile(np.arange(len(members)), (n, 1)), axis=1)
        extra = rng.integers(0, 2, (n, 1)) * (len(members) % 2)
        first[:, members] = place < len(members) // 2 + extra
    dataset = np.ones((n, len(design.datasets)))
    return Draws(dataset, first.astype(float)), Draws(dataset, (~first).astype(float))


def noise_ceiling_rows(
    queries: EncoderQueries, seed: int, n_halves: int = HALVES
) -> Iterator[dict[str, Any]]:
    """Noise ceilings of one encoder: low and high over seeds, then over halves of the subjects."""
    design = Design.of(queries.frame)
    pairs = np.triu_indices(len(design.tasks), 1)
    yield from _ceiling_rows(*_over_seeds(queries, design, pairs), both(queries, queries, "seeds"))
    over_halves = _over_halves(queries, design, pairs, seed, n_halves)
    yield from _ceiling_rows(*over_halves, both(queries, queries, "subjects"))


Bounds = tuple[float, float]
Pairs = tuple[np.ndarray, np.ndarray]


def _over_seeds(queries: EncoderQueries, design: Design, pairs: Pairs) -> tuple[Bounds | None, str]:
    """Bounds over seeds, and the note."""
    S = len(queries.seeds)
    if S < 2:
        return None, "undefined: one seed, at least two are needed"
    as_is, once = no_draws(design), np.ones((1, 1))
    cosines = [centroid_cosines(design, [v], as_is, once)[0] for v in queries.vectors]
    distances = np.stack([each[pairs] for each in cosines])
    known = np.isfinite(distances).all(axis=0)
    if known.sum() < MIN_DISTANCES:
        return None, f"undefined: {known.sum()} known distances, {MIN_DISTANCES} are needed"
    return noise_ceiling(distances[:, known]), f"no interval: each of {S} seeds left out once"


def _over_halves(
    queries: EncoderQueries, design: Design, pairs: Pairs, seed: int, n_halves: int
) -> tuple[Bounds | None, str]:
    """Mean bounds over random halves of the subjects, and the note."""
    # The same halves for all encoders.
    one, other = halves(design, generator(seed, "halves", queries.query_set), n_halves)
    S = len(queries.seeds)
    weights = np.full((n_halves, S), 1 / S)
    distances = [centroid_cosines(design, queries.vectors, d, weights) for d in (one, other)]
    both_halves = np.stack([d[:, *pairs] for d in distances], axis=1)
    known = np.isfinite(both_halves).all(axis=1)
    enough = np.flatnonzero(known.sum(axis=1) >= MIN_DISTANCES)
    found = np.array([noise_ceiling(both_halves[i][:, known[i]]) for i in enough]).reshape(-1, 2)
    if len(found) == 0:
        return None, "undefined: too few subjects to split in two halves that hold the tasks"
    low, high = found.mean(axis=0)
    note = f"no interval: mean over {len(found)} random splits; a half has half the data"
    return (float(low), float(high)), note


def _ceiling_rows(
    bounds: Bounds | None, note: str, sides: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """The two rows of a ceiling."""
    if bounds is not None and not np.isfinite(bounds).all():
        bounds, note = None, "undefined: distances between tasks are all the same"
    for end, estimate in zip(("low", "high"), bounds or (None, None), strict=True):
        row = {"contrast": "geometry", "measure": f"noise_ceiling_{end}", **sides}
        yield row | {"estimate": estimate, "note": note}
