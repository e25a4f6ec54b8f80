"""Images as pictures of one size, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from medtaskatlas.formats.arrow import write_arrow

Row = Mapping[str, Any]


def flat(image: torch.Tensor) -> np.ndarray:
    """Picture uint8 [H, W, 3] of an image float [C, *S] in 0..1: of a volume the middle slice."""
    planes = image if image.ndim == 3 else image[:, image.shape[1] // 2]
    pixels = (planes.clamp(0, 1) * 255).round().byte().numpy().transpose(1, 2, 0)
    return np.repeat(pixels, 3 // pixels.shape[2], axis=2)


def write_rows(
    path: str | Path, rows: Sequence[Row], empty: Mapping[str, np.ndarray], facts: Row
) -> None:
    """Write rows of texts, numbers and square pictures, all as large as the largest.

    Pixels are repeated, not mixed. ``empty`` has the columns, as they are without rows.
    """
    columns: dict[str, Any] = dict(empty)
    for name in empty if rows else ():
        values = [row[name] for row in rows]
        if isinstance(values[0], np.ndarray):
            side = max(len(value) for value in values)
            sized = [cv2.resize(v, (side, side), interpolation=cv2.INTER_NEAREST) for v in values]
            columns[name] = np.stack(sized)
        else:
            columns[name] = np.array(values, empty[name].dtype)
    texts = {n: pa.array(c.tolist(), pa.string()) for n, c in columns.items() if c.dtype == object}
    write_arrow(path, columns | texts, facts)


TEXT = np.zeros(0, object)
NUMBER = np.zeros(0, np.float32)
PICTURE = np.zeros((0, 1, 1, 3), np.uint8)
MAP = np.zeros((0, 1, 1), np.float32)
