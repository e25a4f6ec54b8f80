"""Reading and writing files: whole or absent, with errors that name the nearest file."""

from __future__ import annotations

import difflib
import errno
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError, nearest

# Where Snakefile, config/ and envs/ are: the package is installed editable.
REPOSITORY = Path(__file__).resolve().parents[3]

_OWNER = "check who owns the folder"
_NOT_WRITABLE = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EROFS: "name a place on another disk, or copy the folder to one and work there",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a file in a folder: a part of this path is a file",
    errno.EEXIST: "name a file in a folder: a part of this path is a file",
}
_SHOWN = 20  # names in a message
# What a folder results/<run> has one of.
_OF_A_RUN = ("config.json", "pairs", "tables")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file under a temporary name, which is yielded, and rename it when it is whole.

    Its folder is made. A DataError where the disk is full or the folder cannot be written; nothing
    is left behind then.
    """
    path = Path(path)
    # Snakemake and DVC treat what they know by name only: a leading dot keeps them away from it.
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporary_files(path)
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
        if error.errno in _NOT_WRITABLE:
            raise DataError(
                f"cannot write {path}: {error.strerror}", _NOT_WRITABLE[error.errno]
            ) from error
        raise
    finally:
        # Whatever hinders this (a read-only disk) has hindered the writing, and that is the error.
        with suppress(OSError):
            part.unlink()


def existing_folder(path: str | Path) -> Path:
    """The path of a folder; a DataError names those nearest to one that does not exist."""
    path = Path(path)
    if path.is_file():
        raise DataError(f"{path} is a file, not a folder", f"give its folder: {path.parent}")
    if not path.is_dir():
        raise DataError(f"there is no folder {path}", _beside(path, Path.is_dir))
    return path


def one_spelling(path: str | Path) -> str:
    """The same text for a folder however it was typed: links followed, relative where it is below.

    A param of Snakemake that holds a path must be this, or another spelling reruns the job. What
    lies in the working directory stays relative to it, so that both can be moved.
    """
    whole, here = Path(path).resolve(), Path.cwd().resolve()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def existing_run(path: str | Path) -> Path:
    """The path of a run's folder, results/<run>; a DataError names the runs that exist."""
    path = Path(path)
    if path.is_dir():
        return path
    others = path.parent.iterdir() if path.parent.is_dir() else ()
    runs = sorted(p.name for p in others if any((p / part).exists() for part in _OF_A_RUN))
    if not runs:
        remedy = f"{path.parent} holds no run: go to the folder of the project, or make one: "
        raise DataError(f"there is no run {path}", remedy + "snakemake --cores all")
    hint = nearest(path.name, runs)
    raise DataError(f"there is no run {path}", f"{hint} Runs in {path.parent}: {', '.join(runs)}")


def read_text(path: str | Path) -> str:
    """Text of a UTF-8 file that a user named.

    Raises
    ------
    DataError
        If it is missing (names the nearest files), a folder, not readable or no text.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} is missing", _beside(path, Path.is_file)) from None
    except IsADirectoryError:
        inside = sorted(p.name for p in path.iterdir() if p.is_file())
        few = f": {', '.join(inside)}" if 0 < len(inside) <= _SHOWN else ""
        raise DataError(f"{path} is a folder, not a file", f"name a file in it{few}") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "give yourself permission: chmod u+r"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8") from error


def read_json(path: str | Path) -> Any:
    """Content of a JSON file; a DataError names the line that is no JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}: is not JSON: {error.msg}", "mend it or make it anew"
        ) from error


def _beside(path: Path, kind: Callable[[Path], bool]) -> str:
    """Remedy for a missing path: the nearest names in its folder."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either; you are in {Path.cwd()}"
    there = [p.name for p in path.parent.iterdir() if not p.name.startswith(".") and kind(p)]
    if len(there) > _SHOWN and not difflib.get_close_matches(path.name, there, cutoff=0.5):
        return f"check the path: {path.parent} holds {len(there)} others, none of a similar name"
    return f"in {path.parent}: {nearest(path.name, there)}"


def remove_temporary_files(path: str | Path) -> None:
    """Remove the temporary files of a file whose writers were killed."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not _runs(int(number)):
            left.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether a process exists."""
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON with sorted keys, so that equal values are equal files."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file as hexadecimal digits; read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
