"""Networks that Medformer is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.medformer.model import Head, Shape, Who
from medtaskatlas.medformer.options import SIZES, NetworkOptions
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.resnet import trunk

T = TypeVar("T")
# Channels of the first stage of the residual network.
WIDTH = 16


class Baseline(nn.Module):
    """A network of the literature with a linear head a target.

    Parameters
    ----------
    kind
        ``resnet18``: MONAI's, of width 16 and without pooling at the start; ``vit``: MONAI's
        transformer on patches, as large as the section's ``size``.
    shape, size
        Of the images.
    heads
        Linear functions of the features.
    options, seed
        The section, and the seed of the weights.
    """

    def __init__(
        self,
        kind: str,
        shape: Shape,
        size: Sequence[int],
        *,
        heads: Sequence[Head],
        options: NetworkOptions,
        seed: int,
    ) -> None:
        super().__init__()
        if pixels := [head.name for head in heads if head.layout == "pixels"]:
            raise DataError(
                f"{kind} has no output of pixels, which {pixels[0]} needs",
                "leave the arm out, or the target",
            )
        make = {"resnet18": _resnet18, "vit": _vit}[kind]

        def parts() -> tuple[nn.Module, nn.ModuleDict]:
            trunk, features = make(shape, size, options)
            linear = {h.name.replace(".", "/"): nn.Linear(features, h.channels) for h in heads}
            return trunk, nn.ModuleDict(linear)

        drawn = int(generator(seed, "medformer", kind).integers(2**62))
        self.trunk, self.heads = from_seed(parts, drawn)

    def forward(self, ask: Callable[[Baseline], T]) -> T:
        """Answer of a question about this network, in the precision that it is wrapped for."""
        return ask(self)

    def answer(self, images: torch.Tensor, shape: Shape, who: Who, head: Head) -> torch.Tensor:
        """Float [B, channels] of images [B, C, *S] in 0..1."""
        return self.heads[head.name.replace(".", "/")](self.trunk(images * 2 - 1))


def _resnet18(shape: Shape, size: Sequence[int], options: NetworkOptions) -> tuple[nn.Module, int]:
    """Residual network and the number of its features."""
    stride = 1 if shape.dims == 2 else 2
    return trunk("resnet18", WIDTH, 3, shape.channels, dims=shape.dims, stride=stride, pooled=False)


def _vit(shape: Shape, size: Sequence[int], options: NetworkOptions) -> tuple[nn.Module, int]:
    """Transformer, the mean of its tokens, and their width."""
    from monai.networks.nets.vit import ViT

    patch = options.patch if shape.dims == 2 else options.patch_volume
    if any(side % patch for side in size):
        raise DataError(
            f"patches of {patch} do not divide images of {size[0]} pixels",
            "set medformer.patch or patch_volume to a divisor, or leave the arm `vit` out",
        )
    of = SIZES[options.size]
    network = ViT(
        shape.channels,
        tuple(size),
        [patch] * shape.dims,
        hidden_size=of.width,
        mlp_dim=4 * of.width,
        num_layers=of.layers,
        num_heads=of.heads,
        spatial_dims=shape.dims,
    )
    return _Tokens(network), of.width


class _Tokens(nn.Module):
    """Mean of a transformer's tokens."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)[0].mean(dim=1)
