"""Rows of pixels that wait in a temporary file, so that memory holds one image, not a dataset."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

CHUNK_BYTES = 4 << 20


class DiskBuffer:
    """A column of pixels that grows row by row in a file on the disk of ``folder``.

    The file has no name, so nothing is left of it after a kill. `len` is the number of rows
    selected by :meth:`select`, or all.
    """

    def __init__(
        self, folder: str | Path, row_shape: Sequence[int], dtype: type | np.dtype
    ) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the buffer
        self.row_shape = tuple(row_shape)
        self.dtype = np.dtype(dtype)
        self._rows = np.arange(0)
        self._written = 0

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return int(np.prod(self.row_shape)) * self.dtype.itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the selected rows together."""
        return (len(self), *self.row_shape)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: np.ndarray) -> None:
        """Add one row and select it."""
        if row.shape != self.row_shape or row.dtype != self.dtype:
            raise ValueError(f"{row.dtype} {row.shape} is no {self.dtype} {self.row_shape}")
        self._file.write(np.ascontiguousarray(row).data)
        self._written += 1
        self._rows = np.arange(0)

    def select(self, rows: Sequence[int] | np.ndarray | None = None) -> DiskBuffer:
        """Choose the rows that count from now on, by their order of appending; None: all."""
        self._file.flush()
        self._rows = np.arange(self._written) if rows is None else np.asarray(rows, np.int64)
        return self

    def chunks(self) -> Iterator[np.ndarray]:
        """The selected rows, [n, *row_shape] of a few megabytes; adjacent ones are read at once."""
        at_once = max(1, CHUNK_BYTES // max(self.row_bytes, 1))
        breaks = np.flatnonzero(np.diff(self._rows) != 1) + 1
        for run in np.split(self._rows, breaks):
            for begin in range(0, len(run), at_once):
                yield self._read(int(run[begin]), len(run[begin : begin + at_once]))

    def row(self, number: int) -> np.ndarray:
        """One selected row."""
        return self._read(int(self._rows[number]), 1)[0]

    def _read(self, first: int, count: int) -> np.ndarray:
        """Rows `first` to `first + count` as they were appended."""
        found = os.pread(self._file.fileno(), count * self.row_bytes, first * self.row_bytes)
        return np.frombuffer(found, self.dtype).reshape(count, *self.row_shape)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
