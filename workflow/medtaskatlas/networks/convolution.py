"""Residual stages that make small maps of pictures and volumes.

Groups of channels are normalised, not batches, whose statistics several sets in one network would
share. For pictures the filters are standardised too (Qiao et al., 2019; Kolesnikov et al., 2020):
so they learn as quickly as with batches. Volumes are learned more quickly with plain filters.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

# Keeps the variance behind a ReLU, whose mean such filters do not see (Brock et al., 2021).
GAIN = math.sqrt(2 / (1 - 1 / math.pi))


class Standardised(nn.Conv2d):
    """Filters of mean 0 and of a variance that keeps that of images, times a trained gain."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride=stride, padding=1)
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs, H / stride, W / stride] of pictures [B, inputs, H, W]."""
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), keepdim=True)
        scale = (variance * self.weight[0].numel() + 1e-4).rsqrt() * GAIN
        weight = (self.weight - mean) * scale * self.gain
        return self._conv_forward(images, weight, self.bias)


def picture_stages(channels: int, width: int, count: int) -> list[nn.Module]:
    """Stages of one block each; every stage after the first halves the size, twice as wide."""
    layers: list[nn.Module] = [Standardised(channels, width), Residual(width)]
    for _ in range(count - 1):
        layers += [*activated(width), Standardised(width, 2 * width, stride=2), Residual(2 * width)]
        width *= 2
    return [*layers, *activated(width)]


class Residual(nn.Module):
    """Two convolutions of pictures, each normalised before, and added (He et al., 2016b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [*activated(width), Standardised(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float of the images' shape [B, width, *S]."""
        return images + self.layers(images)


def volume_stages(channels: int, width: int, count: int) -> list[nn.Module]:
    """Stages of two blocks each; the first convolution halves the size, as each later stage does.

    At full size the first maps would cost more than all the rest.
    """
    layers: list[nn.Module] = [*convolved(channels, width, 2), nn.ReLU()]
    given = width
    for stage in range(count):
        layers += [Shortcut(given, width, 2 if stage else 1), Shortcut(width, width)]
        given, width = width, 2 * width
    return layers


class Shortcut(nn.Module):
    """Two convolutions of volumes, each normalised behind, beside a shortcut (He et al., 2016a)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *convolved(inputs, outputs, stride), nn.ReLU(), *convolved(outputs, outputs)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Sequential(*([] if same else convolved(inputs, outputs, stride, side=1)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs, *S / stride] of volumes [B, inputs, *S]."""
        return functional.relu(self.layers(images) + self.shortcut(images))


def convolved(inputs: int, outputs: int, stride: int = 1, side: int = 3) -> list[nn.Module]:
    """A convolution of volumes, normalised by groups of channels."""
    made = nn.Conv3d(inputs, outputs, side, stride, padding=side // 2, bias=False)
    return [made, grouped(outputs)]


def activated(width: int) -> list[nn.Module]:
    """Normalise by groups of channels; ReLU."""
    return [grouped(width), nn.ReLU()]


def grouped(width: int) -> nn.GroupNorm:
    """Normalisation of eight groups of channels, where they divide them."""
    return nn.GroupNorm(math.gcd(8, width), width)
