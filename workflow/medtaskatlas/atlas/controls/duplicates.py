"""Control: a task and its own copy coincide."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.core.seeds import generator

DUPLICATE_LIMIT = 0.5
SPLITS = 100


def duplicated_task(queries: EncoderQueries, seed: int) -> dict[str, Any]:
    """Two random halves of a task must lie closer together than two tasks do.

    Parameters
    ----------
    queries
        A query set of an encoder; held-out tasks with the tasks that they are compared with.
    seed
        The run's seed.

    Returns
    -------
    dict
        A row of the table `controls`.
    """
    row: dict[str, Any] = {
        "control": "duplicated_task",
        "encoder": queries.name,
        "split": queries.query_set,
        "expectation": "the halves of a task, split at random, lie less than "
        f"{DUPLICATE_LIMIT} of the mean distance between tasks apart",
        "reference": DUPLICATE_LIMIT,
        **counts(queries.frame[queries.frame["task"].isin(queries.asked)]),
    }
    design = Design.of(queries.frame)
    own = np.isin(design.tasks, queries.asked)
    if len(own) < 2 or np.bincount(design.task).min() < 4:
        return row | {"note": "could not be run: fewer than two tasks, or four pairs of each"}
    S = len(queries.seeds)
    ratio = np.stack(
        [
            halves_ratio(v, design, own, generator(seed, "duplicated_task", queries.query_set))
            for v in queries.vectors
        ]
    )
    if not np.isfinite(ratio).all():
        return row | {"note": "could not be run: tasks have no direction in this embedding"}
    over = ratio.mean(axis=0)
    low, high = np.quantile(over, [0.025, 0.975])
    return row | {
        "estimate": float(over.mean()),
        "seed_sd": float(ratio.mean(axis=1).std(ddof=1)) if S > 1 else None,
        "ci_low": float(low),
        "ci_high": float(high),
        "ci_method": f"2.5 to 97.5 % of {SPLITS} random splits",
        "passed": bool(high < DUPLICATE_LIMIT),
    }


def halves_ratio(
    vectors: np.ndarray,
    design: Design,
    own: np.ndarray,
    rng: np.random.Generator,
    n_splits: int = SPLITS,
) -> np.ndarray:
    """Distance between random halves of tasks over the distance between tasks.

    Parameters
    ----------
    vectors
        float [N, D].
    design
        Who belongs to what; halves are drawn in each (dataset, task) cell.
    own
        bool [T], the tasks in question; others are there to be compared with.
    rng
        Generator.
    n_splits
        Number of random splits.

    Returns
    -------
    numpy.ndarray
        float64 [n_splits]: mean cosine distance of the centroids of two halves, over tasks, as a
        share of the mean distance of half centroids of different tasks.
    """
    T = len(design.tasks)
    cell = design.group_dataset[design.group] * T + design.task
    out = np.empty(n_splits)
    for i in range(n_splits):
        order = np.lexsort((rng.random(len(cell)), cell))
        start = np.r_[0, np.flatnonzero(np.diff(cell[order])) + 1]
        within = np.arange(len(cell)) - np.repeat(start, np.diff(np.r_[start, len(cell)]))
        half = np.empty(len(cell), int)
        half[order] = within % 2
        sums = np.zeros((2 * T, vectors.shape[1]), np.float64)
        member = half * T + design.task
        for h in range(2 * T):
            sums[h] = vectors[member == h].sum(axis=0)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = sums / length
        distance = 1 - sums[:T] @ sums[T:].T
        off = ~np.eye(T, dtype=bool) & (own[:, None] | own)
        between = distance[off].mean()
        out[i] = np.diag(distance)[own].mean() / between if between > 1e-9 else np.nan
    return out
