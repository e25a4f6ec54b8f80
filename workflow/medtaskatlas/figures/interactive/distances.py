"""The distances between tasks as the page's heatmap shows them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from medtaskatlas.atlas.distances import distance_matrix
from medtaskatlas.atlas.transfer.functional_distance import ALL
from medtaskatlas.figures.frames import WHERE
from medtaskatlas.figures.interactive.encoding import packed
from medtaskatlas.figures.task_distances import METRICS, average_linkage

DISC = 0.025  # radius of a task on the map, as a share of the map


def matrices(
    rows: pd.DataFrame, tasks: Sequence[str], heldout: Collection[str]
) -> list[dict[str, Any]]:
    """Matrices of one encoder, one a query set and metric."""
    rows = rows[rows["seed"].isna() & rows["estimate"].notna()]
    place = {task: k for k, task in enumerate(tasks)}
    found = []
    for split in [name for name in WHERE if (rows["split"] == name).any()]:
        here = rows[rows["split"] == split]
        for metric in sorted(set(here["metric"])):
            own = here[here["metric"] == metric]
            matrix = distance_matrix(own)
            names, value = list(map(str, matrix)), matrix.to_numpy()
            order = np.argsort([place[name] for name in names])
            shown = [place[names[k]] for k in order]
            value = value[np.ix_(order, order)]
            # Tasks of the gallery are compared with held-out tasks and not with each other.
            asked = np.isin([names[k] for k in order], list(heldout))
            beside = split == "tasks" and not asked.all()
            near = nearest_first(value[:, asked]) if beside else leaves(value)

            def of(column: str, rows: pd.DataFrame = own, order: np.ndarray = order) -> np.ndarray:
                values = distance_matrix(rows, column).to_numpy()
                return values[np.ix_(order, order)].astype(np.float32)

            found.append(
                {
                    "name": f"{WHERE[split]}: {METRICS.get(metric, metric)}".replace("\n", " "),
                    "tasks": shown,
                    "near": [shown[k] for k in near],
                    "near_name": "nearest first" if beside else "tree",
                    "columns": [shown[k] for k in np.flatnonzero(asked)] if beside else shown,
                    "value": packed(value.astype(np.float32)),
                    "low": packed(of("ci_low")),
                    "high": packed(of("ci_high")),
                    "n": packed(np.nan_to_num(of("n_pairs")).astype(np.uint32)),
                }
            )
    return found


def directed(rows: pd.DataFrame, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Matrices of what sources (rows) do for targets (columns), over datasets and of each."""
    place = {task: k for k, task in enumerate(tasks)}
    found = []
    for dataset in sorted(set(rows["dataset"]), key=lambda name: (name != ALL, name)):
        here = rows[rows["dataset"] == dataset]
        names = sorted({*here["source"], *here["target"]}, key=tasks.index)
        value = directed_matrix(here, names)
        shown = [place[name] for name in names]
        low, high, n = (
            directed_matrix(here, names, column) for column in ("ci_low", "ci_high", "n_pairs")
        )
        found.append(
            {
                "name": "all datasets" if dataset == ALL else dataset,
                "directed": True,
                "tasks": shown,
                "near": [shown[k] for k in leaves(symmetric(value))],
                "near_name": "tree",
                "columns": shown,
                "value": packed(value.astype(np.float32)),
                "low": packed(low.astype(np.float32)),
                "high": packed(high.astype(np.float32)),
                "n": packed(np.nan_to_num(n).astype(np.uint32)),
            }
        )
    return found


def directed_matrix(
    rows: pd.DataFrame, tasks: Sequence[str], column: str = "estimate"
) -> np.ndarray:
    """What a table says of source and target on one dataset, float64 [T, T]; NaN where nothing."""
    if "target_trained" in rows:
        # Placed by a training that knew the target, where there is one.
        rows = rows.sort_values("target_trained", kind="stable")
        rows = rows.drop_duplicates(["source", "target"], keep="last")
    wide = rows.pivot(index="source", columns="target", values=column)
    return wide.reindex(index=list(tasks), columns=list(tasks)).to_numpy(float, na_value=np.nan)


def symmetric(value: np.ndarray) -> np.ndarray:
    """Mean of both directions, at least 0, and 0 on the diagonal."""
    both = np.clip((value + value.T) / 2, 0, None)
    np.fill_diagonal(both, 0)
    return both


def places(rows: pd.DataFrame, tasks: Sequence[str]) -> np.ndarray:
    """Places of tasks in the plane [T, 2], by classical scaling of roots of their distances."""
    from sklearn.manifold import ClassicalMDS

    over = rows[rows["dataset"] == ALL] if (rows["dataset"] == ALL).any() else rows
    value = symmetric(directed_matrix(over.drop_duplicates(["source", "target"]), tasks))
    far = np.nanmax(value, initial=0)
    if far == 0:
        return np.zeros((len(tasks), 2))
    filled = np.where(np.isnan(value), far, value)
    # Logs of errors grow as squares of distances do; as they are, the farthest task takes the map.
    scaling = ClassicalMDS(n_components=2, metric="precomputed")
    return np.asarray(scaling.fit_transform(np.sqrt(filled)))


def around(places: np.ndarray, task: np.ndarray) -> np.ndarray:
    """Pairs [N, 2] strewn over a small disc around the places [N, 2] of their tasks."""
    number, total = np.zeros(len(task)), np.ones(len(task))
    for name in np.unique(task):
        own = task == name
        number[own], total[own] = np.arange(own.sum()), own.sum()
    # By the golden angle a disc is filled evenly (Vogel, 1979).
    turn, far = number * np.pi * (3 - np.sqrt(5)), np.sqrt((number + 0.5) / total)
    disc = far[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return places + DISC * max(float(np.ptp(places, axis=0).max()), 1e-9) * disc


def nearest_first(apart: np.ndarray) -> list[int]:
    """Rows by their mean distance to some tasks."""
    known = np.isfinite(apart)
    total = np.where(known, apart, 0).sum(axis=1)
    mean = np.divide(total, known.sum(axis=1), out=np.full(len(apart), np.inf), where=known.any(1))
    return [int(k) for k in np.argsort(mean, kind="stable")]


def leaves(matrix: np.ndarray) -> list[int]:
    """Order of the leaves of the tree that distances make."""
    if len(matrix) < 3:
        return list(range(len(matrix)))
    return [int(k) for k in leaves_list(average_linkage(matrix))]
