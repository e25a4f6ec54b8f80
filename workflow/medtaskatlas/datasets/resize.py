"""Resizing that gives the same bytes on every machine.

OpenCV's area and linear resizing round differently with and without fused multiply-add. Here the
weights are whole numbers and all sums are exact integers. (As products of matrices it would be
shorter, but BLAS threads fight each other when jobs run side by side: measured three times slower.)
"""

from __future__ import annotations

import numpy as np


def centre_square(plane: np.ndarray) -> np.ndarray:
    """Largest centred square of an image; nothing is padded.

    Parameters
    ----------
    plane
        Array [H, W, ...].

    Returns
    -------
    numpy.ndarray
        View [S, S, ...] with S = min(H, W).
    """
    height, width = plane.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return plane[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square image: area average when shrinking, bilinear when enlarging.

    Parameters
    ----------
    image
        uint8 [S, S] or [S, S, C].
    size
        Wanted side, pixels.

    Returns
    -------
    numpy.ndarray
        uint8 [size, size] or [size, size, C], rounded half up.
    """
    side = image.shape[0]
    if side == size:
        return image.copy()
    along, total = (_area, side) if size < side else (_linear, 2 * size)
    sums = along(image.astype(np.int64), size)
    sums = along(sums.swapaxes(0, 1), size).swapaxes(0, 1)
    return ((2 * sums + total**2) // (2 * total**2)).astype(np.uint8)


def resize_nearest(labels: np.ndarray, size: int) -> np.ndarray:
    """Resize a square label map by the nearest pixel centre (OpenCV's INTER_NEAREST_EXACT).

    Parameters
    ----------
    labels
        Integers [S, S].
    size
        Wanted side, pixels.

    Returns
    -------
    numpy.ndarray
        [size, size] of the same type; every value occurs in `labels`.
    """
    at = ((2 * np.arange(size) + 1) * labels.shape[0]) // (2 * size)
    return np.ascontiguousarray(labels[np.ix_(at, at)])


def _area(values: np.ndarray, size: int) -> np.ndarray:
    """Area sums along the first axis, in units of 1 / size: differences of the running integral."""
    side = values.shape[0]
    none = np.zeros_like(values[:1])
    integral = np.concatenate([none, np.cumsum(values, axis=0)])
    whole, part = np.divmod(np.arange(size + 1) * side, size)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    edges = size * integral[whole] + part * np.concatenate([values, none])[whole]
    return np.diff(edges, axis=0)


def _linear(values: np.ndarray, size: int) -> np.ndarray:
    """Bilinear sums along the first axis with aligned pixel areas, in units of 1 / (2 size)."""
    side = values.shape[0]
    centre = np.clip((2 * np.arange(size) + 1) * side - size, 0, 2 * size * (side - 1))
    left, part = np.divmod(centre, 2 * size)
    right = np.minimum(left + 1, side - 1)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    return (2 * size - part) * values[left] + part * values[right]
