"""Distances between samples: energy distance and maximum mean discrepancy of all labels."""

from __future__ import annotations

import numpy as np
import pandas as pd


def sampled_rows(order: np.ndarray, label: np.ndarray, most: int) -> np.ndarray:
    """Sorted rows, of each label [N] those that come first in an order [N], so many at most."""
    rank = pd.Series(order).groupby(label[order]).cumcount().to_numpy()
    return np.sort(order[rank < most])


def euclidean(vectors: np.ndarray) -> np.ndarray:
    """Euclidean distances [N, N] between all rows of [N, F], by a matrix product, float64."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)  # less is lost to cancellation
    square = np.einsum("nf,nf->n", centred, centred)
    apart = centred @ centred.T
    apart *= -2
    apart += square[:, None]
    apart += square[None]
    np.maximum(apart, 0, out=apart)
    np.fill_diagonal(apart, 0)
    return np.sqrt(apart, out=apart)


def energy_distances(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    r"""Energy distances [T, T] of all labels [N] of vectors [N, F], as a share of their maximum.

    :math:`\frac{2E|X-Y| - E|X-X'| - E|Y-Y'|}{2E|X-Y|}` with Euclidean norms, 0 where two
    distributions are equal, 1 at most (Székely and Rizzo, 2013, section 6). Expectations within a
    label leave out the distance of a pair to itself, so that equal distributions give 0 on average.
    NaN for labels of one row, and where no row differs from another.
    """
    between, within = mean_distances(euclidean(vectors), code)
    return energy_share(between, within[:, None], within[None])


def energy_share(between: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Energy distances as a share of their maximum, at least 0, from mean distances [K, K]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.maximum(1 - (one + other) / (2 * between), 0)
    np.fill_diagonal(share, 0)
    return share


def dataset_energies(vectors: np.ndarray, dataset: np.ndarray, task: np.ndarray) -> np.ndarray:
    """Energy distances [D, D] of all datasets, as a share of the maximum, common tasks alike.

    A pair of a dataset is drawn by drawing one of the tasks that both datasets have, then one of
    its pairs of that task; two pairs of one dataset are never the same pair. NaN where two datasets
    share no task, one of them has one pair only, or nothing differs.
    """
    D, T = int(dataset.max()) + 1, int(task.max()) + 1
    size = np.bincount(dataset * T + task, minlength=D * T).astype(float)
    share = np.zeros((len(vectors), D * T))
    share[np.arange(len(vectors)), dataset * T + task] = 1 / size[dataset * T + task]
    cells = (share.T @ (euclidean(vectors) @ share)).reshape(D, T, D, T)
    size = size.reshape(D, T)
    common = ((size[:, None] > 0) & (size[None] > 0)).astype(float)  # [D, D, T]
    once = 1 / np.maximum(size, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = common / common.sum(axis=-1, keepdims=True)
        between = np.einsum("act,atcu,acu->ac", weight, cells, weight, optimize=True)
        own = np.einsum("atau->atu", cells)
        # The chance of drawing one pair twice is taken out.
        twice = np.einsum("act,at->ac", weight**2, once)
        within = np.einsum("act,atu,acu->ac", weight, own, weight, optimize=True) / (1 - twice)
    within = np.where(twice < 1 - 1e-12, within, np.nan)
    return energy_share(between, within, within.T)


def mmd_distances(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    r"""Maximum mean discrepancies [T, T] of labels [N] of vectors [N, F], with a Gaussian kernel.

    The root of the unbiased estimate of :math:`\mathrm{MMD}^2 = E k(X,X') + E k(Y,Y') - 2E k(X,Y)`
    (Gretton et al., "A Kernel Two-Sample Test", 2012, lemma 6), 0 where that is negative;
    :math:`k(x,y) = \exp(-|x-y|^2 / 2\sigma^2)` with the median distance of all rows as
    :math:`\sigma` (there, section 8), the same for all labels. 0 to the root of 2; NaN for labels
    of one row, and where the median distance is 0.
    """
    apart = euclidean(vectors)
    N = len(apart)
    sigma = np.median(apart[np.triu_indices(N, 1)]) if N > 1 else 0.0
    if not sigma > 0:
        found = np.full((int(code.max()) + 1,) * 2, np.nan)
        np.fill_diagonal(found, 0)
        return found
    apart /= sigma
    np.square(apart, out=apart)
    apart *= -0.5
    between, within = mean_distances(np.exp(apart, out=apart), code)
    found = np.sqrt(np.maximum(within[:, None] + within[None] - 2 * between, 0))
    np.fill_diagonal(found, 0)
    return found


def mean_distances(values: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of a symmetric matrix [N, N] between labels, [T, T], and between two rows of one, [T].

    The first is symmetric to the bit, the second NaN for labels of one row.
    """
    size = np.bincount(code).astype(float)
    member = np.eye(len(size))[code]
    total = member.T @ (values @ member)
    # Not every kind of CPU adds up both halves in one order.
    total = (total + total.T) / 2
    own = np.bincount(code, np.diag(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / np.outer(size, size), (np.diag(total) - own) / (size * (size - 1))
