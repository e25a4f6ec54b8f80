"""What zip and tar archives have in common: members, and errors that name the file."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.archives.names import parts_of
from medtaskatlas.datasets.remote.remote_file import words


@dataclass(frozen=True)
class Member:
    """One file or folder of an archive.

    Attributes
    ----------
    name
        As the archive has it, with slashes.
    is_folder
        Else it is a plain file.
    size
        As declared, bytes.
    packed
        Bytes that it takes in the archive; None where members are not compressed one by one.
    open
        Gives a readable stream of its content.
    """

    name: str
    is_folder: bool
    size: int
    packed: int | None
    open: Callable[[], IO[bytes]]


def bad(archive: Path, problem: str, remedy: str = "") -> DataError:
    """Error about an archive.

    Parameters
    ----------
    archive
        The file.
    problem
        A clause.
    remedy
        What to do; None is to bring the file anew.
    """
    return DataError(
        f"{archive}: {problem}", remedy or "compare its hash with the publisher's and fetch it anew"
    )


@contextmanager
def damage_named(archive: Path, member: str | None = None) -> Iterator[None]:
    """Turn what zipfile, tarfile and the decompressors raise into errors that name the file.

    Parameters
    ----------
    archive
        The file.
    member
        Which member is being read, if one is.

    Yields
    ------
    None
        While the archive is read.
    """
    what = "is damaged or truncated" if member is None else f"member {member!r} is damaged"
    try:
        yield
    except UnicodeDecodeError as error:
        raise bad(
            archive,
            f"a member's name is not the UTF-8 it claims to be: {error.object!r}",
            "pack it anew",
        ) from error
    except tarfile.TarError as error:
        what = "is no tar archive, or it is damaged or truncated" if member is None else what
        raise bad(archive, f"{what} ({error})") from error
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(EOFError, RuntimeError, struct.error),
    ) as error:
        raise bad(archive, f"{what} ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # gzip and bz2 say by an OSError without a number that the content is wrong.
        raise bad(archive, f"{what} ({error})") from error


def parts_or_bad(archive: Path, name: str) -> tuple[str, ...]:
    """Parts of a member's name, see :func:`parts_of`; a DataError if it is refused."""
    try:
        return parts_of(name)
    except ValueError as error:
        raise bad(archive, f"member {name!r}: {error}", "pack it anew with plain names") from None


def kind_of(archive: Path) -> str:
    """Format of an archive by its first bytes, not by its name.

    Parameters
    ----------
    archive
        The file.

    Returns
    -------
    str
        ``zip`` or tarfile's name of the compression: ``gz``, ``bz2``, ``xz`` or empty.

    Raises
    ------
    DataError
        If it is none of these, or cannot be read.
    """
    try:
        with archive.open("rb") as handle:
            head = handle.read(4096)
    except OSError as error:
        raise bad(archive, f"cannot be read: {error.strerror}", "check the path") from error
    starts = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2"}
    starts[b"\xfd7zXZ\x00"] = "xz"
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[257:262] == b"ustar" or archive.suffix == ".tar":
        return ""
    said = f"it begins with {words(head)}" if head[:1] == b"<" else f"it begins with {head[:8]!r}"
    raise bad(archive, f"is no zip or tar archive: {said}")


def no_plain_file(archive: Path, name: str, what: str) -> DataError:
    """Error about a link, a device and the like.

    Parameters
    ----------
    archive
        The file.
    name
        The member.
    what
        What it is.
    """
    return bad(
        archive,
        f"member {name!r} is {what}, and only plain files and folders are unpacked",
        "pack it anew with plain files",
    )
