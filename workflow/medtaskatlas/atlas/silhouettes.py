"""Silhouettes by cosine distance without a matrix of all pairs."""

from __future__ import annotations

import numpy as np


def silhouettes(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    r"""Silhouette of every row, with cosine distance.

    :math:`s = (b - a) / \max(a, b)` with a the mean distance to the other rows of the own label and
    b the smallest mean distance to the rows of another one (Rousseeuw, 1987). The mean cosine
    distance to a set of unit vectors is one minus the product with their mean, so the cost is
    N x labels and exact.

    Parameters
    ----------
    vectors
        float [N, D], of length 1.
    labels
        [N], any type that sorts.

    Returns
    -------
    numpy.ndarray
        float64 [N], -1 to 1; 0 for the only row of a label (as in scikit-learn); NaN throughout
        where there is one label only.
    """
    names, code = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return np.full(len(vectors), np.nan)
    vectors = vectors.astype(np.float64)
    size = np.bincount(code)
    total = np.zeros((len(names), vectors.shape[1]))
    np.add.at(total, code, vectors)
    products = vectors @ total.T
    rows = np.arange(len(vectors))
    own = size[code]
    itself = np.einsum("nd,nd->n", vectors, vectors)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = 1 - (products[rows, code] - itself) / (own - 1)
        distance = 1 - products / size
        distance[rows, code] = np.inf
        b = distance.min(axis=1)
        s = (b - a) / np.maximum(a, b)
    return np.where(own > 1, np.nan_to_num(s), 0.0)


def silhouettes_within(vectors: np.ndarray, labels: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Silhouette of every row among the rows of its own block.

    Parameters
    ----------
    vectors
        float [N, D], of length 1.
    labels, blocks
        [N].

    Returns
    -------
    numpy.ndarray
        float64 [N]; NaN in blocks with one label only.
    """
    out = np.full(len(vectors), np.nan)
    for block in np.unique(blocks):
        rows = blocks == block
        out[rows] = silhouettes(vectors[rows], labels[rows])
    return out
