"""Two mild views of an image are alike (after Chen et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext, as_images, info_nce
from medtaskatlas.problems.augment import draw_augmentation

# No blur and no crops, which erase small findings: twice the shifts of supervised training, and
# grain of a few grey levels.
SHIFT, GRAIN = 0.1, 4.0
FEATURES = 64


@dataclass(frozen=True)
class Contrast(Pretext):
    """Tell which of the other views is of the same image."""

    def heads(self, shape: Shape) -> list[Head]:
        """Features to compare."""
        return [Head(self.name, "vector", FEATURES)]

    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Two views, mirrored, shifted, brighter or darker, with grain."""
        found = []
        for _ in range(2):
            moves = draw_augmentation(rng, len(images), images.shape[2:], shift=SHIFT, flips=True)
            # Channels stand where colour does.
            moved = moves.of_images(np.moveaxis(images, 1, -1))
            grain = rng.normal(0, GRAIN, moved.shape)
            view = np.clip(np.rint(moved + grain), 0, 255).astype(np.uint8)
            found.append(as_images(np.moveaxis(view, -1, 1)))
        return {"one": found[0], "other": found[1]}

    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Contrast of both."""
        both = torch.cat([drawn["one"], drawn["other"]])
        said = model.vector(model.tokens(both, shape, who), who, self.name)
        one, other = said.chunk(2)
        return info_nce(one, other)
