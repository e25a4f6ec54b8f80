"""Where a picture has holes: shapes that grow with the share of the area that they cover.

A field over the image is lowest where holes begin; the holes are what lies below a level. Fields
and levels are found on a grid that is coarser than most images, which is much quicker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from medtaskatlas.tasks.noise import normals
from medtaskatlas.tasks.pixels import noise_generator

Size = tuple[int, int]
Field = Callable[[np.random.Generator, Size], np.ndarray]

# Points a side of the grid of smooth shapes.
GRID = 32
# Strokes are thin, so their grid is finer.
STROKE_GRID = 64


def holes(shape: str, share: float, size: Size, seed: int) -> np.ndarray:
    """Holes of a shape that cover a share of an image."""
    if not 0 < share < 1:
        return np.full(size, share > 0, np.uint8)
    rng = noise_generator(seed)
    if shape == "rectangles":
        return _rectangles(rng, share, size)
    field = _FIELDS[shape](rng, size)
    # Every other point tells the level of a fine grid well enough, at a third of the cost.
    coarse = field[::2, ::2] if field.size > GRID * GRID else field
    level = _level_of_share(coarse, share)
    if field.shape != size:
        field = cv2.resize(field, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return (field < level).view(np.uint8)


def _level_of_share(field: np.ndarray, share: float) -> float:
    """Level below which this share of a field lies; grows with the share."""
    at = share * (field.size - 1)
    rank = int(at)
    # Of a thousand numbers a full sort is no slower than a partial one, and twice as quick on some.
    low, high = np.sort(field, axis=None)[rank : rank + 2].tolist()
    return low + (at - rank) * (high - low)


def _drawn(rng: np.random.Generator) -> np.ndarray:
    """Two to six shapes of five numbers each, uniform over 0 to 1; [n, 5]."""
    return rng.random((int(rng.integers(2, 7)), 5), dtype=np.float32)


@cache
def _lattice() -> np.ndarray:
    """Fibonacci lattice (Niederreiter, 1992, ch. 5) over the unit square; [2, 1, 987]."""
    i = np.arange(987)
    points = ((np.stack([i, i * 610 % 987]) + 0.5) / 987).astype(np.float32)[:, None]
    points.flags.writeable = False
    return points


def _rectangles(rng: np.random.Generator, share: float, size: Size) -> np.ndarray:
    """Holes that are upright rectangles, drawn on the image itself, so with sharp corners."""
    drawn = _drawn(rng)
    half = drawn[:, 2:4] + np.float32(0.4)
    # In units of the mean side, so that an image of another size has the same holes.
    side = sum(size) / 2
    slope = np.array([[size[1] / side], [size[0] / side]], np.float32) / half.T
    away = slope[..., None] * _lattice() - (slope * drawn[:, :2].T)[..., None]
    np.abs(away, out=away)
    reach = side * _level_of_share(np.maximum(away[0], away[1]).min(axis=0), share)
    hole = np.zeros(size, np.uint8)
    for (u, v), (a, b) in zip(drawn[:, :2].tolist(), half.tolist(), strict=True):
        rows = _pixels_between(v * size[0] - reach * b, v * size[0] + reach * b)
        hole[rows, _pixels_between(u * size[1] - reach * a, u * size[1] + reach * a)] = 1
    return hole


def _pixels_between(low: float, high: float) -> slice:
    """Pixels whose centres are between two positions on an axis that starts at an image's edge."""
    return slice(max(0, math.ceil(low - 0.5)), max(0, math.floor(high - 0.5) + 1))


def _ellipses(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Least squared distance to the ellipses' centres, in units of their half axes."""
    drawn = _drawn(rng)
    width, height = 2 * size[1] / sum(size), 2 * size[0] / sum(size)
    # Of each ellipse the distance along its axes: what x, y and 1 are multiplied by.
    planes = np.empty((2, len(drawn), 3), np.float32)
    for i, (u, v, a, b, turn) in enumerate(drawn.tolist()):
        c, s = math.cos(math.pi * turn), math.sin(math.pi * turn)
        for axis, (x, y, half) in enumerate(((c, s, a + 0.4), (-s, c, b + 0.4))):
            across, down = x * width / half, y * height / half
            planes[axis, i] = across, down, -across * u - down * v
    at = _grid_axis()
    in_y = planes[..., 1:2] * at + planes[..., 2:]
    distance = in_y[..., None] + (planes[..., :1] * at)[..., None, :]
    distance *= distance
    return (distance[0] + distance[1]).min(axis=0)


@cache
def _grid_axis() -> np.ndarray:
    """Where the rows or columns of the grid are, as shares of a side; float32 [GRID]."""
    at = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    at.flags.writeable = False
    return at


def _strokes(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Distance to straight strokes over the image."""
    drawn = _drawn(rng)
    rows, columns = (max(1, round(2 * STROKE_GRID * n / sum(size))) for n in size)
    free = np.full((rows, columns), 255, np.uint8)
    for u, v, turn, length, _ in drawn.tolist():
        x, y = u * columns, v * rows
        reach = (0.3 + 0.4 * length) * STROKE_GRID
        dx, dy = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        end = (int(x + reach * dx), int(y + reach * dy))
        cv2.line(free, (int(x), int(y)), end, 0, 1)
    # Whole steps of distance would be whole steps of area: the mean of neighbours has none.
    return cv2.blur(cv2.distanceTransform(free, cv2.DIST_L2, 3), (3, 3))


def _blobs(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Smooth noise, cubic between a coarse grid of knots."""
    knots = int(rng.integers(5, 10))
    coarse = normals(rng, (knots, knots))
    return cv2.resize(coarse, (GRID, GRID), interpolation=cv2.INTER_CUBIC)


_FIELDS: dict[str, Field] = {"ellipses": _ellipses, "strokes": _strokes, "blobs": _blobs}
SHAPES = ("rectangles", *_FIELDS)
