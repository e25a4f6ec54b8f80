"""Nearest neighbours by cosine, in blocks: no matrix of queries x gallery is ever held whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medtaskatlas.atlas.vectors import l2_normalize

K = 20
BLOCK = 512
COSINES = 2**24  # held at once, where a gallery is so large that fewer queries must do


def nearest(
    queries: np.ndarray, gallery: np.ndarray, count: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The most similar gallery rows of each query, best first.

    Yields slices of ``queries`` (float32 [Q, D], of any length) with int [b, count] rows of
    ``gallery`` (float32 [M, D], of length 1) and float32 [b, count] cosines; all M where it is less
    than ``count``.
    """
    count = min(count, len(gallery))
    step = at_once(len(gallery))
    for start in range(0, len(queries), step):
        part = slice(start, min(start + step, len(queries)))
        similarity = l2_normalize(queries[part]) @ gallery.T
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
    """Queries that are compared with a whole gallery at once."""
    return min(BLOCK, max(1, COSINES // max(1, n_gallery)))


def tally(
    row: np.ndarray, labels: np.ndarray, shape: tuple[int, int], weight: np.ndarray | None = None
) -> np.ndarray:
    """Votes [Q, L] of neighbours: of which query, for which label, and with which weight."""
    votes = np.bincount(row * shape[1] + labels, weight, minlength=shape[0] * shape[1])
    return votes.reshape(shape)


def vote(labels: np.ndarray, similarity: np.ndarray, n_labels: int) -> np.ndarray:
    """Majority [Q] of the neighbours' labels [Q, k]; ties go to the larger sum of cosines."""
    n, k = labels.shape
    row = np.repeat(np.arange(n), k)
    weight = _weight(similarity.ravel(), k)
    return np.asarray(tally(row, labels.ravel(), (n, n_labels), weight).argmax(axis=1))


def vote_of_nearest(cosine: np.ndarray, labels: np.ndarray, n_labels: int, k: int) -> np.ndarray:
    """Majority [Q] of the k nearest by cosine [Q, M], with labels [M], as :func:`vote` has it.

    The nearest are not ranked, which takes a fifth of the time. Where the k-th and the next are
    equally near, both vote.
    """
    k = min(k, cosine.shape[1])
    last = np.partition(cosine, -k, axis=1)[:, -k]
    # A tenth of the time of nonzero in two dimensions.
    row, column = np.divmod(np.flatnonzero(cosine >= last[:, None]), cosine.shape[1])
    weight = _weight(cosine[row, column], k)
    return np.asarray(tally(row, labels[column], (len(cosine), n_labels), weight).argmax(axis=1))


def _weight(cosine: np.ndarray, k: int) -> np.ndarray:
    """Weight of a neighbour's vote.

    A sum of k cosines divided by 2k+1 lies within ±1/2: it decides ties and never a majority.
    """
    return 1 + cosine.astype(np.float64) / (2 * k + 1)


def average_precision_at_r(labels: np.ndarray, wanted: np.ndarray, R: np.ndarray) -> np.ndarray:
    r"""Average precision at R of each query, float64 [Q] in 0..1; NaN where R is 0.

    :math:`\mathrm{AP@R} = \frac{1}{R} \sum_{i=1}^{R} P(i)\,\mathrm{rel}(i)` where R [Q] is the
    number of gallery rows with the query's label ``wanted`` [Q], and ``labels`` [Q, L] are those of
    the neighbours, nearest first (Musgrave, Belongie and Lim, "A Metric Learning Reality Check",
    2020, section 3.2); its mean over queries is MAP@R.
    """
    rank = np.arange(1, labels.shape[1] + 1)
    relevant = (labels == wanted[:, None]) & (rank <= R[:, None])
    precision = np.cumsum(relevant, axis=1) / rank
    total = (precision * relevant).sum(axis=1)
    return np.where(R > 0, total / np.maximum(R, 1), np.nan)
