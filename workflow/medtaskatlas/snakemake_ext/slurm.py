"""Slurm: what a cluster can tell of its jobs and GPUs, and what jobs ask it for.

The executor asks ``sacct`` wherever that program is installed. Where nothing keeps accounts it
fails, and Snakemake would wait for ever for its first job. ``squeue`` knows an ended job only for a
while, but the executor asks more and more seldom, up to every three minutes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

# As the executor asks it (snakemake_executor_plugin_slurm.job_status_query), for no job.
_SACCT = ("sacct", "-X", "--parsable2", "--clusters", "all", "--noheader", "--starttime", "now")
# An ended job must be known for several looks, seconds: see slurm/config.yaml for their pause.
SHORTEST_MEMORY = 60
# Rules of which a job may ask for a GPU; read by slurm/config.yaml and slurm/site.
GPU_RULES = ("train", "train_point", "embed", "embed_set", "embed_point")


def status_command() -> str:
    """Name of the command that answers what became of a job; asked by slurm/config.yaml.

    Returns
    -------
    str
        ``sacct`` where accounts are kept and can be asked, else ``squeue``, also where there is no
        Slurm at all, as for a dry run on a laptop. ``squeue`` knows an ended job for `MinJobAge`
        seconds only: where that is too short, a line on standard error says so.
    """
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
    """Whether jobs can ask for GPUs; asked by slurm/config.yaml.

    Returns
    -------
    bool
        False where Slurm says that no node has any: then it would refuse every job that asks for
        one, and a line on standard error says that encoders train on CPUs. True where nothing is
        known.
    """
    told = _ask("sinfo", "--noheader", "--format=%G")
    if told is None or "gpu" in told.lower():
        return True
    print("medtaskatlas: no node of this cluster has a GPU; training on CPUs", file=sys.stderr)
    return False


def more_each_time(minutes: int) -> Callable[[Any, int], int]:
    """`runtime` of a rule whose job begins anew where it was killed at its wall-clock limit.

    Parameters
    ----------
    minutes
        Of the first attempt; the second gets twice that, the third three times.

    Returns
    -------
    callable
        Wildcards and attempt to minutes, as Snakemake calls it.
    """
    return lambda wildcards, attempt: attempt * minutes


def look_steadily(plugin: ModuleType | None) -> None:
    """Let the executor look for ended jobs every ``--seconds-between-status-checks``.

    By itself it starts with ``--slurm-init-seconds-before-status-checks``, and adds ten seconds to
    every look that found nothing new: short jobs then wait longer than they run.

    Parameters
    ----------
    plugin
        ``snakemake_executor_plugin_slurm``; None where Snakemake has not loaded it. One without
        the setting, as another version may be, is left alone.
    """
    executor = getattr(plugin, "Executor", None)
    name = "next_seconds_between_status_checks"
    if not isinstance(getattr(executor, name, None), property):
        return

    def pause(self: Any) -> int:
        seconds: int = self.workflow.remote_execution_settings.seconds_between_status_checks
        return seconds

    # Set by the executor, and not heard.
    setattr(executor, name, property(pause, lambda self, seconds: None))


def min_job_age(configuration: str) -> int | None:
    """For how long a cluster remembers ended jobs.

    Parameters
    ----------
    configuration
        What ``scontrol show config`` prints.

    Returns
    -------
    int or None
        Seconds; None where it is not said.
    """
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", configuration, re.MULTILINE)
    return int(found[1]) if found else None


def _ask(*command: str) -> str | None:
    """What a command prints; None where there is none, or where it fails or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 a fixed command
            command, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
