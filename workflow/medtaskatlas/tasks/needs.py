"""What a task may need of an image, and whether an image has it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample


def _mask(sample: Sample) -> bool:
    return sample.mask is not None and bool(sample.mask.any())


def _classes(sample: Sample) -> bool:
    mask = sample.mask
    return mask is not None and bool(((mask > 0) & (mask < mask.max())).any())


def _instances(sample: Sample) -> bool:
    return sample.instances is not None and bool(sample.instances.any())


def _boxes(sample: Sample) -> bool:
    return sample.boxes is not None and len(sample.boxes) > 0


def _objects(sample: Sample) -> bool:
    if sample.instances is not None:
        return _instances(sample)
    return _boxes(sample) if sample.boxes is not None else _mask(sample)


def _label(sample: Sample) -> bool:
    return sample.label is not None


def _colour(sample: Sample) -> bool:
    return sample.image.ndim == 3 and sample.image.shape[2] == 3 and is_colour(sample.image)


# `classes`: at least two in the mask. `objects`: by their numbers, else by boxes, else each
# connected part of a class in the mask is one (tasks/objects.py).
HAS: dict[str, Callable[[Sample], bool]] = {
    "mask": _mask,
    "classes": _classes,
    "instances": _instances,
    "boxes": _boxes,
    "objects": _objects,
    "label": _label,
    "colour": _colour,
}
NEEDS = tuple(HAS)


def is_colour(image: np.ndarray) -> bool:
    """Whether an image has colour, rather than grey in three channels."""
    first, second, third = cv2.split(image)
    spread = cv2.subtract(
        cv2.max(cv2.max(first, second), third), cv2.min(cv2.min(first, second), third)
    )
    wide = cv2.countNonZero(cv2.compare(spread, 8, cv2.CMP_GT))
    return bool(wide / spread.size >= 0.01)
