"""Thinning of a mask to lines one pixel wide."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

# Bit of a pixel's code for each neighbour, clockwise from the one above.
_BITS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


@cache
def _kept() -> tuple[np.ndarray, np.ndarray]:
    """Whether a pixel with a code stays in odd and in even passes: uint8 [1, 256] of 0 and 1."""
    codes = np.arange(256)
    p2, p3, p4, p5, p6, p7, p8, p9 = (codes >> np.arange(8)[:, None] & 1).astype(bool)
    turns = [(p2, p3 | p4), (p4, p5 | p6), (p6, p7 | p8), (p8, p9 | p2)]
    crossings = np.sum([~side & beyond for side, beyond in turns], axis=0)
    pairs = [(p9, p2), (p3, p4), (p5, p6), (p7, p8)], [(p2, p3), (p4, p5), (p6, p7), (p8, p9)]
    neighbours = np.minimum(*(np.sum([a | b for a, b in pair], axis=0) for pair in pairs))
    removable = (crossings == 1) & (neighbours >= 2) & (neighbours <= 3)
    odd = removable & ~((p2 | p3 | ~p5) & p4)
    even = removable & ~((p6 | p7 | ~p9) & p8)
    return (~odd).astype(np.uint8)[None], (~even).astype(np.uint8)[None]


def thinned(mask: np.ndarray) -> np.ndarray:
    """Centre lines of a mask by parallel thinning in two passes.

    Algorithm A1 of Guo and Hall, Parallel thinning with two-subiteration algorithms, CACM 32
    (1989) 359-373. Every part of the mask keeps at least a pixel and stays in one piece; Zhang and
    Suen's algorithm (1984) loses squares of 2 x 2. Pixels outside of the image count as background.

    Parameters
    ----------
    mask
        [H, W], foreground where it is not 0.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W] of 0 and 1.
    """
    lines = cv2.compare(mask, 0, cv2.CMP_GT) & 1
    x, y, width, height = cv2.boundingRect(lines)
    part = lines[y : y + height, x : x + width]
    left = cv2.countNonZero(part) if part.size else 0
    while left:
        before = left
        for kept in _kept():
            # One filter gives the codes: the neighbours' bits add up to at most 255.
            codes = cv2.filter2D(part, -1, _BITS, borderType=cv2.BORDER_CONSTANT)
            part = cv2.bitwise_and(part, cv2.LUT(codes, kept))
        left = cv2.countNonZero(part)
        if left == before:
            lines[y : y + height, x : x + width] = part
            break
    return lines
