"""A small U-Net from pictures to pictures."""

from __future__ import annotations

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


class UNet(nn.Module):
    """U-Net of four sizes (Ronneberger et al., 2015); the last layer sees the image again.

    ``width`` are the channels at full size; they double where the size is halved.
    """

    def __init__(self, width: int, channels: int = 3) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(LEVELS)]
        given = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            _stage(one, other, 2 if i else 1)
            for i, (one, other) in enumerate(zip(given, widths, strict=True))
        )
        self.up = nn.ModuleList(
            _stage(widths[i + 1] + widths[i], widths[i]) for i in reversed(range(LEVELS - 1))
        )
        self.out = nn.Conv2d(width + channels, channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float [B, channels, H, W] of the same in 0..1."""
        maps = [images]
        for stage in self.encoder:
            maps.append(stage(maps[-1]))
        values = maps.pop()
        for stage in self.up:
            beside = maps.pop()
            grown = functional.interpolate(values, beside.shape[2:], mode="nearest")
            values = stage(torch.cat([grown, beside], dim=1))
        return self.out(torch.cat([values, images], dim=1))
