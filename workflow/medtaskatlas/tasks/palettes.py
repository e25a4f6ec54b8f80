"""Colours for classes, labels and objects: which number gets which colour.

In an image of one channel a number is drawn as a grey level instead, see :func:`greys`.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from medtaskatlas.tasks.pixels import looked_up

# Black, then the colours of Okabe and Ito (2008), told apart with colour-blindness too, and white.
FIRST_COLOURS = np.array(
    [
        [0, 0, 0],
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
        [255, 255, 255],
    ],
    np.uint8,
)
# Most classes of a mask, and labels of a dataset, that have a colour each.
MOST_CLASSES, MOST_LABELS = 255, 1023
# Saturation and value of each round of hues.
_ROUNDS = ((0.75, 0.95), (0.45, 0.95), (0.75, 0.65), (1.0, 0.8), (1.0, 0.6), (0.55, 0.8))
_HUES = 255
MOST_OBJECTS = _HUES * len(_ROUNDS)


@cache
def class_colours(n: int) -> np.ndarray:
    """Colours of the classes 0 (background, black) to n.

    The first eight are :data:`FIRST_COLOURS`; each further one is the colour of a 16 x 16 x 16 grid
    that is farthest from all before it, so a class has the same colour whatever their number.
    """
    first = FIRST_COLOURS[: n + 1]
    colours = [*first.astype(np.int64)]
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3, indexing="ij"), axis=-1)
    candidates = grid.reshape(-1, 3)
    # Integer weights by how much the eye makes of each channel, so that ties are exact.
    weights = np.array([2, 4, 3])
    nearest = np.full(len(candidates), np.iinfo(np.int64).max)
    for i in range(n):
        nearest = np.minimum(nearest, ((candidates - colours[i]) ** 2) @ weights)
        if i + 1 >= len(first):
            colours.append(candidates[nearest.argmax()])
    return np.array(colours, np.uint8)


@cache
def object_colours() -> np.ndarray:
    """Colours of objects by number, hues in steps of the golden angle; 0 is black."""
    hues = (np.arange(_HUES) * 0.618033988749895) % 1
    rounds = [_from_hsv(hues, saturation, value) for saturation, value in _ROUNDS]
    return np.rint(255 * np.concatenate([np.zeros((1, 3)), *rounds])).astype(np.uint8)


def _from_hsv(hue: np.ndarray, saturation: float, value: float) -> np.ndarray:
    """RGB [n, 3] of hues 0 to 1, as :func:`colorsys.hsv_to_rgb` has it."""
    sector = np.floor(hue * 6).astype(int)
    rest = hue * 6 - sector
    low = np.full(hue.shape, value * (1 - saturation))
    falling, rising = value * (1 - saturation * rest), value * (1 - saturation * (1 - rest))
    high = np.full(hue.shape, value)
    red = np.choose(sector, [high, falling, low, low, rising, high])
    green = np.choose(sector, [rising, high, high, falling, low, low])
    blue = np.choose(sector, [low, low, rising, high, high, falling])
    return np.stack([red, green, blue], axis=1)


@cache
def greys() -> np.ndarray:
    """Grey levels of the numbers 0 to 255: 0 is black, then 255 less reversed bits."""
    bits = np.unpackbits(np.arange(255, dtype=np.uint8)[:, None], axis=1)
    return np.concatenate([[np.uint8(0)], 255 - np.packbits(bits[:, ::-1], axis=1)[:, 0]])


def painted(numbers: np.ndarray, colours: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Colours of numbers in the shape of an image."""
    if image.ndim == 2 or image.shape[2] == 1:
        once = np.where(numbers > 0, (numbers.astype(np.int64) - 1) % 255 + 1, 0)
        return greys()[once].reshape(image.shape)
    if numbers.dtype != np.uint8:
        return colours[numbers]
    table = np.zeros((3, 256), np.uint8)
    table[:, : len(colours)] = colours[:256].T
    return cv2.merge([looked_up(numbers, channel) for channel in table])


def filled(colours: np.ndarray, number: int, image: np.ndarray) -> np.ndarray:
    """One number's colour all over, in the shape of an image."""
    out = np.empty_like(image)
    if image.ndim == 2 or image.shape[2] == 1:
        out[:] = greys()[(number - 1) % 255 + 1 if number else 0]
    else:
        # By whole rows: many times quicker than three numbers a pixel.
        out.reshape(len(image), -1)[:] = np.tile(colours[number], image.shape[1])
    return out
