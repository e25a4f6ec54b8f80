"""What is mended of the pinned Snakemake is there to be mended, and nothing else is touched."""

import os
import signal
import threading
import time
from types import SimpleNamespace

from snakemake.output_index import OutputIndex
from snakemake.persistence import PersistenceBase
from snakemake.scheduling.job_scheduler import JobScheduler

from medtaskatlas.run.batching import jobs_go_to_cluster
from medtaskatlas.snakemake_ext import patches
from medtaskatlas.snakemake_ext.patches import (
    NEEDED,
    cache_producers,
    end_jobs_on_signal,
    limit_scheduling_timers,
    patch_snakemake,
    record_cells,
)


class Index:
    """An index that counts how often it looks."""

    def __init__(self, answer: str) -> None:
        self.answer, self.looks = answer, 0

    def match_producers(self, targetfile: str) -> set[str]:
        self.looks += 1
        return {self.answer + targetfile}


def test_a_file_is_looked_up_once_in_each_index() -> None:
    cache_producers(Index)
    cache_producers(Index)
    one, two = Index("one "), Index("two ")
    for _ in range(3):
        assert one.match_producers("a") == {"one a"}
        assert one.match_producers("b") == {"one b"}
        assert two.match_producers("a") == {"two a"}
    assert (one.looks, two.looks) == (2, 1)


def test_the_pinned_snakemake_is_as_expected() -> None:
    patch_snakemake()
    assert OutputIndex._remembers
    assert PersistenceBase._remembers_cells
    assert [name for name in NEEDED if not hasattr(PersistenceBase, name)] == []
    # Else drop the workarounds.
    assert hasattr(JobScheduler, "_schedule_reevalutation")
    assert hasattr(JobScheduler, "exit_gracefully")


def test_jobs_are_sent_away_by_the_executor_and_on_the_node() -> None:
    def workflow(nodes: int | None, remote: bool = False) -> SimpleNamespace:
        return SimpleNamespace(remote_exec=remote, resource_settings=SimpleNamespace(nodes=nodes))

    assert not jobs_go_to_cluster(workflow(None))
    assert jobs_go_to_cluster(workflow(100))
    assert jobs_go_to_cluster(workflow(None, remote=True))


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
    limit_scheduling_timers(Scheduler)
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
        finished = "as it was"

    limit_scheduling_timers(Other)
    end_jobs_on_signal(Other, Other)
    record_cells(Other)
    cache_producers(Other)
    assert [name for name in vars(Other) if not name.startswith("__")] == ["finished"]
    assert Other.finished == "as it was"


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
    monkeypatch.setattr(patches, "_end_local_jobs", ended.set)
    end_jobs_on_signal(Stoppable)
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
