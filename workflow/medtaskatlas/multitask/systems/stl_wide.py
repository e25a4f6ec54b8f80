"""Single-task networks that are widened to the parameters of another system's network.

They part what targets give each other from what a larger network gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.multitask.network import MultitaskNetwork, Output
from medtaskatlas.multitask.network import parameters as count
from medtaskatlas.multitask.systems.options import NetworkOptions

# Largest relative difference of the number of parameters.
TOLERANCE = 0.02


def network(
    targets: Sequence[Output],
    options: NetworkOptions,
    seed: int,
    *,
    channels: int,
    dims: int,
    parameters: int,
) -> MultitaskNetwork:
    """Network for one target with a given number of parameters, up to :data:`TOLERANCE`.

    Raises
    ------
    ConfigError
        If no width comes as near.
    """

    def with_planes(planes: list[int]) -> MultitaskNetwork:
        return MultitaskNetwork(targets, options, seed, channels=channels, dims=dims, planes=planes)

    def counted(planes: list[int]) -> int:
        with torch.device("meta"):
            return count(with_planes(planes))

    # Parameters grow with the square of the channels, nearly.
    last = 64
    for _ in range(5):
        last = max(1, round(last * (parameters / counted(_planes(last, 1))) ** 0.5))
    # Channels that many groups of a normalisation divide come first.
    for unit in (8, 4, 2, 1):
        for near in range(max(unit, last // unit * unit - unit), last + 2 * unit, unit):
            # A channel more is too much for a small network, but not where it is of one stage.
            for more in (0, -unit, unit):
                planes = _planes(near, unit)
                planes[2] = max(unit, planes[2] + more)
                if abs(counted(planes) - parameters) <= TOLERANCE * parameters:
                    return with_planes(planes)
    raise ConfigError(
        f"no single-task network has {parameters} parameters up to {TOLERANCE:.0%}",
        "raise the `width` of the system that it is compared with",
    )


def _planes(last: int, unit: int) -> list[int]:
    """Channels of the four stages, multiples of a unit that nearly double up to the last ones."""
    return [max(unit, round(last / 2**i / unit) * unit) for i in (3, 2, 1, 0)]
