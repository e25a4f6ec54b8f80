"""The folder that Snakemake works in: who is at work there, and whether it can be written.

Snakemake locks a run's files by leaving files in ``.snakemake/locks``, which a SIGKILL, a power cut
or the end of a cluster job leaves there; it then asks for ``--unlock`` by hand. A lock of the
operating system dies with its process. So every Snakemake of a folder holds one besides, and who
starts and finds it free knows that all others have ended.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from medtaskatlas.core.errors import DataError


def at_work(folder: str | Path = ".snakemake") -> IO[str] | None:
    """Take away the locks of dead Snakemakes, and be known as alive from now on.

    Of two at once the second changes nothing: Snakemake's own locks then say whether they get in
    each other's way.

    Parameters
    ----------
    folder
        Where Snakemake keeps its locks.

    Returns
    -------
    file or None
        Keep it: this process counts as alive as long as it is open. None where the folder cannot
        be written, or its disk knows no locks; then nothing is done.

    Raises
    ------
    DataError
        If there is no such folder and it cannot be made: Snakemake cannot do without.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        alive = (folder / "alive").open("a+")
    except OSError:
        return None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _take_away(folder / "locks", alive)
        fcntl.flock(alive, fcntl.LOCK_SH)
    except OSError:
        alive.close()
        return None
    return alive


def _take_away(locks: Path, alive: IO[str]) -> None:
    """Remove what was left on this machine; note that locks from now on are of this one."""
    here = socket.gethostname()
    left = list(locks.glob("*.lock"))
    alive.seek(0)
    # Some network disks lock within one machine only: what another one left may be in use there.
    if left and alive.read() not in ("", here):
        return
    for lock in left:
        lock.unlink(missing_ok=True)
    alive.truncate(0)
    alive.write(here)
    alive.flush()


def check_writable(folder: str | Path) -> None:
    """Make sure that files can be made in a folder; to be asked before the first job.

    Parameters
    ----------
    folder
        Made where it is missing.

    Raises
    ------
    DataError
        If not; says why.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Root may write what belongs to others, so the rights alone do not tell.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write {Path(os.path.abspath(folder))}: {error.strerror}",  # noqa: PTH100 - links stay
        "check who owns the folder and whether its disk is read-only or full, or work elsewhere: "
        "snakemake --directory FOLDER ...",
    )
