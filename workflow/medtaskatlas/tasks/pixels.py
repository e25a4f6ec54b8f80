"""Pixel operations that tasks share: grey kept grey, rounded alike, borders filled alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import stringzilla

T = TypeVar("T")

# Lengths of effects (blur widths, shifts) are stated for images of this side and scale with it.
REFERENCE_SIDE = 64


def scale_of(image: np.ndarray) -> float:
    """Mean side of an image over :data:`REFERENCE_SIDE`, the side that effects are stated for."""
    return (image.shape[0] + image.shape[1]) / (2 * REFERENCE_SIDE)


def thin(image: np.ndarray) -> np.ndarray:
    """Image without repeated channels, [H, W] where it is grey: noise on it must be grey too."""
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[..., 0]
    # The middle row, where frames and margins are not, tells most colour pictures already.
    middle = image[image.shape[0] // 2].tobytes()
    red = middle[::3]
    if red != middle[1::3] or red != middle[2::3]:
        return image
    # In a grey picture a byte differs from the next one only from pixel to pixel.
    flat = image.reshape(-1)
    differs = np.not_equal(flat[1:], flat[:-1])
    np.logical_and(differs, _within_a_pixel(flat.size)[:-1], out=differs)
    return image if differs.any() else cv2.extractChannel(image, 0)


@lru_cache(maxsize=8)
def _within_a_pixel(size: int) -> np.ndarray:
    """Whether a byte of an image of three channels and the next one are of the same pixel."""
    within = np.resize(np.array([True, True, False]), size)
    within.flags.writeable = False
    return within


def like(pixels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Pixels, uint8 [H, W] or of the image's shape, in that shape; a grey plane is repeated."""
    if pixels.shape == image.shape:
        return pixels
    if image.shape[2] == 1:
        return pixels[..., None]
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def to_uint8(values: np.ndarray, *, negative: bool = True) -> np.ndarray:
    """Round to the nearest grey level, halves to the even one, clipped to 0..255.

    All tasks round here or in OpenCV's own conversion, which is the same one. So rounding tells
    nothing about the task. Without ``negative`` values it is quicker.
    """
    if not negative:
        return cv2.convertScaleAbs(values.reshape(1, -1)).reshape(values.shape)
    # Of OpenCV's ways to a saturated conversion this is the quickest, at a quarter of numpy's cost:
    # scaled so that the largest absolute value stays what it is, numbers are converted only.
    # A row of numbers, since OpenCV takes channels and short arrays for something else.
    row = values.reshape(1, -1)
    largest = cv2.norm(row, cv2.NORM_INF)
    rounded = cv2.normalize(row, None, largest, 0, cv2.NORM_INF, cv2.CV_8U)
    return rounded.reshape(values.shape)


def looked_up(pixels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Pixels with each grey level replaced by another; quicker than ``cv2.LUT`` with AVX-512."""
    out = np.array(pixels, order="C")
    stringzilla.translate(out.reshape(-1).data, np.ascontiguousarray(levels).data, inplace=True)
    return out


def mix(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """``first + weight * second`` as grey levels, rounded once."""
    row = first.reshape(1, -1).astype(np.float32, copy=False)
    both = cv2.addWeighted(row, 1, second.reshape(1, -1), weight, 0, dtype=cv2.CV_8U)
    return both.reshape(first.shape)


def magnitude(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Length of vectors or complex numbers; unlike ``cv2.magnitude`` the same at any address."""
    length = first * first
    length += second * second
    return np.sqrt(length, out=length)


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, not rounded; borders are filled by reflection.

    OpenCV's own blur of uint8 rounds its kernel to 8 bits and takes five times as long. Wide blurs
    are computed on a smaller image, whose own averaging is taken off: after that no frequency is
    left that the smaller image could not hold. Against scipy's the error is below a grey level.
    """
    if sigma <= 0:
        return plane.astype(np.float32)
    factor = int(sigma / 3)
    if factor < 2:
        return _filter(plane, sigma)
    height, width = plane.shape[:2]
    margin = factor * (math.ceil(3 * sigma / factor) + 1)
    down, right = margin + -height % factor, margin + -width % factor
    wide = cv2.copyMakeBorder(plane, margin, down, margin, right, cv2.BORDER_REFLECT_101)
    size = (wide.shape[1], wide.shape[0])
    small = cv2.resize(
        wide.astype(np.float32),
        (size[0] // factor, size[1] // factor),
        interpolation=cv2.INTER_AREA,
    )
    # A box of n pixels has the variance (n^2 - 1) / 12.
    rest = math.sqrt(sigma**2 - (factor**2 - 1) / 12) / factor
    full = cv2.resize(_filter(small, rest), size, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(full[margin : margin + height, margin : margin + width])


def _filter(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Separable Gaussian filter."""
    kernel = _gaussian(sigma)
    return cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=64)
def _gaussian(sigma: float) -> np.ndarray:
    """Kernel that ends at 3.5 standard deviations."""
    kernel = cv2.getGaussianKernel(2 * math.ceil(3.5 * sigma) + 1, sigma, cv2.CV_32F)
    kernel.flags.writeable = False
    return kernel


class _Words(np.random.bit_generator.ISeedSequence):
    """Seed words of a noise field: the drawn seed itself, which SFC64 mixes on its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        words = np.arange(n_words, dtype=dtype)
        words[0] = self.seed
        return words


def noise_generator(seed: int) -> np.random.Generator:
    """Generator for a noise field whose seed is a parameter; SFC64 is the quickest of numpy's."""
    # numpy's types know only its own seed sequences; its code takes any.
    words: Any = _Words(seed)
    return np.random.Generator(np.random.SFC64(words))


def one_of(options: Sequence[T]) -> Callable[[np.random.Generator], T]:
    """Draw one of some options, all equally likely; at a third of the cost of ``rng.choice``."""
    return lambda rng: options[int(len(options) * rng.random())]


def between(low: float, high: float) -> Callable[[np.random.Generator], float]:
    """Draw a number uniformly."""
    return lambda rng: float(rng.uniform(low, high))


def draw_seed(rng: np.random.Generator) -> int:
    """Draw the seed of a noise field: 32 bits, so that JSON keeps it exactly."""
    return int(rng.integers(2**32))
