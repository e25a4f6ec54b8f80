"""Network that all multi-task systems share: a residual encoder, and a decoder a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import torch
from torch import nn

from medtaskatlas.core.seeds import generator
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.resnet import LAYERS, monai_resnet

if TYPE_CHECKING:
    from medtaskatlas.multitask.systems.options import NetworkOptions

# Most groups of a group normalisation.
GROUPS = 8
ModuleT = TypeVar("ModuleT", bound=nn.Module)
Rows = Mapping[str, torch.Tensor]


class Output(Protocol):
    """What a network needs to know of a target."""

    @property
    def name(self) -> str:
        """Unique among the targets."""

    @property
    def layout(self) -> Literal["vector", "pixels"]:
        """A few numbers, or some for every pixel."""

    @property
    def channels(self) -> int:
        """Numbers that the network puts out."""


def initialised(make: Callable[[], ModuleT], seed: int, *name: str | int) -> ModuleT:
    """Make a module with weights of the seed and its name: the same in every system that has it."""
    return from_seed(make, int(generator(seed, "multitask", *name).integers(2**62)))


def key(target: str) -> str:
    """Name of a target's module; those of torch have no dots."""
    return "to_" + target.replace(".", "/")


def take(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of values; without a copy where they are all of them."""
    if len(rows) == len(values) and torch.equal(rows.cpu(), torch.arange(len(rows))):
        return values
    return values[rows]


def convolution(dims: int, inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Module:
    """Convolution of 2 or 3 dimensions that keeps the size, but for its stride."""
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(inputs, outputs, side, stride=stride, padding=side // 2)


def normalisation(kind: str, channels: int, dims: int) -> nn.Module:
    """Normalise by groups of one size, :data:`GROUPS` at most, or over the batch."""
    if kind == "group":
        groups = max(g for g in range(1, GROUPS + 1) if channels % g == 0)
        return nn.GroupNorm(groups, channels)
    return (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(channels)


def block(options: NetworkOptions, dims: int, inputs: int, outputs: int, **how: int) -> nn.Module:
    """Convolution of 3 pixels a side, or as ``how`` says, normalisation and ReLU."""
    return nn.Sequential(
        convolution(dims, inputs, outputs, **{"side": 3, **how}),
        normalisation(options.norm, outputs, dims),
        nn.ReLU(),
    )


class Encoder(nn.Module):
    """Residual network of MONAI that gives the maps of its four stages, at strides 2, 4, 8, 16.

    There is no pooling after the first convolution, so that small images keep a map of half their
    size. ``widths`` are the channels of the maps.
    """

    def __init__(
        self, options: NetworkOptions, planes: Sequence[int], channels: int, dims: int
    ) -> None:
        super().__init__()
        kind, layers = LAYERS[options.backbone]
        resnet = monai_resnet()
        network = resnet.ResNet(
            kind,
            layers,
            list(planes),
            spatial_dims=dims,
            n_input_channels=channels,
            conv1_t_size=options.stem,
            conv1_t_stride=2,
            no_max_pool=True,
            feed_forward=False,
        )
        if options.norm != "batch":
            # MONAI 1.6.1 takes a `norm`, and keeps it from all but the first layer.
            _normalise(network, options.norm, dims)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.act)
        self.stages = nn.ModuleList(getattr(network, f"layer{i}") for i in range(1, 5))
        expansion = resnet.ResNetBottleneck.expansion if kind == "bottleneck" else 1
        self.widths = [expansion * width for width in planes]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps of float [B, C, *S], finest first."""
        maps, values = [], self.stem(images)
        for stage in self.stages:
            values = stage(values)
            maps.append(values)
        return maps


def _normalise(module: nn.Module, kind: str, dims: int) -> None:
    """Put another normalisation in place of each batch normalisation."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
            module.add_module(name, normalisation(kind, child.num_features, dims))
        else:
            _normalise(child, kind, dims)


class PixelDecoder(nn.Module):
    """Maps of an encoder, and the image, to an output of the image's size (after U-Net, 2015)."""

    def __init__(
        self,
        options: NetworkOptions,
        widths: Sequence[int],
        planes: Sequence[int],
        *,
        channels: int,
        outputs: int,
        dims: int,
    ) -> None:
        super().__init__()
        inner = [max(4, planes[0] // 2), *planes[:3]]
        below, skips = [*planes[:3], widths[3]], [channels, *widths[:3]]
        # Fewer channels before there are more places.
        self.rise = nn.ModuleList(convolution(dims, below[i], inner[i], side=1) for i in range(4))
        self.join = nn.ModuleList(
            block(options, dims, own + skip, own) for own, skip in zip(inner, skips, strict=True)
        )
        self.out = convolution(dims, inner[0], outputs, side=1)

    def forward(self, maps: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs, *S] of the maps of float [B, C, *S]."""
        values = maps[-1]
        for i, finer in reversed(list(enumerate([images, *maps[:-1]]))):
            values = torch.cat([_twice(self.rise[i](values), finer), finer], dim=1)
            values = self.join[i](values)
        return self.out(values)


def _twice(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values at twice their size, cut to the size of others."""
    size = like.shape[2:]
    larger = nn.functional.interpolate(values, scale_factor=2, mode="nearest")
    for dim, side in enumerate(size, 2):
        larger = larger.narrow(dim, 0, side)
    return larger


class VectorHead(nn.Module):
    """Linear function of the coarsest map's mean."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(features, outputs)

    def forward(self, maps: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """Float [B, outputs]."""
        return self.out(maps[-1].flatten(2).mean(dim=2))


class MultitaskNetwork(nn.Module):
    """One encoder and a decoder a target: hard parameter sharing, which other systems add to.

    Parameters
    ----------
    targets
        What is put out, each under its own name.
    options
        Of the encoder; ``planes``, channels of its four stages, stand in for the ``width``.
    seed
        Of the initial weights. Parts of one name have the same ones in every system.
    channels, dims
        Channels of the images, and 2 or 3 dimensions.
    """

    def __init__(
        self,
        targets: Sequence[Output],
        options: NetworkOptions,
        seed: int,
        *,
        channels: int,
        dims: int,
        planes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.targets = list(targets)
        chosen = planes or [options.width * 2**i for i in range(4)]
        self.encoder = initialised(
            lambda: Encoder(options, chosen, channels, dims), seed, "encoder"
        )
        widths = self.encoder.widths

        def decoder(target: Output) -> nn.Module:
            if target.layout == "vector":
                return VectorHead(widths[-1], target.channels)
            return PixelDecoder(
                options, widths, chosen, channels=channels, outputs=target.channels, dims=dims
            )

        self.decoders = nn.ModuleDict(
            {
                key(t.name): initialised(partial(decoder, t), seed, "decoder", t.name)
                for t in targets
            }
        )

    def maps(self, images: torch.Tensor, rows: Rows) -> dict[str, list[torch.Tensor]]:
        """Maps that each target's decoder sees, of its own rows."""
        shared = self.encoder(images)
        return {name: [take(m, own) for m in shared] for name, own in rows.items()}

    def forward(self, images: torch.Tensor, rows: Rows) -> dict[str, torch.Tensor]:
        """Outputs by target, float [n, channels] or [n, channels, *S].

        Parameters
        ----------
        images
            Float [B, C, *S] in 0..1.
        rows
            Rows of the images that each target is wanted for, int64 [n]; targets of other networks
            and those without rows are passed over.
        """
        own = {t.name: rows[t.name] for t in self.targets if len(rows.get(t.name, ()))}
        maps = self.maps(images, own)
        return {n: self.decoders[key(n)](maps[n], take(images, own[n])) for n in own}


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(math.prod(p.shape) for p in network.parameters() if p.requires_grad)
