"""Rows of the table `comparisons`: CKA of every two encoders, with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from medtaskatlas.atlas.comparisons.cka import MIN_PAIRS, centred, cka_ratio
from medtaskatlas.atlas.comparisons.hsic import Kernel, debiased_hsic, hsic_draws
from medtaskatlas.atlas.comparisons.mantel import both, ordered_pairs
from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.inference import centred_interval
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds
from medtaskatlas.atlas.vectors import l2_normalize, leading
from medtaskatlas.core.seeds import generator

DRAWS = 500
# Linear CKA weighs directions by the square of their variance: these hold nearly all of it.
COMPONENTS = 32


def cka_rows(
    encoders: Iterable[EncoderQueries],
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
        The same held-out pairs in every embedding; taken one by one.
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
        yield row | (
            {"note": problem}
            if problem
            else _row(one, two, design=design, draws=draws, n=n, seed=seed)
        )


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
                hsic_draws(self.short[-1], self.short[-1], design.group, draws.group)
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
        draw_seeds(generator(seed, "bootstrap seeds", q.query_set, q.name), len(q.own), B)
        for q in (one, two)
    ]
    for s in range(S):
        # A seed is not compared with itself, and seeds are then not drawn: copies agree fully.
        for t in range(s + 1, T) if itself else range(T):
            whole = debiased_hsic(one.kernels[s], two.kernels[t])
            each[s, t] = cka_ratio(whole, one.own[s], two.own[t])
            cross = hsic_draws(one.short[s], two.short[t], design.group, draws.group)
            ratio = cka_ratio(cross, one.own_draws[s], two.own_draws[t])
            weight = 2 / (S * (S - 1)) if itself else weights[0][:, s] * weights[1][:, t]
            drawn += np.where(np.asarray(weight) > 0, weight * ratio, 0)
    found = each[np.triu_indices(S, 1)] if itself else each.ravel()
    if not np.isfinite(found).all():
        return {"note": "undefined: the pairs are too few or too alike"}
    estimate = float(found.mean())
    n_seeds = 1 if itself else max(S, T)
    interval = centred_interval(
        drawn,
        estimate,
        n_groups=n["n_groups"],
        n_datasets=n["n_datasets"],
        n_seeds=n_seeds,
        high=1.0,
    )
    spread = float(found.std(ddof=1)) if len(found) > 1 else None
    return {"estimate": estimate, "seed_sd": spread, **vars(interval)}
