"""Where the schema of each table stands: next to the function that writes the table."""

from __future__ import annotations

# Imported here so that the hash of the code of every table has them.
from medtaskatlas.atlas.schemas import (  # noqa: F401
    clusters,
    comparisons,
    controls,
    failures,
    separation,
    shortcuts,
    trajectories,
)

# Name in its module of this package, in the order of the documentation.
PLACES = {
    "tasks": "catalogue.TASKS",
    "datasets": "catalogue.DATASETS",
    "task_grid": "catalogue.TASK_GRID",
    "identification": "identification.SPEC",
    "confusion": "confusion.SPEC",
    "separation": "schemas.separation.SPEC",
    "task_distances": "distances.SPEC",
    "dataset_distances": "dataset_distances.SPEC",
    "clusters": "schemas.clusters.SPEC",
    "neighbours": "task_neighbours.SPEC",
    "unseen_tasks": "unseen_tasks.SPEC",
    "scaling": "scaling.SPEC",
    "trajectories": "schemas.trajectories.SPEC",
    "failures": "schemas.failures.SPEC",
    "controls": "schemas.controls.SPEC",
    "comparisons": "schemas.comparisons.SPEC",
    "shortcuts": "schemas.shortcuts.SPEC",
    "summary": "summary.SPEC",
}
