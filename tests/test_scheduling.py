"""One pending look instead of one a finished job; and a request to stop is always heard."""

import os
import signal
import threading
import time

from snakemake.scheduling.job_scheduler import JobScheduler

from medtaskatlas.snakemake_ext import scheduling
from medtaskatlas.snakemake_ext.scheduling import end_jobs_when_stopped, one_look_at_a_time


class Scheduler:
    def __init__(self) -> None:
        self._open_jobs = threading.Semaphore(0)

    def _schedule_reevalutation(self, delay: float) -> None:
        raise AssertionError("not replaced")


def looks(scheduler: Scheduler) -> int:
    n = 0
    while scheduler._open_jobs.acquire(blocking=False):
        n += 1
    return n


def test_many_wishes_are_one_look() -> None:
    one_look_at_a_time(Scheduler)
    scheduler = Scheduler()
    threads = threading.active_count()
    for _ in range(100):
        scheduler._schedule_reevalutation(0.05)
    assert threading.active_count() <= threads + 1
    time.sleep(0.3)
    assert looks(scheduler) == 1
    scheduler._schedule_reevalutation(0.01)
    time.sleep(0.2)
    assert looks(scheduler) == 1, "the next wish is heard again"


def test_another_snakemake_is_left_alone() -> None:
    class Other:
        pass

    one_look_at_a_time(Other)
    end_jobs_when_stopped(Other, Other)
    assert not hasattr(Other, "_schedule_reevalutation")
    assert not hasattr(Other, "exit_gracefully")
    assert not hasattr(Other, "cancel")


def test_the_pinned_snakemake_needs_it() -> None:
    assert hasattr(JobScheduler, "_schedule_reevalutation"), (
        "drop medtaskatlas.snakemake_ext.scheduling"
    )
    assert hasattr(JobScheduler, "exit_gracefully"), "drop medtaskatlas.snakemake_ext.scheduling"


def test_a_signal_is_heard_while_the_lock_is_held(monkeypatch) -> None:
    """Snakemake's own handler would wait for the thread that it interrupted."""

    class Stoppable:
        exit_gracefully = JobScheduler.exit_gracefully

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._open_jobs = threading.Semaphore(0)
            self._user_kill = None

    ended = threading.Event()
    # By itself it would end all that these tests start from now on.
    monkeypatch.setattr(scheduling, "_end_local_jobs", ended.set)
    end_jobs_when_stopped(Stoppable)
    scheduler = Stoppable()
    before = signal.signal(signal.SIGTERM, scheduler.exit_gracefully)
    try:
        with scheduler._lock:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            assert scheduler._user_kill is None
        assert scheduler._open_jobs.acquire(timeout=5)
        assert scheduler._user_kill == "graceful"
        assert ended.wait(5)
    finally:
        signal.signal(signal.SIGTERM, before)
