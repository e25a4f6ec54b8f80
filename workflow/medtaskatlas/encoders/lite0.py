"""EfficientNet-Lite0 as an encoder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from medtaskatlas.encoders.frozen import Frozen
from medtaskatlas.encoders.network import seeded
from medtaskatlas.networks import lite0 as network


def lite0(file: Path, resolution: int) -> nn.Module:
    """EfficientNet-Lite0 up to its pooled features, on the two sides apart: [B, 3840]."""
    return seeded(lambda: Frozen(*network.lite0(file, resolution)), 0)
