"""Slurm: whether a cluster keeps accounts and has GPUs, and the limits that jobs ask it for.

The executor asks ``sacct`` wherever that program is installed. Where nothing keeps accounts it
fails, and Snakemake would wait for ever for its first job. ``squeue`` knows an ended job only for a
while, but the executor asks more and more seldom, up to every three minutes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

# As the executor asks it (snakemake_executor_plugin_slurm.job_status_query), for no job.
_SACCT = ("sacct", "-X", "--parsable2", "--clusters", "all", "--noheader", "--starttime", "now")
# An ended job must be known for several checks, seconds: see slurm/config.yaml for their pause.
SHORTEST_MEMORY = 60
# Rules of which a job may ask for a GPU; read by slurm/config.yaml and slurm/site.
GPU_RULES = (
    *("train", "train_point", "embed", "embed_set", "embed_point"),
    *("multitask_represent", "multitask_tune", "multitask_train"),
    *("medformer_pretrain", "medformer_train"),
    *("transfer_source", "transfer_starts", "transfer_affinity"),
    *("transfer_graded", "transfer_graded_point"),
)


def status_command() -> str:
    """Command that tells what became of a job: ``sacct``, or ``squeue`` without accounts."""
    if _ask(*_SACCT) is not None:
        return "sacct"
    age = min_job_age(_ask("scontrol", "show", "config") or "")
    if age is not None and age < SHORTEST_MEMORY:
        print(
            f"medtaskatlas: this cluster keeps no accounts and forgets ended jobs after {age} s "
            "(MinJobAge); Snakemake may miss their end and wait for ever\n"
            "  remedy: ask for MinJobAge=300, Slurm's default, in slurm.conf",
            file=sys.stderr,
        )
    return "squeue"


def has_gpus() -> bool:
    """Whether jobs can ask for GPUs; True where nothing is known."""
    listed = _ask("sinfo", "--noheader", "--format=%G")
    if listed is None or "gpu" in listed.lower():
        return True
    print("medtaskatlas: no node of this cluster has a GPU; training on CPUs", file=sys.stderr)
    return False


def runtime_by_attempt(minutes: int) -> Callable[[Any, int], int]:
    """`runtime` of a rule whose job begins anew after its wall-clock limit: n-fold at attempt n."""
    return lambda wildcards, attempt: attempt * minutes


def min_job_age(configuration: str) -> int | None:
    """Seconds for which a cluster remembers ended jobs, of ``scontrol show config``."""
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", configuration, re.MULTILINE)
    return int(found[1]) if found else None


def _ask(*command: str) -> str | None:
    """Output of a command; None where it is absent, fails or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 a fixed command
            command, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
