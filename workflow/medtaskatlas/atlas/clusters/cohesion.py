"""Whether distances within labels are smaller than between them, for many permutations at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from medtaskatlas.atlas.inference import permutation_p


def cohesion_test(
    distance: np.ndarray, labels: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999
) -> dict[str, tuple[float, float]]:
    r"""PERMANOVA and ANOSIM of labels on a matrix of distances.

    PERMANOVA: pseudo-F :math:`\frac{SS_B/(k-1)}{SS_W/(K-k)}` of squared distances (Anderson, 2001,
    equation 3). ANOSIM: :math:`R = (\bar r_B - \bar r_W) / (K(K-1)/4)` of their ranks (Clarke,
    1993). The null permutes the labels.

    Parameters
    ----------
    distance
        float [K, K], symmetric, finite.
    labels
        [K]; two kinds at least, and one of them twice.
    rng
        Generator.
    n_permutations
        Number of permutations.

    Returns
    -------
    dict
        ``permanova`` and ``anosim``: (estimate, p); NaN where the statistic is undefined (all
        distances within labels are 0, or there is no pair within or between labels).
    """
    _, code = np.unique(labels, return_inverse=True)
    orders = np.concatenate([code[None], rng.permuted(np.tile(code, (n_permutations, 1)), axis=1)])
    each = {"permanova": pseudo_f(distance, orders), "anosim": anosim_r(distance, orders)}
    found = {}
    for measure, values in each.items():
        sound = np.isfinite(values[0])
        # Labels of a permutation that leave no scatter within are the most extreme of all.
        null = np.where(np.isnan(values[1:]), np.inf, values[1:])
        p = permutation_p(float(values[0]), null) if sound else np.nan
        found[measure] = (float(values[0]) if sound else np.nan, p)
    return found


def pseudo_f(distance: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Pseudo-F of many labellings.

    Parameters
    ----------
    distance
        float [K, K].
    code
        int [P, K], labels from 0, of the same sizes in all rows.

    Returns
    -------
    numpy.ndarray
        float64 [P].
    """
    K, size = code.shape[1], np.bincount(code[0])
    k = len(size)
    square = distance**2
    within = (_within(square, code) / (2 * size)).sum(axis=1)
    total = square.sum() / (2 * K)
    # Of equal numbers, differences are rounding.
    within = np.where(within > 1e-12 * total, within, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((total - within) / (k - 1)) / (within / (K - k))


def anosim_r(distance: np.ndarray, code: np.ndarray) -> np.ndarray:
    """ANOSIM's R of many labellings.

    Parameters
    ----------
    distance
        float [K, K].
    code
        int [P, K], labels from 0, of the same sizes in all rows.

    Returns
    -------
    numpy.ndarray
        float64 [P], -1 to 1; NaN where no pair is within, or none between labels.
    """
    K, size = code.shape[1], np.bincount(code[0])
    upper = np.triu_indices(K, 1)
    rank = np.zeros((K, K))
    rank[upper] = rankdata(distance[upper])
    rank += rank.T
    pairs, inside = K * (K - 1) / 2, float((size * (size - 1) / 2).sum())
    within = _within(rank, code).sum(axis=1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (rank[upper].sum() - within) / (pairs - inside)
        return (between - within / inside) / (pairs / 2)


def _within(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Sum of a symmetric matrix within each label, both triangles: [P, k]."""
    found = np.empty((len(code), int(code[0].max()) + 1))
    for label in range(found.shape[1]):
        member = (code == label).astype(float)
        found[:, label] = np.einsum("pi,pi->p", member @ values, member)
    return found
