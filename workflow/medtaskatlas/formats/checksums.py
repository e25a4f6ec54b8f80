"""Checksums of the pages of a file, so that a flipped bit is an error and no other data.

They stand in a gap before the footer of an Arrow or Parquet file, which other software passes over,
since it finds the footer from the end of the file:

    content | CRC-32 of each page of it | MARK, number of pages, CRC-32 of what follows | footer

CRC-32 finds every flipped bit and every burst of up to 32 bits, and is zlib's: 3 GB a second.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from medtaskatlas.core.errors import DataError

PAGE = 1 << 18  # bytes
_MARK = b"MTACRC32"
_SEAL = struct.Struct("<8sII")
# Bytes behind a footer: its length, and the magic letters of the format.
_ENDS = {b"ARROW1": 10, b"PAR1": 8}


def remedy(path: str | Path) -> str:
    """What to do about a file that is damaged or of something else."""
    return f"delete {path} and start the run again: Snakemake makes it anew"


def seal(path: Path) -> None:
    """Put checksums into a file that is whole."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = size - _footer(file, size)
        sums = [zlib.crc32(page) for page in _pages(file, start)]
        sums += [0] * (len(sums) % 2)  # Arrow wants its footer at a multiple of 8 bytes
        table = struct.pack(f"<{len(sums)}I", *sums)
        file.seek(start)
        footer = file.read()
        file.seek(start)
        file.write(table + _SEAL.pack(_MARK, len(sums), zlib.crc32(table + footer)) + footer)


class NoChecksumsError(DataError):
    """A file without checksums: not ours, of an older version, or damaged."""


class Pages:
    """Pages of a sealed file, each verified when it is first asked for.

    They are read, not mapped: mapped memory that a process touched counts as its own.

    Raises
    ------
    DataError
        If the file is damaged; NoChecksumsError if it has none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = size - _footer(file, size)
            if start < _SEAL.size:
                raise self._damaged("it is too short")
            file.seek(start - _SEAL.size)
            mark, count, crc = _SEAL.unpack(file.read(_SEAL.size))
            footer = file.read()
            if mark != _MARK:
                raise NoChecksumsError(
                    f"{path} is damaged, or of an older version: it has no checksums", remedy(path)
                )
            self.end = start - _SEAL.size - 4 * count  # of the content
            file.seek(max(0, self.end))
            table = file.read(4 * count)
        if self.end < 0 or zlib.crc32(table + footer) != crc or count < -(-self.end // PAGE):
            raise self._damaged("its footer is not as it was written")
        self._sums = struct.unpack(f"<{count}I", table)
        self._verified = bytearray(-(-self.end // PAGE))

    def verify(self, begin: int = 0, end: int | None = None) -> None:
        """Check the pages of some bytes of the content; by default of all."""
        end = self.end if end is None else min(end, self.end)
        pages = range(begin // PAGE, -(-end // PAGE))
        if all(self._verified[pages.start : pages.stop]):
            return
        with self.path.open("rb", buffering=0) as file:
            for number in pages:
                if not self._verified[number]:
                    self._verify_page(file, number)

    def _verify_page(self, file: BinaryIO, number: int) -> None:
        start = number * PAGE
        page = os.pread(file.fileno(), min(PAGE, self.end - start), start)
        if zlib.crc32(page) != self._sums[number]:
            raise self._damaged(f"bytes {start} to {start + len(page)} are not those written")
        self._verified[number] = 1

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.path} is damaged or truncated ({why})", remedy(self.path))


def pages_of(path: str | Path) -> Pages:
    """Pages of a file; those that this process has verified are not read again."""
    facts = Path(path).stat()
    return _pages_of(str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _pages_of(path: str, *_: int) -> Pages:
    return Pages(path)


def _pages(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Content of a file in pages."""
    file.seek(0)
    for start in range(0, end, PAGE):
        yield file.read(min(PAGE, end - start))


def _footer(file: BinaryIO, size: int) -> int:
    """Bytes of the footer and what is behind it; at most the size of the file."""
    file.seek(max(0, size - 10))
    tail = file.read()
    after = next((n for magic, n in _ENDS.items() if tail.endswith(magic)), 0)
    if not after or len(tail) < after:
        return size
    return min(size, int.from_bytes(tail[-after:][:4], "little") + after)
