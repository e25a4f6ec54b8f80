"""Tasks as functions: what a task does to an image, as a linear map of fixed features.

Nothing is trained. Features of a place are the grey levels there and those of an untrained
convolutional network at four sizes (hypercolumns; Hariharan et al., 2015). Ridge regression from
the features of the inputs of some pairs to their outputs gives a map a task; how well the map of
one task does another is a directed distance. Sums over pixels are all that is needed of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from medtaskatlas.core.seeds import generator
from medtaskatlas.networks.from_seed import from_seed

INITIALISATIONS = 3
WIDTHS = (16, 24, 32, 48)  # channels at full size, and at a half, a quarter and an eighth of it
CHANNELS = 3
RIDGE = 1e-3  # times the mean square of each feature
AT_ONCE = 8  # images
PLACES = 32  # a side whose features are summed, at most: some thousand places an image are enough


class Hypercolumns(nn.Module):
    """Features of every place: 1, the grey levels, and the maps of an untrained network."""

    def __init__(self) -> None:
        super().__init__()
        given = [CHANNELS, *WIDTHS[:-1]]
        self.layers = nn.ModuleList(
            nn.Conv2d(one, other, 3, padding=1, padding_mode="reflect")
            for one, other in zip(given, WIDTHS, strict=True)
        )

    def forward(self, images: torch.Tensor, step: int) -> torch.Tensor:
        """Float [B, F, H / step, W / step] of images float [B, 3, H, W] in 0..1."""
        values = images - 0.5
        at = values[:, :, ::step, ::step]
        found = [torch.ones_like(at[:, :1]), at]
        for i, layer in enumerate(self.layers):
            values = functional.relu(layer(functional.avg_pool2d(values, 2) if i else values))
            if i:
                found.append(functional.interpolate(values, at.shape[2:], mode="bilinear"))
            else:
                found.append(values[:, :, ::step, ::step])
        return torch.cat(found, dim=1)


FEATURES = 1 + CHANNELS + sum(WIDTHS)


def networks(seed: int) -> list[Hypercolumns]:
    """Untrained networks of several initialisations, for :func:`moments`."""
    seeds = [generator(seed, "transfer kernel", i).integers(2**62) for i in range(INITIALISATIONS)]
    return [from_seed(Hypercolumns, int(one)).eval().requires_grad_(False) for one in seeds]


@dataclass(frozen=True)
class Moments:
    """Sums over the pixels of some pairs, which add up.

    ``gram`` float64 [I, F, F] of the features of the inputs with each other, ``cross`` [I, F, 3]
    with the outputs, ``square`` [I] of the outputs squared, and ``pixels`` [I] how many.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    square: torch.Tensor
    pixels: torch.Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(a + b for a, b in zip(self.tensors(), other.tensors(), strict=True)))

    def mean(self) -> Moments:
        """The same of one pixel, so that sets of pairs count alike."""
        n = self.pixels
        return Moments(
            self.gram / n[:, None, None], self.cross / n[:, None, None], self.square / n, n / n
        )

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Its parts."""
        return self.gram, self.cross, self.square, self.pixels


def moments(made: Sequence[Hypercolumns], inputs: np.ndarray, outputs: np.ndarray) -> Moments:
    """Moments of pairs uint8 [N, H, W, 3] and the same."""
    total: Moments | None = None
    with torch.inference_mode():
        for images, wanted in _batches(inputs, outputs):
            step = max(1, images.shape[2] // PLACES)
            y = _flat(wanted[:, :, ::step, ::step])
            parts = []
            for network in made:
                x = _flat(network(images, step))
                parts.append((x.T @ x, x.T @ y))
            gram, cross = (torch.stack(part).double() for part in zip(*parts, strict=True))
            one = torch.ones(len(made), dtype=torch.float64)
            part = Moments(gram, cross, one * float(y.double().square().sum()), one * len(y))
            total = part if total is None else total + part
    if total is None:
        raise ValueError("there is no pair")
    return total


def _flat(maps: torch.Tensor) -> torch.Tensor:
    """Values of places [places, channels] of maps [B, channels, H, W]."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _batches(
    inputs: np.ndarray, outputs: np.ndarray
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs as float [B, 3, H, W] in 0..1, some at a time."""
    for start in range(0, len(inputs), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        yield to_tensor(inputs[part]), to_tensor(outputs[part])


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Float [B, 3, H, W] in 0..1 of uint8 [B, H, W, 3]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def operator(fitted: Moments) -> torch.Tensor:
    """Linear map of the features, float64 [I, F, 3], that does what the pairs do."""
    scale = torch.diagonal(fitted.gram, dim1=1, dim2=2)
    # A feature that is never on has no weight; the rest are penalised by their own size.
    penalty = RIDGE * torch.where(scale > 0, scale, scale.amax(dim=1, keepdim=True))
    return torch.linalg.solve(fitted.gram + torch.diag_embed(penalty), fitted.cross)


def error(maps: torch.Tensor, asked: Moments) -> torch.Tensor:
    """Mean square error per pixel and channel, grey levels 0..1, of a map on pairs; [I], >= 0."""
    own = torch.einsum("ifc,ifg,igc->i", maps, asked.gram, maps)
    crossed = torch.einsum("ifc,ifc->i", maps, asked.cross)
    return ((own - 2 * crossed + asked.square) / (CHANNELS * asked.pixels)).clamp_min(0)


def apart(one: torch.Tensor, other: torch.Tensor, asked: Moments) -> torch.Tensor:
    """Mean square difference of what two maps make of the inputs of pairs; [I]."""
    difference = one - other
    whole = torch.einsum("ifc,ifg,igc->i", difference, asked.gram, difference)
    return (whole / (CHANNELS * asked.pixels)).clamp_min(0)
