"""Any picture task of the bank: from its input to its output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext, as_images
from medtaskatlas.problems.targets.picture import Picture


@dataclass(frozen=True)
class BankTask(Pretext):
    """A generative or transformation task of pictures."""

    def fits(self, shape: Shape) -> bool:
        """The bank's tasks are of pictures; some are of colour alone."""
        needs_colour = "colour" in Picture(name=self.name, channels=3).task.needs
        return shape.dims == 2 and (shape.channels == 3 or not needs_colour)

    def heads(self, shape: Shape) -> list[Head]:
        """All pixels."""
        return [Head(f"{self.name}.{shape.key}", "pixels", shape.channels, shape.dims)]

    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Inputs and outputs of pairs."""
        channels = images.shape[1]
        task = Picture(name=self.name, channels=channels)
        coloured = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(
            0, 2, 3, 1
        )
        pairs = [task.pair(np.ascontiguousarray(image), rng) for image in coloured]
        sides = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
        shown, true = (as_images(s[..., :channels].transpose(0, 3, 1, 2)) for s in sides)
        return {"images": shown, "true": true}

    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Mean absolute error."""
        images = drawn["images"]
        tokens = model.tokens(images, shape, who)
        said = model.pixels(tokens, shape, who, self.heads(shape)[0].name, images.shape[2:])
        return (said - drawn["true"]).abs().mean()
