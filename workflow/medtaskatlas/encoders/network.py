"""The networks: residual trunks, ways to fuse two sides, and a projection onto the unit sphere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from medtaskatlas.encoders.shapes import CHANNELS, LAYERS, Coordinates
from medtaskatlas.networks.monai_resnet import monai_resnet

if TYPE_CHECKING:
    from medtaskatlas.encoders.kinds.taco import Taco


def trunk(backbone: str, width: int, stem: int, channels: int) -> tuple[nn.Module, int]:
    """Residual network without its classifier.

    MONAI's network with a stride of two in the first convolution, as He et al. (2016) have it;
    MONAI's default of one costs two to four times the time.

    Parameters
    ----------
    backbone
        A key of :data:`LAYERS`.
    width
        Channels of the first stage; they double each stage.
    stem
        Side of the first kernel, pixels.
    channels
        Channels of the images.

    Returns
    -------
    torch.nn.Module
        Maps [B, channels, H, W] to [B, features].
    int
        Number of features.
    """
    block, layers = LAYERS[backbone]
    resnet = monai_resnet()
    planes = [width, 2 * width, 4 * width, 8 * width]
    network = resnet.ResNet(
        block,
        layers,
        planes,
        spatial_dims=2,
        n_input_channels=channels,
        conv1_t_size=stem,
        conv1_t_stride=2,
        feed_forward=False,
    )
    features = planes[-1] * (resnet.ResNetBottleneck.expansion if block == "bottleneck" else 1)
    return network, features


def coordinates(pairs: torch.Tensor, kind: Coordinates) -> torch.Tensor:
    """Six channels (input, output) in coordinates that show the task.

    The sides are nearly equal in most pairs, and what tells noise from blur is fine and faint.
    Nothing is lost, and nothing is there that the six channels do not hold. docs/decisions.md tells
    what each kind brought.

    Parameters
    ----------
    pairs
        float [B, 6, H, W] in -1..1.
    kind
        ``sides``: as they are. ``difference``: the mean of the sides and the signed root of their
        difference. ``texture``: these, and the signed root of the texture of each side, which is
        what a mean over 3 x 3 pixels takes away.

    Returns
    -------
    torch.Tensor
        float [B, CHANNELS[kind], H, W]; roots lie within -1.42..1.42.
    """
    if kind == "sides":
        return pairs
    # What tells noise from blur is finer than the steps of half precision.
    with torch.autocast(pairs.device.type, enabled=False):
        return _shown(pairs.float(), kind)


def _shown(pairs: torch.Tensor, kind: Coordinates) -> torch.Tensor:
    """Mean and difference, and texture where it is asked for."""
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
    """An image network that sees the two sides apart: [f(in), f(out), f(out) - f(in)].

    Parameters
    ----------
    trunk
        Maps [B, C, H, W] to [B, features]; C is half of the channels of a pair.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Embed pairs.

        Parameters
        ----------
        pairs
            float [B, 2 * C, H, W], channels of the input first.

        Returns
        -------
        torch.Tensor
            float [B, 3 * features].
        """
        before, after = (self.trunk(side) for side in pairs.chunk(2, dim=1))
        return torch.cat([before, after, after - before], dim=1)


def _fused(options: Taco) -> tuple[nn.Module, int]:
    """The part of :class:`TaskEncoder` before its head, and how many features it gives."""
    shape = (options.backbone, options.width, options.stem)
    if options.fusion == "correspondence":
        from medtaskatlas.encoders.taco.correspondence import CorrespondenceTrunk

        joined = CorrespondenceTrunk(*shape, options.coordinates, options.correspondence)
        return joined, joined.features
    if options.fusion == "two_tower":
        tower, features = trunk(*shape, 3)
        return SidesApart(tower), 3 * features
    network, features = trunk(*shape, CHANNELS[options.coordinates])
    return nn.Sequential(InCoordinates(options.coordinates), network), features


class InCoordinates(nn.Module):
    """:func:`coordinates` as a layer.

    Parameters
    ----------
    kind
        See :func:`coordinates`.
    """

    def __init__(self, kind: Coordinates) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Change coordinates of float [B, 6, H, W] to [B, CHANNELS[kind], H, W]."""
        return coordinates(pairs, self.kind)


class TaskEncoder(nn.Module):
    """A pair as six channels, to a point on the unit sphere.

    Parameters
    ----------
    options
        Of an encoder of kind ``taco``.

    Attributes
    ----------
    features
        Length of what :meth:`pooled` gives.
    """

    def __init__(self, options: Taco) -> None:
        super().__init__()
        self.blind = options.sees == "input"
        self.trunk, self.features = _fused(options)
        self.head = nn.Sequential(
            nn.Linear(self.features, self.features, bias=False),
            nn.BatchNorm1d(self.features),
            nn.ReLU(inplace=True),
            nn.Linear(self.features, options.embedding_dim),
        )

    def pooled(self, pairs: torch.Tensor) -> torch.Tensor:
        """Features before the projection.

        Parameters
        ----------
        pairs
            float [B, 6, H, W], see :func:`to_input`.

        Returns
        -------
        torch.Tensor
            float [B, features].
        """
        if self.blind:
            before = pairs[:, :3]
            pairs = torch.cat([before, before], dim=1)
        return self.trunk(pairs)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """From :meth:`pooled` features onto the sphere.

        Parameters
        ----------
        features
            float [B, features].

        Returns
        -------
        torch.Tensor
            float [B, embedding_dim] of length one.
        """
        return nn.functional.normalize(self.head(features), dim=-1)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Embed pairs.

        Parameters
        ----------
        pairs
            float [B, 6, H, W], see :func:`to_input`.

        Returns
        -------
        torch.Tensor
            float [B, embedding_dim] of length one.
        """
        return self.project(self.pooled(pairs))


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network with initial weights from a seed.

    Parameters
    ----------
    make
        Makes the network.
    seed
        Training seed; the global generator of torch is left as it was.

    Returns
    -------
    torch.nn.Module
        The network in training mode, channels last.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make()
    # The type stubs of torch lack this argument.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def to_input(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """Pixels of pairs as the networks take them.

    Parameters
    ----------
    pixels
        uint8 [B, 2, H, W, 3].
    device
        Where to.

    Returns
    -------
    torch.Tensor
        float32 [B, 6, H, W] in -1..1, channels last.
    """
    batch = torch.from_numpy(pixels).to(device, non_blocking=True)
    joined = batch.permute(0, 1, 4, 2, 3).flatten(1, 2)
    return joined.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1.0)


def pick_device() -> torch.device:
    """The first GPU where there is one, else the CPU.

    Returns
    -------
    torch.device
        The device.
    """
    # Deterministic matrix products on CUDA need this before the first one.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
