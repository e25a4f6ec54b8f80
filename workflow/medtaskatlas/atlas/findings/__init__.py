"""Findings: functions of the tables that yield rows of `summary`, one file a kind of finding."""

from __future__ import annotations

from collections.abc import Callable

from medtaskatlas.atlas.findings.baselines import beats_baseline
from medtaskatlas.atlas.findings.failures import failures
from medtaskatlas.atlas.findings.families import families
from medtaskatlas.atlas.findings.named import named
from medtaskatlas.atlas.findings.nearest import nearest_tasks
from medtaskatlas.atlas.findings.scaling import scaling
from medtaskatlas.atlas.findings.separation import task_over_dataset
from medtaskatlas.atlas.findings.shortcuts import shortcuts
from medtaskatlas.atlas.findings.trajectories import trajectories
from medtaskatlas.atlas.findings.unseen import unseen_tasks
from medtaskatlas.atlas.findings.words import Rows, Tables

# In the order of the report.
FINDINGS: tuple[Callable[[Tables], Rows], ...] = (
    named,
    beats_baseline,
    task_over_dataset,
    families,
    nearest_tasks,
    unseen_tasks,
    trajectories,
    failures,
    scaling,
    shortcuts,
)
