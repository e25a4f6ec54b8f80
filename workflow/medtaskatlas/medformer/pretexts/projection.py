"""A projection of a volume belongs to the volume (after Xie et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext, as_images, info_nce

FEATURES = 64
PICTURE = Shape(2, 1)


@dataclass(frozen=True)
class Projection(Pretext):
    """Tell of which volume a picture is the mean, along one of its axes."""

    def fits(self, shape: Shape) -> bool:
        """Volumes alone."""
        return shape.dims == 3

    def needs(self, shape: Shape) -> list[Shape]:
        """Grey pictures beside volumes."""
        return [PICTURE]

    def heads(self, shape: Shape) -> list[Head]:
        """Features to compare."""
        return [Head(self.name, "vector", FEATURES)]

    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Volumes, and the mean of each along one axis, stretched to all grey levels."""
        axis = int(rng.integers(2, 5))
        picture = images.mean(axis=axis)
        top = picture.max(axis=(1, 2, 3), keepdims=True)
        bright = np.rint(255 * picture / np.maximum(top, 1)).astype(np.uint8)
        return {"images": as_images(images), "pictures": as_images(bright)}

    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Contrast of pictures with volumes."""
        of_volumes = model.vector(model.tokens(drawn["images"], shape, who), who, self.name)
        of_pictures = model.vector(model.tokens(drawn["pictures"], PICTURE, who), who, self.name)
        return info_nce(of_volumes, of_pictures)
