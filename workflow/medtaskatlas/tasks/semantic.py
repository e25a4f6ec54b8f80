"""Semantic tasks: the input is the image, the output is drawn from its annotation."""

from __future__ import annotations

import cv2
import numpy as np

from medtaskatlas.core.errors import TaskError
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.objects import centres, corners
from medtaskatlas.tasks.palettes import (
    FIRST_COLOURS,
    MOST_CLASSES,
    MOST_LABELS,
    MOST_OBJECTS,
    class_colours,
    filled,
    object_colours,
    painted,
)
from medtaskatlas.tasks.pixels import like, scale_of, to_uint8
from medtaskatlas.tasks.task import Pair, Params, no_params, task
from medtaskatlas.tasks.thinning import thinned


def _classes(sample: Sample) -> np.ndarray:
    """The mask, whose ids must be among the dataset's classes."""
    assert sample.mask is not None  # Task.usable has seen it
    # At half the cost of numpy's maximum.
    top = int(cv2.norm(sample.mask, cv2.NORM_INF))
    if 0 < sample.n_classes < top:
        raise TaskError(
            f"the mask has class {top}, the dataset has the classes 1 to {sample.n_classes}",
            "correct the mask, or name the class in the dataset's `classes`",
        )
    return sample.mask


def _foreground(sample: Sample) -> np.ndarray:
    """Mask of all classes, uint8 [H, W] of 0 and 255."""
    return cv2.compare(_classes(sample), 0, cv2.CMP_GT)


def _colours(highest: int, most: int) -> np.ndarray:
    """Colours of classes; the long table is made only where the short one does not reach."""
    return FIRST_COLOURS if highest < len(FIRST_COLOURS) else class_colours(most)


@task(family="semantic", draw=no_params, needs=("mask",))
def segmentation(sample: Sample, params: Params) -> Pair:
    """Foreground of all classes, white on black."""
    return sample.image, like(_foreground(sample), sample.image)


@task(family="semantic", draw=no_params, needs=("classes",), format_identifiable=True)
def multiclass_segmentation(sample: Sample, params: Params) -> Pair:
    """Every class in its own colour; the class id picks it from a palette of 255."""
    mask = _classes(sample)
    colours = _colours(int(mask.max()), MOST_CLASSES)
    return sample.image, painted(mask, colours, sample.image)


@task(family="semantic", draw=no_params, needs=("instances",), format_identifiable=True)
def instance_segmentation(sample: Sample, params: Params) -> Pair:
    """Every object in its own colour, hues in steps of the golden angle."""
    instances = sample.instances
    assert instances is not None
    if int(instances.max()) <= 255:
        numbers = instances.astype(np.uint8)
    else:
        numbers = np.where(instances > 0, (instances - 1) % MOST_OBJECTS + 1, 0)
    return sample.image, painted(numbers, object_colours(), sample.image)


@task(family="semantic", draw=no_params, needs=("objects",), format_identifiable=True)
def detection(sample: Sample, params: Params) -> Pair:
    """Bounding box of every object, white outlines on black."""
    drawn = np.zeros(sample.image.shape[:2], np.uint8)
    thickness = max(1, round(scale_of(sample.image)))
    for x0, y0, x1, y1 in corners(sample).tolist():
        cv2.rectangle(drawn, (x0, y0), (x1, y1), 255, thickness)
    return sample.image, like(drawn, sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def boundary(sample: Sample, params: Params) -> Pair:
    """Outline between classes, white on black: where a pixel and one beside it differ.

    Both pixels are drawn. A class that fills the whole image has no outline: the output is black.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    steps = cv2.morphologyEx(_classes(sample), cv2.MORPH_GRADIENT, cross)
    return sample.image, like(cv2.compare(steps, 0, cv2.CMP_GT), sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def distance_map(sample: Sample, params: Params) -> Pair:
    """Distance to the background inside the foreground, grey; white is the deepest point.

    Background is what the image shows of it; where it shows none, it begins beyond the edge.
    """
    inside = _foreground(sample)
    if inside.all():
        inside = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    else:
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Its last digit depends on where in memory the mask lies; its square is a whole number.
    distance = np.sqrt(np.rint(distance * distance))
    drawn = to_uint8(distance * (np.float32(255) / distance.max()), negative=False)
    return sample.image, like(drawn, sample.image)


@task(family="semantic", draw=no_params, needs=("objects",), format_identifiable=True)
def centroid_heatmap(sample: Sample, params: Params) -> Pair:
    """A Gaussian bump at the centre of mass of every object (or of its box), grey."""
    height, width = sample.image.shape[:2]
    sigma = 2.0 * scale_of(sample.image)
    # Beyond this a bump is less than half a grey level.
    reach = sigma * float(np.sqrt(2 * np.log(2 * 255)))
    heat = np.zeros((height, width), np.float32)
    at = centres(sample)
    first = np.maximum(np.ceil(at - reach), 0).astype(int).tolist()
    last = np.minimum(np.floor(at + reach) + 1, [width, height]).astype(int).tolist()
    slopes = [_bumps(at[:, i], sample.image.shape[1 - i], sigma) for i in (0, 1)]
    for i, ((x0, y0), (x1, y1)) in enumerate(zip(first, last, strict=True)):
        bump = slopes[1][i, y0:y1, None] * slopes[0][i, x0:x1]
        here = heat[y0:y1, x0:x1]
        np.maximum(here, bump, out=here)
    return sample.image, like(cv2.convertScaleAbs(heat, alpha=255), sample.image)


def _bumps(centre: np.ndarray, length: int, sigma: float) -> np.ndarray:
    """Gaussians of height 1 along one axis, float32 [K, length]."""
    offset = (np.arange(length) - centre[:, None]).astype(np.float32)
    return np.exp(offset**2 * np.float32(-0.5 / sigma**2))


@task(family="semantic", draw=no_params, needs=("mask",))
def skeleton(sample: Sample, params: Params) -> Pair:
    """Centre lines of the foreground, white on black (Guo and Hall, 1989)."""
    lines = thinned(_classes(sample))
    # 0 and 255: the negative of 1 in 8 bits, quicker than a product.
    return sample.image, like(np.negative(lines, out=lines), sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def object_isolation(sample: Sample, params: Params) -> Pair:
    """The image where the foreground is, black elsewhere."""
    isolated = cv2.bitwise_and(sample.image, like(_foreground(sample), sample.image))
    return sample.image, isolated.reshape(sample.image.shape)


@task(family="semantic", draw=no_params, needs=("label",), format_identifiable=True)
def classification(sample: Sample, params: Params) -> Pair:
    """The label as a plain colour: label k fills the output with the colour of class k + 1.

    The colours are those of multiclass_segmentation, for up to 1,023 labels.
    """
    label = sample.label
    assert label is not None
    most = min(sample.n_labels or MOST_LABELS, MOST_LABELS)
    if not 0 <= label < most:
        raise TaskError(
            f"the label is {label}, the labels of the dataset that can be drawn are 0 to "
            f"{most - 1}",
            "correct the label, or name it in the dataset's `labels`",
        )
    return sample.image, filled(_colours(label + 1, MOST_LABELS), label + 1, sample.image)
