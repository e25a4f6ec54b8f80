"""Masked reconstruction on visible cells (after He et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who, picked, to_cells
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext, as_images

HIDDEN = 0.65  # share of the cells


@dataclass(frozen=True)
class Masked(Pretext):
    """Tell what the hidden cells show.

    Grey levels of a cell are standardised by its own mean and deviation; of sets whose pixels are
    all black or white the loss is the cross-entropy of white. Hidden pixels are hidden from the
    stem too, whose convolutions would see beyond a cell.
    """

    def heads(self, shape: Shape) -> list[Head]:
        """All pixels."""
        return [Head(f"{self.name}.{shape.key}", "pixels", shape.channels, shape.dims)]

    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Images, whether they are black and white, and the order of cells, visible ones first."""
        order = np.argsort(rng.random((len(images), int(np.prod(grid)))), axis=1)
        # The first grey image decides.
        binary = all(((image == 0) | (image == 255)).all() for image in images)
        return {
            "images": as_images(images),
            "order": torch.from_numpy(order),
            "binary": torch.tensor(binary),
        }

    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Mean over hidden cells."""
        images, size = drawn["images"], drawn["images"].shape[2:]
        grid = model.grid(shape, size)
        shown, seen, hidden = hide(images, drawn["order"], grid)
        tokens = model.tokens(shown, shape, who, seen)
        head = self.heads(shape)[0].name
        said = model.cells(tokens, shape, who, head, size, asked=hidden)
        true = picked(to_cells(images, grid, model.pitch(shape)), hidden)
        if drawn["binary"]:
            return functional.binary_cross_entropy_with_logits(said, true)
        # Much quicker than `var`.
        true = true - true.mean(dim=2, keepdim=True)
        variance = true.square().sum(dim=2, keepdim=True) / (true.shape[2] - 1)
        return (said - true / (variance + 1e-3).sqrt()).square().mean()


def hide(
    images: torch.Tensor, order: torch.Tensor, grid: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images with grey in the place of hidden cells; cells that are seen, and hidden ones.

    Parameters
    ----------
    images
        Float [B, C, *S] in 0..1.
    order
        Cells of each image, those to be seen first, int64 [B, cells].
    grid
        Cells along each axis.
    """
    visible = round(order.shape[1] * (1 - HIDDEN))
    seen, hidden = order[:, :visible], order[:, visible:]
    hides = torch.ones(order.shape, device=order.device).scatter(1, seen, 0)
    mask = functional.interpolate(
        hides.unflatten(1, tuple(grid))[:, None], tuple(images.shape[2:]), mode="nearest"
    )
    return torch.where(mask > 0, 0.5, images), seen, hidden
