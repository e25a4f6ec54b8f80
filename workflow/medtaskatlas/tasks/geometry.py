"""Moving the pixels of an image: whole shifts, affine maps, displacement fields.

One kernel and one border for all, so that neither tells one movement from another. The kernel is
Lanczos of eight pixels: of those in OpenCV it loses the least sharpness (docs/decisions.md).
Borders are filled by reflection without repeating the edge, so that padding does not mark a task.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from medtaskatlas.tasks.pixels import like, thin

KERNEL, BORDER = cv2.INTER_LANCZOS4, cv2.BORDER_REFLECT_101


def shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    """Shift an image by whole pixels: nothing is resampled.

    Parameters
    ----------
    image
        uint8 [H, W] or [H, W, C].
    right, down
        Pixels, each less than the side; negative ones go left and up.

    Returns
    -------
    numpy.ndarray
        uint8 of the same shape.
    """
    height, width = image.shape[:2]
    plane = thin(image)
    left, top = max(right, 0), max(down, 0)
    padded = cv2.copyMakeBorder(plane, top, max(-down, 0), left, max(-right, 0), BORDER)
    x, y = max(-right, 0), max(-down, 0)
    return like(np.ascontiguousarray(padded[y : y + height, x : x + width]), image)


def warped(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Linear map of an image about its centre.

    Parameters
    ----------
    image
        uint8 [H, W] or [H, W, C].
    matrix
        (xx, xy, yx, yy): maps output to input positions, in pixels from the centre.

    Returns
    -------
    numpy.ndarray
        uint8 of the same shape; positions are exact to 1/64 of a pixel.
    """
    height, width = image.shape[:2]
    xx, xy, yx, yy = matrix
    x, y = (width - 1) / 2, (height - 1) / 2
    full = np.array([[xx, xy, x - xx * x - xy * y], [yx, yy, y - yx * x - yy * y]])
    moved = cv2.warpAffine(
        thin(image), full, (width, height), flags=KERNEL | cv2.WARP_INVERSE_MAP, borderMode=BORDER
    )
    return like(moved, image)


def displaced(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Take every pixel from another place.

    Parameters
    ----------
    image
        uint8 [H, W] or [H, W, C].
    field
        float32 [H, W, 2]: how far (x, y) from the pixel its value comes from.

    Returns
    -------
    numpy.ndarray
        uint8 of the same shape; positions are exact to 1/64 of a pixel.
    """
    at = field + _positions(*image.shape[:2])
    return like(cv2.remap(thin(image), at, None, KERNEL, borderMode=BORDER), image)


@lru_cache(maxsize=8)
def _positions(height: int, width: int) -> np.ndarray:
    """Own position (x, y) of every pixel, float32 [H, W, 2], read-only."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    positions = np.stack([x, y], axis=-1)
    positions.flags.writeable = False
    return positions
