"""The objects of an image: from their numbers, else from boxes, else from the mask.

Where a dataset numbers no objects and has no boxes, every connected part of a class is one, pixels
that touch at a corner included.
"""

from __future__ import annotations

import cv2
import numpy as np

from medtaskatlas.core.errors import TaskError
from medtaskatlas.formats.images import Sample


def corners(sample: Sample) -> np.ndarray:
    """First and last pixel of the box of every object."""
    if sample.instances is not None:
        return _numbered_corners(sample.instances)
    if sample.boxes is not None:
        return _box_corners(sample.boxes, sample.image.shape[:2])
    stats = _parts(sample)[0]
    return np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4] - 1], axis=1).astype(int)


def centres(sample: Sample) -> np.ndarray:
    """Centre of mass of every object, or of its box where there are boxes only."""
    if sample.instances is not None:
        return _numbered_centres(sample.instances)
    if sample.boxes is not None:
        _box_corners(sample.boxes, sample.image.shape[:2])
        return (sample.boxes[:, :2] + sample.boxes[:, 2:] - 1) / 2
    return _parts(sample)[1]


def _positions(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, x and y of every pixel of an object, row by row."""
    flat = np.flatnonzero(instances)
    y, x = np.divmod(flat, instances.shape[1])
    return instances.ravel()[flat], x, y


def _numbered_corners(instances: np.ndarray) -> np.ndarray:
    """Boxes of numbered objects in one pass, smallest number first."""
    numbers, x, y = _positions(instances)
    top = int(numbers.max()) + 1
    box = np.zeros((4, top), np.int64)
    # Positions come row by row, and of several values for one place the last one stays.
    box[3][numbers] = y
    box[1][numbers[::-1]] = y[::-1]
    order = np.argsort(x, kind="stable")
    box[2][numbers[order]] = x[order]
    box[0][numbers[order[::-1]]] = x[order[::-1]]
    return box[:, np.flatnonzero(np.bincount(numbers))].T


def _numbered_centres(instances: np.ndarray) -> np.ndarray:
    """Centres of mass of numbered objects in one pass, smallest number first."""
    numbers, x, y = _positions(instances)
    count = np.bincount(numbers)
    present = np.flatnonzero(count)
    sums = np.stack([np.bincount(numbers, weights=w)[present] for w in (x, y)], axis=1)
    return sums / count[present, None]


def _box_corners(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels of boxes: a box covers those that it overlaps."""
    height, width = shape
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= boxes[:, :2]).all(axis=1)
    good &= (boxes[:, 2:] >= 0).all(axis=1) & (boxes[:, :2] < [width, height]).all(axis=1)
    if not good.all():
        wrong = boxes[~good][0].tolist()
        raise TaskError(
            f"box {wrong} is not (x0, y0, x1, y1) inside an image of {width} x {height}",
            "correct the dataset's boxes",
        )
    first = np.maximum(np.floor(boxes[:, :2]), 0)
    last = np.minimum(np.maximum(np.ceil(boxes[:, 2:]) - 1, first), [width - 1, height - 1])
    return np.concatenate([first, last], axis=1).astype(int)


def _parts(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (x, y, width, height) and centres of the connected parts of every class."""
    mask = sample.mask
    assert mask is not None  # Task.usable has seen it
    stats, centroids = [], []
    for number in range(1, int(mask.max()) + 1):
        plane = cv2.compare(mask, number, cv2.CMP_EQ)
        if cv2.countNonZero(plane):
            _, _, of_class, at = cv2.connectedComponentsWithStats(plane, connectivity=8)
            stats.append(of_class[1:])
            centroids.append(at[1:])
    return np.concatenate(stats), np.concatenate(centroids)
