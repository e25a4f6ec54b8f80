"""What every reader yields: one picture at native resolution, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Reasons that several readers and preparing share, so that one reason is one count.
SMALLEST = 8  # pixels; nothing smaller is a picture of anything
TOO_SMALL = f"smaller than {SMALLEST} pixels"
BEYOND = "beyond `images_per_dataset`"


@dataclass(frozen=True)
class Frame:
    """One picture at native resolution with all that is known of it.

    Attributes
    ----------
    pixels
        uint8 [H, W] or [H, W, 3] (RGB), 0..255.
    image_id
        Unique in the dataset.
    group_id
        Patient, volume, block of slices or region; never in two splits.
    group_source
        Who says what the group is: published, pattern, derived, region or unknown.
    mask
        uint8 [H, W] class ids, or None.
    instances
        uint16 [H, W] object numbers, or None.
    boxes
        float32 [K, 4] of (x0, y0, x1, y1) in pixels of the picture, pixel edges at whole numbers;
        None where the dataset has none, [0, 4] where the picture has none.
    label
        Number of the picture's label in the dataset's ``labels``, or None.
    split
        A published or written split, or None where prepare decides.
    volume_id, slice_index, axis
        Place in a volume or cine, where there is one.
    spacing_mm
        Side of a pixel in millimetres, where it is known.
    """

    pixels: np.ndarray
    image_id: str
    group_id: str
    group_source: str
    mask: np.ndarray | None = None
    instances: np.ndarray | None = None
    boxes: np.ndarray | None = None
    label: int | None = None
    split: str | None = None
    volume_id: str | None = None
    slice_index: int | None = None
    axis: str | None = None
    spacing_mm: float | None = None


@dataclass(frozen=True)
class Excluded:
    """A picture, or a whole volume, that was found and left out.

    Attributes
    ----------
    image_id
        What it would have been called.
    reason
        Why; pictures are counted by it.
    count
        How many pictures it would have been.
    """

    image_id: str
    reason: str
    count: int = 1
