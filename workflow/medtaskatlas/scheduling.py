"""Workarounds for the scheduler of Snakemake 9.27.

It looks for runnable jobs ever more often: again one timespan of ``--max-jobs-per-timespan`` after
every look, and also after every finished job, so each finished job starts a chain of looks that
ends only when nothing waits. After 300 jobs, with trainings waiting for a free core, a look at
their 300 input files several times a second took half a core from the training that ran (measured
with py-spy on config/embedded.yaml). One pending timer does the same work once.

And asked to stop (SIGTERM, which schedulers of clusters send before they kill), it may wait for
ever: the handler takes the scheduler's lock, in the thread that may hold it at that moment.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any


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


def hear_in_another_thread(scheduler: Any) -> None:
    """Let a scheduler class hear that it is to stop in a thread that holds no lock.

    Parameters
    ----------
    scheduler
        As for :func:`one_look_at_a_time`.
    """
    name = "exit_gracefully"
    if not hasattr(scheduler, name):
        return
    stop = getattr(scheduler, name)
    # Of all queues the one that a signal handler may put something into.
    asked: SimpleQueue[Any] = SimpleQueue()

    def listen() -> None:
        while True:
            stop(asked.get())

    def hear(self: Any, *_: Any) -> None:
        asked.put(self)

    threading.Thread(target=listen, daemon=True).start()
    setattr(scheduler, name, hear)
