"""Rows of the table `separation`: shares of variance, and their differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.inference import (
    Interval,
    bootstrap_p,
    centred_draws,
    centred_interval,
    over_seeds,
)
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design, draw, draw_seeds
from medtaskatlas.atlas.separation.crossed import crossed_subset
from medtaskatlas.atlas.separation.variance import omega_squared
from medtaskatlas.atlas.separation.variance_draws import omega_squared_draws
from medtaskatlas.core.seeds import generator

# Draws of variance shares: each is an analysis of variance in as many dimensions as the embedding.
SHARE_DRAWS = 1000
Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class TaskShare:
    """Share of variance of the task in one encoder, for comparison with others.

    Attributes
    ----------
    name, kind, role
        Of the encoder.
    query_set
        ``groups``, ``datasets`` or ``tasks``.
    within
        Which crossed subset.
    each
        float [S], the share of each seed.
    draws
        float [B], the share on every draw.
    n
        What it rests on.
    """

    name: str
    kind: str
    role: str
    query_set: str
    within: str
    each: np.ndarray
    draws: np.ndarray
    n: Counts


def variance_rows(
    queries: EncoderQueries, seed: int, n_draws: int, shares: list[TaskShare]
) -> Rows:
    """Omega-squared on the largest crossed subset, and on the largest with all families.

    Parameters
    ----------
    queries
        The queries of an encoder.
    seed
        The run's seed.
    n_draws
        Bootstrap draws, of which no more than :data:`SHARE_DRAWS` are made.
    shares
        Shares of the task are added to it, for :func:`gain_rows`.

    Yields
    ------
    dict
        A row a factor, and the task against the dataset.
    """
    for within, families in (("crossed", False), ("crossed_all_families", True)):
        rng = generator(seed, "crossed", queries.query_set, within)
        subset = crossed_subset(queries.frame, rng, families=families)
        row: dict[str, Any] = {"measure": "omega_squared", "within": within}
        if subset is None:
            note = "no crossed subset: too few tasks share datasets with 4 pairs a cell"
            if families:
                note = "no crossed subset holds all families"
            none = counts(queries.frame.iloc[:0])
            yield row | none | {"factor": "task", "note": note}
            continue
        frame = queries.frame.iloc[subset.rows.ravel()]
        n = counts(frame)
        family = queries.frame["family"].to_numpy(dtype=object)[subset.rows[:, 0, 0]]
        modality = queries.frame["modality"].to_numpy(dtype=object)[subset.rows[0, :, 0]]
        one_seed = [omega_squared(v, subset.rows, family, modality) for v in queries.vectors]
        if not np.isfinite([share["task"] for share in one_seed]).all():
            yield row | n | {"factor": "task", "note": "undefined: the embedding is constant here"}
            continue
        design, B, S = Design.of(frame), min(n_draws, SHARE_DRAWS), len(one_seed)
        # The same draws of datasets and groups for all encoders.
        rng = generator(seed, "bootstrap crossed", queries.query_set, within)
        draws = draw(design, rng, B)
        weights = draw_seeds(
            generator(seed, "bootstrap seeds", queries.query_set, queries.name), S, B
        )
        drawn = [
            omega_squared_draws(v, subset, design, draws, parents=(family, modality))
            for v in queries.vectors
        ]
        each = {f: np.array([share[f] for share in one_seed]) for f in one_seed[0]}
        boot = {f: sum(weights[:, s] * drawn[s][f] for s in range(S)) for f in each}
        for factor, values in each.items():
            if np.isfinite(values).all():
                interval = _interval(boot[factor], float(values.mean()), n, S)
                yield row | over_seeds(values) | vars(interval) | n | {"factor": factor}
        yield _difference_row(
            each["task"] - each["dataset"],
            boot["task"] - boot["dataset"],
            n,
            queries.query_set,
            measure="omega_squared_difference",
            within=within,
        )
        shares.append(
            TaskShare(
                queries.name,
                queries.kind,
                queries.role,
                queries.query_set,
                within,
                each["task"],
                boot["task"],
                n,
            )
        )


def gain_rows(shares: list[TaskShare]) -> Rows:
    """Share of the task in every trained encoder minus that in every baseline, draw by draw.

    Parameters
    ----------
    shares
        Of all encoders of a run, on the same draws of datasets and groups.

    Yields
    ------
    dict
        A row a pair of them on the same crossed subset, with ``encoder``, ``kind`` and ``split``.
    """
    for one in shares:
        if one.role == "baseline":
            continue
        for other in shares:
            same = (other.query_set, other.within) == (one.query_set, one.within)
            if not same or other.role != "baseline":
                continue
            row = _difference_row(
                one.each.mean(keepdims=True) - other.each.mean(),
                one.draws - other.draws,
                one.n,
                one.query_set,
                measure="omega_squared_gain",
                within=one.within,
                n_seeds=max(len(one.each), len(other.each)),
            )
            spread = [v.var(ddof=1) for v in (one.each, other.each) if len(v) > 1]
            yield row | {
                "encoder": one.name,
                "kind": one.kind,
                "split": one.query_set,
                "other": other.name,
                "seed_sd": float(np.sqrt(sum(spread))) if spread else None,
            }


def _difference_row(
    each: np.ndarray,
    draws: np.ndarray,
    n: Counts,
    query_set: str,
    *,
    measure: str,
    within: str,
    n_seeds: int | None = None,
) -> dict[str, Any]:
    """A paired difference of shares of the task, with its interval and test."""
    estimate = float(each.mean())
    interval = _interval(draws, estimate, n, len(each) if n_seeds is None else n_seeds)
    # Without an interval there is no test either.
    p = None if interval.ci_low is None else bootstrap_p(centred_draws(draws, estimate))
    tests = {"p": p, "p_family": f"{measure}: {query_set}"}
    row: dict[str, Any] = {"measure": measure, "factor": "task", "within": within}
    return row | over_seeds(each) | vars(interval) | n | tests


def _interval(draws: np.ndarray, estimate: float, n: Counts, n_seeds: int) -> Interval:
    """Interval of a share or of a difference of shares."""
    return centred_interval(
        draws, estimate, n_groups=n["n_groups"], n_datasets=n["n_datasets"], n_seeds=n_seeds
    )
