"""Batches: the cells of pairs that one job makes.

A cell, one task on one dataset, takes seconds. On one machine a job a cell for its main pairs costs
a fraction of that and tells best what failed. A scheduler of a cluster takes longer to start a job
than a cell takes, and is not made for thousands of them: there, one job makes all tasks of a
dataset. Snakemake's own groups would ask for the memory and cores of all their jobs at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from medtaskatlas.formats.pairs import SETS
from medtaskatlas.pairs.failed_cells import RULE_OF_SET
from medtaskatlas.run.plan import RunPlan

# Where jobs are sent to a cluster: all tasks of a dataset in one job, for the default bank.
CLUSTER_CELLS_PER_JOB = 30


@dataclass(frozen=True)
class Batch:
    """Tasks of which one job makes the pairs on each of some datasets."""

    name: str  # batch1, batch2, ...; unique in a run
    tasks: tuple[str, ...]
    datasets: tuple[str, ...]  # those that have these tasks; one job each


def batches(cells: Iterable[tuple[str, str]], cells_per_job: int) -> list[Batch]:
    """Share the cells of a run, (task, dataset), out to jobs; repeated ones count once.

    A job has one dataset, so that it starts as soon as that dataset is prepared, and reruns when
    that one changes. Jobs of a dataset differ by one cell at most.
    """
    tasks_of: dict[str, list[str]] = {}
    for task, dataset in dict.fromkeys(cells):
        tasks_of.setdefault(dataset, []).append(task)
    datasets_of: dict[tuple[str, ...], list[str]] = {}
    for dataset, tasks in tasks_of.items():
        n = -(-len(tasks) // cells_per_job)
        bounds = [i * len(tasks) // n for i in range(n + 1)]
        for begin, end in pairwise(bounds):
            datasets_of.setdefault(tuple(tasks[begin:end]), []).append(dataset)
    return [
        Batch(f"batch{i}", tasks, tuple(datasets))
        for i, (tasks, datasets) in enumerate(datasets_of.items(), 1)
    ]


def pair_batches(plan: RunPlan, cells_per_job: int) -> list[tuple[str, tuple[str, ...], Batch]]:
    """Jobs of a run that make the pairs of many cells: name of their logs, sets of pairs, cells.

    With one cell a job they make failures or trajectories alone, since main pairs have a job each.
    """
    if cells_per_job == 1:
        return [
            (RULE_OF_SET[name], (name,), batch)
            for name in SETS
            if name != "main"
            for batch in batches(plan.cells_of(name), CLUSTER_CELLS_PER_JOB)
        ]
    return [(RULE_OF_SET["main"], SETS, b) for b in batches(plan.pair_cells, cells_per_job)]


def cells_per_job(wanted: int | None, *, on_cluster: bool) -> int:
    """Number of cells a job makes: as configured, or by whether jobs are sent to a cluster."""
    return wanted or (CLUSTER_CELLS_PER_JOB if on_cluster else 1)


def jobs_go_to_cluster(workflow: Any) -> bool:
    """Whether jobs are sent to a cluster: the same in a dry run, and in the job on its node."""
    # `nodes` is --jobs where an executor has nodes; a local one counts --jobs as cores.
    return bool(workflow.remote_exec or workflow.resource_settings.nodes is not None)
