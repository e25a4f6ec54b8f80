"""Coordinates of a pair, for the network and for those who only count what it costs: no torch."""

from __future__ import annotations

from typing import Literal

Coordinates = Literal["sides", "difference", "texture"]
# Channels that :func:`~medtaskatlas.encoders.taco.network.coordinates` makes of the six of a pair.
CHANNELS: dict[Coordinates, int] = {"sides": 6, "difference": 6, "texture": 12}
