"""Generated images with annotation, to try tasks on."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import Sample

SIDES = (28, 64, 512)


def example_samples() -> list[Sample]:
    """Generated images to try tasks on: every side of :data:`SIDES`, grey, in colour, one channel.

    Returns
    -------
    list of Sample
        Each with a mask of two classes, three numbered objects, their boxes and a label.
    """
    samples = []
    for side in SIDES:
        for colour in (False, True):
            samples.append(_example(side, colour))
    thin = samples[2]
    return [*samples, replace(thin, image=np.ascontiguousarray(thin.image[..., :1]))]


def _example(side: int, colour: bool) -> Sample:
    """A cloud with three ellipses."""
    rng = generator(0, "example sample", side, int(colour))
    coarse = rng.uniform(30, 220, (5, 5, 3 if colour else 1)).astype(np.float32)
    cloud = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).reshape(side, side, -1)
    cloud = cloud + 8 * rng.standard_normal(cloud.shape, dtype=np.float32)
    image = np.repeat(np.clip(cloud, 0, 255).astype(np.uint8), 1 if colour else 3, axis=2)
    mask = np.zeros((side, side), np.uint8)
    instances = np.zeros((side, side), np.uint16)
    boxes = []
    # Numbers need not be near each other, nor fit 8 bits.
    for number, (x, y, a, b) in zip(
        (1, 2, 300),
        ((0.3, 0.3, 0.2, 0.12), (0.75, 0.3, 0.1, 0.15), (0.5, 0.8, 0.3, 0.1)),
        strict=True,
    ):
        centre = (int(x * side), int(y * side))
        axes = (int(a * side), int(b * side))
        spot = cv2.ellipse(np.zeros_like(mask), centre, axes, 0, 0, 360, 1, -1).astype(bool)
        mask[spot], instances[spot] = 1 + number % 2, number
        left, top, width, height = cv2.boundingRect(spot.astype(np.uint8))
        boxes.append([left, top, left + width, top + height])
    return Sample(image, mask, instances, np.array(boxes, np.float32), 1, 2, 3)
