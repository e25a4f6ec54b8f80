"""Columns of each table: their types, ranges and meanings."""

PLACES = {
    "tasks": "catalogue.TASKS",
    "datasets": "catalogue.DATASETS",
    "task_grid": "catalogue.TASK_GRID",
    "identification": "identification.SPEC",
    "confusion": "confusion.SPEC",
    "separation": "separation.table.SPEC",
    "task_distances": "distances.SPEC",
    "dataset_distances": "dataset_distances.SPEC",
    "clusters": "clusters.table.SPEC",
    "neighbours": "task_neighbours.SPEC",
    "unseen_tasks": "unseen_tasks.SPEC",
    "scaling": "scaling.SPEC",
    "trajectories": "trajectories.table.SPEC",
    "failures": "failures.table.SPEC",
    "controls": "controls.SPEC",
    "comparisons": "comparisons.table.SPEC",
    "shortcuts": "shortcuts.table.SPEC",
    "summary": "summary.SPEC",
}
