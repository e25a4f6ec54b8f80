"""Convolutions with standardised weights, and residual blocks of them, in 2 or 3 dimensions.

With groups of channels normalised they learn from small batches as quickly as batch normalisation
does (Qiao et al., 2019; Kolesnikov et al., 2020), and keep no statistics, which several sets in one
network would share.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

# Keeps the variance behind a ReLU, whose mean such filters do not see (Brock et al., 2021).
GAIN = math.sqrt(2 / (1 - 1 / math.pi))


class _Standardised(_ConvNd):
    """Filters of mean 0 and of a variance that keeps that of images, times a trained gain."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride=stride, padding=1)  # type: ignore[call-arg,arg-type]
        self.gain = nn.Parameter(torch.ones(outputs, *[1] * (self.weight.ndim - 1)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs, *S / stride] of images [B, inputs, *S]."""
        axes = tuple(range(1, self.weight.ndim))
        variance, mean = torch.var_mean(self.weight, axes, keepdim=True)
        scale = (variance * self.weight[0].numel() + 1e-4).rsqrt() * GAIN
        weight = (self.weight - mean) * scale * self.gain
        return self._conv_forward(images, weight, self.bias)


class Convolution2d(_Standardised, nn.Conv2d):
    """Of pictures."""


class Convolution3d(_Standardised, nn.Conv3d):
    """Of volumes."""


Convolution = type[Convolution2d] | type[Convolution3d]


def activated(width: int) -> list[nn.Module]:
    """Normalise by groups of channels; ReLU."""
    return [nn.GroupNorm(math.gcd(8, width), width), nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions, each normalised before, and added (He et al., 2016)."""

    def __init__(self, kind: Convolution, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [*activated(width), kind(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float of the images' shape [B, width, *S]."""
        return images + self.layers(images)


def residual_stages(kind: Convolution, width: int, count: int) -> list[nn.Module]:
    """Stages of one block each; every stage after the first halves the size, twice as wide."""
    layers: list[nn.Module] = [Residual(kind, width)]
    for _ in range(count - 1):
        layers += [*activated(width), kind(width, 2 * width, stride=2), Residual(kind, 2 * width)]
        width *= 2
    return [*layers, *activated(width)]
