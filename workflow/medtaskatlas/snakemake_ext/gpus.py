"""GPUs reserved for the jobs of one machine, so that no two share one by accident.

Snakemake counts GPUs where it is told how many there are (``--resources gpu=2``), but does not say
which one a job may use: all would take the first. A scheduler such as Slurm does say it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.locks import LockFolder

VISIBLE = "CUDA_VISIBLE_DEVICES"
# A job of a scheduler has devices of its own, which it may number from 0 like every other job.
_SCOPES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


def gpus_to_train(options: Mapping[str, Any]) -> int:
    """Number of GPUs that the training of an encoder asks for; 0 where nothing is optimised."""
    return int(options.get("devices", 1)) if options.get("steps") else 0


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; without torch."""
    given = environment.get(VISIBLE)
    if given is None:
        return _by_nvidia_smi() or _by_device_files()
    # As CUDA reads it: the list ends at the first entry that is none (-1, NoDevFiles).
    return list(takewhile(_names_device, (entry.strip() for entry in given.split(","))))


@contextmanager
def reserve_gpus(
    number: int,
    *,
    listed: Callable[[], Sequence[str]] = visible_gpus,
    folder: Path | None = None,
    tell: Callable[[str], object] | None = None,
) -> Iterator[list[str]]:
    """Reserve GPUs: no other process inside this function uses them.

    ``CUDA_VISIBLE_DEVICES`` names them inside the ``with``: to be entered before torch is imported.
    Where there is no GPU at all nothing is done.

    Parameters
    ----------
    number
        How many; with 0 the process sees none, unless a scheduler gave it some.
    listed
        Lists the GPUs of the machine.
    folder
        Of the locks; None: one in the machine's temporary folder, common to all users.
    tell
        Takes the message that all are in use, once; None: to standard error and the log.

    Raises
    ------
    ConfigError
        If there are some, but never as many as asked for.
    DataError
        If the locks cannot be made.
    """
    if number == 0:
        # In a job of a scheduler they may have been asked for in its own words, as by `gres`.
        with nullcontext() if _scope() else _environment(VISIBLE, ""):
            yield []
        return
    there = list(listed())  # in the machine's order
    if not there:
        yield []
        return
    if number > len(there):
        raise ConfigError(
            f"`devices: {number}` asks for more GPUs than there are: {len(there)}",
            f"set `devices: {len(there)}`, or run it on a machine with more",
        )
    message = (
        f"waiting for {number} of {len(there)} GPUs: other jobs use them "
        f"(`--resources gpu={len(there)}` lets jobs wait before they start)"
    )
    with (
        _locked(number, there, folder, lambda: (tell or _say)(message)) as reserved,
        _environment(VISIBLE, ",".join(reserved)),
    ):
        yield reserved


@contextmanager
def _locked(
    number: int, there: list[str], folder: Path | None, tell: Callable[[], object]
) -> Iterator[list[str]]:
    """Lock devices; who comes first gets all it asks for before the next one gets any."""
    locks = LockFolder(
        folder or Path(tempfile.gettempdir()) / "medtaskatlas-gpus",
        purpose="the GPUs",
        remedy=f"set TMPDIR to a folder on a local disk, or {VISIBLE} to no GPU",
        access="any" if folder else "all",
    )
    tell_once = cache(tell)
    names = {"-".join([device, *_scope()]): device for device in there}
    with ExitStack() as held:
        # Two that each hold half of what both need would wait for ever.
        with locks.hold(["-".join(["turn", *_scope()])], on_wait=tell_once):
            reserved = held.enter_context(locks.hold(list(names), number, on_wait=tell_once))
        yield [names[name] for name in reserved]


def _scope() -> list[str]:
    """The job of a scheduler that this process belongs to; empty outside of any."""
    return [os.environ[key] for key in _SCOPES if key in os.environ]


def _names_device(entry: str) -> bool:
    return entry.isdigit() or entry.startswith(("GPU-", "MIG-"))


def _by_nvidia_smi() -> list[str]:
    """Identifiers that the driver's own tool lists; of a divided GPU those of its parts."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603
            [tool, "-L"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found: list[str] = []
    for kind, name in re.findall(r"UUID: ((?:GPU|MIG)-)([\w/-]+)\)", done.stdout):
        if kind == "MIG-" and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(kind + name)
    return found


def _by_device_files() -> list[str]:
    """Numbers, in containers that have the devices but not the tool."""
    return [str(i) for i, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _say(message: str) -> None:
    logging.getLogger("medtaskatlas").warning(message)
    print(f"medtaskatlas: {message}", file=sys.stderr, flush=True)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable and put it back."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
