"""A job of a run, as far as its cost is concerned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    rule
        Name of the rule.
    stage
        data, pairs, train, embed, tables or report: later ones wait for earlier ones.
    key
        What its rate is known by, parted by slashes; a rate of the first parts will do.
    work
        Amount of work in the unit of the key.
    memory
        What its memory grows with, MB.
    benchmark
        Its file below benchmarks/.
    threads
        Cores that it takes.
    gpu
        Whether it runs on a GPU where there is one.
    gpu_tflop, gpu_mb
        Arithmetic, and pixels that are read for it.
    download_mb
        What it fetches from the internet.
    mapped_mb
        Pixels that it reads memory-mapped: they count as its memory while there is enough.
    """

    rule: str
    stage: str
    key: str
    work: float
    memory: float
    benchmark: str
    threads: int = 1
    gpu: bool = False
    gpu_tflop: float = 0.0
    gpu_mb: float = 0.0
    download_mb: float = 0.0
    mapped_mb: float = 0.0
