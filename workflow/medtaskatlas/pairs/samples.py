"""Read single images of a prepared dataset, of any size, in the memory of one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet, Sample


class Samples:
    """Images with their annotation, one at a time.

    They are read, not mapped: what a process has touched of a mapped file counts as its memory, and
    where the system caches files in large pages, one small image can stand for two megabytes.
    """

    def __init__(self, path: str | Path) -> None:
        self.images = ImageSet(path)  # for its columns other than pixels
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - open as long as this is
        planes = [name for name in ("image", "mask", "instances") if name in self.images]
        self._mapped = {name: self.images.numpy(name) for name in planes}
        self._begin = {name: self._first_byte(name) for name in planes}

    def _first_byte(self, name: str) -> int:
        """Position of a column of pixels in the file."""
        if not len(self):
            return 0
        with pa.memory_map(str(self.images.path)) as source:
            begin = source.read_buffer().address
            values = pa.ipc.open_file(source).get_batch(0).column(name).storage.values
            return int(values.buffers()[1].address - begin)

    def _read(self, name: str, row: int) -> np.ndarray:
        """A row of a column of pixels, read-only."""
        mapped = self._mapped[name]
        size = mapped[0].nbytes
        found = os.pread(self._file.fileno(), size, self._begin[name] + row * size)
        if len(found) != size:
            raise DataError(
                f"{self._file.name} ends too early", "delete it and start the run again"
            )
        return np.frombuffer(found, mapped.dtype).reshape(mapped.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Sample:
        return self.images.sample(row, self._read)

    def rows_of(self, split: str) -> np.ndarray:
        """Rows of the images of a split, int64, ascending."""
        column = self.images.column("split")
        names = column.dictionary.to_pylist()
        if split not in names:
            return np.arange(0)
        return np.flatnonzero(column.indices.to_numpy() == names.index(split))
