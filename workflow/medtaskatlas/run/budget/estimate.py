"""What a run will cost: jobs, hours, memory and disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.run.budget.counts import Images, assumed, images_of
from medtaskatlas.run.budget.disk import disk_mb, unstated_downloads
from medtaskatlas.run.budget.job import Job
from medtaskatlas.run.budget.rates import Rates
from medtaskatlas.run.budget.stages import LOCAL, jobs_of
from medtaskatlas.run.plan import Plan

STAGES = ("data", "pairs", "train", "embed", "tables", "report")
# Work that is so many times the largest measured is marked: a line is drawn far beyond its points.
FAR = 10


@dataclass(frozen=True)
class Priced:
    """A job with its cost.

    Attributes
    ----------
    job
        The job.
    core_seconds
        On CPU cores.
    gpu_seconds
        On a GPU; 0 where it runs without.
    wall_seconds
        From start to end, on its own.
    megabytes
        Peak memory.
    far
        Whether its work is far beyond what was measured.
    measured
        Whether anything like it was measured.
    """

    job: Job
    core_seconds: float
    gpu_seconds: float
    wall_seconds: float
    megabytes: float
    far: bool
    measured: bool


def price(
    job: Job, rates: Rates, facts: Mapping[str, Any], *, cores: int, gpu: Mapping[str, Any] | None
) -> Priced:
    """Cost of a job.

    Parameters
    ----------
    job
        The job.
    rates
        Measured rates.
    facts
        assumed.json.
    cores
        Cores of the machine; a job takes no more.
    gpu
        Card of assumed.json, for jobs that can use one; None: there is none.

    Returns
    -------
    Priced
        Threads of torch are taken to share work without loss.
    """
    rate = rates.of(job.key)
    base = rate.seconds.base if rate else 0.0
    megabytes = rate.megabytes.at(job.memory) if rate else 0.0
    far = rate is not None and job.work > FAR * max(rate.most, 1e-9)
    fetching = job.download_mb / facts["download_mb_per_second"]
    if job.gpu and gpu is not None:
        reading = job.gpu_mb / facts["reader_mb_per_second"]
        seconds = base + max(job.gpu_tflop / gpu["tflops"], reading)
        return Priced(job, seconds, seconds, seconds, megabytes, False, rate is not None)
    work = rate.seconds.slope * job.work if rate else 0.0
    # The start, mostly imports, is one thread whatever the job may use.
    wall = base + fetching + work / min(job.threads, cores)
    return Priced(
        job, base + work, 0.0, wall, megabytes, far, rate is not None or job.rule == "all"
    )


def wall_seconds(priced: Iterable[Priced], *, cores: int, gpus: int) -> dict[str, float]:
    """Time of each stage, one after the other.

    Parameters
    ----------
    priced
        All jobs.
    cores, gpus
        What there is.

    Returns
    -------
    dict of str to float
        Stage to seconds: the work over what does it, but no less than its longest job. Snakemake
        lets stages overlap, so the sum is a little too long; jobs do not fit without gaps, so it is
        a little too short.
    """
    found = dict.fromkeys(STAGES, 0.0)
    for stage in STAGES:
        for on_gpu, there in ((True, gpus), (False, cores)):
            own = [p for p in priced if p.job.stage == stage and (p.gpu_seconds > 0) == on_gpu]
            if not own:
                continue
            load = sum(p.wall_seconds * (1 if on_gpu else min(p.job.threads, cores)) for p in own)
            longest = max(p.wall_seconds for p in own)
            found[stage] = max(found[stage], longest, load / max(there, 1))
    return found


def at_once_mb(priced: Iterable[Priced], *, cores: int, gpus: int) -> float:
    """Most memory of jobs that may run together.

    Parameters
    ----------
    priced
        All jobs.
    cores, gpus
        What there is.

    Returns
    -------
    float
        Megabytes: the largest jobs of one stage that fit the cores and cards.
    """
    peaks = []
    for stage in STAGES:
        own = sorted(
            (p for p in priced if p.job.stage == stage), key=lambda p: p.megabytes, reverse=True
        )
        free, cards, total = cores, gpus, 0.0
        for p in own:
            takes = min(p.job.threads, cores)
            if takes > free or (p.gpu_seconds > 0 and not cards):
                continue
            free, cards = free - takes, cards - (p.gpu_seconds > 0)
            total += p.megabytes
        peaks.append(total)
    return max(peaks)


def estimate(
    plan: Plan, rates: Rates, *, cores: int, gpus: int = 0, gpu: str = "H100-class"
) -> dict[str, Any]:
    """What a run will cost.

    Parameters
    ----------
    plan
        The run.
    rates
        Measured rates.
    cores, gpus
        What it will run on.
    gpu
        Which card, one of assumed.json.

    Returns
    -------
    dict
        JSON-able: ``rules``, ``total``, ``wall_hours``, ``gpu_hours``, ``disk_gb``, ``slurm``,
        ``notes``, and ``rates``, where the rates are from.

    Raises
    ------
    ConfigError
        If there is no such card.
    """
    facts = assumed()
    cards = facts["gpus"]
    if gpu not in cards:
        raise ConfigError(f"--gpu: {gpu!r} is no card that is known here", nearest(gpu, cards))
    images, counted = images_of(plan, rates.images), facts["networks"]
    jobs = jobs_of(plan, images, counted)

    def priced_with(card: str | None) -> list[Priced]:
        chosen = None if card is None else cards[card]
        return [price(job, rates, facts, cores=cores, gpu=chosen) for job in jobs]

    priced = priced_with(gpu if gpus else None)
    wall = wall_seconds(priced, cores=cores, gpus=gpus)
    at_once = gpus or max(1, cores // min(plan.config.torch_threads, cores))
    trainings = min(at_once, len(plan.trained_runs) + len(plan.points))
    disk = disk_mb(plan, images, counted, trainings)
    sent = jobs_of(plan, images, counted, sent_away=True)
    return {
        "run": plan.config.run,
        "summary": plan.summary(),
        "cores": cores,
        "gpus": gpus,
        "gpu": gpu if gpus else None,
        "rules": _rules(priced),
        "total": {
            "jobs": len(jobs),
            "cpu_hours": sum(p.core_seconds for p in priced) / 3600,
            "gpu_hours": sum(p.gpu_seconds for p in priced) / 3600,
            "peak_mb_of_a_job": max(p.megabytes for p in priced),
            "peak_mb_at_once": at_once_mb(priced, cores=cores, gpus=gpus),
        },
        "wall_hours": {**{k: v / 3600 for k, v in wall.items()}, "all": sum(wall.values()) / 3600},
        # On every card that is known, whether or not the run has one.
        "gpu_hours": {card: sum(p.gpu_seconds for p in priced_with(card)) / 3600 for card in cards},
        "disk_gb": {**{k: v / 1e3 for k, v in disk.items()}, "all": sum(disk.values()) / 1e3},
        "slurm": {
            "submissions": sum(job.rule not in LOCAL for job in sent),
            "of_pairs": sum(job.rule == "make_pairs" for job in sent),
        },
        "notes": _notes(plan, images, priced, facts, gpu if gpus else None),
        "rates": rates.about,
    }


def _rules(priced: list[Priced]) -> list[dict[str, Any]]:
    """One row a rule, in the order of the run."""
    by_rule: dict[str, list[Priced]] = {}
    for p in priced:
        by_rule.setdefault(p.job.rule, []).append(p)

    def largest(members: list[Priced], of: Callable[[Priced], float]) -> float:
        return max(of(p) for p in members)

    return [
        {
            "rule": rule,
            "stage": members[0].job.stage,
            "jobs": len(members),
            "cpu_hours": sum(p.core_seconds for p in members) / 3600,
            "gpu_hours": sum(p.gpu_seconds for p in members) / 3600,
            "longest_job_hours": largest(members, lambda p: p.wall_seconds) / 3600,
            "peak_mb": largest(members, lambda p: p.megabytes),
            "measured": all(p.measured for p in members),
            "far_from_measured": any(p.far for p in members),
        }
        for rule, members in by_rule.items()
    ]


def _notes(
    plan: Plan,
    images: Mapping[str, Images],
    priced: list[Priced],
    facts: Mapping[str, Any],
    gpu: str | None,
) -> list[str]:
    """What the numbers rest on, and what they leave out."""
    notes = [line for line in plan.messages if not line.startswith("caution")]
    unknown = unstated_downloads(plan)
    if unknown:
        notes.append(
            f"raw data: {len(unknown)} datasets do not state their size; it is taken without "
            "compression, so in truth it is less"
        )
    if any(p.job.download_mb for p in priced):
        speed = facts["download_mb_per_second"]
        notes.append(f"downloads: {speed} MB/s is assumed; they are not in the CPU-hours")
    own = sum(
        found.known == "assumed" and plan.datasets[name].source != "embedded"
        for name, found in images.items()
    )
    if own:
        notes.append(f"images: {own} folders of your own are taken to have as many as a cell pairs")
    notes.append(
        "GPU-hours are an estimate, never measured by this project: "
        + "; ".join(f"{name}, {card['what']}" for name, card in facts["gpus"].items())
        + f"; or the reader, {facts['reader_mb_per_second']} MB/s of pixels "
        "(measured, one thread, files in memory), where that is slower"
    )
    notes.append(
        "memory is without pixels that are read memory-mapped: the system takes that back where it "
        "must"
    )
    if gpu is not None:
        notes.append("memory of training is the card's")
    if gpu is None and any(p.job.gpu for p in priced):
        notes.append("without a GPU: torch_threads are taken to share the work without loss")
    unmeasured = sorted({p.job.rule for p in priced if not p.measured})
    if unmeasured:
        notes.append(f"counted as nothing, since never measured: {', '.join(unmeasured)}")
    far = sorted({p.job.rule for p in priced if p.far})
    if far:
        notes.append(
            f"~ marks work of more than {FAR} times the largest measured job, by a straight line"
        )
    return notes
