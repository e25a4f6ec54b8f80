"""A long table of distances between tasks as a square matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd


def encoder_matrix(
    table: pd.DataFrame, encoder: str, split: str, metric: str = "centroid_cosine"
) -> pd.DataFrame:
    """Distances between tasks in the space of one encoder.

    Parameters
    ----------
    table
        The table `task_distances`.
    encoder, split, metric
        Which rows.

    Returns
    -------
    pandas.DataFrame
        As of :func:`distance_matrix`.
    """
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
