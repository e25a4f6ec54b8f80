"""The networks: a residual trunk and a projection onto the unit sphere."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
import torch
from torch import nn

LAYERS = {
    "resnet10": ("basic", [1, 1, 1, 1]),
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
}


Coordinates = Literal["sides", "difference", "texture"]
# Channels that :func:`coordinates` makes of the six of a pair.
CHANNELS: dict[Coordinates, int] = {"sides": 6, "difference": 6, "texture": 12}


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
    from monai.networks.nets.resnet import ResNet, ResNetBottleneck

    block, layers = LAYERS[backbone]
    planes = [width, 2 * width, 4 * width, 8 * width]
    network = ResNet(
        block,
        layers,
        planes,
        spatial_dims=2,
        n_input_channels=channels,
        conv1_t_size=stem,
        conv1_t_stride=2,
        feed_forward=False,
    )
    features = planes[-1] * (ResNetBottleneck.expansion if block == "bottleneck" else 1)
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


class TaskEncoder(nn.Module):
    """A pair as six channels, to a point on the unit sphere.

    Parameters
    ----------
    backbone, width, stem
        See :func:`trunk`.
    embedding_dim
        Length of the embedding.
    kind
        See :func:`coordinates`.
    """

    def __init__(
        self, backbone: str, width: int, stem: int, embedding_dim: int, kind: Coordinates
    ) -> None:
        super().__init__()
        self.kind = kind
        self.trunk, features = trunk(backbone, width, stem, CHANNELS[kind])
        self.head = nn.Sequential(
            nn.Linear(features, features, bias=False),
            nn.BatchNorm1d(features),
            nn.ReLU(inplace=True),
            nn.Linear(features, embedding_dim),
        )

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
        return nn.functional.normalize(self.head(self.trunk(coordinates(pairs, self.kind))), dim=-1)


class SidesApart(nn.Module):
    """A frozen image network that sees the two sides apart: [f(in), f(out), f(out) - f(in)].

    Parameters
    ----------
    backbone, width, stem
        See :func:`trunk`.
    """

    def __init__(self, backbone: str, width: int, stem: int) -> None:
        super().__init__()
        self.trunk, _ = trunk(backbone, width, stem, 3)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Embed pairs.

        Parameters
        ----------
        pairs
            float [B, 6, H, W], see :func:`to_input`.

        Returns
        -------
        torch.Tensor
            float [B, 3 * features].
        """
        before, after = self.trunk(pairs[:, :3]), self.trunk(pairs[:, 3:])
        return torch.cat([before, after, after - before], dim=1)


def build(encoder: dict, seed: int) -> nn.Module:
    """Network of an encoder's configuration, initialised from a seed.

    Parameters
    ----------
    encoder
        Options of an encoder of kind ``taco`` or ``random``; see :mod:`medtaskatlas.config`.
    seed
        Training seed; the global generator of torch is left as it was.

    Returns
    -------
    torch.nn.Module
        The network in training mode, channels last.
    """
    shape = (encoder["backbone"], encoder["width"], encoder["stem"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module
        if encoder["kind"] == "random":
            network = SidesApart(*shape)
        else:
            network = TaskEncoder(*shape, encoder["embedding_dim"], encoder["coordinates"])
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
