"""Workarounds for the pinned Snakemake and its Slurm executor, in one call of the Snakefile."""

from __future__ import annotations

import sys

from medtaskatlas.snakemake_ext.cell_records import remember_cells
from medtaskatlas.snakemake_ext.producers import remember_producers
from medtaskatlas.snakemake_ext.scheduling import end_jobs_when_stopped, one_look_at_a_time
from medtaskatlas.snakemake_ext.slurm import look_steadily


def repair_snakemake() -> None:
    """Apply them; each leaves a Snakemake alone that is not as it expects."""
    from snakemake.executors.local import Executor
    from snakemake.output_index import OutputIndex
    from snakemake.persistence import PersistenceBase
    from snakemake.scheduling.job_scheduler import JobScheduler
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    one_look_at_a_time(JobScheduler)
    end_jobs_when_stopped(JobScheduler, Executor, RemoteExecutor)
    remember_producers(OutputIndex)
    remember_cells(PersistenceBase)
    # Loaded by Snakemake at its start, wherever it is installed.
    look_steadily(sys.modules.get("snakemake_executor_plugin_slurm"))
