"""The network of graded codes: an encoder of a pair, and a small network that does its task."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from medtaskatlas.encoders.kind import CHANNELS
from medtaskatlas.encoders.taco.network import InCoordinates
from medtaskatlas.networks.convolution import grouped
from medtaskatlas.networks.resnet import trunk

CONTRAST_DIM = 128


class Conditioned(nn.Module):
    """Convolution, normalisation, and a scale and shift a channel that the code decides.

    Feature-wise linear modulation (Perez et al., 2018).
    """

    def __init__(self, inputs: int, outputs: int, code: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = grouped(outputs)
        self.modulation = nn.Linear(code, 2 * outputs)
        # At first all codes do the same.
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, maps: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs, H / stride, W / stride] of [B, inputs, H, W] and codes [B, D]."""
        scale, shift = self.modulation(code)[:, :, None, None].chunk(2, dim=1)
        return functional.relu(self.norm(self.convolution(maps)) * (1 + scale) + shift)


class Doer(nn.Module):
    """Does to an image what a code says: a U-Net of three sizes, conditioned everywhere."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            Conditioned(one, other, code, stride)
            for one, other, stride in ((3, sizes[0], 1), (sizes[0], sizes[1], 2), (*sizes[1:], 2))
        )
        self.deep = Conditioned(sizes[2], sizes[2], code)
        self.up = nn.ModuleList(
            Conditioned(below + beside, beside, code)
            for below, beside in ((sizes[2], sizes[1]), (sizes[1], sizes[0]))
        )
        # How much of the image itself is kept, and what is added, is the code's as well.
        self.last = Conditioned(sizes[0] + 3, sizes[0], code)
        self.out = nn.Conv2d(sizes[0], 3, 1)
        self.kept = nn.Linear(code, 3)
        # At first the image is given back, which most tasks come close to.
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)
        nn.init.ones_(self.kept.bias)

    def forward(self, images: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """Outputs float [B, 3, H, W] of images float [B, 3, H, W] in -1..1 and codes [B, D]."""
        maps = [self.down[0](images, code)]
        for layer in list(self.down)[1:]:
            maps.append(layer(maps[-1], code))
        values = self.deep(maps.pop(), code)
        for layer in self.up:
            beside = maps.pop()
            grown = functional.interpolate(values, beside.shape[2:], mode="nearest")
            values = layer(torch.cat([grown, beside], dim=1), code)
        added = self.out(self.last(torch.cat([values, images], dim=1), code))
        return self.kept(code)[:, :, None, None] * images + added


class GradedEncoder(nn.Module):
    """A pair to a code; with it what does the task of a code, and a head for contrast."""

    def __init__(
        self, shape: tuple[str, int, int], *, code: int, doing_width: int, contrasted: bool
    ) -> None:
        super().__init__()
        network, features = trunk(*shape, CHANNELS["texture"])
        self.trunk = nn.Sequential(InCoordinates("texture"), network)
        self.code = nn.Linear(features, code)
        self.doer = Doer(doing_width, code)
        self.head = nn.Linear(features, CONTRAST_DIM) if contrasted else None

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Codes float [B, D] of pairs float [B, 6, H, W] in -1..1."""
        return self.code(self.trunk(pairs))

    def both(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Codes, and points on the unit sphere for contrast where there is a head."""
        features = self.trunk(pairs)
        points = None if self.head is None else functional.normalize(self.head(features), dim=1)
        return self.code(features), points
