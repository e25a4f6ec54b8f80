"""Unbiased HSIC with linear kernels: how alike two embeddings arrange the same pairs, unscaled."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from medtaskatlas.atlas.vectors import row_blocks

WIDE = 2e10  # multiplications in one product
BLOCK = 2**21  # numbers that are made 64-bit at once


@dataclass(frozen=True)
class Kernel:
    """Linear kernel of an embedding, never held as such.

    Attributes
    ----------
    vectors
        float [N, D]; centred, lest digits are lost.
    squares
        float64 [N], the diagonal of the kernel.
    others
        float64 [N], sums of its rows without the diagonal.
    """

    vectors: np.ndarray
    squares: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> Kernel:
        """Kernel of some vectors.

        Parameters
        ----------
        vectors
            float [N, D]; centred.

        Returns
        -------
        Kernel
            It.
        """
        total = vectors.sum(axis=0, dtype=np.float64)
        squares, others = np.empty((2, len(vectors)))
        for part in row_blocks(vectors, BLOCK):
            block = vectors[part].astype(np.float64)
            squares[part] = np.einsum("nd,nd->n", block, block)
            others[part] = block @ total - squares[part]
        return cls(vectors, squares, others)


def debiased_hsic(one: Kernel, other: Kernel) -> float:
    r"""Unbiased HSIC with linear kernels (Song et al., 2012, equation 4).

    :math:`\frac{1}{n(n-3)}\left[tr(\tilde K\tilde L) + \frac{1^T\tilde K1\,1^T\tilde L1}
    {(n-1)(n-2)} - \frac{2}{n-2} 1^T\tilde K\tilde L1\right]`, the kernels with a diagonal of 0.

    Parameters
    ----------
    one, other
        Of the same N rows.

    Returns
    -------
    float
        Covariance of the two kernels over pairs of rows.
    """
    n = len(one.squares)
    trace = _product(one.vectors, other.vectors) - one.squares @ other.squares
    total = one.others.sum() * other.others.sum() / ((n - 1) * (n - 2))
    return float((trace + total - 2 / (n - 2) * (one.others @ other.others)) / (n * (n - 3)))


def _product(one: np.ndarray, other: np.ndarray) -> float:
    """Sum of the products of two whole kernels, by the smaller of the two ways to it."""
    n = len(one)
    # Half the time where it would be many seconds; the sum of squares keeps six digits.
    wide = n * one.shape[1] * other.shape[1] > WIDE
    kind: type[Any] = np.float32 if wide else np.float64
    # The same array twice: numpy then computes half of the symmetric product.
    itself = one is other
    if n < max(one.shape[1], other.shape[1]):
        x = one.astype(kind, copy=False)
        y = x if itself else other.astype(kind, copy=False)
        return float(((x @ x.T) * (y @ y.T)).sum(dtype=np.float64))
    cross = np.zeros((one.shape[1], other.shape[1]), kind)
    step = n if wide else max(1, BLOCK // max(one.shape[1], other.shape[1]))
    for start in range(0, n, step):
        x = one[start : start + step].astype(kind, copy=False)
        y = x if itself else other[start : start + step].astype(kind, copy=False)
        cross += x.T @ y
    return float(np.square(cross, out=cross).sum(dtype=np.float64))


def hsic_draws(
    one: np.ndarray, other: np.ndarray, group: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Unbiased HSIC under bootstrap weights of groups.

    The same sums over distinct rows as :func:`debiased_hsic`, each row counted as often as it was
    drawn; a row is never paired with a copy of itself. With weights of 1 it is that function.

    Parameters
    ----------
    one, other
        float64 [N, D1] and [N, D2], centred; D1 D2 should be small.
    group
        int [N], from 0.
    weights
        float [B, G].

    Returns
    -------
    numpy.ndarray
        float64 [B].
    """
    w = [np.ones_like(weights), *(weights**power for power in (1, 2, 3, 4))]
    order = np.argsort(group, kind="stable")
    x, y, G = one[order], other[order], weights.shape[1]
    size = np.bincount(group, minlength=G)
    starts = np.r_[0, np.cumsum(size)]
    k, l = (np.einsum("nd,nd->n", v, v)[:, None] for v in (x, y))  # noqa: E741

    def by_group(values: np.ndarray) -> np.ndarray:
        summed = np.add.reduceat(values, np.minimum(starts[:-1], len(values) - 1), axis=0)
        return np.asarray(np.where(size[:, None] > 0, summed, 0))

    products = np.stack([x[a:b].T @ y[a:b] for a, b in pairwise(starts)])
    shape = (len(weights), x.shape[1], y.shape[1])
    m1, m2 = ((w[p] @ products.reshape(G, -1)).reshape(shape) for p in (1, 2))
    sx, sy, lx, ky = (by_group(v) for v in (x, y, l * x, k * y))
    kl = by_group(k * l)
    n1, n2, n3, n4 = (w[p] @ size for p in (1, 2, 3, 4))
    sums = w[1] @ sx, w[1] @ sy
    total = [
        (s**2).sum(axis=1) - (w[2] @ by_group(v))[:, 0] for s, v in zip(sums, (k, l), strict=True)
    ]

    def rows(power: int) -> np.ndarray:
        """Sum over rows of weight^power and the row's two sums over other rows."""
        m = m1 if power == 1 else m2
        both_ways = np.einsum("bi,bij,bj->b", sums[0], m, sums[1], optimize=True)
        cross = (sums[0] * (w[power + 1] @ lx)).sum(axis=1)
        cross += (sums[1] * (w[power + 1] @ ky)).sum(axis=1)
        return np.asarray(both_ways - cross + (w[power + 2] @ kl)[:, 0])

    a11, a12, a22 = (
        (m * other_m).sum(axis=(1, 2)) - (w[p] @ kl)[:, 0]
        for m, other_m, p in ((m1, m1, 2), (m1, m2, 3), (m2, m2, 4))
    )
    pairs = n1**2 - n2
    triples = n1**3 - 3 * n1 * n2 + 2 * n3
    fours = n1**4 - 6 * n1**2 * n2 + 3 * n2**2 + 8 * n1 * n3 - 6 * n4
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            a11 / pairs
            - 2 * (rows(1) - a12) / triples
            + (total[0] * total[1] - 4 * rows(2) + 2 * a22) / fours
        )
