"""Workarounds for the scheduler of Snakemake 9.27.

It looks for runnable jobs ever more often: again one timespan of ``--max-jobs-per-timespan`` after
every look, and also after every finished job, so each finished job starts a chain of looks that
ends only when nothing waits. After 300 jobs, with trainings waiting for a free core, a look at
their 300 input files several times a second took half a core from the training that ran (measured
with py-spy on config/embedded.yaml). One pending timer does the same work once.

And asked to stop (SIGTERM, which schedulers of clusters send before they kill), it may wait for
ever: the handler takes the scheduler's lock, in the thread that may hold it at that moment. Nor
does it tell its jobs, so that a training went on for hours unless it was signalled too.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

# Not to be ended with the jobs: a shell that dies before its program would look like the end of the
# job, and the others tell what becomes of jobs that were sent away.
SPARED = {"bash", "sh", "dash", "squeue", "sacct", "scancel", "sbatch", "scontrol", "sinfo"}


def one_look_at_a_time(scheduler: Any) -> None:
    """Let a scheduler class have one pending timer instead of one a finished job.

    Parameters
    ----------
    scheduler
        ``snakemake.scheduling.job_scheduler.JobScheduler``. A class without the method, as another
        version of Snakemake may have it, is left alone.
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


def end_jobs_when_stopped(scheduler: Any, *executors: Any) -> None:
    """Let SIGTERM and Ctrl-C end the jobs of a Snakemake, and be heard where no lock is held.

    Parameters
    ----------
    scheduler
        As for :func:`one_look_at_a_time`.
    executors
        ``snakemake.executors.local.Executor`` and the base class of those that send jobs away; by
        itself the first one waits on Ctrl-C for jobs that have not heard of it.
    """
    name = "exit_gracefully"
    if hasattr(scheduler, name):
        stop = getattr(scheduler, name)
        # Of all queues the one that a signal handler may put something into.
        asked: SimpleQueue[Any] = SimpleQueue()

        def listen() -> None:
            while True:
                stopped = asked.get()
                stop(stopped)
                _cancel_sent(getattr(stopped, "_executor", None))
                _end_local_jobs()

        def hear(self: Any, *_: Any) -> None:
            asked.put(self)

        threading.Thread(target=listen, daemon=True).start()
        setattr(scheduler, name, hear)
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
    """Send SIGTERM once to every process of the jobs on this machine, also to those just starting.

    Trainings then leave a checkpoint; other jobs end at once, and their files are whole or absent.
    """
    import psutil

    told: set[psutil.Process] = set()
    print("medtaskatlas: stopping; the same command goes on from here", file=sys.stderr)
    while True:
        for process in set(psutil.Process().children(recursive=True)) - told:
            with suppress(psutil.Error):
                if process.name() not in SPARED:
                    process.terminate()
                    told.add(process)
        time.sleep(0.2)
