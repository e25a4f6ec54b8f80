"""What a pretext is: a question that images answer themselves, its targets and its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from medtaskatlas.medformer.model import Head, Medformer, Shape, Who

Drawn = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Pretext(ABC):
    """A pretext; each has a task latent of its own name.

    A kind is one file in this folder: :meth:`draw` runs beside the training, on the CPU, and
    :meth:`loss` in it.
    """

    name: str

    def fits(self, shape: Shape) -> bool:
        """Whether it can be asked of such images."""
        return True

    def needs(self, shape: Shape) -> Sequence[Shape]:
        """Stems besides the images' own."""
        return ()

    @abstractmethod
    def heads(self, shape: Shape) -> list[Head]:
        """Heads that it needs for such images."""

    @abstractmethod
    def draw(self, images: np.ndarray, grid: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Inputs and what is asked.

        Parameters
        ----------
        images
            uint8 [n, C, *S], square or cubic.
        grid
            Cells of the stem along each axis.
        rng
            Where it draws from.
        """

    @abstractmethod
    def loss(self, model: Medformer, shape: Shape, who: Who, drawn: Drawn) -> torch.Tensor:
        """Mean loss, a scalar; ``drawn`` lies on the model's device."""


def as_images(pixels: np.ndarray) -> torch.Tensor:
    """Float [n, C, *S] in 0..1 of uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def info_nce(one: torch.Tensor, other: torch.Tensor, temperature: float = 0.2) -> torch.Tensor:
    """Contrast of features [n, d] with their counterparts, both ways (Oord et al., 2018).

    Features are standardised over the batch, as by the last normalisation of Chen et al. (2020):
    what all images share is large beside what sets them apart, and would make all of them alike.
    """
    one, other = (_standardised(side) for side in (one, other))
    similar = one @ other.T
    right = torch.arange(len(one), device=one.device)
    entropy = torch.nn.functional.cross_entropy
    return (entropy(similar / temperature, right) + entropy(similar.T / temperature, right)) / 2


def _standardised(values: torch.Tensor) -> torch.Tensor:
    """Of length one, after mean and spread of each feature were taken out."""
    spread, mean = torch.std_mean(values.float(), dim=0, correction=0)
    return torch.nn.functional.normalize((values.float() - mean) / (spread + 1e-5), dim=1)
