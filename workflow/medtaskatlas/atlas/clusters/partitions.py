"""Partitions: how two agree, for many permutations at once, and which a tree suggests."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_score

from medtaskatlas.atlas.inference import permutation_p


def agreement_test(
    stated: np.ndarray, found: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> dict[str, tuple[float, float]]:
    """AMI and ARI of two partitions with permutation p.

    The null is all partitions of the same sizes: stated labels are permuted. With sizes fixed, AMI
    rises with the mutual information and ARI with the number of pairs that both keep together, so
    only these two are computed for every permutation.

    Parameters
    ----------
    stated, found
        [T] labels of the two partitions.
    rng
        Generator.
    n_permutations
        Number of permutations.

    Returns
    -------
    dict
        ``ami`` and ``ari``: (estimate, p).
    """
    _, one = np.unique(stated, return_inverse=True)
    _, two = np.unique(found, return_inverse=True)
    shuffled = rng.permuted(np.tile(one, (n_permutations, 1)), axis=1)
    null = tables_of(shuffled, two)
    real = tables_of(one[None], two)
    return {
        "ami": (
            float(adjusted_mutual_info_score(one, two)),
            permutation_p(float(_information(real)[0]), _information(null)),
        ),
        "ari": (
            float(adjusted_rand_score(one, two)),
            permutation_p(float((real**2).sum()), (null**2).sum(axis=(1, 2))),
        ),
    }


def tables_of(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Contingency tables of many partitions with one.

    Parameters
    ----------
    one
        int [P, T].
    two
        int [T].

    Returns
    -------
    numpy.ndarray
        float64 [P, K1, K2].
    """
    first = np.eye(one.max() + 1)[one]
    return np.einsum("pti,tj->pij", first, np.eye(two.max() + 1)[two], optimize=True)


def _information(tables: np.ndarray) -> np.ndarray:
    """Mutual information up to a constant that the sizes fix: sum of n log n."""
    safe = np.where(tables > 0, tables, 1)
    return (safe * np.log(safe)).sum(axis=(1, 2))


def best_cut(tree: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Cut of a tree with the largest mean silhouette (Rousseeuw, 1987): no label is looked at.

    Parameters
    ----------
    tree
        Linkage of T leaves.
    distance
        float [T, T], the distances that it was made from.

    Returns
    -------
    tuple or None
        int [T] clusters and their mean silhouette; the fewest clusters among equals. None where no
        cut has between 2 and T - 1 clusters.
    """
    best: tuple[np.ndarray, float] | None = None
    for k in range(2, len(distance)):
        found = fcluster(tree, k, "maxclust")
        if not 1 < len(set(found)) < len(distance):
            continue
        score = float(silhouette_score(distance, found, metric="precomputed"))
        if best is None or score > best[1] + 1e-12:
            best = found, score
    return best
