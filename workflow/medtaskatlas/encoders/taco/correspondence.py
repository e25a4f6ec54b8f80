"""A trunk that compares the sides of a pair: where each place comes from, what each grey became.

A network on the six channels of a pair sees two patches side by side. Once a flip, a rotation or a
shift has parted them, no small patch tells the task; and what tells a gain from a gamma, or noise
that grows with the signal from noise that does not, is a relation over the whole image and not a
pattern in a patch. So three things are joined to a residual network: a look-up between the places
of the two sides, described by one small shared tower; what the tower finds on each side alone; and
the change as a function of grey level and of frequency. docs/decisions.md tells what each brought.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from medtaskatlas.encoders.kind import CHANNELS, Coordinates
from medtaskatlas.encoders.network import coordinates
from medtaskatlas.encoders.taco.lookup import (
    MOMENTS,
    MOVEMENT,
    averaging,
    descriptions,
    lookup,
    movement,
    places,
    resized,
    summary,
)
from medtaskatlas.encoders.taco.pair_statistics import STATISTICS, statistics
from medtaskatlas.networks.resnet import trunk

# Places a side of what the pooled features keep of the look-up.
COARSE = 8
# Temperature of the comparison before training; it is learned on a log scale.
TEMPERATURE = 0.07


class Tower(nn.Sequential):
    """Describes the places of one side: [B, 3, H, W] to [B, channels, H / 4, W / 4]."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(3, channels, 7, stride=4, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
        )


class CorrespondenceTrunk(nn.Module):
    """Residual network of a pair that is told how its sides correspond; sizes as the options."""

    def __init__(
        self,
        backbone: str,
        width: int,
        stem: int,
        kind: Coordinates,
        *,
        tower: int,
        grid: int,
        asking: int,
        volume: int,
        sides: int,
        measures: int,
    ) -> None:
        super().__init__()
        self.kind: Coordinates = kind
        self.grid, self.asking = grid, asking
        self.network, self.features = trunk(backbone, width, stem, CHANNELS[kind])
        self.tower = Tower(tower) if grid or sides else None
        self.join: nn.Module | None = None
        self.moments: nn.Module | None = None
        self.volume: nn.Module | None = None
        self.sides: nn.Module | None = None
        self.measures: nn.Module | None = None
        if grid:
            # Three stages double the channels of the first.
            stage = self.features // 8
            self.log_scale = nn.Parameter(torch.tensor(float(-np.log(TEMPERATURE))))
            self.join = nn.Sequential(
                nn.Conv2d(MOVEMENT, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, stage, 1),
            )
            self.moments = nn.BatchNorm1d(MOMENTS)
            self.features += MOMENTS
            if volume:
                self.volume = nn.Sequential(
                    nn.Linear(COARSE**4, volume, bias=False), nn.BatchNorm1d(volume)
                )
                self.features += volume
        if sides:
            self.sides = nn.Sequential(
                nn.Linear(4 * tower, sides, bias=False), nn.BatchNorm1d(sides), nn.ReLU()
            )
            self.features += sides
        if measures:
            self.measures = nn.Sequential(
                nn.BatchNorm1d(STATISTICS, affine=False),
                nn.Linear(STATISTICS, 128, bias=False),
                nn.BatchNorm1d(128),
                nn.ReLU(),
                nn.Linear(128, measures),
            )
            self.features += measures

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Features [B, features] of pairs, float [B, 6, H, W] in -1..1."""
        net: Any = self.network
        x = net.maxpool(net.act(net.bn1(net.conv1(coordinates(pairs, self.kind)))))
        x = net.layer1(x)
        parts = []
        if self.tower is not None:
            maps = self.tower(torch.cat([pairs[:, :3], pairs[:, 3:]]))
            if self.join is not None and self.moments is not None:
                fields, coarse = self.correspondence(maps)
                side = min(self.asking, maps.shape[2]), min(self.asking, maps.shape[3])
                moved = self.join(fields.transpose(1, 2).unflatten(2, side))
                x = x + resized(moved, *x.shape[2:])
                parts.append(self.moments(summary(fields)))
                if self.volume is not None:
                    parts.append(self.volume(coarse.flatten(1)))
            if self.sides is not None:
                found = torch.relu(maps).flatten(2)
                found = torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)
                parts.append(self.sides(torch.cat(found.chunk(2), dim=1)))
        if self.measures is not None:
            parts.append(self.measures(statistics(pairs)))
        x = net.layer4(net.layer3(net.layer2(x)))
        return torch.cat([x.mean(dim=(2, 3)), *parts], dim=1)

    def correspondence(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Look-up between the places of two sides, float [2 B, C, H, W]: inputs, then outputs.

        Gives the :func:`movement` at the N = ``asking`` squared places of the output, float32
        [B, N, MOVEMENT], and the look-up by coarse places of the output, which ask, and of the
        input, which are found, float32 [B, COARSE**2, COARSE**2]; rows sum to one.
        """
        size = (min(self.grid, maps.shape[2]), min(self.grid, maps.shape[3]))
        asking = (min(self.asking, maps.shape[2]), min(self.asking, maps.shape[3]))
        # Positions need more digits than half precision has.
        with torch.autocast(maps.device.type, enabled=False):
            inputs, outputs = maps.float().chunk(2)
            before = descriptions(resized(inputs, *size))
            after = descriptions(resized(outputs, *asking))
            at_home = before if asking == size else descriptions(resized(inputs, *asking))
            shares = lookup(before, after, self.log_scale.exp())
            # All that is wanted of the shares in one product: they are by far the largest array.
            position = places(*size).to(shares)
            wanted = [position, position.square().sum(dim=1, keepdim=True)]
            if self.volume is not None:
                wanted.append(_pooling(*size).to(shares).T * (len(position) / COARSE**2))
            seen = (shares.flatten(0, 1) @ torch.cat(wanted, dim=1)).unflatten(0, shares.shape[:2])
            fields = movement(seen[..., :3], at_home, after, places(*asking).to(shares))
            coarse = seen[..., 3:]
            if asking != (COARSE, COARSE):
                coarse = _pooling(*asking).to(shares) @ coarse
        return fields, coarse


def _pooling(height: int, width: int) -> torch.Tensor:
    """float32 [COARSE**2, height * width]: averages places to coarse ones."""
    return torch.kron(averaging(height, COARSE), averaging(width, COARSE))
