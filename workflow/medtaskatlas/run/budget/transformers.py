"""Multiplications, weights and activations of Medformer on one image, by formula.

As those of the residual networks in ``networks``; a test holds them to torch's own count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from medtaskatlas.medformer.options import SIZES
from medtaskatlas.run.budget.networks import Cost

# Tokens of a latent, and kinds of latents; cells that `masked` shows (see medformer.pretexts).
LATENT, KINDS, SHOWN = 2, 3, 0.35
# Stages of the convolutional stem.
STAGES = 3
# Numbers that `contrast` and `projection` compare, and at most classes of `turns`.
COMPARED, TURNS = 64, 10


@dataclass(frozen=True)
class Form:
    """What images look like to a network."""

    dims: int
    channels: int
    side: int

    @property
    def pixels(self) -> int:
        """Numbers of one."""
        return int(self.channels * self.side**self.dims)

    @property
    def stored(self) -> int:
        """Bytes of one in a prepared file; pictures have three channels there."""
        return int(self.side**self.dims) * (3 if self.dims == 2 else 1)


def patched(options: Mapping[str, Any], form: Form) -> Cost:
    """MONAI's ViT of the same size on patches: without latents, the mean of its tokens."""
    size, patch = SIZES[options["size"]], _patch(options, form)
    cells = (form.side // patch) ** form.dims
    into = linear(cells, form.channels * patch**form.dims, size.width)
    places = Cost(0, cells * size.width, 0, size.width)
    # Queries, keys and values have no bias, a norm is there for attention to others, and attention
    # itself is written out.
    unlike = Cost(0, (2 - 3) * size.width, size.heads * cells**2, size.width)
    blocks = [_block(size.width, cells) + unlike] * size.layers
    return _sum(into, places, *blocks, _norm(size.width))


class Network:
    """Medformer with the stem of one kind of image.

    Parameters
    ----------
    options
        ``size``, ``stem`` and the like of the section.
    form
        Of its images.
    """

    def __init__(self, options: Mapping[str, Any], form: Form) -> None:
        self.options, self.form, self.size = options, form, SIZES[options["size"]]
        self.pitch = _patch(options, form)
        if options["stem"] != "patches":
            self.pitch = 4 if form.dims == 2 else 8
        self.cells = int((-(-form.side // self.pitch)) ** form.dims)

    def tokens(self, shown: float = 1.0) -> Cost:
        """What the body makes of a share of the cells."""
        width, seen = self.size.width, round(shown * self.cells)
        latents = {"all": KINDS * LATENT, "task": LATENT, "none": 0}[self.options["latents"]]
        there = Cost(0, KINDS * LATENT * width, 0, width)
        condition = _block(width, seen, latents or 1)
        if not latents:
            condition = Cost(0, condition.parameters, 0, width)
        body = [_block(width, seen)] * self.size.layers
        return _sum(self._stem(), there, condition, *body, _norm(width))

    def vector(self, outputs: int) -> Cost:
        """The task's latent asks the tokens."""
        width = self.size.width
        place = Cost(0, width * (width + 1), 0, width)
        asked = _block(width, LATENT, self.cells)
        return _sum(asked, place, _norm(width), linear(1, width, outputs))

    def pixels(self, outputs: int, shown: float = 1.0) -> Cost:
        """Every cell asks the tokens for its pixels; where some are hidden, these alone."""
        width, seen = self.size.width, round(shown * self.cells)
        asking = self.cells - seen if shown < 1 else self.cells
        place, cell = linear(self.cells, width, width), self.pitch**self.form.dims
        head = linear(asking, width, outputs * cell)
        return _sum(_block(width, asking, seen), place, _norm(width), head)

    def answer(self, layout: str, outputs: int) -> Cost:
        """A target, from the image."""
        head = self.pixels(outputs) if layout == "pixels" else self.vector(outputs)
        return self.tokens() + head

    def pretext(self, name: str) -> Cost:
        """A pretext, from the image."""
        if name == "masked":
            return self.tokens(SHOWN) + self.pixels(self.form.channels, SHOWN)
        if name in ("turns", "contrast", "projection"):
            once = self.answer("vector", TURNS if name == "turns" else COMPARED)
            if name == "contrast":
                return Cost(2 * once.macs, once.parameters, 2 * once.activations, once.features)
            if name == "projection":
                return once + Network(self.options, Form(2, 1, self.form.side)).answer(
                    "vector", COMPARED
                )
            return once
        return self.answer("pixels", self.form.channels)

    def _stem(self) -> Cost:
        """Images to tokens."""
        options, form, width = self.options, self.form, self.size.width
        dims, channels = form.dims, form.channels
        if options["stem"] == "patches":
            return linear(self.cells, channels * self.pitch**dims, width)
        made, side = options["stem_width"], form.side
        if dims == 3:
            return _volume_stem(channels, made, side) + linear(self.cells, 4 * made, width)
        total = _convolution(channels, made, side**2)
        for stage in range(STAGES):
            if stage:
                side = -(-side // 2)
                total += _norm(made) + _convolution(made, 2 * made, side**2)
                made *= 2
            total = _sum(total, *[_norm(made), _convolution(made, made, side**2)] * 2)
        return _sum(total, _norm(made), linear(side**2, made, width))


def _volume_stem(channels: int, width: int, side: int) -> Cost:
    """Stages of two blocks, each of two convolutions; a stage and the first one halve the size."""
    side = -(-side // 2)
    total, given = _convolved(channels, width, side**3), width
    for stage in range(STAGES):
        side = -(-side // 2) if stage else side
        total = _sum(
            total,
            _convolved(given, width, side**3),
            *[_convolved(width, width, side**3)] * 3,
            *([_convolved(given, width, side**3, 1)] if stage else []),
        )
        given, width = width, 2 * width
    return total


def _patch(options: Mapping[str, Any], form: Form) -> int:
    """Pixels of a patch along an axis."""
    return int(options["patch"] if form.dims == 2 else options["patch_volume"])


def _block(width: int, tokens: int, others: int | None = None) -> Cost:
    """Attention of tokens to others, or to each other, and a perceptron."""
    seen = tokens if others is None else others
    attention = Cost(2 * tokens * seen * width, 0, 0, width)
    norms = [_norm(width)] * (2 if others is None else 3)
    return _sum(
        *(linear(tokens, width, width), linear(seen, width, 2 * width)),
        *(attention, linear(tokens, width, width)),
        *(linear(tokens, width, 4 * width), linear(tokens, 4 * width, width)),
        *norms,
    )


def linear(rows: int, given: int, made: int) -> Cost:
    """A linear map of some rows, with its bias."""
    return Cost(rows * given * made, (given + 1) * made, rows * made, made)


def _convolution(given: int, made: int, places: int) -> Cost:
    """A convolution of pictures, with its bias and the gain of its filters."""
    weights = given * made * 3**2
    return Cost(weights * places, weights + 2 * made, made * places, made)


def _convolved(given: int, made: int, places: int, side: int = 3) -> Cost:
    """A convolution of volumes and its normalisation."""
    weights = given * made * side**3
    return Cost(weights * places, weights, made * places, made) + _norm(made)


def _norm(width: int) -> Cost:
    """Scale and shift of a normalisation."""
    return Cost(0, 2 * width, 0, width)


def _sum(*parts: Cost) -> Cost:
    """All parts together."""
    return reduce(add, parts)
