"""The distances between tasks as the page's heatmap shows them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from medtaskatlas.atlas.distances import distance_matrix
from medtaskatlas.figures.frames import WHERE
from medtaskatlas.figures.interactive.encoding import packed
from medtaskatlas.figures.task_distances import METRICS, average_linkage


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
