"""Arrays of an npz file, row by row: nothing is unpickled, no array is in memory as a whole."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.limits import check_array

CHUNK_BYTES = 4 << 20
# What damaged archives and members raise when they are opened or read.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


class NpzStream:
    """An open npz file; anything but a whole one is an error."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise self._damaged(f"is no whole npz file ({error})") from error
        self.names = [n.removesuffix(".npy") for n in self._zip.namelist() if n.endswith(".npy")]

    def __enter__(self) -> NpzStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, from its header."""
        with self._open(name) as member:
            return self._header(name, member)[0]

    def whole(self, name: str) -> np.ndarray:
        """A small array, such as labels, as a whole."""
        with self._open(name) as member:
            shape, dtype = self._header(name, member)
        check_array(self.path, shape, dtype)
        parts = list(self.rows(name))
        return np.concatenate(parts) if parts else np.empty(shape)

    def rows(self, name: str, at_once: int | None = None) -> Iterator[np.ndarray]:
        """An array, `at_once` rows at a time, by default as many as fit into four megabytes."""
        with self._open(name) as member:
            shape, dtype = self._header(name, member)
            check_array(self.path, shape[1:], dtype)
            row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
            count = at_once or max(1, CHUNK_BYTES // max(row_bytes, 1))
            native = dtype.newbyteorder("=")
            for begin in range(0, shape[0], count):
                n = min(count, shape[0] - begin)
                content = self._read(name, member, n * row_bytes)
                yield (
                    np.frombuffer(content, dtype).reshape(n, *shape[1:]).astype(native, copy=False)
                )
            # The checksum is compared when the end is reached.
            if self._read(name, member, 1, exact=False):
                raise self._damaged(f"array {name!r} is longer than its shape {shape} says")

    def _open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            raise DataError(
                f"{self.path} has no array {name!r}; it has {', '.join(sorted(self.names))}",
                "give a file of the layout that the dataset's entry states",
            )
        try:
            return self._zip.open(f"{name}.npy")
        except (*DAMAGE, RuntimeError) as error:  # RuntimeError: encrypted
            raise self._damaged(f"array {name!r} cannot be opened ({error})") from error

    def _header(self, name: str, member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type, checked before a byte of the content is read."""
        try:
            version = npy.read_magic(member)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, columns_first, dtype = read(member)
        except DAMAGE as error:
            raise self._damaged(f"array {name!r} is no npy array ({error})") from error
        if dtype.hasobject:
            raise DataError(
                f"{self.path}: array {name!r} holds pickled Python objects, which could run code "
                "and are never read",
                "save it again as an array of numbers (numpy.savez of uint8)",
            )
        if columns_first and len(shape) > 1:
            raise DataError(
                f"{self.path}: array {name!r} is stored by columns (Fortran order)",
                "save it again with numpy.ascontiguousarray",
            )
        if not shape:
            raise DataError(f"{self.path}: array {name!r} is a single number", "give images in it")
        return shape, dtype

    def _read(self, name: str, member: IO[bytes], count: int, exact: bool = True) -> bytes:
        """So many bytes of a member."""
        try:
            content = member.read(count)
        except DAMAGE as error:
            raise self._damaged(f"array {name!r} is damaged ({error})") from error
        if exact and len(content) != count:
            raise self._damaged(f"array {name!r} is truncated")
        return content

    def _damaged(self, what: str) -> DataError:
        return DataError(
            f"{self.path}: {what}" if not what.startswith("is ") else f"{self.path} {what}",
            f"delete {self.path} and fetch it again",
        )
