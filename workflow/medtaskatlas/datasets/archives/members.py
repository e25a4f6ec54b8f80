"""Members of zip and tar archives, read so that no archive can lead the libraries astray."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.remote.remote_file import quoted

BLOCK = 512  # of a tar archive, bytes
HEADER_MOST = 1 << 20  # bytes that tarfile may want at once: a long name, not a bomb
STARTS = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2"}
STARTS[b"\xfd7zXZ\x00"] = "xz"


@dataclass(frozen=True)
class Member:
    """A folder or plain file of an archive."""

    name: str
    is_folder: bool
    size: int  # as declared, bytes
    packed: int | None  # bytes in the archive; None where members are not compressed one by one
    open: Callable[[], IO[bytes]]


def refusal(archive: Path, problem: str, remedy: str = "") -> DataError:
    """Error about an archive; without a remedy it is to be fetched anew."""
    return DataError(
        f"{archive}: {problem}", remedy or "compare its hash with the publisher's and fetch it anew"
    )


@contextmanager
def damage_errors(archive: Path, member: str | None = None) -> Iterator[None]:
    """Turn what zipfile, tarfile and the decompressors raise into errors that name the file."""
    what = "is damaged or truncated" if member is None else f"member {member!r} is damaged"
    try:
        yield
    except UnicodeDecodeError as error:
        problem = f"a member's name is not the UTF-8 it claims to be: {error.object!r}"
        raise refusal(archive, problem, "pack it anew") from error
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(EOFError, RuntimeError, struct.error, OSError),
    ) as error:
        # gzip and bz2 say by an OSError without a number that the content is wrong.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        no_tar = isinstance(error, tarfile.TarError) and member is None
        raise refusal(archive, f"{'is no tar archive, or it ' * no_tar}{what} ({error})") from error


def kind_of(archive: Path) -> str:
    """Format of an archive by its first bytes: ``zip``, ``gz``, ``bz2``, ``xz``, empty for tar."""
    try:
        with archive.open("rb") as handle:
            head = handle.read(4096)
    except OSError as error:
        raise refusal(archive, f"cannot be read: {error.strerror}", "check the path") from error
    for start, kind in STARTS.items():
        if head.startswith(start):
            return kind
    if head[257:262] == b"ustar" or archive.suffix == ".tar":
        return ""
    said = quoted(head) if head[:1] == b"<" else repr(head[:8])
    raise refusal(archive, f"is no zip or tar archive: it begins with {said}")


def zip_members(archive: Path) -> Iterator[Member]:
    """Members of a zip archive in its order."""
    with zip_directory(archive) as (opened, infos):
        for info in infos:
            name, content = zip_name(info), partial(opened.open, info)
            yield Member(name, name.endswith("/"), info.file_size, info.compress_size, content)


@contextmanager
def zip_directory(archive: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """Open zip archive and its members, none of which is a link, encrypted or overlaps another."""
    with damage_errors(archive), zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        for info in infos:
            _check_zip_member(archive, info)
        # Members that share compressed bytes make a bomb of a small file.
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise refusal(archive, f"member {info.orig_filename!r} overlaps another")
            end = info.header_offset + 30 + info.compress_size
        yield opened, infos


def zip_name(info: zipfile.ZipInfo) -> str:
    """Name of a member: without the UTF-8 flag UTF-8 if it is that, else the format's CP437."""
    name = info.orig_filename  # zipfile's own `filename` ends at a null byte
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _check_zip_member(archive: Path, info: zipfile.ZipInfo) -> None:
    """Refuse what cannot be read safely."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a device or a pipe"
        raise _not_plain(archive, info.orig_filename, what)
    if info.flag_bits & 0x2041:
        remedy = "ask the publisher for the password, unpack it and use the files as a folder"
        raise refusal(archive, f"member {info.orig_filename!r} is encrypted", remedy)
    # zipfile bounds the output of these two only.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"member {info.orig_filename!r} is packed by method {info.compress_type}"
        only = "only stored and deflate can be unpacked safely"
        raise refusal(archive, f"{problem}, and {only}", "pack it anew")


def _not_plain(archive: Path, name: str, what: str) -> DataError:
    """Error about a link, a device and the like."""
    problem = f"member {name!r} is {what}, and only plain files and folders are unpacked"
    return refusal(archive, problem, "pack it anew with plain files")


def tar_members(archive: Path, kind: str, max_bytes: int) -> Iterator[Member]:
    """Members of a tar archive in its order; each must be read before the next is requested.

    ``max_bytes`` of the uncompressed archive bound the work of a bomb.
    """
    openers: dict[str, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    with (
        damage_errors(archive),
        openers.get(kind, open)(archive, "rb") as plain,
        tarfile.open(fileobj=_Bounded(plain, archive, max_bytes), mode="r:") as opened,  # type: ignore[call-overload]
    ):
        for info in opened:
            if info.issym() or info.islnk():
                what = f"a {'symbolic' if info.issym() else 'hard'} link (to {info.linkname!r})"
                raise _not_plain(archive, info.name, what)
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise _not_plain(archive, info.name, "a device, a pipe or a sparse file")
            content = partial(opened.extractfile, info)
            yield Member(info.name, info.isdir(), info.size, None, content)
        _check_tar_end(archive, plain, opened.offset, max_bytes)


def _check_tar_end(archive: Path, plain: IO[bytes], offset: int, max_bytes: int) -> None:
    """Check that tarfile stopped at the end mark, since it takes damaged headers for it too."""
    plain.seek(offset)
    block = plain.read(BLOCK)
    if len(block) < BLOCK or any(block):
        raise refusal(archive, f"is truncated or damaged at byte {offset} of the tar")
    # To the very end, so that the checksum of the compression is compared.
    while padding := plain.read(1 << 20):
        offset += len(padding)
        if offset > max_bytes + HEADER_MOST:
            raise refusal(archive, f"holds more than {max_bytes} bytes", "raise max_bytes")


class _Bounded:
    """Stream that tarfile cannot be led to read too much of.

    tarfile takes the size of a long name or an extended header from the archive and reads it into
    memory, and seeks where a size sends it.
    """

    def __init__(self, stream: IO[bytes], archive: Path, most: int) -> None:
        self._stream, self._archive, self._most = stream, archive, most
        self.tell = stream.tell

    def read(self, n: int = -1) -> bytes:
        if n < 0 or n > HEADER_MOST:
            raise refusal(self._archive, f"has a header of {n} bytes", "do not use it")
        return self._stream.read(n)

    def seek(self, offset: int, whence: int = 0) -> int:
        # Beside the files' bytes there are their headers and padding.
        if offset > 2 * self._most + HEADER_MOST:
            raise refusal(self._archive, f"holds more than {self._most} bytes", "raise max_bytes")
        return self._stream.seek(offset, whence)
