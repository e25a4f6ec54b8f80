"""PERMDISP: whether tasks differ in how widely their pairs scatter."""

from __future__ import annotations

import numpy as np

from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.separation.silhouettes import BLOCK, label_sums
from medtaskatlas.atlas.vectors import row_blocks


def distances_to_centroid(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Euclidean distance of every row to the centroid of its label.

    Parameters
    ----------
    vectors
        float [N, D].
    code
        int [N], labels from 0.

    Returns
    -------
    numpy.ndarray
        float64 [N].
    """
    centre = label_sums(vectors, code)
    centre /= np.maximum(np.bincount(code), 1)[:, None]
    distance = np.empty(len(vectors))
    for part in row_blocks(vectors, BLOCK):
        distance[part] = np.linalg.norm(vectors[part] - centre[code[part]], axis=1)
    return distance


def f_statistic(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """F of a one-way analysis of variance, for many labellings at once.

    Parameters
    ----------
    values
        float [N].
    code
        int [P, N], P labellings with the same number of labels.

    Returns
    -------
    numpy.ndarray
        float64 [P].
    """
    labels = int(code.max()) + 1
    P, N = code.shape
    at = code + labels * np.arange(P)[:, None]
    centred = values - values.mean()
    total = np.bincount(at.ravel(), np.tile(centred, P), minlength=P * labels).reshape(P, labels)
    size = np.bincount(at.ravel(), minlength=P * labels).reshape(P, labels)
    between = (total**2 / np.maximum(size, 1)).sum(axis=1)
    within = (centred**2).sum() - between
    with np.errstate(invalid="ignore", divide="ignore"):
        return (between / (labels - 1)) / (within / (N - labels))


def permdisp(
    vectors: np.ndarray,
    code: np.ndarray,
    blocks: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> tuple[np.ndarray, float]:
    """Test of equal dispersion over several seeds (Anderson, 2006).

    Distances to the centroid are permuted among labels within blocks, since pairs of one group of
    images are not independent.

    Parameters
    ----------
    vectors
        float [S, N, D], the same rows for every seed.
    code, blocks
        int [N], labels and blocks.
    rng
        Generator.
    n_permutations
        Number of permutations.

    Returns
    -------
    tuple
        F of each seed [S], and p of their mean.
    """
    values = [distances_to_centroid(v, code) for v in vectors]
    observed = np.array([f_statistic(v, code[None])[0] for v in values])
    home = np.argsort(blocks, kind="stable")
    null = np.zeros(n_permutations)
    for start in range(0, n_permutations, 100):
        count = min(100, n_permutations - start)
        keys = blocks + rng.random((count, len(blocks)))
        moved = np.empty((count, len(blocks)), code.dtype)
        moved[:, home] = code[np.argsort(keys, axis=1)]
        null[start : start + count] = np.mean([f_statistic(v, moved) for v in values], axis=0)
    return observed, permutation_p(float(observed.mean()), null)
