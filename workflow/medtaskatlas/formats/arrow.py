"""Arrow IPC files with pixels: written whole, read memory-mapped.

One uncompressed record batch a file, so that a column of pixels is one contiguous block that numpy
sees without a copy (zero-copy holds per chunk).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.formats.checksums import pages_of, remedy, seal
from medtaskatlas.formats.disk_buffer import DiskBuffer

META_KEY = b"medtaskatlas"


def tensor_column(pixels: np.ndarray) -> pa.ExtensionArray:
    """Pixels [N, ...] as an Arrow column of N tensors, without a copy."""
    pixels = np.ascontiguousarray(pixels)
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(pixels.dtype), pixels.shape[1:])
    per_row = int(np.prod(pixels.shape[1:]))
    values = pa.array(pixels.reshape(-1), type=kind.value_type)
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(values, per_row))


def write_arrow(path: str | Path, columns: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write columns and metadata as one Arrow IPC file.

    Parameters
    ----------
    path
        The file to make.
    columns
        Name to pyarrow array, to numpy array [N, ...] (one-dimensional arrays become plain
        columns, others become tensors) or to a disk buffer, whose rows are never in memory at once.
    meta
        JSON-able facts about the file, kept in the schema's metadata.
    """
    buffers = {name: c for name, c in columns.items() if isinstance(c, DiskBuffer)}
    batch = pa.record_batch([_array(c) for c in columns.values()], names=list(columns))
    text = json.dumps(meta, sort_keys=True, ensure_ascii=False)
    schema = batch.schema.with_metadata({META_KEY: text.encode()})
    with atomic_write(path) as part:
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        for name, buffer in buffers.items():
            _fill(part, name, buffer)
        seal(part)


def _array(column: Any) -> pa.Array:
    """Arrow array of a column; of a disk buffer, zeros that hold its place."""
    if isinstance(column, DiskBuffer):
        # Zeros that are only read cost no memory: all their pages are the same one.
        return tensor_column(np.zeros(column.shape, column.dtype))
    if isinstance(column, np.ndarray) and column.ndim > 1:
        return tensor_column(column)
    return pa.array(column) if isinstance(column, np.ndarray | list) else column


def _fill(path: Path, name: str, buffer: DiskBuffer) -> None:
    """Copy the rows of a disk buffer to where the file keeps a place for them."""
    if not len(buffer):
        return
    with pa.memory_map(str(path)) as source:
        place = _places(source, pa.ipc.open_file(source).get_batch(0))[name][0]
    with path.open("r+b") as file:
        file.seek(place)
        for chunk in buffer.chunks():
            file.write(chunk.data)


def _places(source: pa.MemoryMappedFile, batch: pa.RecordBatch) -> dict[str, tuple[int, int]]:
    """First and last byte but one of each column of pixels in its file."""
    base = source.read_buffer().address
    found = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if isinstance(column.type, pa.FixedShapeTensorType) and len(column):
            values = column.storage.values.buffers()[1]
            found[name] = (values.address - base, values.address - base + values.size)
    return found


class ArrowFile:
    """A memory-mapped file of :func:`write_arrow`; columns are numpy views where possible.

    All but pixels is compared with the checksums of the file when it is opened, a column of pixels
    when it is read, or page by page: :meth:`verify`.

    Raises
    ------
    DataError
        If the file is missing, damaged, truncated or not one of ours.
    """

    required: ClassVar[tuple[str, ...]] = ()  # columns that a file of this kind must have

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._pages = pages_of(path)
            self._map = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._map)
            if reader.num_record_batches != 1:
                raise DataError(
                    f"{path} holds {reader.num_record_batches} batches, not 1", remedy(path)
                )
            self._batch = reader.get_batch(0)
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing", "start the run again to make it") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged or truncated ({error})", remedy(path)) from error
        self._places = _places(self._map, self._batch)
        begin = 0
        for place, end in sorted(self._places.values()):
            self._pages.verify(begin, place)
            begin = end
        self._pages.verify(begin)
        facts = (self._batch.schema.metadata or {}).get(META_KEY)
        if facts is None:
            raise DataError(f"{path} was not written by medtaskatlas", remedy(path))
        self.meta: dict[str, Any] = json.loads(facts)
        if absent := [name for name in self.required if name not in self]:
            raise DataError(
                f"{path} lacks the columns {', '.join(absent)}",
                "delete it and start the run again",
            )

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self._batch.schema.names

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in file order."""
        return list(self._batch.schema.names)

    def column(self, name: str) -> pa.Array:
        """Arrow array of a column, memory-mapped; a DataError names the columns that exist."""
        if name not in self:
            raise DataError(
                f"{self.path} has no column {name!r}; it has {', '.join(self.columns)}",
                "delete the file and start the run again",
            )
        self._pages.verify(*self._places.get(name, (0, 0)))
        return self._batch.column(name)

    def numpy(self, name: str) -> np.ndarray:
        """Column as numpy: a read-only view [N, ...] of pixels or numbers, an array of strings."""
        return _as_numpy(self.column(name))

    def unverified(self, name: str) -> np.ndarray:
        """View of a column of pixels, to be read a few rows at a time after :meth:`verify`."""
        return _as_numpy(self._batch.column(name))

    def verify(self, name: str, rows: np.ndarray | slice | int) -> None:
        """Compare the pages of a column of pixels that hold some rows with their checksums."""
        begin, end = self._places.get(name, (0, 0))
        size = (end - begin) // max(1, len(self))
        for row in np.atleast_1d(np.arange(len(self))[rows]).tolist():
            self._pages.verify(begin + row * size, begin + (row + 1) * size)


def _as_numpy(column: pa.Array) -> np.ndarray:
    """Column as numpy, without a copy where possible."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        if len(column) == 0:
            return np.empty((0, *column.type.shape), column.type.value_type.to_pandas_dtype())
        return column.to_numpy_ndarray()
    return column.to_numpy(zero_copy_only=False)
