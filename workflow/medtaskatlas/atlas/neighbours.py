"""Nearest neighbours by cosine, in blocks: no matrix of queries x gallery is ever held whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medtaskatlas.atlas.embeddings import unit

BLOCK = 512
COSINES = 2**24  # held at once, where a gallery is so large that fewer queries must do


def nearest(
    queries: np.ndarray, gallery: np.ndarray, count: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The most similar gallery rows of each query, best first.

    Parameters
    ----------
    queries
        float32 [Q, D], of any length.
    gallery
        float32 [M, D], of length 1.
    count
        How many neighbours, at most M.

    Yields
    ------
    tuple
        Slice of the queries, int [b, count] gallery rows, float32 [b, count] cosine similarities.
    """
    count = min(count, len(gallery))
    step = at_once(len(gallery))
    for start in range(0, len(queries), step):
        part = slice(start, min(start + step, len(queries)))
        similarity = unit(queries[part]) @ gallery.T
        if count < len(gallery):
            rows = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        else:
            rows = np.broadcast_to(np.arange(count), similarity.shape)
        near = np.take_along_axis(similarity, rows, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        yield (
            part,
            np.take_along_axis(rows, order, axis=1),
            np.take_along_axis(near, order, axis=1),
        )


def at_once(n_gallery: int) -> int:
    """How many queries are compared with a whole gallery at once.

    Parameters
    ----------
    n_gallery
        Rows of the gallery.

    Returns
    -------
    int
        At most :data:`BLOCK`.
    """
    return min(BLOCK, max(1, COSINES // max(1, n_gallery)))


def vote(labels: np.ndarray, similarity: np.ndarray, n_labels: int) -> np.ndarray:
    """Majority of the neighbours' labels; ties go to the larger sum of similarities.

    Parameters
    ----------
    labels
        int [Q, k], labels of the neighbours, 0 to ``n_labels - 1``.
    similarity
        float [Q, k], cosines.
    n_labels
        Number of labels.

    Returns
    -------
    numpy.ndarray
        int [Q] labels.
    """
    n, k = labels.shape
    # A sum of k cosines divided by 2k+1 lies within ±1/2: it decides ties and never a majority.
    weight = 1 + similarity.astype(np.float64) / (2 * k + 1)
    flat = (labels + n_labels * np.arange(n)[:, None]).ravel()
    score = np.bincount(flat, weight.ravel(), minlength=n * n_labels)
    return score.reshape(n, n_labels).argmax(axis=1)


def average_precision_at_r(labels: np.ndarray, wanted: np.ndarray, R: np.ndarray) -> np.ndarray:
    r"""Average precision at R of each query.

    :math:`\mathrm{AP@R} = \frac{1}{R} \sum_{i=1}^{R} P(i)\,\mathrm{rel}(i)` where R is the number
    of gallery rows with the query's label (Musgrave, Belongie and Lim, "A Metric Learning Reality
    Check", 2020, section 3.2); its mean over queries is MAP@R.

    Parameters
    ----------
    labels
        int [Q, L] labels of the neighbours, nearest first; L at least the largest R.
    wanted
        int [Q] labels of the queries.
    R
        int [Q] number of gallery rows with that label.

    Returns
    -------
    numpy.ndarray
        float64 [Q], 0 to 1; NaN where R is 0.
    """
    rank = np.arange(1, labels.shape[1] + 1)
    relevant = (labels == wanted[:, None]) & (rank <= R[:, None])
    precision = np.cumsum(relevant, axis=1) / rank
    total = (precision * relevant).sum(axis=1)
    return np.where(R > 0, total / np.maximum(R, 1), np.nan)
