"""Frozen networks as encoders."""

from __future__ import annotations

from torch import nn

from medtaskatlas.encoders.network import SidesApart
from medtaskatlas.networks.frozen import EachOnce, Prepared


class Frozen(SidesApart):
    """A pretrained image network on the two sides apart; never trains."""

    def __init__(self, prepared: Prepared, network: nn.Module) -> None:
        super().__init__(EachOnce(nn.Sequential(prepared, network)))
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode: batch statistics and dropout are part of what is frozen."""
        return super().train(False)
