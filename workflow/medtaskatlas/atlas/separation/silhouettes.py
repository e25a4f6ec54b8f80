"""Silhouettes by cosine distance without a matrix of all pairs."""

from __future__ import annotations

import numpy as np

from medtaskatlas.atlas.vectors import row_blocks

BLOCK = 2**19  # numbers that are made 64-bit at once


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
    size = np.bincount(code)
    total = label_sums(vectors, code)
    products, itself = np.empty((len(vectors), len(names))), np.empty(len(vectors))
    for part in row_blocks(vectors, BLOCK):
        block = vectors[part].astype(np.float64)
        products[part] = block @ total.T
        itself[part] = np.einsum("nd,nd->n", block, block)
    rows = np.arange(len(vectors))
    own = size[code]
    with np.errstate(invalid="ignore", divide="ignore"):
        a = 1 - (products[rows, code] - itself) / (own - 1)
        distance = 1 - products / size
        distance[rows, code] = np.inf
        b = distance.min(axis=1)
        s = (b - a) / np.maximum(a, b)
    return np.where(own > 1, np.nan_to_num(s), 0.0)


def label_sums(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Sums of the rows of each label, without a copy of all rows.

    Parameters
    ----------
    vectors
        float [N, D].
    code
        int [N], labels from 0.

    Returns
    -------
    numpy.ndarray
        float64 [T, D].
    """
    total = np.zeros((int(code.max()) + 1, vectors.shape[1]))
    member = np.eye(len(total))
    for part in row_blocks(vectors, BLOCK):
        total += member[code[part]].T @ vectors[part].astype(np.float64)
    return total


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
