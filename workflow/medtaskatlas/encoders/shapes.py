"""Shapes of the networks, for those who build them and for those who only count what they cost.

Imports no torch: the cost of a run is counted in a second.
"""

from __future__ import annotations

from typing import Literal

# Kind of block and blocks of each stage (He et al., 2016).
LAYERS = {
    "resnet10": ("basic", [1, 1, 1, 1]),
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
}

Coordinates = Literal["sides", "difference", "texture"]
# Channels that :func:`~medtaskatlas.encoders.network.coordinates` makes of the six of a pair.
CHANNELS: dict[Coordinates, int] = {"sides": 6, "difference": 6, "texture": 12}
