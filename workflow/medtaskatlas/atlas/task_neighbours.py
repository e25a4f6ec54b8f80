"""The table `neighbours`: the tasks nearest to each task, and how surely they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.centroids import (
    as_they_are,
    bootstrapped,
    centroid_cosines,
    subjects_of,
)
from medtaskatlas.atlas.counts import counts_of_two
from medtaskatlas.atlas.distances import DRAWS, UNDEFINED
from medtaskatlas.atlas.inference import MIN_SUBJECTS, bootstrap_interval, over_seeds
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.tables import write_table

RANKS = 5
ALONE = "undefined: no other task is asked"
ALONE_HELD_OUT = "undefined: no task of the gallery has held-out pairs"

SPEC = columns.TableSpec(
    "Which tasks lie nearest to each task, and how surely. The estimate is the distance. In split "
    "`tasks`: which tasks of the gallery lie nearest to each held-out task.",
    ("run", "encoder", "split", "task", "rank"),
    (
        *columns.WHO,
        columns.text("metric", "distance between tasks, as in task_distances", "centroid_cosine"),
        columns.text("task", "the task"),
        columns.text("family", "its family"),
        columns.count("rank", "1: the nearest task"),
        columns.text(
            "neighbour", "the task at that rank; null where `note` says why", nullable=True
        ),
        columns.text("neighbour_family", "family of the neighbour", nullable=True),
        columns.yes("same_family", "task and neighbour are of one family", nullable=True),
        columns.number(
            "support",
            "share of the bootstrap draws (dataset > subject > seed) that hold both tasks in which "
            "it is the nearest; null where `note` says why",
            0,
            1,
        ),
        columns.number(
            "support_top3", "share of them in which it is among the three nearest", 0, 1
        ),
        *columns.MEASURED,
    ),
)


def neighbours(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `neighbours`, over all seeds of each encoder.

    Neighbours of a held-out task are tasks of the gallery, told by held-out pairs of both.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/neighbours.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    """
    rows: list[dict[str, Any]] = []
    for queries in load_queries(embedding_paths, every_task=True):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        rows += [common | row for row in _rows(queries, seed, n_draws)]
        del queries  # before the next is read
    write_table("neighbours", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def nearest_shares(draws: np.ndarray, ranks: int) -> np.ndarray:
    """Share [K, K] of draws that hold both, in which one is among the ``ranks`` nearest of another.

    ``draws`` [B, K, K] are distances, NaN for what a draw lacks; NaN where no draw holds both. Of
    equal distances the first is the nearer.
    """
    K = draws.shape[-1]
    known = np.isfinite(draws)
    known[:, np.arange(K), np.arange(K)] = False
    order = np.argsort(np.where(known, draws, np.inf), axis=-1, kind="stable")
    near = np.zeros(draws.shape, bool)
    np.put_along_axis(near, order[:, :, :ranks], values=True, axis=-1)
    judged = known.sum(axis=0).astype(float)
    hits = (near & known).sum(axis=0)
    return np.divide(hits, judged, out=np.full((K, K), np.nan), where=judged > 0)


def _rows(queries: EncoderQueries, seed: int, n_draws: int) -> Iterator[dict[str, Any]]:
    """Rows of one encoder and query set."""
    design, frame = Design.of(queries.frame), queries.frame
    tasks, S = design.tasks, len(queries.seeds)
    family = dict(zip(frame["task"], frame["family"], strict=True))
    own = np.isin(tasks, queries.asked)
    # A held-out task is to be placed among what the encoder knows, not among others like it.
    choice = ~own if queries.query_set == "tasks" else own
    each = as_they_are(centroid_cosines, queries)
    mean = np.where(choice, each.mean(axis=0), np.nan)
    boot = bootstrapped(centroid_cosines, queries, seed, n_draws, fixed_datasets=False)
    boot[:, :, ~choice] = np.nan
    first, third = nearest_shares(boot, 1), nearest_shares(boot, 3)
    n_of, subjects = counts_of_two(frame, design.task), subjects_of(design)
    for a, task in enumerate(tasks):
        if not own[a]:
            continue
        row: dict[str, Any] = {"metric": "centroid_cosine", "task": task, "family": family[task]}
        if choice.sum() == choice[a]:
            why = ALONE_HELD_OUT if queries.query_set == "tasks" else ALONE
            yield row | n_of[a][a] | {"rank": 1, "note": why}
            continue
        apart = mean[a].copy()
        apart[a] = np.nan
        order = [b for b in np.argsort(apart, kind="stable")[:RANKS] if np.isfinite(apart[b])]
        if not order:
            yield row | n_of[a][a] | {"rank": 1, "note": UNDEFINED["centroid_cosine"]}
            continue
        for rank, b in enumerate(order, 1):
            few = int(min(subjects[a], subjects[b]))
            n = n_of[a][b]
            interval = bootstrap_interval(
                boot[:, a, b],
                float(mean[a, b]),
                {"n_subjects": few, "n_datasets": n["n_datasets"]},
                n_seeds=S,
                low=0.0,
                centred=True,
                side="a task",
            )
            sure = few >= MIN_SUBJECTS
            note = interval.note
            if note and not sure:
                note = note.replace("no interval", "no interval and no support", 1)
            yield {
                **row,
                "rank": rank,
                "neighbour": tasks[b],
                "neighbour_family": family[tasks[b]],
                "same_family": family[task] == family[tasks[b]],
                "support": first[a, b] if sure else None,
                "support_top3": third[a, b] if sure else None,
                **over_seeds(each[:, a, b]),
                **vars(interval),
                **n,
                "note": note,
            }
