"""Debiased linear CKA: how alike two embeddings arrange the same pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from medtaskatlas.atlas.comparisons.mantel import both, ordered_pairs
from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.inference import bootstrap_interval, over_seeds
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds
from medtaskatlas.atlas.vectors import CONSTANT, l2_normalize, leading, row_blocks
from medtaskatlas.core.seeds import generator

MIN_PAIRS = 4
WIDE = 2e10  # multiplications in one product
BLOCK = 2**21  # numbers that are made 64-bit at once
DRAWS = 500
# Linear CKA weighs directions by the square of their variance: these hold nearly all of it.
COMPONENTS = 32


def cka_ratio(cross: Any, one: Any, other: Any) -> Any:
    r"""Debiased linear CKA from three HSIC, numbers or [B].

    :math:`HSIC_u(K, L) / \sqrt{HSIC_u(K, K)\,HSIC_u(L, L)}` with linear kernels (Kornblith et al.,
    2019) and the unbiased estimator of HSIC (Song et al., 2012; Nguyen et al., 2021). Unlike plain
    CKA it does not rise with the number of dimensions where pairs are few. It is 1 for the same
    geometry up to rotation, shift and scale, 0 on average where there is no relation (so slightly
    negative values happen), and NaN where a self-similarity is not above 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(np.where((one > 0) & (other > 0), one * other, np.nan))
        value = cross / scale
    return float(value) if np.ndim(value) == 0 else value


def centred(vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray | None:
    """Vectors [N, D] around their mean; None where all rows are the same but for rounding."""
    size = np.einsum("nd,nd->", vectors, vectors, dtype=np.float64)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(vectors.dtype)
    moved = np.subtract(vectors, mean, out=vectors if inplace else None)
    spread = np.einsum("nd,nd->", moved, moved, dtype=np.float64)
    return None if spread <= CONSTANT * size else moved


@dataclass(frozen=True)
class Kernel:
    """Linear kernel of an embedding, never held as such."""

    vectors: np.ndarray  # float [N, D]; centred, lest digits are lost
    squares: np.ndarray  # float64 [N], the diagonal of the kernel
    others: np.ndarray  # float64 [N], sums of its rows without the diagonal

    @classmethod
    def of(cls, vectors: np.ndarray) -> Kernel:
        """Kernel of centred vectors [N, D]."""
        total = vectors.sum(axis=0, dtype=np.float64)
        squares, others = np.empty((2, len(vectors)))
        for part in row_blocks(vectors, BLOCK):
            block = vectors[part].astype(np.float64)
            squares[part] = np.einsum("nd,nd->n", block, block)
            others[part] = block @ total - squares[part]
        return cls(vectors, squares, others)


def debiased_hsic(one: Kernel, other: Kernel) -> float:
    r"""Unbiased HSIC with linear kernels of the same rows (Song et al., 2012, equation 4).

    :math:`\frac{1}{n(n-3)}\left[tr(\tilde K\tilde L) + \frac{1^T\tilde K1\,1^T\tilde L1}
    {(n-1)(n-2)} - \frac{2}{n-2} 1^T\tilde K\tilde L1\right]`, the kernels with a diagonal of 0.
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
    """Unbiased HSIC [B] of centred [N, D1] and [N, D2] under bootstrap weights [B, G] of groups.

    The same sums over distinct rows as :func:`debiased_hsic`, each row counted as often as it was
    drawn; a row is never paired with a copy of itself. With weights of 1 it is that function.
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


def cka_rows(
    encoders: Iterable[EncoderQueries], n: Counts, seed: int, n_draws: int = DRAWS
) -> Iterator[dict[str, Any]]:
    """Rows of CKA of every two encoders, and of one with itself over its seeds.

    The estimate is over all pairs and dimensions, the mean over all combinations of seeds. Its
    interval comes from the first principal components, centred on the estimate. Encoders hold the
    same held-out pairs and are taken one by one.
    """
    sides: list[_Side] = []
    for queries in encoders:
        if not sides:
            design = Design.of(queries.frame)
            rng = generator(seed, "bootstrap", queries.query_set)
            draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
        sides.append(_Side(queries, design, draws))
        del queries  # before the next is read
    for one, two in [*ordered_pairs(sides), *((side, side) for side in sides)]:
        row: dict[str, Any] = {"contrast": "geometry", "measure": "cka_debiased"}
        row |= both(one, two, "embedding")
        problem = None
        if n["n_pairs"] < MIN_PAIRS:
            problem = f"undefined: {n['n_pairs']} pairs, at least {MIN_PAIRS} are needed"
        elif not (one.usable and two.usable):
            name = two.name if one.usable else one.name
            problem = f"undefined: {name} gives all these pairs the same embedding"
        elif one is two and one.n_seeds < 2:
            problem = "undefined: one seed, at least two are needed"
        if problem:
            yield row | {"note": problem}
        else:
            yield row | _row(one, two, design=design, draws=draws, n=n, seed=seed)


class _Side:
    """One encoder: its centred vectors, what CKA needs of them alone, and their draws."""

    def __init__(self, queries: EncoderQueries, design: Design, draws: Draws) -> None:
        self.name, self.kind, self.role = queries.name, queries.kind, queries.role
        self.query_set, self.n_seeds = queries.query_set, len(queries.seeds)
        self.own: list[float] = []
        self.kernels: list[Kernel] = []
        self.short: list[np.ndarray] = []
        self.own_draws: list[np.ndarray] = []
        vectors = [centred(l2_normalize(v), inplace=True) for v in queries.vectors]
        self.usable = all(v is not None for v in vectors)
        for v in vectors if self.usable and len(queries.frame) >= MIN_PAIRS else []:
            assert v is not None  # for mypy: `usable` says so
            self.kernels.append(Kernel.of(v))
            self.own.append(debiased_hsic(self.kernels[-1], self.kernels[-1]))
            self.short.append(leading(v, COMPONENTS))
            self.own_draws.append(
                hsic_draws(self.short[-1], self.short[-1], design.subject, draws.subject)
            )


def _row(
    one: _Side, two: _Side, *, design: Design, draws: Draws, n: Counts, seed: int
) -> dict[str, Any]:
    """Estimate and interval of two encoders, or of one whose seeds are compared."""
    B, itself = len(draws.subject), one is two
    S, T = len(one.own), len(two.own)
    each = np.full((S, T), np.nan)
    drawn = np.zeros(B)
    weights = [
        draw_seeds(generator(seed, "bootstrap seeds", q.query_set, q.name), len(q.own), B)
        for q in (one, two)
    ]
    for s in range(S):
        # A seed is not compared with itself, and seeds are then not drawn: copies agree fully.
        for t in range(s + 1, T) if itself else range(T):
            whole = debiased_hsic(one.kernels[s], two.kernels[t])
            each[s, t] = cka_ratio(whole, one.own[s], two.own[t])
            cross = hsic_draws(one.short[s], two.short[t], design.subject, draws.subject)
            ratio = cka_ratio(cross, one.own_draws[s], two.own_draws[t])
            weight = 2 / (S * (S - 1)) if itself else weights[0][:, s] * weights[1][:, t]
            drawn += np.where(np.asarray(weight) > 0, weight * ratio, 0)
    found = each[np.triu_indices(S, 1)] if itself else each.ravel()
    if not np.isfinite(found).all():
        return {"note": "undefined: the pairs are too few or too alike"}
    interval = bootstrap_interval(
        drawn,
        float(found.mean()),
        n,
        n_seeds=1 if itself else max(S, T),
        high=1.0,
        centred=True,
    )
    return over_seeds(found) | vars(interval)
