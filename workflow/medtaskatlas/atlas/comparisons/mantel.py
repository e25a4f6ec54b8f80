"""Mantel test: whether two encoders put the same tasks far apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medtaskatlas.atlas.distances import encoder_matrix
from medtaskatlas.atlas.inference import permutation_p
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


def mantel(
    one: np.ndarray,
    other: np.ndarray,
    rng: np.random.Generator,
    *,
    method: Literal["pearson", "spearman"] = "pearson",
    alternative: Literal["two-sided", "greater"] = "two-sided",
    n_permutations: int = PERMUTATIONS,
) -> tuple[float, float]:
    """Correlation of two distance matrices, and its p by relabelling one (Mantel, 1967).

    Parameters
    ----------
    one, other
        float [T, T], symmetric; the diagonal is not looked at.
    rng
        Generator; equal states give equal p.
    method
        Of the correlation. Ranks are taken once: relabelling does not change them.
    alternative
        ``greater`` asks for agreement only.
    n_permutations
        Number of permutations.

    Returns
    -------
    tuple
        The correlation, -1 to 1, and ``(1 + #{as extreme}) / (1 + n_permutations)``.

    Raises
    ------
    DataError
        If a matrix is not square and symmetric, they differ in size, have fewer than three rows,
        an unknown distance, or distances that are all the same.
    """
    x, y = _standardised(one, "first", method), _standardised(other, "second", method)
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
    if alternative == "two-sided":
        return observed, permutation_p(abs(observed), np.abs(null))
    return observed, permutation_p(observed, null)


def _standardised(matrix: np.ndarray, which: str, method: str) -> np.ndarray:
    """Distances above the diagonal, or their ranks, centred and of length 1."""
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
    if method == "spearman":
        values = rankdata(values)
    values = values - values.mean()
    return np.asarray(values / np.linalg.norm(values))


class Encoder(Protocol):
    """What the rows of two encoders must know of each: predictions and queries both have it."""

    @property
    def name(self) -> str:
        """Name of the encoder."""

    @property
    def kind(self) -> str:
        """Kind of the encoder."""

    @property
    def role(self) -> str:
        """Role of the encoder; see :mod:`medtaskatlas.encoders.kind`."""


E = TypeVar("E", bound=Encoder)


def mantel_rows(
    table: pd.DataFrame,
    encoders: Iterable[Encoder],
    query_set: str,
    seed: int,
    n_permutations: int = PERMUTATIONS,
) -> Iterator[dict[str, Any]]:
    """Rows of the table `comparisons`: Spearman correlation of the task distances of two encoders.

    Parameters
    ----------
    table
        The table `task_distances`.
    encoders
        Who is compared.
    query_set
        The split.
    seed
        The run's seed.
    n_permutations
        Permutations of the tasks; the same for all encoders.

    Yields
    ------
    dict
        A row a pair of encoders, the trained one first; a reason where it cannot be compared.
    """
    everyone = list(encoders)
    matrices = {e.name: encoder_matrix(table, e.name, query_set, METRIC) for e in everyone}
    for encoder, other in ordered_pairs(everyone):
        row: dict[str, Any] = {
            "contrast": "geometry",
            "measure": "mantel_spearman",
            **both(encoder, other, METRIC),
        }
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
        r, p = mantel(
            one,
            two,
            generator(seed, "mantel", query_set),
            method="spearman",
            alternative="greater",
            n_permutations=n_permutations,
        )
        family = f"comparisons, mantel: {query_set}"
        yield row | {"estimate": r, "p": p, "p_family": family, "note": note}


def ordered_pairs(encoders: Iterable[E]) -> Iterator[tuple[E, E]]:
    """Every two encoders once, a trained one before a baseline.

    Parameters
    ----------
    encoders
        Encoders in any order.

    Yields
    ------
    tuple
        Two encoders; pairs in alphabetical order.
    """
    for a, b in combinations(sorted(encoders, key=lambda e: e.name), 2):
        swap = a.role == "baseline" and b.role != "baseline"
        yield (b, a) if swap else (a, b)


def both(encoder: Encoder, other: Encoder, method: str) -> dict[str, str]:
    """Columns of the table `comparisons` that name the two sides of a row.

    Parameters
    ----------
    encoder, other
        Who is compared.
    method
        What is compared on both sides.

    Returns
    -------
    dict of str to str
        Six columns.
    """
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
