"""The network of TaCo: a residual trunk on a pair, and a projection onto the unit sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from medtaskatlas.encoders.kind import CHANNELS, Coordinates
from medtaskatlas.encoders.network import coordinates, to_input
from medtaskatlas.encoders.taco.correspondence import CorrespondenceTrunk
from medtaskatlas.networks.resnet import trunk


class InCoordinates(nn.Module):
    """:func:`~medtaskatlas.encoders.network.coordinates` as a layer."""

    def __init__(self, kind: Coordinates) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Change coordinates of float [B, 6, H, W] to [B, CHANNELS[kind], H, W]."""
        return coordinates(pairs, self.kind)


class TaskEncoder(nn.Module):
    """A pair as six channels, to a point on the unit sphere; ``blind`` to the output or not."""

    def __init__(
        self,
        shape: tuple[str, int, int],
        kind: Coordinates,
        correspondence: dict[str, int] | None,
        *,
        embedding_dim: int,
        blind: bool,
    ) -> None:
        super().__init__()
        self.blind = blind
        self.trunk: nn.Module
        if correspondence is None:
            network, self.features = trunk(*shape, CHANNELS[kind])
            self.trunk = nn.Sequential(InCoordinates(kind), network)
        else:
            backbone, width, stem = shape
            self.trunk = CorrespondenceTrunk(backbone, width, stem, kind, **correspondence)
            self.features = self.trunk.features
        self.head = nn.Sequential(
            nn.Linear(self.features, self.features, bias=False),
            nn.BatchNorm1d(self.features),
            nn.ReLU(inplace=True),
            nn.Linear(self.features, embedding_dim),
        )

    def pooled(self, pairs: torch.Tensor) -> torch.Tensor:
        """Features before the projection, float [B, features], of float [B, 6, H, W] in -1..1."""
        if self.blind:
            before = pairs[:, :3]
            pairs = torch.cat([before, before], dim=1)
        return self.trunk(pairs)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """From :meth:`pooled` features onto the sphere, float [B, embedding_dim]."""
        return nn.functional.normalize(self.head(features), dim=-1)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Embed float [B, 6, H, W] in -1..1 as [B, embedding_dim] of length one."""
        return self.project(self.pooled(pairs))


class FromPixels(nn.Module):
    """Pixels uint8 [B, 2, H, W, 3] to embeddings and the features before the projection.

    Mixed precision would cut images given as floats to eight bits before small differences count.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [B, D] of length one, and features [B, features]."""
        device = next(self.network.parameters()).device
        features = self.network.pooled(to_input(pixels, device))
        return self.network.project(features), features
