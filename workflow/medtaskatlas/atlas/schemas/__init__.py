"""What each table holds: its columns, their types, ranges and meanings. One file a table."""

from __future__ import annotations

from medtaskatlas.atlas.schemas import (
    clusters,
    comparisons,
    confusion,
    controls,
    dataset_distances,
    datasets,
    failures,
    identification,
    neighbours,
    scaling,
    separation,
    shortcuts,
    summary,
    task_distances,
    task_grid,
    tasks,
    trajectories,
    unseen_tasks,
)
from medtaskatlas.atlas.schemas.columns import Column, TableSpec

# In the order of the documentation.
SPECS: dict[str, TableSpec] = {
    "tasks": tasks.SPEC,
    "datasets": datasets.SPEC,
    "task_grid": task_grid.SPEC,
    "identification": identification.SPEC,
    "confusion": confusion.SPEC,
    "separation": separation.SPEC,
    "task_distances": task_distances.SPEC,
    "dataset_distances": dataset_distances.SPEC,
    "clusters": clusters.SPEC,
    "neighbours": neighbours.SPEC,
    "unseen_tasks": unseen_tasks.SPEC,
    "scaling": scaling.SPEC,
    "trajectories": trajectories.SPEC,
    "failures": failures.SPEC,
    "controls": controls.SPEC,
    "comparisons": comparisons.SPEC,
    "shortcuts": shortcuts.SPEC,
    "summary": summary.SPEC,
}

__all__ = ["SPECS", "Column", "TableSpec"]
