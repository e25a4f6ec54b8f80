"""Moving the pixels of an image: affine maps and displacement fields.

One kernel and one border for all, so that neither tells one movement from another. Half-way pixels
are put in first, by Lanczos of eight pixels, and the finer image is sampled by a cubic kernel: that
is sharper than Lanczos alone and takes half its time (docs/decisions.md). Borders are filled by
reflection without repeating the edge, so that padding does not mark a task.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from medtaskatlas.tasks.pixels import like, thin

KERNEL, BORDER = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101

# Lanczos weights of the eight pixels about a point half-way between two, to 1/128. So all sums of
# grey levels, of two passes too, are exact in float32: the same bits on any processor.
_HALF_WAY = np.array([[-2, 8, -21, 79, 79, -21, 8, -2]], np.float32).T / 128
_NONE = np.ones((1, 1), np.float32)


def warped(
    image: np.ndarray,
    matrix: tuple[float, float, float, float],
    aside: tuple[float, float] | list[float] = (0.0, 0.0),
) -> np.ndarray:
    """Linear map of an image about its centre, and a shift."""
    height, width = image.shape[:2]
    xx, xy, yx, yy = matrix
    x, y = (width - 1) / 2, (height - 1) / 2
    right, down = x + aside[0], y + aside[1]
    full = 2 * np.array([[xx, xy, right - xx * x - xy * y], [yx, yy, down - yx * x - yy * y]])
    moved = cv2.warpAffine(
        _doubled(thin(image)),
        full,
        (width, height),
        flags=KERNEL | cv2.WARP_INVERSE_MAP,
        borderMode=BORDER,
    )
    return like(moved, image)


def displaced(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Take every pixel from another place."""
    at = field + _positions(*image.shape[:2])
    at *= 2
    return like(cv2.remap(_doubled(thin(image)), at, None, KERNEL, borderMode=BORDER), image)


def _doubled(plane: np.ndarray) -> np.ndarray:
    """Image with half-way pixels put between those of another, which stay as they are."""
    height, width = plane.shape[:2]
    fine = np.empty((2 * height - 1, 2 * width - 1, *plane.shape[2:]), np.uint8)
    fine[::2, ::2] = plane
    between = cv2.sepFilter2D(plane, -1, _HALF_WAY, _NONE, anchor=(3, 0), borderType=BORDER)
    fine[::2, 1::2] = between[:, : width - 1]
    between = cv2.sepFilter2D(plane, -1, _NONE, _HALF_WAY, anchor=(0, 3), borderType=BORDER)
    fine[1::2, ::2] = between[: height - 1]
    between = cv2.sepFilter2D(plane, -1, _HALF_WAY, _HALF_WAY, anchor=(3, 3), borderType=BORDER)
    fine[1::2, 1::2] = between[: height - 1, : width - 1]
    # OpenCV reflects a single line for ever; reflected, it is two of the same.
    for axis in (0, 1):
        if fine.shape[axis] == 1:
            fine = np.repeat(fine, 2, axis)
    return fine


@lru_cache(maxsize=8)
def _positions(height: int, width: int) -> np.ndarray:
    """Own position (x, y) of every pixel, float32 [H, W, 2], read-only."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    positions = np.stack([x, y], axis=-1)
    positions.flags.writeable = False
    return positions
