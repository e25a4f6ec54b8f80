"""The untrained control."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from medtaskatlas.encoders.kind import Residual

if TYPE_CHECKING:
    from torch import nn


class Random(Residual):
    """Untrained control: a network of the same make as it was initialised, sides seen apart."""

    has_weights: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    kind: Literal["random"] = Field("random", description="never trained")

    def network(self, seed: int) -> nn.Module:
        """Make the network from a seed."""
        from medtaskatlas.encoders.network import SidesApart, seeded
        from medtaskatlas.networks.resnet import trunk

        return seeded(
            lambda: SidesApart(trunk(self.backbone, self.width, self.stem, channels=3)[0]), seed
        )
