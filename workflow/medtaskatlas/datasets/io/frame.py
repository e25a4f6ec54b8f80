"""What every reader yields: one picture or volume at native resolution, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# Reasons that several readers and preparing share, so that one reason is one count.
SMALLEST = 8  # pixels; nothing smaller is a picture of anything
TOO_SMALL = f"smaller than {SMALLEST} pixels"
TOO_THIN = f"fewer than {SMALLEST} voxels along an axis"
BEYOND = "beyond `images_per_dataset`"


@dataclass(frozen=True)
class Frame:
    """One picture at native resolution with all that is known of it."""

    pixels: np.ndarray  # uint8 [H, W] or [H, W, 3] (RGB), 0..255
    image_id: str  # unique in the dataset
    group_id: str  # patient, volume, block of slices or region; never in two splits
    group_source: str  # origin of the group: published, pattern, derived, region or unknown
    mask: np.ndarray | None = None  # uint8 [H, W] class ids
    instances: np.ndarray | None = None  # uint16 [H, W] object numbers
    # float32 [K, 4] of (x0, y0, x1, y1) in pixels of the picture, pixel edges at whole numbers;
    # None where the dataset has none, [0, 4] where the picture has none.
    boxes: np.ndarray | None = None
    label: int | None = None  # number in the dataset's `labels`
    # Of a multi-label dataset, whether the image shows each finding: `labels` without the first.
    labels: tuple[bool, ...] | None = None
    # Name of a quantity to its map, float32 [H, W] in its unit, and where it counts, bool [H, W].
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)  # name of a quantity to its value
    # Person or specimen among the dataset's `subjects`; None where it is the group.
    subject: str | None = None
    split: str | None = None  # published or written; None where prepare decides
    volume_id: str | None = None  # place in a volume or cine
    slice_index: int | None = None
    axis: str | None = None
    spacing_mm: float | None = None  # side of a pixel
    # Rows and columns before pixels were made square; None where they were.
    stored_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Cube:
    """One volume at native resolution; its images know whose it is and which split it is in."""

    voxels: np.ndarray  # uint8 [D, H, W], 0..255; towards head, back and left where that is known
    volume_id: str  # as its images have it
    spacing_mm: tuple[float, float, float] | None = None  # sides of a voxel along D, H, W
    mask: np.ndarray | None = None  # uint8 [D, H, W] class ids
    label: int | None = None  # as of a frame
    labels: tuple[bool, ...] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Excluded:
    """A picture, or a whole volume, that was found and left out."""

    image_id: str  # as it would have been called
    reason: str  # pictures are counted by it
    count: int = 1  # of pictures
