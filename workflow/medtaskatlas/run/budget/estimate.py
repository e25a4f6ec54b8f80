"""What a run will cost: jobs, hours, memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.run.budget.counts import Counts
from medtaskatlas.run.budget.jobs import LOCAL, STAGES, Job, jobs_of
from medtaskatlas.run.budget.networks import ASSUMED
from medtaskatlas.run.budget.rates import Rates
from medtaskatlas.run.plan import RunPlan

# Work that is so many times the largest measured is marked: a line is drawn far beyond its points.
FAR = 10


@dataclass(frozen=True)
class Priced:
    """A job with its cost."""

    job: Job
    threads: int
    core_seconds: float
    gpu_seconds: float  # 0 where it runs without a GPU
    wall_seconds: float  # from start to end, on its own
    megabytes: float
    far: bool  # whether its work is far beyond what was measured
    measured: bool  # whether anything like it was measured


def price(job: Job, rates: Rates, *, cores: int, card: Mapping[str, Any] | None) -> Priced:
    """Cost of a job, on a card of assumed.json where it can use one; threads share without loss."""
    rate, threads = rates.of(job.key), min(job.threads, cores)
    base, slope = (rate.seconds.base, rate.seconds.slope) if rate else (0.0, 0.0)
    megabytes = rate.megabytes.at(job.memory) if rate else 0.0
    measured = rate is not None or job.rule == "all"
    if job.gpu_mb is not None and card is not None:
        reading = job.gpu_mb / ASSUMED["reader_mb_per_second"]
        seconds = base + max(job.work / card["tflops"], reading)
        return Priced(job, threads, seconds, seconds, seconds, megabytes, False, measured)
    work = slope * job.work
    # The start, mostly imports, is one thread whatever the job may use.
    wall = base + work / threads + job.download_mb / ASSUMED["download_mb_per_second"]
    far = rate is not None and job.work > FAR * max(rate.most, 1e-9)
    return Priced(job, threads, base + work, 0.0, wall, megabytes, far, measured)


def _stage(own: list[Priced], *, cores: int, gpus: int) -> tuple[float, float]:
    """Seconds of a stage, and MB of its largest jobs that fit the cores and cards together."""
    # Snakemake lets stages overlap, so the sum of all is a little too long; jobs do not fit without
    # gaps, so it is a little too short.
    on_gpu = sum(p.wall_seconds for p in own if p.gpu_seconds) / max(gpus, 1)
    on_cpu = sum(p.wall_seconds * p.threads for p in own if not p.gpu_seconds) / cores
    free, cards, megabytes = cores, gpus, 0.0
    for p in sorted(own, key=lambda p: p.megabytes, reverse=True):
        if p.threads <= free and (cards or not p.gpu_seconds):
            free, cards = free - p.threads, cards - (p.gpu_seconds > 0)
            megabytes += p.megabytes
    return max(on_gpu, on_cpu, *(p.wall_seconds for p in own), 0.0), megabytes


def _hours_of(own: list[Priced]) -> dict[str, Any]:
    """Number and hours of some jobs."""
    cpu, gpu = sum(p.core_seconds for p in own), sum(p.gpu_seconds for p in own)
    return {"jobs": len(own), "cpu_hours": cpu / 3600, "gpu_hours": gpu / 3600}


def _of_rule(rule: str, own: list[Priced]) -> dict[str, Any]:
    """All jobs of a rule together."""
    return {
        "rule": rule,
        "stage": own[0].job.stage,
        **_hours_of(own),
        "longest_job_hours": max(p.wall_seconds for p in own) / 3600,
        "peak_mb": max(p.megabytes for p in own),
        "measured": all(p.measured for p in own),
        "far_from_measured": any(p.far for p in own),
    }


def estimate(
    plan: RunPlan, rates: Rates, *, cores: int, gpus: int = 0, gpu: str = "H100-class"
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
    cards = ASSUMED["gpus"]
    if gpu not in cards:
        raise ConfigError(f"--gpu: {gpu!r} is no card that is known here", nearest(gpu, cards))
    counts = Counts(plan, rates.images)
    jobs, sent = jobs_of(counts), jobs_of(counts, on_cluster=True)

    def priced_with(card: str | None) -> list[Priced]:
        return [price(job, rates, cores=cores, card=cards.get(card)) for job in jobs]

    priced = priced_with(gpu if gpus else None)
    by_rule: dict[str, list[Priced]] = {}
    for p in priced:
        by_rule.setdefault(p.job.rule, []).append(p)
    stages = {
        stage: _stage([p for p in priced if p.job.stage == stage], cores=cores, gpus=gpus)
        for stage in STAGES
    }
    wall = {stage: seconds / 3600 for stage, (seconds, _) in stages.items()}
    at_once = gpus or max(1, cores // min(plan.config.torch_threads, cores))
    trainings = len(plan.trained_runs) + len(plan.points) + len(plan.multitask_runs)
    trainings += len(plan.medformer_runs)
    disk = counts.disk_mb(min(at_once, trainings))
    return {
        "run": plan.config.run,
        "summary": plan.summary(),
        "cores": cores,
        "gpus": gpus,
        "gpu": gpu if gpus else None,
        "rules": [_of_rule(rule, own) for rule, own in by_rule.items()],
        "total": {
            **_hours_of(priced),
            "peak_mb_of_a_job": max(p.megabytes for p in priced),
            "peak_mb_at_once": max(megabytes for _, megabytes in stages.values()),
        },
        "wall_hours": {**wall, "all": sum(wall.values())},
        # On every card that is known, whether or not the run has one.
        "gpu_hours": {card: _hours_of(priced_with(card))["gpu_hours"] for card in cards},
        "disk_gb": {k: v / 1e3 for k, v in {**disk, "all": sum(disk.values())}.items()},
        "slurm": {
            "submissions": sum(job.rule not in LOCAL for job in sent),
            "of_pairs": sum(job.rule == "make_pairs" for job in sent),
        },
        "notes": _notes(counts, priced, gpus),
        "rates": rates.about,
    }


def _notes(counts: Counts, priced: list[Priced], gpus: int) -> list[str]:
    """What the numbers rest on, and what they leave out."""
    plan = counts.plan
    datasets = plan.datasets.values()
    unstated = sum(
        dataset.raw_bytes(side) is None
        for place, (dataset, side) in plan.raw_data.items()
        if place in counts.raw_mb
    )
    own = sum(d.n_images is None and d.source != "embedded" for d in datasets)
    cards = "; ".join(f"{name}, {card['what']}" for name, card in ASSUMED["gpus"].items())
    unmeasured = sorted({p.job.rule for p in priced if not p.measured})
    notes = {
        f"raw data: {unstated} datasets do not state their size; it is taken without "
        "compression, so in truth it is less": unstated,
        f"downloads: {ASSUMED['download_mb_per_second']} MB/s is assumed; they are not in the "
        "CPU-hours": any(p.job.download_mb for p in priced),
        f"images: {own} folders of your own are taken to have as many as a cell pairs": own,
        f"GPU-hours are an estimate, never measured by this project: {cards}; or the reader, "
        f"{ASSUMED['reader_mb_per_second']} MB/s of pixels (measured, one thread, files in "
        "memory), where that is slower": True,
        "memory is without pixels that are read memory-mapped: the system takes that back where it "
        "must": True,
        "memory of training is the card's": gpus,
        "without a GPU: torch_threads are taken to share the work without loss": not gpus
        and any(p.job.gpu_mb is not None for p in priced),
        f"counted as nothing, since never measured: {', '.join(unmeasured)}": unmeasured,
        f"~ marks work of more than {FAR} times the largest measured job, by a straight line": any(
            p.far for p in priced
        ),
    }
    messages = [line for line in plan.messages if not line.startswith("caution")]
    return [*messages, *(line for line, holds in notes.items() if holds)]
