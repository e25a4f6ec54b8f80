"""The table `separation`: what arranges the embedding, the task or the dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.dispersion import permdisp
from medtaskatlas.atlas.embeddings import unit
from medtaskatlas.atlas.inference import adjust, percentile_interval
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    average_cells,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.silhouettes import silhouettes, silhouettes_within
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.variance import crossed_subset, omega_squared
from medtaskatlas.seeds import generator

DISPERSION_PAIRS = 3000
FACTORS = ("task", "family", "dataset", "modality")
Rows = Iterator[dict[str, Any]]


def separation(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `separation`, over all seeds of each encoder.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/separation.parquet.
    run
        Name of the run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    rows: list[dict[str, Any]] = []
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        common = {
            "run": run,
            "encoder": queries.name,
            "kind": queries.kind,
            "split": queries.query_set,
        }
        for part in (_silhouette_rows, _variance_rows, _dispersion_rows):
            rows += [common | row for row in part(queries, seed, n_draws)]
    frame = pd.DataFrame(rows)
    write_table("separation", adjust(frame), out, {"run": run, "seed": seed, "n_draws": n_draws})


def _silhouette_rows(queries: EncoderQueries, seed: int, n_draws: int) -> Rows:
    """Silhouettes by each factor among all pairs, and nested both ways."""
    frame = queries.frame
    labels = {f: frame[f].to_numpy(dtype=str) for f in FACTORS}
    vectors = [unit(v) for v in queries.vectors]
    wide = {
        factor: np.stack([silhouettes(v, labels[factor]) for v in vectors]) for factor in FACTORS
    }
    for factor in FACTORS:
        yield _mean_row(
            queries,
            wide[factor],
            measure="silhouette",
            factor=factor,
            within="all",
            seed=seed,
            n_draws=n_draws,
        )
    difference = wide["task"] - wide["dataset"]
    yield _mean_row(
        queries,
        difference,
        measure="silhouette_difference",
        factor="task",
        within="all",
        seed=seed,
        n_draws=n_draws,
    )
    for factor, within in (("task", "dataset"), ("family", "dataset"), ("dataset", "task")):
        nested = np.stack([silhouettes_within(v, labels[factor], labels[within]) for v in vectors])
        yield _mean_row(
            queries,
            nested,
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
    return row | _over_seeds(each) | vars(interval) | n


def _variance_rows(queries: EncoderQueries, seed: int, n_draws: int) -> Rows:
    """Omega-squared on the largest crossed subset, and on the largest with all families."""
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
        chosen = np.isin(np.arange(len(queries.frame)), subset.rows)
        n = counts(queries.frame, chosen)
        family = queries.frame["family"].to_numpy(dtype=object)[subset.rows[:, 0, 0]]
        modality = queries.frame["modality"].to_numpy(dtype=object)[subset.rows[0, :, 0]]
        shares = [omega_squared(v[subset.rows], family, modality) for v in queries.vectors]
        T, D, per_cell = subset.rows.shape
        note = (
            f"no interval: resampling would unbalance the subset of {T} tasks x {D} datasets x "
            f"{per_cell} pairs"
        )
        for factor in shares[0]:
            each = np.array([share[factor] for share in shares])
            if np.isfinite(each).all():
                yield row | _over_seeds(each) | n | {"factor": factor, "note": note}


def _dispersion_rows(queries: EncoderQueries, seed: int, n_draws: int) -> Rows:
    """PERMDISP by task."""
    rng = generator(seed, "permdisp", queries.query_set)
    chosen = np.zeros(len(queries.frame), bool)
    chosen[rng.permutation(len(chosen))[:DISPERSION_PAIRS]] = True
    frame = queries.frame.loc[chosen]
    design = Design.of(frame)
    row: dict[str, Any] = {"measure": "permdisp", "factor": "task", "within": "all"}
    row |= counts(frame) | {"note": "no interval: a test statistic"}
    sizes = np.bincount(design.task)
    if len(sizes) < 2 or len(design.task) <= len(sizes) or sizes.max() < 2:
        yield row | {"note": "undefined: too few tasks or pairs"}
        return
    vectors = np.stack([v[chosen] for v in queries.vectors])
    each, p = permdisp(vectors, design.task, design.group, rng)
    if not np.isfinite(each).all():
        yield row | {"note": "undefined: no scatter within tasks"}
        return
    yield row | _over_seeds(each) | {"p": p, "p_family": f"permdisp: {queries.query_set}"}


def _over_seeds(each: np.ndarray) -> dict[str, float | None]:
    """Mean over seeds and its spread."""
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    return {"estimate": float(each.mean()), "seed_sd": spread}
