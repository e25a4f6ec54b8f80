"""What figures of transfer share: words, and the order of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from medtaskatlas.atlas.distances import encoder_matrix
from medtaskatlas.figures import frames
from medtaskatlas.figures.task_distances import average_linkage

PROTOCOLS = {"warm": "warm starts", "shared": "shared features", "affinity": "trained together"}
WORDS = {
    "kernel_symmetric": "kernel, symmetric",
    "graded": "graded codes",
    "graded_unseen": "graded codes, unseen targets",
    "learned": "learned from all of these",
    "output_mse": "output MSE",
    "output_mse_log": "output MSE, log",
    "output_ssim": "output SSIM",
    "shuffled_distances": "control: kernel, shuffled",
    "noise_ceiling_seeds": "gains of another seed",
    "noise_ceiling_datasets": "gains on another dataset",
}


def predictor_name(row: Any) -> str:
    """A predictor in words; a space by the name of its encoder."""
    name = str(row["predictor"])
    if name == "encoder":
        return f"space of {row['encoder']}"
    words = WORDS.get(name, frames.plain(name))
    return f"{words}, {row['encoder']}" if isinstance(row["encoder"], str) else words


def measured(*paths: str | Path | None) -> pd.DataFrame:
    """Rows of the tables of gains that a run has."""
    found = pd.concat([frames.read_frame(path) for path in paths if path is not None])
    return found.reset_index(drop=True)


def protocols_of(rows: pd.DataFrame) -> list[str]:
    """Protocols that a table has, in the order of the documentation."""
    return [name for name in PROTOCOLS if (rows["protocol"] == name).any()]


def families_of(rows: pd.DataFrame) -> dict[str, str]:
    """Family of every source and target that is a task."""
    known = rows[rows["source_family"].notna()]
    families = dict(zip(known["source"], known["source_family"], strict=True))
    return families | dict(zip(rows["target"], rows["target_family"], strict=True))


def tree_order(
    tasks: list[str], functional: str | Path, task_distances: str | Path | None, encoder: str | None
) -> tuple[list[str], str]:
    """Tasks as the leaves of the atlas' tree, and which tree it is.

    That of functional distances where the run has no encoder, or its space does not know a task.
    """
    if task_distances is not None and encoder is not None:
        table = frames.read_frame(task_distances)
        for split in frames.splits_of(table["split"]):
            matrix = encoder_matrix(table, encoder, split)
            if set(tasks) <= set(matrix):
                return _leaves(
                    matrix.loc[tasks, tasks].to_numpy(float), tasks
                ), f"space of {encoder}"
    table = frames.read_frame(functional)
    by = table[table["dataset"] == "all"] if (table["dataset"] == "all").any() else table
    one = by.pivot_table(index="source", columns="target", values="estimate")
    values = one.reindex(index=tasks, columns=tasks).to_numpy(float)
    return _leaves((values + values.T) / 2, tasks), "functional distance"


def _leaves(matrix: np.ndarray, tasks: list[str]) -> list[str]:
    """Tasks in the order of an average-linkage tree."""
    if len(tasks) < 3 or not np.isfinite(matrix).any():
        return tasks
    matrix = matrix.copy()
    np.fill_diagonal(matrix, 0)
    return [tasks[i] for i in leaves_list(average_linkage(matrix))]
