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
        whole = source.read_buffer()
        column = pa.ipc.open_file(source).get_batch(0).column(name)
        place = column.storage.values.buffers()[1].address - whole.address
        del column, whole
    with path.open("r+b") as file:
        file.seek(place)
        for chunk in buffer.chunks():
            file.write(chunk.data)


class ArrowFile:
    """A memory-mapped file of :func:`write_arrow`; columns are numpy views where possible.

    Raises
    ------
    DataError
        If the file is missing, truncated or not one of ours.
    """

    required: ClassVar[tuple[str, ...]] = ()  # columns that a file of this kind must have

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        remedy = f"delete {path} and start the run again: Snakemake makes it anew"
        try:
            self._map = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._map)
            if reader.num_record_batches != 1:
                raise DataError(f"{path} holds {reader.num_record_batches} batches, not 1", remedy)
            self._batch = reader.get_batch(0)
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing", "start the run again to make it") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged or truncated ({error})", remedy) from error
        facts = (self._batch.schema.metadata or {}).get(META_KEY)
        if facts is None:
            raise DataError(f"{path} was not written by medtaskatlas", remedy)
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
        return self._batch.column(name)

    def numpy(self, name: str) -> np.ndarray:
        """Column as numpy: a read-only view [N, ...] of pixels or numbers, an array of strings."""
        column = self.column(name)
        if isinstance(column.type, pa.FixedShapeTensorType):
            if len(column) == 0:
                return np.empty((0, *column.type.shape), column.type.value_type.to_pandas_dtype())
            return column.to_numpy_ndarray()
        return column.to_numpy(zero_copy_only=False)
