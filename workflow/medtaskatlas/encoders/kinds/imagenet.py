"""The baseline that learned natural images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.networks.lite0_weights import RESOLUTION, missing, weights_file

if TYPE_CHECKING:
    from torch import nn


class Imagenet(EncoderKind):
    """Frozen EfficientNet-Lite0, trained to name the objects of ImageNet; sides seen apart."""

    kind: Literal["imagenet"] = Field("imagenet", description="trained on photographs, frozen")
    resolution: int = Field(
        RESOLUTION,
        ge=32,
        le=512,
        multiple_of=32,
        description="side that images are resized to, pixels, a multiple of 32",
    )

    def missing(self) -> str | None:
        """Which package is not installed."""
        return missing()

    def network(self, seed: int) -> nn.Module:
        """Make the network, [B, 6, H, W] to [B, 3840]; the seed is of no effect."""
        from medtaskatlas.encoders.lite0 import lite0

        return lite0(weights_file(), self.resolution)
