"""Debiased linear CKA: how alike two embeddings arrange the same pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.embeddings import unit
from medtaskatlas.atlas.mantel import both, ordered_pairs
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds
from medtaskatlas.atlas.variance import CONSTANT, centred_interval, leading
from medtaskatlas.errors import DataError
from medtaskatlas.seeds import generator

DRAWS = 500
# Linear CKA weighs directions by the square of their variance: these hold nearly all of it.
COMPONENTS = 32
WIDE = 2e10  # multiplications in one product
MIN_PAIRS = 4


def debiased_cka(one: np.ndarray, other: np.ndarray) -> float:
    r"""Debiased linear CKA of two embeddings.

    :math:`HSIC_u(K, L) / \sqrt{HSIC_u(K, K)\,HSIC_u(L, L)}` with linear kernels (Kornblith et al.,
    2019) and the unbiased estimator of HSIC (Song et al., 2012; Nguyen et al., 2021). Unlike plain
    CKA it does not rise with the number of dimensions where pairs are few. Never makes an N x N
    matrix unless that is the smaller one: cost N D1 D2.

    Parameters
    ----------
    one, other
        float [N, D1] and [N, D2], the same rows.

    Returns
    -------
    float
        1 for the same geometry up to rotation, shift and scale; 0 on average where there is no
        relation (so slightly negative values happen); NaN where an embedding is constant.

    Raises
    ------
    DataError
        If rows differ in number, are fewer than four, or a value is not finite.
    """
    _check(one, other)
    x, y = centred(one), centred(other)
    if x is None or y is None:
        return float("nan")
    return _ratio(debiased_hsic(x, y), debiased_hsic(x, x), debiased_hsic(y, y))


def debiased_hsic(one: np.ndarray, other: np.ndarray) -> float:
    r"""Unbiased HSIC with linear kernels (Song et al., 2012, equation 4).

    :math:`\frac{1}{n(n-3)}\left[tr(\tilde K\tilde L) + \frac{1^T\tilde K1\,1^T\tilde L1}
    {(n-1)(n-2)} - \frac{2}{n-2} 1^T\tilde K\tilde L1\right]`, the kernels with a diagonal of 0.

    Parameters
    ----------
    one, other
        float [N, D1] and [N, D2]; centred, lest digits are lost.

    Returns
    -------
    float
        Covariance of the two kernels over pairs of rows.
    """
    n = len(one)
    # Half the time where it would be many seconds; the sum of squares keeps six digits.
    wide = n * one.shape[1] * other.shape[1] > WIDE
    itself = one is other
    one = one.astype(np.float32 if wide else np.float64, copy=False)
    # The same array twice: numpy then computes half of the symmetric product.
    other = one if itself else other.astype(one.dtype, copy=False)
    k, l = (np.einsum("nd,nd->n", v, v, dtype=np.float64) for v in (one, other))  # noqa: E741
    if n < max(one.shape[1], other.shape[1]):
        product = ((one @ one.T) * (other @ other.T)).sum(dtype=np.float64)
    else:
        product = ((one.T @ other) ** 2).sum(dtype=np.float64)
    trace = product - k @ l
    by_row = [v @ v.sum(axis=0, dtype=np.float64) - v2 for v, v2 in ((one, k), (other, l))]
    total = by_row[0].sum() * by_row[1].sum() / ((n - 1) * (n - 2))
    return float((trace + total - 2 / (n - 2) * (by_row[0] @ by_row[1])) / (n * (n - 3)))


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


def centred(vectors: np.ndarray) -> np.ndarray | None:
    """Vectors around their mean.

    Parameters
    ----------
    vectors
        float [N, D].

    Returns
    -------
    numpy.ndarray or None
        float [N, D]; None where all rows are the same but for rounding.
    """
    moved = vectors - vectors.mean(axis=0, dtype=np.float64).astype(vectors.dtype)
    spread, size = (np.einsum("nd,nd->", v, v, dtype=np.float64) for v in (moved, vectors))
    return None if spread <= CONSTANT * size else moved


def _check(one: np.ndarray, other: np.ndarray) -> None:
    """Refuse what CKA is not defined for."""
    remedy = "give two embeddings of the same four or more pairs, without NaN"
    if len(one) != len(other):
        raise DataError(f"CKA: {len(one)} rows in one embedding, {len(other)} in the other", remedy)
    if len(one) < MIN_PAIRS:
        raise DataError(f"CKA: {len(one)} rows, at least {MIN_PAIRS} are needed", remedy)
    for which, vectors in (("first", one), ("second", other)):
        bad = int((~np.isfinite(vectors)).any(axis=1).sum())
        if bad:
            raise DataError(f"CKA: {bad} rows of the {which} embedding are not finite", remedy)


def _ratio(cross: Any, one: Any, other: Any) -> Any:
    """CKA of its three parts; NaN where a self-similarity is not above 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(np.where((one > 0) & (other > 0), one * other, np.nan))
        value = cross / scale
    return float(value) if np.ndim(value) == 0 else value


class _Side:
    """One encoder: its centred vectors, what CKA needs of them alone, and their draws."""

    def __init__(self, queries: EncoderQueries, design: Design, draws: Draws) -> None:
        self.queries = queries
        self.vectors = [centred(unit(v)) for v in queries.vectors]
        self.usable = all(v is not None for v in self.vectors)
        self.own: list[float] = []
        self.short: list[np.ndarray] = []
        self.own_draws: list[np.ndarray] = []
        for v in self.vectors if self.usable and len(queries.frame) >= MIN_PAIRS else []:
            assert v is not None  # for mypy: `usable` says so
            self.own.append(debiased_hsic(v, v))
            self.short.append(leading(v, COMPONENTS))
            self.own_draws.append(
                hsic_draws(self.short[-1], self.short[-1], design.group, draws.group)
            )


def cka_rows(
    encoders: list[EncoderQueries],
    n: Counts,
    seed: int,
    n_draws: int = DRAWS,
) -> Iterator[dict[str, Any]]:
    """Rows of the table `comparisons`: CKA of every two encoders, and of one over its seeds.

    The estimate is over all pairs and dimensions, the mean over all combinations of seeds. Its
    interval comes from the first principal components, centred on the estimate.

    Parameters
    ----------
    encoders
        The same held-out pairs in every embedding.
    n
        What the pairs rest on.
    seed
        The run's seed.
    n_draws
        Bootstrap draws, shared by all encoders.

    Yields
    ------
    dict
        A row a pair of encoders, and one an encoder with itself.
    """
    query_set = encoders[0].query_set
    design = Design.of(encoders[0].frame)
    rng = generator(seed, "bootstrap", query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    sides = {e.name: _Side(e, design, draws) for e in encoders}
    for a, b in [*ordered_pairs(encoders), *((e, e) for e in encoders)]:
        row: dict[str, Any] = {"contrast": "geometry", "measure": "cka_debiased"}
        row |= both(a, b, "embedding")
        one, two = sides[a.name], sides[b.name]
        problem = None
        if n["n_pairs"] < MIN_PAIRS:
            problem = f"undefined: {n['n_pairs']} pairs, at least {MIN_PAIRS} are needed"
        elif not (one.usable and two.usable):
            name = b.name if one.usable else a.name
            problem = f"undefined: {name} gives all these pairs the same embedding"
        elif one is two and len(a.seeds) < 2:
            problem = "undefined: one seed, at least two are needed"
        yield row | (
            {"note": problem}
            if problem
            else _row(one, two, design=design, draws=draws, n=n, seed=seed)
        )


def _row(
    one: _Side, two: _Side, *, design: Design, draws: Draws, n: Counts, seed: int
) -> dict[str, Any]:
    """Estimate and interval of two encoders, or of one whose seeds are compared."""
    B, itself = len(draws.group), one is two
    S, T = len(one.own), len(two.own)
    each = np.full((S, T), np.nan)
    drawn = np.zeros(B)
    weights = [
        draw_seeds(
            generator(seed, "bootstrap seeds", q.queries.query_set, q.queries.name), len(q.own), B
        )
        for q in (one, two)
    ]
    for s in range(S):
        # A seed is not compared with itself, and seeds are then not drawn: copies agree fully.
        for t in range(s + 1, T) if itself else range(T):
            x, y = one.vectors[s], two.vectors[t]
            assert x is not None  # for mypy: constant sides have no row
            assert y is not None
            each[s, t] = _ratio(debiased_hsic(x, y), one.own[s], two.own[t])
            cross = hsic_draws(one.short[s], two.short[t], design.group, draws.group)
            ratio = _ratio(cross, one.own_draws[s], two.own_draws[t])
            weight = 2 / (S * (S - 1)) if itself else weights[0][:, s] * weights[1][:, t]
            drawn += np.where(np.asarray(weight) > 0, weight * ratio, 0)
    found = each[np.triu_indices(S, 1)] if itself else each.ravel()
    if not np.isfinite(found).all():
        return {"note": "undefined: the pairs are too few or too alike"}
    estimate = float(found.mean())
    n_seeds = 1 if itself else max(S, T)
    interval = centred_interval(drawn, estimate, n, n_seeds, high=1.0)
    spread = float(found.std(ddof=1)) if len(found) > 1 else None
    return {"estimate": estimate, "seed_sd": spread, **vars(interval)}
