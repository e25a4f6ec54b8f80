"""Mild augmentation that leaves every target true: small shifts, a little brightness and contrast.

Flips only where they are asked for, since left and right may be targets; no turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHIFT = 0.05  # of a side, at most
GAIN, OFFSET = 0.1, 0.05  # contrast, and brightness as a share of white, at most


@dataclass(frozen=True)
class Augmentation:
    """What is done to each image of a batch."""

    shift: np.ndarray  # int [n, axes], pixels
    gain: np.ndarray  # float32 [n]
    offset: np.ndarray  # float32 [n], grey levels
    flip: np.ndarray  # bool [n, axes]
    size: tuple[int, ...]

    def of_images(self, images: np.ndarray) -> np.ndarray:
        """Images uint8 [n, *S] or [n, *S, 3], moved and of another brightness."""
        moved = self.moved(images, np.arange(len(images)), first_axis=1)
        wide = (slice(None), *[None] * (images.ndim - 1))
        levels = moved * self.gain[wide] + self.offset[wide]
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

    def moved(
        self, pixels: np.ndarray, rows: np.ndarray, *, first_axis: int | None = None
    ) -> np.ndarray:
        """Pixels of some rows [n, ..., *S], moved as their images are; borders are mirrored."""
        first = pixels.ndim - len(self.size) if first_axis is None else first_axis
        out = np.empty_like(pixels)
        for i, shift in enumerate(self.shift[rows]):
            plane = pixels[i]
            for axis, (by, length) in enumerate(zip(shift, self.size, strict=True), first - 1):
                if by:
                    plane = plane.take(_mirrored(np.arange(length) + by, length), axis)
            turned = np.flatnonzero(self.flip[rows[i]])
            if len(turned):
                plane = np.flip(plane, tuple(turned + first - 1))
            out[i] = plane
        return out


def draw_augmentation(
    rng: np.random.Generator,
    n: int,
    size: tuple[int, ...],
    *,
    shift: float = SHIFT,
    flips: bool = False,
) -> Augmentation:
    """Shifts of at most a share of the side, contrast, brightness and flips of n images."""
    most = [round(shift * length) for length in size]
    moves = np.stack([rng.integers(-m, m + 1, n) for m in most], axis=1)
    gain = 1 + GAIN * rng.uniform(-1, 1, n)
    offset = 255 * OFFSET * rng.uniform(-1, 1, n)
    flip = rng.random((n, len(size))) < 0.5 if flips else np.zeros((n, len(size)), bool)
    return Augmentation(moves, gain.astype(np.float32), offset.astype(np.float32), flip, size)


def _mirrored(at: np.ndarray, length: int) -> np.ndarray:
    """Places beyond the border, mirrored at the outermost pixel."""
    at = np.abs(at)
    return np.where(at >= length, 2 * (length - 1) - at, at)
