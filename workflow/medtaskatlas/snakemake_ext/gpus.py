"""GPUs handed out to the jobs of one machine, so that no two share one by accident.

Snakemake counts GPUs where it is told how many there are (``--resources gpu=2``), but does not say
which one a job may use: all would take the first. A scheduler such as Slurm does say it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medtaskatlas.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from filelock import BaseFileLock

VISIBLE = "CUDA_VISIBLE_DEVICES"
# A job of a scheduler has devices of its own, which it may number from 0 like every other job.
_SCOPES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
# Seconds between two looks at the locks.
POLL = 0.2


def gpus_to_train(options: Mapping[str, Any]) -> int:
    """How many GPUs the training of an encoder asks for.

    Parameters
    ----------
    options
        Of the encoder; see :mod:`medtaskatlas.encoders.kinds`.

    Returns
    -------
    int
        Its ``devices``; 0 where nothing is optimised.
    """
    return int(options.get("devices", 1)) if options.get("steps") else 0


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """GPUs that this process may use, without an import of torch.

    Parameters
    ----------
    environment
        Where ``CUDA_VISIBLE_DEVICES`` is looked up: what it names, and nothing else, may be used.

    Returns
    -------
    list of str
        As ``CUDA_VISIBLE_DEVICES`` takes them: numbers, or identifiers that start with ``GPU-`` or
        ``MIG-``. Empty where there is none.
    """
    given = environment.get(VISIBLE)
    if given is None:
        return _by_nvidia_smi() or _by_device_files()
    # As CUDA reads it: the list ends at the first entry that is none (-1, NoDevFiles).
    return list(takewhile(_names_device, (entry.strip() for entry in given.split(","))))


@contextmanager
def lent_gpus(
    number: int,
    *,
    listed: Callable[[], Sequence[str]] = visible_gpus,
    folder: Path | None = None,
    tell: Callable[[str], object] | None = None,
) -> Iterator[list[str]]:
    """Have GPUs to oneself: no other process inside this function uses them.

    ``CUDA_VISIBLE_DEVICES`` names them inside the ``with``: to be entered before torch is imported.
    Where there is no GPU at all nothing is done. The operating system frees what a process held
    when it dies, however it dies.

    Parameters
    ----------
    number
        How many; with 0 the process sees none, unless a scheduler gave it some.
    listed
        Tells the GPUs that there are.
    folder
        Where the locks are; None: a folder of the machine's temporary one, common to all users.
    tell
        Takes the message that all are in use, once; None: to standard error and the log.

    Yields
    ------
    list of str
        The GPUs; empty where there is none.

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
    there = list(listed())
    if not there:
        yield []
        return
    if number > len(there):
        raise ConfigError(
            f"`devices: {number}` asks for more GPUs than there are: {len(there)}",
            f"set `devices: {len(there)}`, or run it on a machine with more",
        )
    with ExitStack() as held:
        lent = _take(number, there, folder or _common_folder(), held, tell or _say)
        held.enter_context(_environment(VISIBLE, ",".join(lent)))
        yield lent


def _take(
    number: int, there: list[str], folder: Path, held: ExitStack, tell: Callable[[str], object]
) -> list[str]:
    """Lock devices; who comes first gets all it asks for before the next one gets any."""
    patience = _Patience(
        f"waiting for {number} of {len(there)} GPUs: other jobs use them "
        f"(`--resources gpu={len(there)}` lets jobs wait before they start)",
        tell,
    )
    # Two that each hold half of what both need would wait for ever.
    while (turn := _lock(folder, "turn")) is None:
        patience.wait()
    lent: list[str] = []
    with ExitStack() as door:
        door.callback(turn.release)
        while True:
            for device in there:
                if len(lent) < number and device not in lent:
                    lock = _lock(folder, device)
                    if lock is not None:
                        held.callback(lock.release)
                        lent.append(device)
            if len(lent) == number:
                # In the order of the machine, whichever became free first.
                return sorted(lent, key=there.index)
            patience.wait()


class _Patience:
    """Waits a little; says once what for."""

    def __init__(self, message: str, tell: Callable[[str], object]) -> None:
        self.message, self.tell, self.told = message, tell, False

    def wait(self) -> None:
        if not self.told:
            self.tell(self.message)
            self.told = True
        time.sleep(POLL)


def _scope() -> list[str]:
    """The job of a scheduler that this process belongs to; empty outside of any."""
    return [os.environ[key] for key in _SCOPES if key in os.environ]


def _lock(folder: Path, name: str) -> BaseFileLock | None:
    """A lock that is held, or None where another process holds it."""
    from filelock import FileLock, Timeout

    path = folder / (re.sub(r"[^\w.-]", "_", "-".join([name, *_scope()])) + ".lock")
    # A soft lock, filelock's fall-back, would survive a kill.
    lock = FileLock(path, mode=0o666, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from error
    return lock


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


def _common_folder() -> Path:
    """Folder of the locks that all users of the machine can write."""
    folder = Path(tempfile.gettempdir()) / "medtaskatlas-gpus"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        info = folder.lstat()
        if info.st_uid == os.getuid():
            folder.chmod(0o777)
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from error
    if not stat.S_ISDIR(info.st_mode):
        raise _unusable(folder, "it is no folder")
    return folder


def _unusable(folder: Path, reason: str) -> DataError:
    return DataError(
        f"{folder} cannot hold the locks of the GPUs: {reason}",
        f"set TMPDIR to a folder on a local disk, or {VISIBLE} to no GPU",
    )


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
