"""The table `separation`: what arranges the embedding, the task or the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.inference import (
    Interval,
    adjust,
    against_baselines,
    bootstrap_interval,
    bootstrap_p,
    difference_sd,
    interval_columns,
    over_seeds,
)
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import DRAWS, Design, balanced_mean, draw, draw_seeds, no_draws
from medtaskatlas.atlas.separation.statistics import (
    crossed_subset,
    omega_squared,
    omega_squared_draws,
    permdisp,
    silhouettes,
    silhouettes_within,
)
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "What arranges the embedding: the task or the dataset?",
    ("run", "encoder", "split", "measure", "factor", "within", "other"),
    (
        *columns.WHO,
        columns.text("kind", "kind of the encoder"),
        columns.text(
            "measure",
            "silhouette (cosine, -1 to 1); silhouette_difference: by task minus "
            "by dataset, a pair at a time; omega_squared: share of variance, balanced "
            "crossed subset; omega_squared_difference: share of the task minus that of the "
            "dataset; omega_squared_gain: share of the task minus that in the baseline `other`; "
            "permdisp: F of distances to the centroid",
            *("silhouette", "silhouette_difference", "omega_squared"),
            *("omega_squared_difference", "omega_squared_gain", "permdisp"),
        ),
        columns.text(
            "factor", "what pairs are grouped by: task, family, dataset, modality, interaction"
        ),
        columns.text(
            "within", "all pairs, or one dataset or task at a time, or the crossed subset"
        ),
        columns.text(
            "other",
            "the baseline that is compared with; null but for omega_squared_gain",
            nullable=True,
        ),
        *columns.TESTED,
    ),
)
FACTORS = ("task", "family", "dataset", "modality")
NESTED = (("task", "dataset"), ("family", "dataset"), ("dataset", "task"))
# Draws of variance shares: each is an analysis of variance in as many dimensions as the embedding.
SHARE_DRAWS = 1000
DISPERSION_PAIRS = 3000
Rows = Iterator[dict[str, Any]]


def separation(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
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
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    rows: list[dict[str, Any]] = []
    shares: list[TaskShare] = []
    for queries in load_queries(embedding_paths):
        about = {"encoder": queries.name, "kind": queries.kind, "split": queries.query_set}
        made = (
            silhouette_rows(queries, seed, n_draws),
            variance_rows(queries, seed, n_draws, shares),
            dispersion_rows(queries, seed),
        )
        rows += [{"run": run} | about | row for part in made for row in part]
        del queries, made  # before the next is read
    rows += [{"run": run, **row} for row in gain_rows(shares)]
    # Tiny runs have no tests.
    none: dict[str, Any] = {"p": None, "p_family": None}
    frame = pd.DataFrame([none | row for row in rows])
    write_table("separation", adjust(frame), out, {"run": run, "seed": seed, "n_draws": n_draws})


def silhouette_rows(queries: EncoderQueries, seed: int, n_draws: int) -> Rows:
    """Silhouettes by each factor among all pairs, and nested both ways."""
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
    difference = values["task", "all"] - values["dataset", "all"]
    rows = [
        *(("silhouette", factor, "all", values[factor, "all"]) for factor in FACTORS),
        ("silhouette_difference", "task", "all", difference),
        *(("silhouette", factor, within, values[factor, within]) for factor, within in NESTED),
    ]
    for measure, factor, within, each_pair in rows:
        row = {"measure": measure, "factor": factor, "within": within}
        yield row | _balanced(queries, each_pair, factor, seed, n_draws)


def _balanced(
    queries: EncoderQueries, values: np.ndarray, factor: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """Balanced mean of values [S, N] over cells, with its interval and counts."""
    known = np.isfinite(values).all(axis=0)
    n = counts(queries.frame, known)
    if not known.any():
        return n | {"note": f"undefined: fewer than two {factor} levels to compare"}
    values = values[:, known]
    design, S = Design.of(queries.frame.loc[known]), len(values)
    as_is = no_draws(design)
    each = [balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)]
    rng = generator(seed, "bootstrap", queries.query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    rng = generator(seed, "bootstrap seeds", queries.query_set, queries.name)
    boot = balanced_mean(design, values, draws, draw_seeds(rng, S, n_draws))
    return over_seeds(np.array(each)) | interval_columns(boot, float(np.mean(each)), n, S)


class TaskShare(NamedTuple):
    """Share of variance of the task in one encoder, for comparison with others."""

    name: str
    kind: str
    role: str
    query_set: str
    within: str  # which crossed subset
    each: np.ndarray  # float [S], of each seed
    draws: np.ndarray  # float [B], on every draw
    n: Counts


def variance_rows(
    queries: EncoderQueries, seed: int, n_draws: int, shares: list[TaskShare]
) -> Rows:
    """Omega-squared on the largest crossed subset, and on the largest with all families.

    Shares of the task are added to `shares`, for :func:`gain_rows`.
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
        task, dataset = ((each[factor], boot[factor]) for factor in ("task", "dataset"))
        row = {"measure": "omega_squared_difference", "within": within, **n}
        made = _difference(task[0] - dataset[0], task[1] - dataset[1], n, S)
        yield row | made | {"p_family": f"omega_squared_difference: {queries.query_set}"}
        about = (queries.name, queries.kind, queries.role, queries.query_set, within)
        shares.append(TaskShare(*about, each["task"], boot["task"], n))


def gain_rows(shares: list[TaskShare]) -> Rows:
    """Share of the task in every trained encoder minus that in every baseline, draw by draw."""
    for one, other in against_baselines(shares, lambda share: (share.query_set, share.within)):
        gain = one.each.mean(keepdims=True) - other.each.mean()
        S = max(len(one.each), len(other.each))
        yield {
            "measure": "omega_squared_gain",
            "within": one.within,
            "encoder": one.name,
            "kind": one.kind,
            "split": one.query_set,
            "other": other.name,
            **_difference(gain, one.draws - other.draws, one.n, S),
            "seed_sd": difference_sd(one.each, other.each),
            "p_family": f"omega_squared_gain: {one.query_set}",
            **one.n,
        }


def _difference(each: np.ndarray, draws: np.ndarray, n: Counts, n_seeds: int) -> dict[str, Any]:
    """A paired difference of shares of the task, with its interval and p."""
    estimate = float(each.mean())
    interval = _interval(draws, estimate, n, n_seeds)
    # Without an interval there is no test either.
    p = None
    if interval.ci_low is not None:
        p = bootstrap_p(draws, estimate, n, centred=True)
    return {"factor": "task", "p": p} | over_seeds(each) | vars(interval)


def _interval(draws: np.ndarray, estimate: float, n: Counts, n_seeds: int) -> Interval:
    """Interval of a share or of a difference of shares."""
    return bootstrap_interval(
        draws,
        estimate,
        n,
        n_seeds=n_seeds,
        centred=True,
    )


def dispersion_rows(queries: EncoderQueries, seed: int) -> Rows:
    """PERMDISP by task, on a bounded number of pairs."""
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
    each, p = permdisp(vectors, design.task, design.subject, rng)
    if not np.isfinite(each).all():
        yield row | {"note": "undefined: no scatter within tasks"}
        return
    yield row | over_seeds(each) | {"p": p, "p_family": f"permdisp: {queries.query_set}"}
