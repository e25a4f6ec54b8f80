"""Rows of the table `separation`: silhouettes with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import over_seeds, percentile_interval
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import (
    Design,
    average_cells,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.separation.silhouettes import silhouettes, silhouettes_within
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.seeds import generator

FACTORS = ("task", "family", "dataset", "modality")
NESTED = (("task", "dataset"), ("family", "dataset"), ("dataset", "task"))


def silhouette_rows(queries: EncoderQueries, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Silhouettes by each factor among all pairs, and nested both ways.

    Parameters
    ----------
    queries
        The queries of an encoder.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Yields
    ------
    dict
        A row a factor and what it is compared within.
    """
    frame = queries.frame
    labels = {f: frame[f].to_numpy(dtype=str) for f in FACTORS}
    each: list[dict[tuple[str, str], np.ndarray]] = []
    for one in queries.vectors:
        vectors = l2_normalize(one)
        found = {(factor, "all"): silhouettes(vectors, labels[factor]) for factor in FACTORS}
        for factor, within in NESTED:
            found[factor, within] = silhouettes_within(vectors, labels[factor], labels[within])
        each.append(found)
        del vectors  # before those of the next seed are made
    values = {key: np.stack([found[key] for found in each]) for key in each[0]}
    for factor in FACTORS:
        yield _mean_row(
            queries,
            values[factor, "all"],
            measure="silhouette",
            factor=factor,
            within="all",
            seed=seed,
            n_draws=n_draws,
        )
    difference = values["task", "all"] - values["dataset", "all"]
    yield _mean_row(
        queries,
        difference,
        measure="silhouette_difference",
        factor="task",
        within="all",
        seed=seed,
        n_draws=n_draws,
    )
    for factor, within in NESTED:
        yield _mean_row(
            queries,
            values[factor, within],
            measure="silhouette",
            factor=factor,
            within=within,
            seed=seed,
            n_draws=n_draws,
        )


def _mean_row(
    queries: EncoderQueries,
    values: np.ndarray,
    *,
    measure: str,
    factor: str,
    within: str,
    seed: int,
    n_draws: int,
) -> dict[str, Any]:
    """Balanced mean of values [S, N] over cells, with its interval."""
    row: dict[str, Any] = {"measure": measure, "factor": factor, "within": within}
    there = np.isfinite(values).all(axis=0)
    n = counts(queries.frame, there)
    if not there.any():
        return row | n | {"note": f"undefined: fewer than two {factor} levels to compare"}
    values = values[:, there]
    design = Design.of(queries.frame.loc[there])
    everything = np.ones((1, len(design.datasets), len(design.tasks)), bool)
    S = len(values)

    def mean(draws: Any, seeds: np.ndarray) -> np.ndarray:
        cells = cell_means(design, values, draws, seeds)
        return average_cells(cells, draws.dataset, everything)[:, 0]

    as_is = no_draws(design)
    each = np.array([mean(as_is, np.eye(S)[[s]])[0] for s in range(S)])
    rng = generator(seed, "bootstrap", queries.query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    weights = draw_seeds(
        generator(seed, "bootstrap seeds", queries.query_set, queries.name), S, n_draws
    )
    interval = percentile_interval(
        mean(draws, weights), n_groups=n["n_groups"], n_datasets=n["n_datasets"], n_seeds=S
    )
    return row | over_seeds(each) | vars(interval) | n
