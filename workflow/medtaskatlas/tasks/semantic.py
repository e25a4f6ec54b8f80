"""Semantic tasks: the input is the image, the output is drawn from its annotation."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from medtaskatlas.imageset import Sample
from medtaskatlas.tasks.pixels import PALETTE, like, scale_of
from medtaskatlas.tasks.task import Params, no_params, task

Pair = tuple[np.ndarray, np.ndarray]


def _golden_colours(n: int) -> np.ndarray:
    """Bright colours [n, 3] whose neighbours differ: hues in steps of the golden angle."""
    hues = [(i * 0.618033988749895) % 1 for i in range(n)]
    rgb = [colorsys.hsv_to_rgb(h, 0.75, 0.95) for h in hues]
    return np.rint(255 * np.array(rgb)).astype(np.uint8)


_OBJECT_COLOURS = np.concatenate([np.zeros((1, 3), np.uint8), _golden_colours(255)])


def _foreground(sample: Sample) -> np.ndarray:
    """Mask of all classes, uint8 [H, W] of 0 and 255."""
    assert sample.mask is not None  # Task.usable has seen it
    return np.where(sample.mask > 0, np.uint8(255), np.uint8(0))


def _objects(sample: Sample) -> list[np.ndarray]:
    """Positions [K, 2] of (x, y) of the pixels of each object, smallest number first."""
    assert sample.instances is not None
    numbers = np.unique(sample.instances)
    return [np.argwhere(sample.instances == n)[:, ::-1] for n in numbers[numbers > 0]]


def _corners(sample: Sample) -> np.ndarray:
    """First and last pixel of every box, int [K, 4] of (x0, y0, x1, y1)."""
    if sample.instances is not None:
        return np.array([[*p.min(axis=0), *p.max(axis=0)] for p in _objects(sample)])
    assert sample.boxes is not None
    height, width = sample.image.shape[:2]
    first, last = np.floor(sample.boxes[:, :2]), np.ceil(sample.boxes[:, 2:]) - 1
    last = np.minimum(np.maximum(first, last), [width - 1, height - 1])
    return np.concatenate([np.minimum(first, last), last], axis=1).astype(int)


def _centres(sample: Sample) -> np.ndarray:
    """Centre of mass of every object, or of its box, float [K, 2] of (x, y)."""
    if sample.instances is not None:
        return np.array([points.mean(axis=0) for points in _objects(sample)])
    assert sample.boxes is not None
    return (sample.boxes[:, :2] + sample.boxes[:, 2:] - 1) / 2


@task(family="semantic", draw=no_params, needs=("mask",))
def segmentation(sample: Sample, params: Params) -> Pair:
    """Foreground of all classes, white on black."""
    return sample.image, like(_foreground(sample), sample.image)


@task(family="semantic", draw=no_params, needs=("classes",), format_identifiable=True)
def multiclass_segmentation(sample: Sample, params: Params) -> Pair:
    """Every class in its own colour; the class id picks it from a palette of eight."""
    assert sample.mask is not None
    ids = np.where(sample.mask > 0, (sample.mask - 1) % 8 + 1, 0)
    return sample.image, _coloured(PALETTE, ids, sample.image)


@task(family="semantic", draw=no_params, needs=("instances",), format_identifiable=True)
def instance_segmentation(sample: Sample, params: Params) -> Pair:
    """Every object in its own colour, hues in steps of the golden angle."""
    assert sample.instances is not None
    ids = np.where(sample.instances > 0, (sample.instances - 1) % 255 + 1, 0)
    return sample.image, _coloured(_OBJECT_COLOURS, ids, sample.image)


def _coloured(table: np.ndarray, ids: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Colours of ids in the shape of an image; luma where the image has one channel."""
    colours = table[ids]
    if image.ndim == 3 and image.shape[2] == 3:
        return colours
    return like(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), image)


@task(family="semantic", draw=no_params, needs=("objects",))
def detection(sample: Sample, params: Params) -> Pair:
    """Bounding box of every object, white outlines on black."""
    drawn = np.zeros(sample.image.shape[:2], np.uint8)
    thickness = max(1, round(scale_of(sample.image)))
    for x0, y0, x1, y1 in _corners(sample).tolist():
        cv2.rectangle(drawn, (x0, y0), (x1, y1), 255, thickness)
    return sample.image, like(drawn, sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def boundary(sample: Sample, params: Params) -> Pair:
    """Outline between classes, white on black: where a 3 x 3 neighbourhood holds two ids."""
    assert sample.mask is not None
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    edge = cv2.morphologyEx(sample.mask, cv2.MORPH_GRADIENT, cross) > 0
    return sample.image, like(np.where(edge, np.uint8(255), np.uint8(0)), sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def distance_map(sample: Sample, params: Params) -> Pair:
    """Distance to the background inside the foreground, grey; white is the deepest point."""
    distance = cv2.distanceTransform(_foreground(sample), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    drawn = np.rint(distance * (255 / distance.max())).astype(np.uint8)
    return sample.image, like(drawn, sample.image)


@task(family="semantic", draw=no_params, needs=("objects",))
def centroid_heatmap(sample: Sample, params: Params) -> Pair:
    """A Gaussian bump at the centre of mass of every object (or of its box), grey."""
    height, width = sample.image.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    sigma = 2.0 * scale_of(sample.image)
    heat = np.zeros((height, width), np.float32)
    for cx, cy in _centres(sample).tolist():
        bump = np.outer(
            np.exp(-((y - cy) ** 2) / (2 * sigma**2)), np.exp(-((x - cx) ** 2) / (2 * sigma**2))
        )
        np.maximum(heat, bump, out=heat)
    return sample.image, like(np.rint(255 * heat).astype(np.uint8), sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def skeleton(sample: Sample, params: Params) -> Pair:
    """Centre lines of the foreground, white on black (Zhang and Suen, 1984)."""
    from skimage.morphology import skeletonize

    lines = skeletonize(_foreground(sample) > 0).astype(np.uint8) * 255
    return sample.image, like(lines, sample.image)


@task(family="semantic", draw=no_params, needs=("mask",))
def object_isolation(sample: Sample, params: Params) -> Pair:
    """The image where the foreground is, black elsewhere."""
    isolated = cv2.bitwise_and(sample.image, like(_foreground(sample), sample.image))
    return sample.image, like(isolated, sample.image)


@task(family="semantic", draw=no_params, needs=("label",), format_identifiable=True)
def classification(sample: Sample, params: Params) -> Pair:
    """The label as a plain colour: entry `label` of the palette of eight fills the output."""
    assert sample.label is not None
    ids = np.full(sample.image.shape[:2], sample.label % 8 + 1)
    return sample.image, _coloured(PALETTE, ids, sample.image)
