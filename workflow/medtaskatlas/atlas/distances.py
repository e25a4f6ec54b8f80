"""The table `task_distances`: how far apart tasks lie in the embedding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.centroids import (
    as_they_are,
    bootstrapped,
    centroid_cosines,
    subjects_of,
)
from medtaskatlas.atlas.counts import counts, counts_of_two
from medtaskatlas.atlas.inference import bootstrap_interval, no_interval, over_seeds
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.sample_distances import energy_distances, mmd_distances, sampled_rows
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

DRAWS = 1000
SAMPLED_PAIRS = 100
UNDEFINED = {
    "centroid_cosine": "undefined: the centroid of a task is zero",
    "energy": "undefined: a task of one pair, or no pair differs from another",
    "mmd": "undefined: a task of one pair, or most pairs do not differ",
}

SPEC = columns.TableSpec(
    "How far apart tasks lie, over all seeds. In split `tasks` one of the two tasks at least was "
    "held out: held-out tasks are compared with every task of the gallery and with each other, by "
    "held-out pairs of both.",
    ("run", "encoder", "split", "metric", "task_a", "task_b"),
    (
        *columns.WHO,
        columns.text(
            "metric",
            "centroid_cosine: 1 - cosine of the dataset-balanced centroids; "
            "energy: energy distance as a share of twice the mean distance between the tasks; "
            "mmd: maximum mean discrepancy with a Gaussian kernel of median width, 0 to 1.41",
            "centroid_cosine",
            "energy",
            "mmd",
        ),
        columns.text("task_a", "a task"),
        columns.text("task_b", "another task, later in the alphabet"),
        columns.text("family_a", "family of task_a"),
        columns.text("family_b", "family of task_b"),
        *columns.MEASURED,
    ),
)


def task_distances(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `task_distances`, over all seeds of each encoder.

    Held-out tasks are compared with each other and with every task of the gallery, by the held-out
    pairs of both.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/task_distances.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    """
    rows: list[dict[str, Any]] = []
    totals: dict[str, Any] = {}
    asked: dict[str, list[str]] = {}
    for queries in load_queries(embedding_paths, every_task=True):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        own = queries.frame["task"].isin(queries.asked)
        totals[queries.query_set] = dict(counts(queries.frame[own]))
        asked[queries.query_set] = queries.asked
        rows += [common | row for row in _rows(queries, seed, n_draws)]
        del queries  # before the next is read
    meta = {"run": run, "seed": seed, "n_draws": n_draws, "counts": totals, "tasks": asked}
    write_table("task_distances", rows, out, meta)


def encoder_matrix(
    table: pd.DataFrame, encoder: str, split: str, metric: str = "centroid_cosine"
) -> pd.DataFrame:
    """Distances between tasks in the space of one encoder, by :func:`distance_matrix`."""
    chosen = (table["encoder"] == encoder) & (table["split"] == split) & (table["metric"] == metric)
    return distance_matrix(table[chosen])


def distance_matrix(rows: pd.DataFrame, column: str = "estimate") -> pd.DataFrame:
    """Symmetric matrix of what a table says of two tasks at a time.

    Parameters
    ----------
    rows
        Columns ``task_a``, ``task_b`` and ``column``; each two tasks once at most.
    column
        The value to take.

    Returns
    -------
    pandas.DataFrame
        float [T, T], tasks in alphabetical order; 0 on the diagonal, NaN where the value is null or
        the two tasks have no row.
    """
    tasks = sorted({*rows["task_a"], *rows["task_b"]})
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    np.fill_diagonal(matrix, 0.0)
    a, b = (pd.Index(tasks).get_indexer(pd.Index(rows[f"task_{side}"])) for side in "ab")
    matrix[a, b] = matrix[b, a] = rows[column].to_numpy(float, na_value=np.nan)
    return pd.DataFrame(matrix, index=tasks, columns=tasks)


def _rows(queries: EncoderQueries, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Rows of one encoder and query set."""
    design = Design.of(queries.frame)
    if len(design.tasks) < 2:
        return
    # The same for all encoders.
    order = generator(seed, "energy", queries.query_set).permutation(len(queries.frame))
    chosen = sampled_rows(order, design.task, SAMPLED_PAIRS)
    sampled = [(v[chosen], design.task[chosen]) for v in queries.vectors]
    each = {
        "centroid_cosine": as_they_are(centroid_cosines, queries),
        "energy": np.stack([energy_distances(*one) for one in sampled]),
        "mmd": np.stack([mmd_distances(*one) for one in sampled]),
    }
    boot = bootstrapped(centroid_cosines, queries, seed, n_draws, fixed_datasets=False)
    family = dict(zip(queries.frame["task"], queries.frame["family"], strict=True))
    n_of = counts_of_two(queries.frame, design.task)
    subjects, S = subjects_of(design), len(queries.seeds)
    own = np.isin(design.tasks, queries.asked)
    for a, b in combinations(range(len(design.tasks)), 2):
        if not own[a] and not own[b]:
            continue
        n, one, other = n_of[a][b], design.tasks[a], design.tasks[b]
        tasks = {"task_a": one, "task_b": other, "family_a": family[one], "family_b": family[other]}
        for metric, matrices in each.items():
            values = matrices[:, a, b]
            row: dict[str, Any] = {"metric": metric, **tasks, **n}
            if not np.isfinite(values).all():
                yield row | {"note": UNDEFINED[metric]}
                continue
            if metric == "centroid_cosine":
                fewest, mean = int(min(subjects[a], subjects[b])), float(values.mean())
                interval = bootstrap_interval(
                    boot[:, a, b],
                    mean,
                    {"n_subjects": fewest, "n_datasets": n["n_datasets"]},
                    n_seeds=S,
                    low=0.0,
                    centred=True,
                    side="a task",
                )
            else:
                interval = no_interval(f"no interval: from {SAMPLED_PAIRS} pairs a task at most")
            yield row | over_seeds(values) | vars(interval)
