"""Columns that images and volumes have in common: checked, as Arrow has them, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from medtaskatlas.formats.disk_buffer import DiskBuffer

# Columns of a quantity, by its name: a number of each pixel and whether it counts, or of the image
# or volume.
MAP, VALID, VALUE = "map.", "valid.", "value."
_FEW = ("group_source", "split", "axis")  # columns with few different words


def check_names(
    columns: Iterable[str], required: Iterable[str], allowed: Collection[str], what: str
) -> None:
    """Refuse columns, or keys, that are unknown or missing."""
    unknown, absent = set(columns) - set(allowed), set(required) - set(columns)
    if unknown or absent:
        raise ValueError(f"{what}: unknown {sorted(unknown)}, missing {sorted(absent)}")


def check_pixels(name: str, column: Any, dtype: type, shape: tuple[int, ...]) -> None:
    """Refuse pixels of another type or shape."""
    column = pixels(column)
    if column.dtype != dtype or column.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} {shape}, not {column.dtype} {column.shape}"
        )


def check_groups(columns: Mapping[str, Any]) -> None:
    """Refuse a group that is in two splits: it would be tested on what was trained with."""
    split_of: dict[str, str] = {}
    for group, split in zip(columns["group_id"], columns["split"], strict=True):
        if split_of.setdefault(group, split) != split:
            raise ValueError(f"group {group} is in two splits: {split_of[group]} and {split}")


def pixels(column: Any) -> np.ndarray | DiskBuffer:
    """A column of pixels."""
    return column if isinstance(column, DiskBuffer) else np.asarray(column)


def as_arrow(name: str, column: Any) -> Any:
    """A column as Arrow has it; pixels as they are."""
    if isinstance(column, DiskBuffer) or (isinstance(column, np.ndarray) and column.ndim > 1):
        return column
    if name == "boxes":
        four = pa.list_(pa.list_(pa.float32(), 4))
        return pa.array([np.asarray(boxes).tolist() for boxes in column], type=four)
    if name == "labels":
        length = len(next(row for row in column if row is not None))
        return pa.array(list(column), type=pa.list_(pa.bool_(), length))
    if name == "native_spacing_mm":
        return pa.array(list(column), type=pa.list_(pa.float64(), 3))
    if name.startswith(VALUE):
        return pa.array(list(column), type=pa.float32())
    array = pa.array(list(column))
    return array.dictionary_encode() if name in _FEW else array


def content_hash(columns: Mapping[str, Any], identity: Iterable[str]) -> str:
    """SHA-256 over columns that say what a file holds, so that what is made of it can name it."""
    digest = hashlib.sha256()
    for name in identity:
        if name in columns:
            column = columns[name]
            digest.update(name.encode())
            if isinstance(column, DiskBuffer):
                for chunk in column.chunks():
                    digest.update(chunk.data)
            elif isinstance(column, np.ndarray) and column.dtype != object:
                digest.update(np.ascontiguousarray(column).data)
            else:
                digest.update(repr(list(column)).encode())
    return digest.hexdigest()
