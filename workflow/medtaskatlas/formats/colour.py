"""Whether images have colour: stored pictures have three channels, grey or not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from medtaskatlas.formats.disk_buffer import DiskBuffer


def is_colour(image: np.ndarray) -> bool:
    """Whether an image has colour, rather than grey in three channels."""
    first, second, third = cv2.split(image)
    spread = cv2.subtract(
        cv2.max(cv2.max(first, second), third), cv2.min(cv2.min(first, second), third)
    )
    wide = cv2.countNonZero(cv2.compare(spread, 8, cv2.CMP_GT))
    return bool(wide / spread.size >= 0.01)


def channels(images: np.ndarray | DiskBuffer, splits: Sequence[str]) -> int:
    """1 where all training images [N, H, W, 3] are grey, else 3; of all where none is for training.

    Of all of them, so that it depends neither on chance nor on what is labelled.
    """
    looked_at = [split == "train" for split in splits]
    if not any(looked_at):
        looked_at = [True] * len(splits)
    chunks = images.chunks() if isinstance(images, DiskBuffer) else [images]
    rows = (image for chunk in chunks for image in chunk)
    return 3 if any(look and is_colour(i) for i, look in zip(rows, looked_at, strict=True)) else 1
