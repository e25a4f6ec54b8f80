"""Files that are whole or absent."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medtaskatlas.errors import DataError

# Where Snakefile, config/ and envs/ are: the package is installed editable.
REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file under a temporary name in its own folder and rename it when it is whole.

    Parameters
    ----------
    path
        The file to make; its folder is created.

    Yields
    ------
    pathlib.Path
        The temporary path to write to.

    Raises
    ------
    DataError
        If the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    # Snakemake and DVC treat what they know by name only: a leading dot keeps them away from it.
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        yield part
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: could not write {path}",
                "free some space (results/ may be deleted run by run) and start again; "
                "nothing that was finished is lost",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DataError(
                f"cannot write {path}: {error.strerror}", "check who owns the folder"
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def sweep(path: str | Path) -> None:
    """Remove what jobs that were killed while they wrote a file have left of it.

    Parameters
    ----------
    path
        The file; itself it is left alone, and so is what a living process writes.
    """
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not _runs(int(number)):
            left.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON with sorted keys, so that equal values are equal files.

    Parameters
    ----------
    path
        The file to make.
    value
        Anything that the standard ``json`` module can write.
    """
    with whole_file(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file as hexadecimal digits.

    Parameters
    ----------
    path
        The file; read in blocks, so memory does not grow with its size.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
