"""The network: Input Adaptformer, shared body, Output Adaptformer.

Known of Medformer are its parts: adapters that bring pictures and volumes into one transformer,
small trainable latents of modality, body part and task, and several pretexts. How they are built
here is our reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.nn import functional

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.core.seeds import generator
from medtaskatlas.medformer.options import SIZES, NetworkOptions
from medtaskatlas.networks.convolution import picture_stages, volume_stages
from medtaskatlas.networks.from_seed import from_seed
from medtaskatlas.networks.transformer import Block, sine_code

KINDS = ("modality", "body_part", "task")
# Tokens of a latent.
TOKENS = 2
# Scale of the code of places: at 1 it is larger than what the stem sees, and drowns it.
CODE = 0.1
Layout = Literal["vector", "pixels"]
T = TypeVar("T")
ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Who:
    """Names of the latents that an image is seen with; None: the mean of all of a kind."""

    modality: str | None
    body_part: str | None
    task: str | None


@dataclass(frozen=True)
class Shape:
    """What images a stem takes: dimensions and channels, and whose they are where it matters."""

    dims: int
    channels: int
    owner: str = ""

    @property
    def key(self) -> str:
        """Name of its stem."""
        return f"{self.dims}d{self.channels}" + (f"_{self.owner}" if self.owner else "")


@dataclass(frozen=True)
class Head:
    """What is put out: numbers of an image, or of every pixel or voxel."""

    name: str
    layout: Layout
    channels: int
    dims: int = 2


class Latents(nn.Module):
    """Trainable tokens of each modality, body part and task, two of width d by name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.of = nn.ModuleDict({kind: nn.ParameterDict() for kind in KINDS})

    def names(self, kind: str) -> list[str]:
        """Known names of a kind."""
        return [_name(key) for key in self._of(kind)]

    def add(self, kind: str, name: str, seed: int) -> None:
        """Add a latent, drawn by the seed and its name, unless it is there."""
        if _key(name) not in self._of(kind):
            rng = generator(seed, "medformer latent", kind, name)
            drawn = rng.normal(0, 0.02, (TOKENS, self.width))
            self._of(kind)[_key(name)] = nn.Parameter(torch.tensor(drawn, dtype=torch.float32))

    def get(self, kind: str, name: str | None) -> torch.Tensor:
        """Tokens float [TOKENS, width] of a name.

        Raises
        ------
        ConfigError
            If it is unknown; names the nearest one.
        """
        known = self._of(kind)
        if name is None:
            return torch.stack(list(known.values())).mean(dim=0)
        if _key(name) not in known:
            raise ConfigError(
                f"the model has no latent of the {kind.replace('_', ' ')} {name!r}",
                f"{nearest(name, self.names(kind))}; or take the mean of all: `mean`",
            )
        return known[_key(name)]

    def forward(self, who: Who) -> torch.Tensor:
        """All tokens of an image's latents, float [3 TOKENS, width]."""
        return torch.cat([self.get(k, n) for k, n in zip(KINDS, astuple(who), strict=True)])

    def _of(self, kind: str) -> nn.ParameterDict:
        """Latents of a kind."""
        found = self.of[kind]
        assert isinstance(found, nn.ParameterDict)
        return found


class Stem(nn.Module):
    """Images to tokens on a grid; a cell is ``pitch`` pixels.

    ``convolution``: residual stages that halve the size, so that a small set can learn edges (after
    Xiao et al., 2021); ``patches``: one linear map of each patch, as in a plain transformer.
    """

    def __init__(self, shape: Shape, options: NetworkOptions, width: int) -> None:
        super().__init__()
        self.dims = shape.dims
        plain = nn.Conv2d if shape.dims == 2 else nn.Conv3d
        self.layers: nn.Module
        if options.stem == "patches":
            self.pitch = options.patch if shape.dims == 2 else options.patch_volume
            self.exact = True
            self.layers = plain(shape.channels, width, self.pitch, stride=self.pitch)
        else:
            inner, self.exact = options.stem_width, False
            self.pitch = 4 if shape.dims == 2 else 8
            stages = picture_stages if shape.dims == 2 else volume_stages
            self.layers = nn.Sequential(
                *stages(shape.channels, inner, 3), plain(4 * inner, width, 1)
            )

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Cells along each axis of an image.

        Raises
        ------
        ConfigError
            If patches do not divide a side.
        """
        odd = [side for side in size if self.exact and side % self.pitch]
        if odd:
            key = "patch" if self.dims == 2 else "patch_volume"
            raise ConfigError(
                f"medformer.{key}: {self.pitch} does not divide images of {odd[0]} pixels",
                "choose a divisor, or `stem: convolution`, which takes every size",
            )
        return tuple(math.ceil(side / self.pitch) for side in size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Tokens float [B, cells, width] of images [B, C, *S]."""
        return self.layers(images).flatten(2).transpose(1, 2)


class Medformer(nn.Module):
    """One transformer for images of all shapes, with latents that say what it looks at.

    Parameters
    ----------
    options
        Size and stem.
    seed
        Of the initial weights; a part of one name has the same ones in every model.
    """

    def __init__(self, options: NetworkOptions, seed: int) -> None:
        super().__init__()
        self.options, self.seed = options, seed
        size = SIZES[options.size]
        self.width = size.width

        block = partial(Block, size.width, size.heads)
        self.stems, self.heads = nn.ModuleDict(), nn.ModuleDict()
        self.latents = Latents(size.width)
        self.condition = self._drawn("condition", partial(block, cross=True))
        self.body = self._drawn("body", lambda: nn.ModuleList(block() for _ in range(size.layers)))
        self.norm = nn.LayerNorm(size.width)
        self.ask = self._drawn("ask", partial(block, cross=True, identity=False))
        self.place = self._drawn("place", lambda: nn.Linear(size.width, size.width))
        self.out_norm = nn.LayerNorm(size.width)

    def add(self, shape: Shape, who: Iterable[Who], heads: Iterable[Head] = ()) -> None:
        """Add a stem, latents and heads, unless they are there; the rest stays as it is."""
        if shape.key not in self.stems:
            self.stems[shape.key] = self._drawn(
                f"stem {shape.key}", lambda: Stem(shape, self.options, self.width)
            )
        for one in who:
            for kind, name in zip(KINDS, astuple(one), strict=True):
                if name is not None:
                    self.latents.add(kind, name, self.seed)
        for head in heads:
            if _key(head.name) in self.heads:
                continue
            cell = self._stem(shape).pitch ** head.dims if head.layout == "pixels" else 1
            make = partial(nn.Linear, self.width, head.channels * cell)
            self.heads[_key(head.name)] = self._drawn(f"head {head.name}", make)

    def grid(self, shape: Shape, size: Sequence[int]) -> tuple[int, ...]:
        """Cells along each axis of an image."""
        return self._stem(shape).grid(size)

    def forward(self, ask: Callable[[Medformer], T]) -> T:
        """Answer of a question about this model, in the precision that it is wrapped for."""
        return ask(self)

    def answer(self, images: torch.Tensor, shape: Shape, who: Who, head: Head) -> torch.Tensor:
        """Output of a head for images [B, C, *S] in 0..1: [B, channels] or [B, channels, *S]."""
        tokens = self.tokens(images, shape, who)
        if head.layout == "vector":
            return self.vector(tokens, who, head.name)
        return self.pixels(tokens, shape, who, head.name, images.shape[2:])

    def tokens(
        self, images: torch.Tensor, shape: Shape, who: Who, seen: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the body makes of images.

        Parameters
        ----------
        images
            Float [B, C, *S] in 0..1.
        shape, who
            Stem and latents.
        seen
            Cells that the body is shown, int64 [B, n]; None: all.

        Returns
        -------
        torch.Tensor
            Float [B, n, width].
        """
        stem = self._stem(shape)
        grid = stem.grid(images.shape[2:])
        code = CODE * sine_code(grid, self.width).to(images.device)
        tokens = stem(images * 2 - 1) + code
        if seen is not None:
            tokens = picked(tokens, seen)
        if self.options.latents != "none":
            tokens = self.condition(tokens, self._shown(who).expand(len(tokens), -1, -1))
        for block in self.body:
            tokens = block(tokens)
        return self.norm(tokens)

    def vector(self, tokens: torch.Tensor, who: Who, head: str) -> torch.Tensor:
        """Numbers float [B, channels] of a head: the task's latent asks the tokens."""
        return self._head(head)(self.features(tokens, who))

    def features(self, tokens: torch.Tensor, who: Who) -> torch.Tensor:
        """What the task's latent finds in the tokens, added to their mean: float [B, width].

        Not normalised for itself: where images are alike, a norm makes what sets them apart small
        beside what they share, and volumes were not learned at all.
        """
        asking = self.latents.get("task", who.task).expand(len(tokens), -1, -1)
        return self.ask(asking, tokens).mean(dim=1) + tokens.mean(dim=1)

    def pixels(
        self, tokens: torch.Tensor, shape: Shape, who: Who, head: str, size: Sequence[int]
    ) -> torch.Tensor:
        """Numbers of every pixel or voxel, float [B, channels, *S]: each place asks the tokens."""
        grid = self.grid(shape, size)
        cells = self.cells(tokens, shape, who, head, size)
        picture = from_cells(cells, grid, self.pitch(shape))
        if tuple(picture.shape[2:]) == tuple(size):
            return picture
        mode = "bilinear" if len(grid) == 2 else "trilinear"
        return functional.interpolate(picture, tuple(size), mode=mode, align_corners=False)

    def cells(
        self,
        tokens: torch.Tensor,
        shape: Shape,
        who: Who,
        head: str,
        size: Sequence[int],
        *,
        asked: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Numbers of the pixels of cells, each of which asks the tokens.

        Where the tokens are those of all cells, a cell's own is added to what it finds: so the
        model is its stem and a linear head at first, as for numbers of an image.

        Parameters
        ----------
        tokens
            Float [B, U, width], of :meth:`tokens`.
        shape, who, head
            Stem, latents and head.
        size
            Of the images.
        asked
            Cells of each image, int64 [B, n]; None: all.

        Returns
        -------
        torch.Tensor
            Float [B, n, channels * pitch^dims], in the order of :func:`to_cells`.
        """
        task = self.latents.get("task", who.task).mean(dim=0)
        code = sine_code(self.grid(shape, size), self.width).to(tokens.device)
        asking = (self.place(code) + task).expand(len(tokens), -1, -1)
        if asked is not None:
            asking = picked(asking, asked)
        found = self.ask(asking, tokens)
        if tokens.shape[1] == len(code):
            found = found + (tokens if asked is None else picked(tokens, asked))
        return self._head(head)(self.out_norm(found))

    def pitch(self, shape: Shape) -> int:
        """Pixels of a cell along an axis."""
        return self._stem(shape).pitch

    def _shown(self, who: Who) -> torch.Tensor:
        """Latents that the images are seen with, by the option ``latents``."""
        if self.options.latents == "task":
            return self.latents.get("task", who.task)
        return self.latents(who)

    def _stem(self, shape: Shape) -> Stem:
        """Stem of a shape."""
        if shape.key not in self.stems:
            what = "volumes" if shape.dims == 3 else "pictures"
            raise ConfigError(
                f"the model has seen no {what} of {shape.channels} channels, only "
                + ", ".join(sorted(self.stems)),
                "give it images of the kind that it was trained on",
            )
        found = self.stems[shape.key]
        assert isinstance(found, Stem)
        return found

    def _head(self, name: str) -> nn.Module:
        """Head of a name."""
        return self.heads[_key(name)]

    def _drawn(self, name: str, make: Callable[[], ModuleT]) -> ModuleT:
        """Make a part with weights of the seed and its name."""
        return from_seed(make, int(generator(self.seed, "medformer", name).integers(2**62)))


def picked(values: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Some cells of each image, [B, n, d] of [B, cells, d], by their numbers int64 [B, n]."""
    return values.gather(1, which[:, :, None].expand(-1, -1, values.shape[2]))


def to_cells(images: torch.Tensor, grid: Sequence[int], pitch: int) -> torch.Tensor:
    """Pixels of each cell, float [B, cells, channels * pitch^dims], of images [B, C, *S].

    Images that cells do not divide are stretched to those that they do.
    """
    size = [n * pitch for n in grid]
    if list(images.shape[2:]) != size:
        mode = "bilinear" if len(size) == 2 else "trilinear"
        images = functional.interpolate(images, size, mode=mode, align_corners=False)
    for axis, n in enumerate(grid):
        images = images.unflatten(2 + 2 * axis, (n, pitch))
    dims = len(grid)
    order = [0, *range(2, 2 + 2 * dims, 2), 1, *range(3, 3 + 2 * dims, 2)]
    return images.permute(order).flatten(1 + dims).flatten(1, dims)


def from_cells(cells: torch.Tensor, grid: Sequence[int], pitch: int) -> torch.Tensor:
    """Images [B, C, *S] of the pixels of each cell; undoes :func:`to_cells`."""
    dims = len(grid)
    values = cells.unflatten(2, (-1, *[pitch] * dims)).unflatten(1, tuple(grid))
    order = [0, 1 + dims, *(i for a in range(dims) for i in (1 + a, 2 + dims + a))]
    values = values.permute(order)
    for axis in range(dims):
        values = values.flatten(2 + axis, 3 + axis)
    return values


def _key(name: str) -> str:
    """Name of a module or parameter; those of torch have no dots."""
    return "of_" + name.replace(".", "/")


def _name(key: str) -> str:
    """Undoes :func:`_key`."""
    return key.removeprefix("of_").replace("/", ".")
