"""What networks of encoders share: their input, its coordinates, and sides that are seen apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from medtaskatlas.encoders.kind import Coordinates
from medtaskatlas.networks.from_seed import from_seed


def coordinates(pairs: torch.Tensor, kind: Coordinates) -> torch.Tensor:
    """Six channels (input, output), float [B, 6, H, W] in -1..1, in coordinates that show the task.

    The sides are nearly equal in most pairs, and what separates noise from blur is fine and faint.
    Nothing is lost, and nothing is there that the six channels do not hold. docs/decisions.md tells
    what each kind brought. ``sides``: as they are. ``difference``: the mean of the sides and the
    signed root of their difference, within -1.42..1.42. ``texture``: these, and the signed root of
    the texture of each side, which is what a mean over 3 x 3 pixels takes away.
    """
    if kind == "sides":
        return pairs
    # What separates noise from blur is finer than the steps of half precision.
    with torch.autocast(pairs.device.type, enabled=False):
        pairs = pairs.float()
        before, after = pairs.chunk(2, dim=1)
        parts = [(before + after) / 2, _root(after - before)]
        if kind == "texture":
            padded = nn.functional.pad(pairs, (1, 1, 1, 1), mode="replicate")
            # As a convolution by depth: a fifth of the time of torch's pooling.
            kernel = pairs.new_full((6, 1, 3, 3), 1 / 9)
            parts.append(_root(pairs - nn.functional.conv2d(padded, kernel, groups=6)))
        return torch.cat(parts, dim=1)


def _root(values: torch.Tensor) -> torch.Tensor:
    """Signed square root: lifts small values."""
    return torch.sign(values) * values.abs().sqrt()


class SidesApart(nn.Module):
    """An image network that sees the two sides apart: [f(in), f(out), f(out) - f(in)]."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Embed float [B, 2 * C, H, W], channels of the input first, as [B, 3 * features]."""
        before, after = (self.trunk(side) for side in pairs.chunk(2, dim=1))
        return torch.cat([before, after, after - before], dim=1)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network, weights from a seed, channels last; the global generator stays as it was."""
    network = from_seed(make, seed)
    # The type stubs of torch lack this argument.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def to_input(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """Pixels of pairs, uint8 [B, 2, H, W, 3], as float32 [B, 6, H, W] in -1..1, channels last."""
    batch = torch.from_numpy(pixels).to(device, non_blocking=True)
    joined = batch.permute(0, 1, 4, 2, 3).flatten(1, 2)
    return joined.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1.0)
