"""The table `separation`: what arranges the embedding, the task or the dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.dispersion import permdisp
from medtaskatlas.atlas.embeddings import unit
from medtaskatlas.atlas.inference import adjust, bootstrap_p, percentile_interval
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
from medtaskatlas.atlas.variance import (
    centred_draws,
    centred_interval,
    crossed_subset,
    omega_squared,
    omega_squared_draws,
)
from medtaskatlas.seeds import generator

DISPERSION_PAIRS = 3000
# Draws of variance shares: each is an analysis of variance in as many dimensions as the embedding.
SHARE_DRAWS = 1000
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

    The share of variance of the task is also compared with that of the dataset, and between trained
    encoders and baselines: on the same pairs, datasets and groups drawn together, seeds apart.

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
    shares: list[_TaskShare] = []
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        common = {
            "run": run,
            "encoder": queries.name,
            "kind": queries.kind,
            "split": queries.query_set,
        }
        rows += [common | row for row in _silhouette_rows(queries, seed, n_draws)]
        rows += [common | row for row in _variance_rows(queries, seed, n_draws, shares)]
        rows += [common | row for row in _dispersion_rows(queries, seed)]
    rows += [{"run": run, **row} for row in _gain_rows(shares)]
    # Tiny runs have no tests.
    none: dict[str, Any] = {"p": None, "p_family": None}
    frame = pd.DataFrame([none | row for row in rows])
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


@dataclass(frozen=True)
class _TaskShare:
    """Share of variance of the task in one encoder, for comparison with others."""

    name: str
    kind: str
    role: str
    query_set: str
    within: str
    each: np.ndarray
    draws: np.ndarray
    n: Counts


def _variance_rows(
    queries: EncoderQueries, seed: int, n_draws: int, shares: list[_TaskShare]
) -> Rows:
    """Omega-squared on the largest crossed subset, and on the largest with all families.

    Shares of the task are added to `shares`.
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
        one_seed = [omega_squared(v[subset.rows], family, modality) for v in queries.vectors]
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
                interval = centred_interval(boot[factor], float(values.mean()), n, S)
                yield row | _over_seeds(values) | vars(interval) | n | {"factor": factor}
        yield _difference_row(
            each["task"] - each["dataset"],
            boot["task"] - boot["dataset"],
            n,
            queries.query_set,
            measure="omega_squared_difference",
            within=within,
        )
        shares.append(
            _TaskShare(
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


def _gain_rows(shares: list[_TaskShare]) -> Rows:
    """Share of the task in every trained encoder minus that in every baseline, draw by draw."""
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
    interval = centred_interval(draws, estimate, n, len(each) if n_seeds is None else n_seeds)
    # Without an interval there is no test either.
    p = None if interval.ci_low is None else bootstrap_p(centred_draws(draws, estimate))
    tests = {"p": p, "p_family": f"{measure}: {query_set}"}
    row: dict[str, Any] = {"measure": measure, "factor": "task", "within": within}
    return row | _over_seeds(each) | vars(interval) | n | tests


def _dispersion_rows(queries: EncoderQueries, seed: int) -> Rows:
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
