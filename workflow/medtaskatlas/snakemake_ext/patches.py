"""Workarounds for Snakemake 9.27 and its Slurm executor, in one call of the Snakefile.

Each leaves a class alone that lacks the methods that it patches, as another version may.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any

# Not to be ended with the jobs: a shell that dies before its program would look like the end of the
# job, and the others tell what becomes of jobs that were sent away.
SPARED = {"bash", "sh", "dash", "squeue", "sacct", "scancel", "sbatch", "scontrol", "sinfo"}
# Methods of PersistenceBase that `record_cells` relies on.
NEEDED = (
    "finished",
    "params",
    "params_changed",
    "_get_key",
    "_read_record",
    "_write_record",
    "_clear_cache",
    "_serialize_param",
)


def patch_snakemake() -> None:
    """Apply all workarounds."""
    from snakemake.executors.local import Executor
    from snakemake.output_index import OutputIndex
    from snakemake.persistence import PersistenceBase
    from snakemake.scheduling.job_scheduler import JobScheduler
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    limit_scheduling_timers(JobScheduler)
    end_jobs_on_signal(JobScheduler, Executor, RemoteExecutor)
    cache_producers(OutputIndex)
    record_cells(PersistenceBase)
    # Loaded by Snakemake at its start, wherever it is installed.
    poll_steadily(sys.modules.get("snakemake_executor_plugin_slurm"))


def limit_scheduling_timers(scheduler: Any) -> None:
    """Let a ``JobScheduler`` have one pending timer instead of one a finished job.

    By itself each finished job starts a chain of checks for runnable jobs that ends only when
    nothing waits. After 300 jobs, with trainings waiting for a free core, a look at their 300 input
    files several times a second took half a core from the training that ran (measured with py-spy
    on config/embedded.yaml). One pending timer does the same work once.
    """
    name = "_schedule_reevalutation"  # sic
    if not hasattr(scheduler, name):
        return

    def schedule(self: Any, delay: float) -> None:
        pending: threading.Timer | None = getattr(self, "_pending_look", None)
        if pending is None or not pending.is_alive():
            self._pending_look = threading.Timer(delay, self._open_jobs.release)
            # A look that is due after the last job must not keep Snakemake from ending.
            self._pending_look.daemon = True
            self._pending_look.start()

    setattr(scheduler, name, schedule)


def end_jobs_on_signal(scheduler: Any, *executors: Any) -> None:
    """Let SIGTERM and Ctrl-C end the jobs of a ``JobScheduler``, whatever lock is held.

    Snakemake's handler takes the scheduler's lock, in the thread that may hold it at that moment,
    and so may wait for ever; nor does it tell its jobs. ``executors`` are the local one, which by
    itself waits on Ctrl-C for jobs that have not heard of it, and the base class of remote ones.
    """
    name = "exit_gracefully"
    if hasattr(scheduler, name):
        stop = getattr(scheduler, name)
        # Of all queues the one that a signal handler may put something into.
        requests: SimpleQueue[Any] = SimpleQueue()

        def listen() -> None:
            while True:
                stopped = requests.get()
                stop(stopped)
                _cancel_sent(getattr(stopped, "_executor", None))
                _end_local_jobs()

        def request(self: Any, *_: Any) -> None:
            requests.put(self)

        threading.Thread(target=listen, daemon=True).start()
        setattr(scheduler, name, request)
    for executor in executors:
        if not hasattr(executor, "cancel"):
            continue

        def cancel(self: Any, before: Callable[[Any], None] = executor.cancel) -> None:
            threading.Thread(target=_end_local_jobs, daemon=True).start()
            before(self)

        executor.cancel = cancel


def _cancel_sent(executor: Any) -> None:
    """Cancel the jobs that an executor has sent away; its next look finds them ended."""
    if hasattr(executor, "cancel_jobs"):
        with executor.lock:
            active = list(executor.active_jobs)
        executor.cancel_jobs(active)


def _end_local_jobs() -> None:
    """Send SIGTERM once to every process of the jobs on this machine, also to new ones."""
    import psutil

    signalled: set[psutil.Process] = set()
    print("medtaskatlas: stopping; the same command goes on from here", file=sys.stderr)
    while True:
        for process in set(psutil.Process().children(recursive=True)) - signalled:
            with suppress(psutil.Error):
                if process.name() not in SPARED:
                    process.terminate()
                    signalled.add(process)
        time.sleep(0.2)


def cache_producers(index: Any) -> None:
    """Let an ``OutputIndex``, which never changes once it is made, remember its answers.

    The rules that can make a file depend on its name alone, but are matched anew for every job.
    Pairs are inputs of every training and embedding: the full-size run reads 5,000 files in 155,000
    places, and this was more than half of the time that its planning takes.
    """
    match = getattr(index, "match_producers", None)
    if match is None or getattr(index, "_remembers", False):
        return

    def match_producers(self: Any, targetfile: str) -> Any:
        known: dict[str, Any] = self.__dict__.setdefault("_known_producers", {})
        if targetfile not in known:
            known[targetfile] = match(self, targetfile)
        return known[targetfile]

    index.match_producers = match_producers
    index._remembers = True


def record_cells(persistence: Any) -> None:
    """Let a ``PersistenceBase`` record for each output of a batch what its own job would have.

    Snakemake reruns a job when its parameters are not those recorded with its outputs. A job of
    many cells has the parameters of all of them, so a run that goes on with another number of cells
    a job, say at home after a night on a cluster, would make all pairs anew and train all encoders
    again. So a batch is recorded, and compared, file by file.
    """
    if getattr(persistence, "_remembers_cells", False):
        return
    if not all(hasattr(persistence, name) for name in NEEDED):
        return
    finished, params_changed = persistence.finished, persistence.params_changed

    async def finished_cells(self: Any, job: Any) -> None:
        await finished(self, job)
        cells = _cells(job)
        # What it has read before it wrote is out of date.
        self._clear_cache()
        for path in job.output if cells else []:
            key = self._get_key(path)
            record = self._read_record(key)
            if record is not None and record.params is not None:
                record.params = _params(self, cells, path)
                self._write_record(key, record)
        self._clear_cache()

    def cells_params_changed(self: Any, job: Any, file: Any = None) -> Any:
        cells = _cells(job)
        changes = params_changed(self, job, file=file)
        if not cells or not changes:
            return changes
        by_file = type(changes)()
        for path in [file] if file is not None else job.output:
            recorded = self.params(path)
            if recorded is not None:
                old, new = set(recorded), set(_params(self, cells, path))
                by_file |= type(changes)(only_old=old - new, only_new=new - old, files={path})
        return by_file

    persistence.finished = finished_cells
    persistence.params_changed = cells_params_changed
    persistence._remembers_cells = True


def _cells(job: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Task to set to parameters of the files of a batch; empty for other jobs."""
    return getattr(getattr(job, "params", None), "cells", None) or {}


def _params(persistence: Any, cells: dict[str, dict[str, dict[str, Any]]], path: Any) -> list[str]:
    """Parameters of the job that would make one file, as Snakemake writes them down."""
    file = Path(str(path))
    params = cells[file.parent.name][file.parent.parent.name]
    return sorted(persistence._serialize_param(value) for value in params.values())


def poll_steadily(plugin: ModuleType | None) -> None:
    """Let ``snakemake_executor_plugin_slurm`` heed ``--seconds-between-status-checks``.

    By itself it starts with ``--slurm-init-seconds-before-status-checks``, and adds ten seconds to
    every look that found nothing new: short jobs then wait longer than they run.
    """
    executor = getattr(plugin, "Executor", None)
    name = "next_seconds_between_status_checks"
    if not isinstance(getattr(executor, name, None), property):
        return

    def pause(self: Any) -> int:
        seconds: int = self.workflow.remote_execution_settings.seconds_between_status_checks
        return seconds

    # Set by the executor, and ignored.
    setattr(executor, name, property(pause, lambda self, seconds: None))
