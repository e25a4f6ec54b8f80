"""What a task may need of an image, and whether an image has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medtaskatlas.formats.colour import is_colour
from medtaskatlas.formats.images import Sample


def _has_pixels(plane: np.ndarray | None) -> bool:
    return plane is not None and bool(plane.any())


def _classes(sample: Sample) -> bool:
    mask = sample.mask
    return mask is not None and bool(((mask > 0) & (mask < mask.max())).any())


def _objects(sample: Sample) -> bool:
    if sample.instances is not None:
        return _has_pixels(sample.instances)
    return bool(len(sample.boxes)) if sample.boxes is not None else _has_pixels(sample.mask)


# `classes`: at least two in the mask. `objects`: by their numbers, else by boxes, else each
# connected part of a class in the mask is one (tasks/objects.py).
HAS: dict[str, Callable[[Sample], bool]] = {
    "mask": lambda s: _has_pixels(s.mask),
    "classes": _classes,
    "instances": lambda s: _has_pixels(s.instances),
    "boxes": lambda s: s.boxes is not None and len(s.boxes) > 0,
    "objects": _objects,
    "label": lambda s: s.label is not None,
    "colour": lambda s: s.image.shape[2:] == (3,) and is_colour(s.image),
}
NEEDS = tuple(HAS)
