"""Members of zip archives."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from medtaskatlas.datasets.archives.members import Member, bad, damage_named, no_plain_file


@contextmanager
def zip_directory(archive: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """Open a zip archive and check its directory; troubles while it is open become DataErrors.

    Parameters
    ----------
    archive
        The file.

    Yields
    ------
    tuple
        The open archive and its members in their order, none of them encrypted, packed by other
        methods than stored and deflate (whose output zipfile bounds) or overlapping.

    Raises
    ------
    DataError
        If it is no zip, truncated, damaged or has a member that is refused.
    """
    with damage_named(archive), zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        for info in infos:
            _check_zip_member(archive, info)
        # Members that share compressed bytes make a bomb of a small file.
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise bad(archive, f"member {info.orig_filename!r} overlaps another")
            end = info.header_offset + 30 + info.compress_size
        yield opened, infos


def zip_members(archive: Path) -> Iterator[Member]:
    """Members of a zip archive.

    Names without the UTF-8 flag are read as UTF-8 if they are that, else as code page 437, which
    the format prescribes.

    Parameters
    ----------
    archive
        The file.

    Yields
    ------
    Member
        In the archive's order.

    Raises
    ------
    DataError
        If the archive or a member is refused.
    """
    with zip_directory(archive) as (opened, infos):
        for info in infos:
            name = zip_name(info)

            def content(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return opened.open(info)

            yield Member(name, name.endswith("/"), info.file_size, info.compress_size, content)


def zip_name(info: zipfile.ZipInfo) -> str:
    """Name of a member, decoded as :func:`zip_members` says."""
    name = info.orig_filename  # zipfile's own `filename` ends at a null byte
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _check_zip_member(archive: Path, info: zipfile.ZipInfo) -> None:
    """Whether a member is one that can be read safely."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise no_plain_file(archive, info.orig_filename, "a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise no_plain_file(archive, info.orig_filename, "a device or a pipe")
    if info.flag_bits & 0x2041:
        raise bad(
            archive,
            f"member {info.orig_filename!r} is encrypted",
            "ask the publisher for the password, unpack it and use the files as a folder",
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise bad(
            archive,
            f"member {info.orig_filename!r} is packed by method {info.compress_type}, and only "
            "stored and deflate can be unpacked safely",
            "pack it anew",
        )
