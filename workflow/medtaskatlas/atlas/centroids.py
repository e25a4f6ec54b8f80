"""Cosine distances of the centroids of tasks, and of datasets, for many bootstrap draws at once.

Only inner products of centroids are kept, summed over blocks of features, so that memory does not
grow with the width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds, no_draws
from medtaskatlas.core.seeds import generator

FEATURES = 128  # in a block
DRAWS_AT_ONCE = 100
PRECISION = 1e-6  # of a cosine of float32 vectors: what is less is rounding, not distance
Cosines = Callable[[Design, list[np.ndarray], Draws, np.ndarray], np.ndarray]


def centroid_cosines(
    design: Design, vectors: list[np.ndarray], draws: Draws, seeds: np.ndarray
) -> np.ndarray:
    """Cosine distances [B, T, T] of the dataset-balanced centroids of all tasks, mean over seeds.

    The centroid of a task is the mean over its datasets of the mean of its pairs there. ``vectors``
    are float [N, F], one a seed, ``seeds`` their weights [B, S]. 0 to 2; NaN where a draw has no
    pair of a task or its centroid is zero.
    """
    B, T = len(draws.subject), len(design.tasks)

    def of_seed(one: np.ndarray) -> np.ndarray:
        inner = np.zeros((B, T, T))
        for part, means, _ in _cell_centroids(design, one, draws):
            b, D = means.shape[:2]
            weight = draws.dataset[part].astype(np.float32)[:, None]
            centre = (weight @ means.reshape(b, D, -1)).reshape(b, T, -1)
            inner[part] += centre @ centre.transpose(0, 2, 1)
        square = np.einsum("btt->bt", inner)
        return _cosine_distance(inner, square[:, :, None], square[:, None, :])

    return _over_seeds(of_seed, vectors, seeds)


def dataset_cosines(
    design: Design, vectors: list[np.ndarray], draws: Draws, seeds: np.ndarray
) -> np.ndarray:
    """Cosine distances [B, D, D] of the task-balanced centroids of all datasets, mean over seeds.

    The centroid of a dataset, next to another, is the mean over the tasks that both have of the
    mean of its pairs of that task: two datasets never differ because one has a task more. As
    :func:`centroid_cosines`; NaN where two datasets share no task or a centroid is zero.
    """
    B, D = len(draws.subject), len(design.datasets)

    def of_seed(one: np.ndarray) -> np.ndarray:
        inner, square = np.zeros((B, D, D)), np.zeros((B, D, D))
        for part, means, there in _cell_centroids(design, one, draws):
            # [b, a, c, f]: the centroid of a over the tasks that c has too. Its length does not
            # matter to a cosine, so sums stand for means.
            centre = there.astype(np.float32)[:, None] @ means
            inner[part] += np.einsum("bacf,bcaf->bac", centre, centre)
            square[part] += np.einsum("bacf,bacf->bac", centre, centre)
        return _cosine_distance(inner, square, square.transpose(0, 2, 1))

    return _over_seeds(of_seed, vectors, seeds)


def bootstrapped(
    cosines: Cosines, queries: EncoderQueries, seed: int, n_draws: int, *, fixed_datasets: bool
) -> np.ndarray:
    """Distances [B, K, K] on every draw of datasets (unless fixed or single), groups and seeds.

    All tables of a run draw alike, so that an interval, a neighbour's support and a branch's
    support speak of the same draws.
    """
    design = Design.of(queries.frame)
    fixed = fixed_datasets or len(design.datasets) == 1
    rng = generator(seed, "bootstrap", queries.query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=fixed)
    rng = generator(seed, "bootstrap seeds", queries.query_set, queries.name)
    return cosines(design, queries.vectors, draws, draw_seeds(rng, len(queries.seeds), n_draws))


def as_they_are(cosines: Cosines, queries: EncoderQueries) -> np.ndarray:
    """Distances [S, K, K] of each seed, without resampling."""
    design = Design.of(queries.frame)
    once = no_draws(design)
    return np.stack([cosines(design, [v], once, np.ones((1, 1)))[0] for v in queries.vectors])


def subjects_of(design: Design) -> np.ndarray:
    """Number of subjects of each task, [T]."""
    return np.asarray((design.sums(np.ones(len(design.task))) > 0).sum(axis=0))


def _cell_centroids(
    design: Design, vectors: np.ndarray, draws: Draws
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Mean of the pairs of every (dataset, task) cell, a block of draws and features at a time.

    Yields the draws' slice, float32 [b, D, T, f] (0 where a draw has no pair) and bool [b, D, T].
    """
    pairs = design.sums(np.ones(len(design.task)))
    D, T = len(design.datasets), len(design.tasks)
    members = [np.flatnonzero(design.subject_dataset == d) for d in range(D)]
    for first in range(0, vectors.shape[1], FEATURES):
        block = vectors[:, first : first + FEATURES]
        sums = design.sums_of_rows(block).astype(np.float32)
        flat = [sums[own].reshape(len(own), -1) for own in members]
        for start in range(0, len(draws.subject), DRAWS_AT_ONCE):
            part = slice(start, min(start + DRAWS_AT_ONCE, len(draws.subject)))
            b = part.stop - start
            means = np.empty((b, D, T, block.shape[1]), np.float32)
            there = np.empty((b, D, T), bool)
            for d, own in enumerate(members):
                weight = draws.subject[part, own]
                total = weight @ pairs[own]
                there[:, d] = total > 0
                top = (weight.astype(np.float32) @ flat[d]).reshape(b, T, -1)
                means[:, d] = top / np.maximum(total, 1)[..., None].astype(np.float32)
            yield part, means, there


def _cosine_distance(inner: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 - cosine from inner products and squared lengths [B, K, K]; the diagonal is 0 or NaN."""
    length = np.sqrt(np.where((one > 1e-24) & (other > 1e-24), one * other, np.nan))
    distance = 1 - inner / length
    distance[distance < PRECISION] = 0  # NaN is kept
    K = inner.shape[-1]
    distance[:, np.arange(K), np.arange(K)] *= 0  # NaN stays NaN
    return distance


def _over_seeds(
    of_seed: Callable[[np.ndarray], np.ndarray], vectors: list[np.ndarray], seeds: np.ndarray
) -> np.ndarray:
    """Weighted mean over seeds; a seed that was not drawn does not spread its NaN."""
    total: np.ndarray | float = 0.0
    for s, one in enumerate(vectors):
        weight = seeds[:, s][:, None, None]
        total = total + np.where(weight > 0, weight * of_seed(one), 0)
    return np.asarray(total)
