"""Resizing that gives the same bytes on every machine.

OpenCV's area and linear resizing round differently with and without fused multiply-add. Areas are
therefore taken from its integral image, whose sums are whole numbers, in floats that hold them
exactly; enlarging is OpenCV's own bit-exact linear interpolation. (As products of matrices it would
be shorter, but BLAS threads fight each other when jobs run side by side: three times slower.)
"""

from __future__ import annotations

import cv2
import numpy as np

STRIP_BYTES = 128 << 10


def centre_square(plane: np.ndarray) -> np.ndarray:
    """Largest centred square [S, S, ...] of an image [H, W, ...], as a view; nothing is padded."""
    height, width = plane.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return plane[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square image: area average when shrinking, bilinear when enlarging.

    uint8 [S, S] or [S, S, C], C at most 4, to [size, size, ...]; areas are rounded half up.
    """
    side = image.shape[0]
    if side == size:
        return image.copy()
    if side < size:
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR_EXACT).reshape(
            size, size, *image.shape[2:]
        )
    return _area(image, size)


def resize_nearest(labels: np.ndarray, size: int) -> np.ndarray:
    """Resize a square label map by the nearest pixel centre (OpenCV's INTER_NEAREST_EXACT)."""
    at = ((2 * np.arange(size) + 1) * labels.shape[0]) // (2 * size)
    return np.ascontiguousarray(labels[np.ix_(at, at)])


def resize_map(values: np.ndarray, valid: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize the square map of a quantity: the mean of what counts in each new pixel.

    float32 and bool [S, S] to [size, size]; a new pixel counts if half of it or more does, and is 0
    elsewhere.
    """
    shares = weights(values.shape[0], size)
    share = shares @ valid.astype(np.float64) @ shares.T
    total = shares @ np.where(valid, values, 0).astype(np.float64) @ shares.T
    counts = share >= 0.5 - 1e-9
    mean = np.divide(total, share, out=np.zeros_like(total), where=counts)
    return mean.astype(np.float32), counts


def weights(side: int, size: int, span: float | None = None) -> np.ndarray:
    """Share of each old pixel in each new one, along one axis.

    Parameters
    ----------
    side
        Old pixels.
    size
        New pixels.
    span
        What the new pixels cover together, centred on the old ones, in sides of an old pixel; by
        default ``side``.

    Returns
    -------
    numpy.ndarray
        float64 [size, side]: shares of areas where the new pixels are larger, else linear between
        the old centres. A row sums to 1, to less where the new pixel lies partly or wholly outside.
    """
    span = side if span is None else span
    offset = (side - span) / 2
    if size > span:
        centre = (np.arange(size) + 0.5) * span / size + offset
        inside = (centre >= 0) & (centre <= side)
        centre = np.clip(centre - 0.5, 0, side - 1)
        return np.clip(1 - np.abs(centre[:, None] - np.arange(side)), 0, 1) * inside[:, None]
    edges = np.arange(size + 1) * span / size + offset
    upper = np.minimum(edges[1:, None], np.arange(1, side + 1))
    lower = np.maximum(edges[:-1, None], np.arange(side))
    return np.clip(upper - lower, 0, None) * size / span


def _area(image: np.ndarray, size: int) -> np.ndarray:
    """Area average: the integral image at the borders of the new pixels.

    Between whole pixels the integral of a box is linear, so a fractional border is the mean of its
    two neighbours by their shares, here in units of 1 / size so that all sums stay whole.
    """
    side = image.shape[0]
    # 32 bits without sign hold the sums of up to 2,900 x 2,900 pixels in units of 1 / size; what
    # overflows on the way comes back in the difference. Floats hold larger ones exactly.
    wide = 255 * side * side >= 2**31
    integral = cv2.integral(image, sdepth=cv2.CV_64F if wide else cv2.CV_32S)
    integral = integral.reshape(side + 1, side + 1, -1)
    if not wide:
        integral = integral.view(np.uint32)
    channels = integral.shape[2]
    out = np.empty((size, size, channels), np.uint8)
    # Some rows at a time, so that all stays in the cache: four times faster.
    step = max(1, STRIP_BYTES // ((side + 1) * channels * integral.itemsize))
    for begin in range(0, size, step):
        rows = slice(begin, min(begin + step, size))
        out[rows] = _strip(integral, rows, side, size)
    return out.reshape(size, size, *image.shape[2:])


def _strip(integral: np.ndarray, rows: slice, side: int, size: int) -> np.ndarray:
    """Means of some rows of new pixels, rounded half up by truncation to come."""
    whole, part = np.divmod(np.arange(size + 1) * side, size)
    edges = slice(rows.start, rows.stop + 1)
    if not part.any():
        sums = integral.take(whole[edges], 0).take(whole, 1)
        boxes = np.diff(np.diff(sums, axis=0), axis=1).astype(np.float64)
        total = (side // size) ** 2
    else:
        after = np.minimum(whole + 1, side)
        share = part.astype(integral.dtype)
        lines = _between(integral, whole[edges], after[edges], share[edges], axis=0, size=size)
        lines = lines[1:] - lines[:-1]
        sums = _between(lines, whole, after, share, axis=1, size=size)
        boxes = (sums[:, 1:] - sums[:, :-1]).astype(np.float64)
        total = side * side
    boxes += total / 2
    boxes /= total
    return boxes


def _between(
    values: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    share: np.ndarray,
    *,
    axis: int,
    size: int,
) -> np.ndarray:
    """Values between two lines or columns, in units of 1 / size."""
    share = share.reshape(-1, *[1] * (2 - axis))
    mixed = values.take(left, axis)
    mixed *= share.dtype.type(size) - share
    other = values.take(right, axis)
    other *= share
    mixed += other
    return mixed
