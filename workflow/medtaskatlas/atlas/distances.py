"""The table `task_distances`: how far apart tasks lie in the embedding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import Interval, no_interval, percentile_interval
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import (
    Design,
    Draws,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.seeds import generator

DRAWS = 1000
ENERGY_PAIRS = 100


def task_distances(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `task_distances`, over all seeds of each encoder.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/task_distances.parquet.
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
    totals: dict[str, Any] = {}
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        totals[queries.query_set] = dict(counts(queries.frame))
        rows += [common | row for row in _rows(queries, seed, n_draws)]
    meta = {"run": run, "seed": seed, "n_draws": n_draws, "counts": totals}
    write_table("task_distances", rows, out, meta)


def centroid_cosines(
    design: Design, vectors: list[np.ndarray], draws: Draws, seeds: np.ndarray
) -> np.ndarray:
    """Cosine distance of the dataset-balanced centroids of all tasks, mean over seeds.

    The centroid of a task is the mean over its datasets of the mean of its pairs there.

    Parameters
    ----------
    design
        Who belongs to what.
    vectors
        One float [N, D] a seed.
    draws, seeds
        B draws; weights [B, S].

    Returns
    -------
    numpy.ndarray
        float64 [B, T, T], 0 to 2; NaN where a draw has no pair of a task.
    """
    _, T = design.shape
    B = len(draws.group)
    pairs = design.sums(np.ones(len(design.task)))
    out = np.zeros((B, T, T))
    for s, one in enumerate(vectors):
        sums = np.moveaxis(design.sums(one.T), 0, -1).astype(np.float32)
        centre = np.zeros((B, T, one.shape[1]), np.float32)
        for d in range(len(design.datasets)):
            members = design.group_dataset == d
            weight = draws.group[:, members]
            total = weight @ pairs[members]
            top = weight.astype(np.float32) @ sums[members].reshape(members.sum(), -1)
            factor = np.divide(
                draws.dataset[:, [d]], total, out=np.zeros_like(total), where=total > 0
            )
            centre += top.reshape(centre.shape) * factor[:, :, None].astype(np.float32)
        length = np.linalg.norm(centre, axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = np.where(length > 1e-12, centre / length, np.nan)
        distance = 1 - np.einsum("bid,bjd->bij", centre, centre, optimize=True)
        distance[:, np.arange(T), np.arange(T)] *= 0  # NaN stays NaN
        # A seed that was not drawn must not spread its NaN.
        weight_of_seed = seeds[:, s][:, None, None]
        out += np.where(weight_of_seed > 0, weight_of_seed * np.maximum(distance, 0), 0)
    return out


def energy_distances(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    r"""Energy distance of all labels, as a share of its maximum.

    :math:`\frac{2E|X-Y| - E|X-X'| - E|Y-Y'|}{2E|X-Y|}` with Euclidean norms, 0 where two
    distributions are equal, 1 at most (Székely and Rizzo, 2013, section 6). Expectations within a
    label leave out the distance of a pair to itself, so that equal distributions give 0 on average.

    Parameters
    ----------
    vectors
        float [N, D].
    code
        int [N], labels from 0.

    Returns
    -------
    numpy.ndarray
        float64 [T, T], symmetric with a diagonal of 0; NaN for labels of one row.
    """
    size = np.bincount(code)
    member = np.eye(len(size))[code]
    total = member.T @ cdist(vectors, vectors) @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        between = total / np.outer(size, size)
        within = np.diag(total) / (size * (size - 1.0))
        share = 1 - (within[:, None] + within[None]) / (2 * between)
    share = np.maximum(share, 0)
    np.fill_diagonal(share, 0)
    return share


def distance_matrix(
    table: pd.DataFrame, encoder: str, split: str, metric: str = "centroid_cosine"
) -> pd.DataFrame:
    """Table rows as a square matrix.

    Parameters
    ----------
    table
        The table `task_distances`.
    encoder, split, metric
        Which rows.

    Returns
    -------
    pandas.DataFrame
        [T, T], symmetric, tasks sorted; NaN where a distance is unknown.
    """
    chosen = table[
        (table["encoder"] == encoder) & (table["split"] == split) & (table["metric"] == metric)
    ]
    tasks = sorted(set(chosen["task_a"]) | set(chosen["task_b"]))
    matrix = pd.DataFrame(np.zeros((len(tasks), len(tasks))), index=tasks, columns=tasks)
    for a, b, value in zip(chosen["task_a"], chosen["task_b"], chosen["estimate"], strict=True):
        matrix.loc[a, b] = matrix.loc[b, a] = value
    return matrix


def _rows(queries: EncoderQueries, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Rows of one encoder and query set."""
    design = Design.of(queries.frame)
    S, D = len(queries.seeds), len(design.datasets)
    as_is = no_draws(design)
    each = {
        "centroid_cosine": np.stack(
            [centroid_cosines(design, [v], as_is, np.ones((1, 1)))[0] for v in queries.vectors]
        )
    }
    rng = generator(seed, "energy", queries.query_set)
    order = rng.permutation(len(queries.frame))
    rank = pd.Series(order).groupby(design.task[order]).cumcount().to_numpy()
    chosen = np.sort(order[rank < ENERGY_PAIRS])
    each["energy"] = np.stack(
        [energy_distances(v[chosen], design.task[chosen]) for v in queries.vectors]
    )
    rng = generator(seed, "bootstrap", queries.query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=D == 1)
    weights = draw_seeds(
        generator(seed, "bootstrap seeds", queries.query_set, queries.name), S, n_draws
    )
    boot = centroid_cosines(design, queries.vectors, draws, weights)
    family = dict(zip(queries.frame["task"], queries.frame["family"], strict=True))
    for a, b in combinations(range(len(design.tasks)), 2):
        n = counts(queries.frame, np.isin(design.task, (a, b)))
        one, other = design.tasks[a], design.tasks[b]
        for metric, matrices in each.items():
            values = matrices[:, a, b]
            row: dict[str, Any] = {
                "metric": metric,
                "task_a": one,
                "task_b": other,
                "family_a": family[one],
                "family_b": family[other],
                **n,
            }
            if not np.isfinite(values).all():
                yield row | {"note": "undefined: a task of one pair"}
                continue
            if metric == "energy":
                interval = no_interval(f"no interval: from {ENERGY_PAIRS} pairs a task at most")
            else:
                interval = _shifted(boot[:, a, b], values.mean(), n["n_groups"], n["n_datasets"], S)
            spread = values.std(ddof=1) if S > 1 else None
            yield row | {"estimate": values.mean(), "seed_sd": spread} | vars(interval)


def _shifted(
    draws: np.ndarray, estimate: float, n_groups: int, n_datasets: int, n_seeds: int
) -> Interval:
    """Percentile interval around the estimate.

    Resampled centroids are noisier than the real ones, and noise only ever adds to a distance: the
    draws lie too high by that much, so their mean is brought back to the estimate.
    """
    draws = draws[np.isfinite(draws)]
    moved = np.maximum(draws - draws.mean() + estimate, 0) if len(draws) else draws
    made = percentile_interval(moved, n_groups=n_groups, n_datasets=n_datasets, n_seeds=n_seeds)
    if made.ci_method is None:
        return made
    return Interval(made.ci_low, made.ci_high, f"{made.ci_method}, centred", made.note)
