"""A small U-Net from pictures to pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from medtaskatlas.networks.convolution import grouped

LEVELS = 4


def _stage(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """Two convolutions, each normalised and followed by ReLU."""
    layers: list[nn.Module] = []
    for given, step in ((inputs, stride), (outputs, 1)):
        layers += [nn.Conv2d(given, outputs, 3, stride=step, padding=1), grouped(outputs)]
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Encoder(nn.ModuleList):
    """Maps of an image at four sizes; channels double where the size is halved."""

    def __init__(self, width: int, channels: int = 3) -> None:
        widths = [width * 2**i for i in range(LEVELS)]
        given = [channels, *widths[:-1]]
        super().__init__(
            _stage(one, other, 2 if i else 1)
            for i, (one, other) in enumerate(zip(given, widths, strict=True))
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The images, float [B, channels, H, W], and the maps of every stage."""
        maps = [images]
        for stage in self:
            maps.append(stage(maps[-1]))
        return maps


class Decoder(nn.Module):
    """From the maps of an :class:`Encoder` to pictures.

    With ``skips`` it sees the maps of all sizes, and its last layer the image; without, the
    smallest maps alone.
    """

    def __init__(self, width: int, channels: int = 3, *, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips
        widths = [width * 2**i for i in range(LEVELS)]
        self.up = nn.ModuleList(
            _stage(widths[i + 1] + skips * widths[i], widths[i])
            for i in reversed(range(LEVELS - 1))
        )
        self.out = nn.Conv2d(width + skips * channels, channels, 1)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Float [B, channels, H, W] of the images and the maps of all stages."""
        images, *rest, values = maps
        for stage, beside in zip(self.up, reversed(rest), strict=True):
            values = functional.interpolate(values, beside.shape[2:], mode="nearest")
            values = stage(torch.cat([values, beside], dim=1) if self.skips else values)
        return self.out(torch.cat([values, images], dim=1) if self.skips else values)


class UNet(nn.Module):
    """U-Net of four sizes (Ronneberger et al., 2015), of ``width`` channels at full size."""

    def __init__(self, width: int, channels: int = 3, *, skips: bool = True) -> None:
        super().__init__()
        self.encoder = Encoder(width, channels)
        self.decoder = Decoder(width, channels, skips=skips)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float [B, channels, H, W] of the same in 0..1."""
        return self.decoder(self.encoder(images))
