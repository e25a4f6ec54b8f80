"""Thinning of a mask to lines one pixel wide.

A whole mask is one whole number, a pixel one of its bits: so one operation of Python's works on all
pixels at once, at tens of them a nanosecond, where a look-up of neighbourhoods takes a
nanosecond for each.
"""

from __future__ import annotations

import cv2
import numpy as np


def thinned(mask: np.ndarray) -> np.ndarray:
    """Centre lines of a mask, by algorithm A1 of Guo and Hall (CACM 32, 1989, 359-373).

    Every part keeps at least a pixel and stays in one piece; Zhang and Suen's algorithm (1984)
    loses squares of 2 x 2. Pixels outside of the image count as background.
    """
    if mask.dtype != np.uint8:
        mask = (mask != 0).view(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    # One column of background beside the foreground keeps rows apart that follow each other.
    row = width + 1
    part = mask[y : y + height, x : x + row]
    if part.shape[1] == width:
        part = cv2.copyMakeBorder(part, 0, 0, 0, 1, cv2.BORDER_CONSTANT, value=0)
    packed = np.packbits(part, None, "little").tobytes()
    left = _thinned(int.from_bytes(packed, "little"), row).to_bytes(len(packed), "little")
    bits = np.unpackbits(np.frombuffer(left, np.uint8), None, height * row, "little")
    lines = np.zeros(mask.shape, np.uint8)
    lines[y : y + height, x : x + width] = bits.reshape(height, row)[:, :width]
    return lines


def _thinned(x: int, row: int) -> int:
    """Thin a mask whose pixel (y, x) is bit ``y * row + x``; the last column is background.

    A pass takes pixels away by Guo and Hall's three conditions: one run of foreground around the
    pixel; two or three pairs of neighbours, counted the way that gives fewer; and, in odd passes,
    ``(n | ne | ~se) & e`` is 0. Even passes are odd ones of the mask turned by half a circle. The
    conditions are written out for what the pixels to the east and to the west are, so that most of
    them falls away; a test holds all neighbourhoods against them. ``a ^ (a & b)`` is ``a`` without
    ``b``.
    """
    odd, idle = False, 0
    while idle < 2:
        odd = not odd
        # Of each pixel the bit of its neighbour to the north, and so on. A sum with itself is a
        # shift to the left, and quicker.
        if odd:
            n, s, e, w = x << row, x >> row, x >> 1, x + x
            ne, nw, se = n >> 1, n + n, s >> 1
        else:
            n, s, e, w = x >> row, x << row, x + x, x >> 1
            ne, nw, se = n + n, n >> 1, s + s
        # East is foreground: an upper edge that goes on, or ends in the west.
        inner = x & e
        gone = inner & se & s
        gone ^= gone & (n | nw ^ (nw & w))
        # East is background and west is not: a right edge, its lower corner, a stub.
        outer = x ^ inner
        right = outer & w
        corner = right ^ (right & se)
        below = corner & n
        stub = corner ^ below
        gone |= right & s
        if stub and (stub := stub & nw):
            gone |= stub & (s << 1 if odd else s >> 1)
        gone ^= gone & ne
        gone |= below
        # Both are background: what sticks out of a straight edge.
        if alone := outer ^ right:
            if tip := alone & s & se:
                tip &= s << 1 if odd else s >> 1
                gone |= tip ^ (tip & (n | ne | nw))
            if tip := alone & n & ne & nw:
                gone |= tip ^ (tip & (s | se | (s << 1 if odd else s >> 1)))
        x ^= gone
        idle = 0 if gone else idle + 1
    return x
