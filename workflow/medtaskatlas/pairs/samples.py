"""Read single images of a prepared dataset, of any size, in the memory of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet, Sample


@dataclass(frozen=True)
class _Plane:
    """A column of pixels in a file.

    Attributes
    ----------
    file
        The file, open for reading.
    begin
        Where its first byte is.
    shape
        Shape of a row.
    dtype
        Type of its numbers.
    """

    file: BinaryIO
    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def row(self, number: int) -> np.ndarray:
        """A row, read-only."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        found = os.pread(self.file.fileno(), size, self.begin + number * size)
        if len(found) != size:
            raise DataError(f"{self.file.name} ends too early", "delete it and start the run again")
        return np.frombuffer(found, self.dtype).reshape(self.shape)


class Samples:
    """Images with their annotation, one at a time.

    They are read, not mapped: what a process has touched of a mapped file counts as its memory, and
    where the system caches files in large pages, one small image can stand for two megabytes.

    Parameters
    ----------
    path
        Prepared images.

    Attributes
    ----------
    images
        The images file; its columns other than pixels are meant.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.images = images = ImageSet(path)
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - open as long as this is
        self._image = self._plane("image", images.images)
        self._mask = None if images.masks is None else self._plane("mask", images.masks)
        self._instances = (
            None if images.instances is None else self._plane("instances", images.instances)
        )
        self._n_classes = len(images.meta["classes"])
        self._n_labels = len(images.meta.get("labels", []))
        self._labels = images.column("label") if "label" in images else None
        self._boxes = self._bounds = None
        if "boxes" in images:
            column = images.column("boxes")
            self._bounds = column.offsets.to_numpy()
            self._boxes = column.values.flatten().to_numpy().reshape(-1, 4)

    def _plane(self, name: str, mapped: np.ndarray) -> _Plane:
        """Where a column of pixels is in the file."""
        with pa.memory_map(str(self.images.path)) as source:
            begin = source.read_buffer().address
            values = pa.ipc.open_file(source).get_batch(0).column(name).storage.values
            place = values.buffers()[1].address - begin if len(mapped) else 0
        return _Plane(self._file, place, mapped.shape[1:], mapped.dtype)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Sample:
        boxes = None
        if self._boxes is not None and self._bounds is not None:
            boxes = self._boxes[self._bounds[row] : self._bounds[row + 1]]
        return Sample(
            image=self._image.row(row),
            mask=None if self._mask is None else self._mask.row(row),
            instances=None if self._instances is None else self._instances.row(row),
            boxes=boxes,
            label=None if self._labels is None else self._labels[row].as_py(),
            n_classes=self._n_classes,
            n_labels=self._n_labels,
        )

    def rows_of(self, split: str) -> np.ndarray:
        """Rows of the images of a split.

        Parameters
        ----------
        split
            train, val or test.

        Returns
        -------
        numpy.ndarray
            int64, ascending.
        """
        column = self.images.column("split")
        names = column.dictionary.to_pylist()
        if split not in names:
            return np.arange(0)
        return np.flatnonzero(column.indices.to_numpy() == names.index(split))
