"""Members of tar archives, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from medtaskatlas.datasets.archives.members import (
    Member,
    bad,
    damage_named,
    no_plain_file,
    parts_or_bad,
)

BLOCK = 512  # of a tar archive, bytes
HEADER_MOST = 1 << 20  # bytes that tarfile may want at once: a long name, not a bomb


def tar_members(archive: Path, kind: str, max_bytes: int) -> Iterator[Member]:
    """Members of a tar archive.

    Parameters
    ----------
    archive
        The file.
    kind
        Its compression, see :func:`kind_of`.
    max_bytes
        Most bytes of the uncompressed archive, which bounds the work of a bomb.

    Yields
    ------
    Member
        In the archive's order; each must be read before the next is asked for.

    Raises
    ------
    DataError
        If the archive or a member is refused.
    """
    with (
        damage_named(archive),
        _decompressed(archive, kind) as plain,
        tarfile.open(fileobj=_Bounded(plain, archive, max_bytes), mode="r:") as opened,  # type: ignore[call-overload]
    ):
        for info in opened:
            for is_kind, what in ((info.issym(), "symbolic"), (info.islnk(), "hard")):
                if is_kind:
                    raise no_plain_file(archive, info.name, f"a {what} link (to {info.linkname!r})")
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise no_plain_file(archive, info.name, "a device, a pipe or a sparse file")
            parts_or_bad(archive, info.name)
            try:
                tarfile.data_filter(info, str(archive.parent))
            except tarfile.FilterError as error:
                raise bad(archive, f"member {info.name!r}: {error}", "do not use it") from None

            def content(info: tarfile.TarInfo = info) -> IO[bytes]:
                stream = opened.extractfile(info)
                assert stream is not None
                return stream

            yield Member(info.name, info.isdir(), info.size, None, content)
        _check_tar_end(archive, plain, opened.offset, max_bytes)


def _decompressed(archive: Path, kind: str) -> IO[bytes]:
    """The plain tar in an archive."""
    openers: dict[str, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    stream: IO[bytes] = openers.get(kind, open)(archive, "rb")
    return stream


def _check_tar_end(archive: Path, plain: IO[bytes], offset: int, max_bytes: int) -> None:
    """Whether tarfile stopped at the end mark, since it takes cut and damaged headers for it."""
    plain.seek(offset)
    block = plain.read(BLOCK)
    if len(block) < BLOCK or any(block):
        raise bad(archive, f"is truncated or damaged at byte {offset} of the tar")
    # To the very end, so that the checksum of the compression is compared.
    while padding := plain.read(1 << 20):
        offset += len(padding)
        if offset > max_bytes + HEADER_MOST:
            raise bad(archive, f"holds more than {max_bytes} bytes", "raise max_bytes")


class _Bounded:
    """A stream that tarfile cannot be led to read too much of.

    tarfile takes the size of a long name or an extended header from the archive and reads it into
    memory, and seeks where a size sends it.
    """

    def __init__(self, stream: IO[bytes], archive: Path, most: int) -> None:
        self._stream, self._archive, self._most = stream, archive, most

    def read(self, n: int = -1) -> bytes:
        if n < 0 or n > HEADER_MOST:
            raise bad(self._archive, f"has a header of {n} bytes", "do not use it")
        return self._stream.read(n)

    def seek(self, offset: int, whence: int = 0) -> int:
        # Beside the files' bytes there are their headers and padding.
        if offset > 2 * self._most + HEADER_MOST:
            raise bad(self._archive, f"holds more than {self._most} bytes", "raise max_bytes")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
