"""Which way an image was turned (after Gidaris et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext, as_images

# Axes after the channels, and quarter turns about the third one; the first is none.
TURNS = {
    2: [((1, 2), k) for k in range(4)],
    3: [((1, 2), 0), *((axes, k) for axes in ((1, 2), (1, 3), (2, 3)) for k in (1, 2, 3))],
}


@dataclass(frozen=True)
class Turns(Pretext):
    """Tell by how many quarter turns, and of volumes about which axis."""

    def heads(self, shape: Shape) -> list[Head]:
        """A class a turn."""
        return [Head(f"{self.name}.{shape.dims}d", "vector", len(TURNS[shape.dims]))]

    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Turned images, and the number of the turn."""
        turns = TURNS[images.ndim - 2]
        which = rng.integers(len(turns), size=len(images))
        turned = [
            np.rot90(image, k, axes)
            for image, (axes, k) in zip(images, (turns[t] for t in which), strict=True)
        ]
        return {"images": as_images(np.stack(turned)), "turn": torch.from_numpy(which)}

    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Cross-entropy."""
        said = model.vector(
            model.tokens(drawn["images"], shape, who), who, self.heads(shape)[0].name
        )
        return functional.cross_entropy(said, drawn["turn"])
