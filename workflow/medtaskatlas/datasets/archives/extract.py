"""Archives that cannot escape their folder, fill the disk or leave half of themselves."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.archives.members import (
    Member,
    bad,
    damage_named,
    kind_of,
    parts_or_bad,
)
from medtaskatlas.datasets.archives.names import Names
from medtaskatlas.datasets.archives.npz_check import check_npz
from medtaskatlas.datasets.archives.tars import tar_members
from medtaskatlas.datasets.archives.zips import zip_members

__all__ = ["check_npz", "extract"]
CHUNK = 1 << 18
MAX_BYTES = 64 * 2**30
MAX_FILES = 1_000_000
# Deflate cannot pack better than 1:1032, so no honest zip or tar.gz comes near.
MAX_RATIO = 1100.0


def extract(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    max_ratio: float = MAX_RATIO,
) -> list[Path]:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz into a new folder, whole or not at all.

    Only plain files and folders are unpacked; anything else, and any name that leads out of the
    folder or means something else on another system, refuses the whole archive. Archives in the
    archive stay as they are. Owners, rights and times are those of new files.

    Parameters
    ----------
    archive
        The file; its format is known by its content.
    folder
        What to make; it must not exist or be empty. The work is done in a hidden folder beside it.
    max_bytes
        Most bytes of all files together.
    max_files
        Most members, folders counted.
    max_ratio
        Most uncompressed bytes for one compressed byte: of each member of a zip, and of the whole.
        Blank images in tar.bz2 or tar.xz may honestly exceed the default.

    Returns
    -------
    list of pathlib.Path
        The files, sorted.

    Raises
    ------
    DataError
        If the archive is damaged or refused, which names the member; if the folder holds something
        or cannot be written. Nothing is left behind then.
    """
    archive, folder = Path(archive), Path(folder)
    kind = kind_of(archive)
    if os.path.lexists(folder) and not _is_empty(folder):
        raise DataError(
            f"{folder} exists and is not an empty folder, so {archive.name} is not unpacked there",
            "move it away",
        )
    members = zip_members(archive) if kind == "zip" else tar_members(archive, kind, max_bytes)
    budget = _Budget(archive, max_bytes, max_files, max_ratio)
    with _whole_folder(folder) as part:
        return sorted(folder / path for path in _unpack(archive, members, part, budget))


def _unpack(archive: Path, members: Iterator[Member], part: Path, budget: _Budget) -> list[Path]:
    """Write all members below a folder; their paths relative to it."""
    names = Names()
    files = []
    for member in members:
        budget.admit(member)
        parts = parts_or_bad(archive, member.name)
        try:
            if (member.is_folder and member.size) or not (member.is_folder or parts):
                raise ValueError("it is a folder with content")
            names.add(parts, is_folder=member.is_folder)
        except ValueError as error:
            raise bad(
                archive, f"member {member.name!r}: {error}", "pack it anew with plain names"
            ) from None
        path = part.joinpath(*parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(archive, member, path, budget)
            files.append(Path(*parts))
    return files


def _write(archive: Path, member: Member, path: Path, budget: _Budget) -> None:
    """Write one file and compare its size with what was declared."""
    size = 0
    with (
        damage_named(archive, member.name),
        member.open() as source,
        path.open("xb") as handle,
    ):
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > member.size:
                break
            budget.spend(member, len(chunk))
            handle.write(chunk)
    if size != member.size:
        raise bad(
            archive, f"member {member.name!r} is damaged: {member.size} bytes declared, {size} came"
        )


class _Budget:
    """What an archive may still use."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int, max_ratio: float) -> None:
        self.archive, self.size = archive, max(archive.stat().st_size, 1)
        self.max_bytes, self.max_files, self.max_ratio = max_bytes, max_files, max_ratio
        self.members = self.declared = self.spent = 0

    def admit(self, member: Member) -> None:
        """Check what a member declares before a byte of it is unpacked."""
        self.members += 1
        self.declared += member.size
        if self.members > self.max_files:
            raise self._too_much(member, f"more than {self.max_files} members", "max_files")
        if self.declared > self.max_bytes:
            raise self._too_much(member, f"more than {self.max_bytes} bytes", "max_bytes")
        packed = self.size if member.packed is None else max(member.packed, 1)
        if member.size > self.max_ratio * packed or self.declared > self.max_ratio * self.size:
            raise self._too_much(
                member, f"more than {self.max_ratio:g} bytes a packed byte", "max_ratio"
            )

    def spend(self, member: Member, n: int) -> None:
        """Check what really came."""
        self.spent += n
        if self.spent > self.max_bytes:
            raise self._too_much(member, f"more than {self.max_bytes} bytes", "max_bytes")

    def _too_much(self, member: Member, what: str, key: str) -> DataError:
        return bad(
            self.archive,
            f"unpacks to {what} (at member {member.name!r})",
            f"if that is meant, raise {key}; it looks like a bomb",
        )


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder under a hidden name beside it and rename it when it is whole."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)  # of a killed process that had this number
        part.mkdir()
        yield part
        part.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: could not unpack into {folder}", "free some space"
            ) from error
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}",
            "check that it is new or empty and who owns the folder above",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
