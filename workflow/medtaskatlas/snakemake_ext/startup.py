"""Checks of the Snakefile before the first job: stale locks, a writable folder, the container."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import medtaskatlas
from medtaskatlas.core.errors import ConfigError, DataError


def mark_running(folder: str | Path = ".snakemake") -> IO[str] | None:
    """Remove the locks of dead Snakemakes, and be known as alive from now on.

    Snakemake locks a run's files by leaving files in ``.snakemake/locks``, which a SIGKILL, a power
    cut or the end of a cluster job leaves there; it then asks for ``--unlock`` by hand. A lock of
    the operating system dies with its process. So every Snakemake of a folder holds one as well,
    and one that starts and finds it free knows that all others have ended. Of two at once the
    second changes nothing: Snakemake's own locks then say whether they conflict.

    This process counts as alive as long as the returned file is open. None where the folder cannot
    be written, or its disk knows no locks; a DataError where it cannot even be made.
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
            _remove_stale(folder / "locks", alive)
        fcntl.flock(alive, fcntl.LOCK_SH)
    except OSError:
        alive.close()
        return None
    return alive


def _remove_stale(locks: Path, alive: IO[str]) -> None:
    """Remove locks left on this machine; note that locks from now on are of this one."""
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
    """Make sure, before the first job, that files can be made in a folder, or raise a DataError."""
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


def enter_container(image: str) -> None:
    """Check the image of `--sdm apptainer`, and run the code of this checkout, not the image's."""
    if not urlsplit(image).scheme and not Path(image).is_file():
        raise ConfigError(
            f"--sdm apptainer runs jobs in {image}, and there is no such file",
            "build it (docs/containers.md), or name another with --config container=PATH",
        )
    # Apptainer and Singularity hand on what the environment gives them by these names.
    package = str(Path(medtaskatlas.__file__).parents[1])
    for tool in ("APPTAINERENV", "SINGULARITYENV"):
        os.environ[f"{tool}_PYTHONPATH"] = package
