"""The table `task_distances`: how far apart tasks lie in the embedding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.centroids import (
    as_they_are,
    bootstrapped,
    centroid_cosines,
    groups_of,
)
from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.inference import centred_interval, no_interval
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.sample_distances import energy_distances, mmd_distances
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

__all__ = ["centroid_cosines", "energy_distances", "task_distances"]

DRAWS = 1000
SAMPLED_PAIRS = 100
UNDEFINED = {
    "centroid_cosine": "undefined: the centroid of a task is zero",
    "energy": "undefined: a task of one pair, or no pair differs from another",
    "mmd": "undefined: a task of one pair, or most pairs do not differ",
}


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

    Held-out tasks are compared with each other and with every task of the gallery, by the held-out
    pairs of both.

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
    asked: dict[str, list[str]] = {}
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks, every_task=True):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        own = queries.frame["task"].isin(queries.asked)
        totals[queries.query_set] = dict(counts(queries.frame[own]))
        asked[queries.query_set] = queries.asked
        rows += [common | row for row in _rows(queries, seed, n_draws)]
        del queries  # before the next is read
    meta = {"run": run, "seed": seed, "n_draws": n_draws, "counts": totals, "tasks": asked}
    write_table("task_distances", rows, out, meta)


def counts_of_two(frame: pd.DataFrame, code: np.ndarray) -> list[list[Counts]]:
    """What the pairs of any two labels rest on together; :func:`.counts` for all at once.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``image_id``, ``group_id``; one row a pair.
    code
        int [N], labels from 0.

    Returns
    -------
    list of list of Counts
        [T][T].
    """
    T = int(code.max()) + 1

    def union(names: list[str]) -> np.ndarray:
        thing = frame.groupby(names, sort=False).ngroup().to_numpy()
        there = np.zeros((thing.max() + 1, T))
        there[thing, code] = 1
        own = there.sum(axis=0)
        return (own[:, None] + own[None] - there.T @ there).astype(int)

    size = np.bincount(code, minlength=T)
    pairs = size[:, None] + size[None] - np.diag(size)
    images, groups = union(["dataset", "image_id"]), union(["dataset", "group_id"])
    datasets = union(["dataset"])
    return [
        [
            {
                "n_pairs": int(pairs[a, b]),
                "n_images": int(images[a, b]),
                "n_groups": int(groups[a, b]),
                "n_datasets": int(datasets[a, b]),
            }
            for b in range(T)
        ]
        for a in range(T)
    ]


def _rows(queries: EncoderQueries, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Rows of one encoder and query set."""
    design = Design.of(queries.frame)
    if len(design.tasks) < 2:
        return
    chosen = _sample(queries, design, seed)
    sampled = [(v[chosen], design.task[chosen]) for v in queries.vectors]
    each = {
        "centroid_cosine": as_they_are(centroid_cosines, queries),
        "energy": np.stack([energy_distances(*one) for one in sampled]),
        "mmd": np.stack([mmd_distances(*one) for one in sampled]),
    }
    boot = bootstrapped(centroid_cosines, queries, seed, n_draws, fixed_datasets=False)
    family = dict(zip(queries.frame["task"], queries.frame["family"], strict=True))
    n_of = counts_of_two(queries.frame, design.task)
    groups, S = groups_of(design), len(queries.seeds)
    own = np.isin(design.tasks, queries.asked)
    for a, b in combinations(range(len(design.tasks)), 2):
        if not own[a] and not own[b]:
            continue
        n, one, other = n_of[a][b], design.tasks[a], design.tasks[b]
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
                yield row | {"note": UNDEFINED[metric]}
                continue
            if metric == "centroid_cosine":
                interval = centred_interval(
                    boot[:, a, b],
                    float(values.mean()),
                    n_groups=int(min(groups[a], groups[b])),
                    n_datasets=n["n_datasets"],
                    n_seeds=S,
                    low=0.0,
                    side="a task",
                )
            else:
                interval = no_interval(f"no interval: from {SAMPLED_PAIRS} pairs a task at most")
            spread = values.std(ddof=1) if S > 1 else None
            yield row | {"estimate": values.mean(), "seed_sd": spread} | vars(interval)


def _sample(queries: EncoderQueries, design: Design, seed: int) -> np.ndarray:
    """Sorted rows, a bounded number of each task: the same for all encoders."""
    order = generator(seed, "energy", queries.query_set).permutation(len(queries.frame))
    rank = pd.Series(order).groupby(design.task[order]).cumcount().to_numpy()
    return np.sort(order[rank < SAMPLED_PAIRS])
