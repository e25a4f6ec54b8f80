"""The Arrow contract of pairs: results/<run>/pairs/<set>/<task>/<dataset>.arrow.

A side of a pair that is the prepared image itself is not stored: its column is absent and read from
the images file by ``image_row``. So a pair costs one image, not two; only failures of generative
tasks cost two, since neither side of them need be the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.disk_buffer import DiskBuffer
from medtaskatlas.formats.images import ImageSet

SETS = ("main", "failure", "trajectory")
SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()),
        ("dataset", pa.string()),
        ("modality", pa.string()),
        ("image_id", pa.string()),
        ("image_row", pa.int32()),
        ("subject_id", pa.string()),
        ("group_id", pa.string()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("family", pa.string()),
        ("severity", pa.float32()),
        ("level", pa.int16()),
        ("draw", pa.int32()),
        ("params", pa.string()),
        ("failure_of", pa.string()),
        ("failure_kind", pa.string()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
# Constant in a file or nearly so: as dictionaries they cost one byte a row or less.
_DICTIONARY = ("dataset", "modality", "split", "task", "family", "failure_of", "failure_kind")
SIDES = ("input", "output")


class PairSet(ArrowFile):
    """Pairs of one task on one dataset, memory-mapped, with the images that they were made from.

    Raises
    ------
    DataError
        If a file is damaged, or the images file is not the one that the pairs were made from.
    """

    def __init__(self, path: str | Path, images: ImageSet) -> None:
        super().__init__(path)
        self.images = images
        if self.meta["images_sha256"] != images.meta["content_sha256"]:
            raise DataError(
                f"{path} was made from other images than {images.path}",
                f"delete {path} and start the run again",
            )
        self.image_row = self.numpy("image_row")
        self._stored = {side: self.unverified(side) for side in SIDES if side in self}

    def side(self, side: str, rows: np.ndarray | slice | int) -> np.ndarray:
        """Pixels of one side (input or output) of some pairs: uint8 [n, H, W, 3], 0..255."""
        if side not in self._stored:
            return self.image(rows)
        self.verify(side, rows)
        return self._stored[side][rows]

    def image(self, rows: np.ndarray | slice | int) -> np.ndarray:
        """Images that some pairs were made from: uint8 [n, H, W, 3], 0..255."""
        return self.images.images[self.image_row[rows]]


def write_pairs(
    path: str | Path,
    columns: Mapping[str, Any],
    sides: Mapping[str, np.ndarray | DiskBuffer],
    meta: Mapping[str, Any],
) -> None:
    """Write pairs.

    Parameters
    ----------
    path
        The file to make.
    columns
        A value a row for every column of :data:`COLUMNS`, or an Arrow array of them.
    sides
        ``input`` and/or ``output``: uint8 [N, H, W, 3], an array or a disk buffer; a side that
        is the image itself is absent.
    meta
        Facts about the file; must hold ``images_sha256``.
    """
    if set(columns) != set(COLUMNS) or not set(sides) <= set(SIDES) or "images_sha256" not in meta:
        raise ValueError(f"pairs need the columns {COLUMNS}, sides of {SIDES} and images_sha256")
    arrays: dict[str, Any] = {}
    for field in SCHEMA:
        array = pa.array(columns[field.name], type=field.type)
        arrays[field.name] = array.dictionary_encode() if field.name in _DICTIONARY else array
    for side, pixels in sides.items():
        if pixels.dtype != np.uint8 or len(pixels.shape) != 4 or pixels.shape[-1] != 3:
            raise ValueError(f"{side} must be uint8 [N, H, W, 3]")
        arrays[side] = pixels
    write_arrow(path, arrays, meta)
