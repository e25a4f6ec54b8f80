"""Multiplications, weights and activations of the networks, by formula.

Importing torch would take longer than the whole of planning; a test holds the formulas to torch's
own count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtaskatlas.encoders.kind import CHANNELS
from medtaskatlas.networks.resnet import LAYERS

# Assumptions, and what was counted once: `networks`, `gpus` and speeds.
ASSUMED: dict[str, Any] = json.loads(Path(__file__).with_name("assumed.json").read_text())
EXPANSION = {"basic": 1, "bottleneck": 4}
# Of a kind of a user's own that nobody has counted: as many as TaCo has.
FEATURES_UNKNOWN = 128


@dataclass(frozen=True)
class Cost:
    """Cost of one pair."""

    macs: float  # multiplications with an addition, of one pass forward
    parameters: float
    activations: float  # numbers that the convolutions put out, which training keeps
    features: int  # length of an embedding

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.parameters + other.parameters,
            self.activations + other.activations,
            other.features,
        )


def cost_of(options: Mapping[str, Any], side: int, counted: Mapping[str, Any]) -> Cost:
    """Cost of an encoder on one pair; ``counted`` is ``networks`` of assumed.json."""
    kind = options["kind"]
    if kind == "taco":
        return _taco(options, side, counted)
    if kind == "taco_graded":
        return _graded(options, side)
    if kind == "random":
        return _apart(_trunk(options, 3, side))
    if kind not in counted:
        return Cost(0, 0, 0, FEATURES_UNKNOWN)
    known = counted[kind]
    scale = ((options.get("resolution") or known["side"]) / known["side"]) ** 2
    return Cost(2 * known["macs"] * scale, known["parameters"], 0, known["features"])


def _taco(options: Mapping[str, Any], side: int, counted: Mapping[str, Any]) -> Cost:
    """The trained encoder with its head."""
    body = _trunk(options, CHANNELS[options["coordinates"]], side)
    if options["coordinates"] == "texture":
        body = Cost(6 * 9 * side**2, 0, 0, 0) + body
    if options["fusion"] == "correspondence":
        more = counted["correspondence"]
        macs = more["macs"] + more["macs_per_pixel"] * side**2
        body += Cost(macs, more["parameters"], 0, body.features + more["features"])
    n, dim = body.features, options["embedding_dim"]
    return body + Cost(n * (n + dim), n * (n + dim) + 2 * n + dim, 0, dim)


def _graded(options: Mapping[str, Any], side: int) -> Cost:
    """The encoder of a pair, and what does its task: once each."""
    body, dim = _trunk(options, CHANNELS["texture"], side), options["embedding_dim"]
    code = Cost(body.features * dim, (body.features + 1) * dim, 0, dim)
    texture = Cost(6 * 9 * side**2, 0, 0, 0)
    return texture + body + code + doer(options, side)


def doer(options: Mapping[str, Any], side: int) -> Cost:
    """What does the task of a code, on one image."""
    w, dim, pixels = options["doing_width"], options["embedding_dim"], side**2
    # Channels given and made, and how many times a side is halved.
    layers = [
        *((3, w, 0), (w, 2 * w, 1), (2 * w, 4 * w, 2), (4 * w, 4 * w, 2)),
        *((6 * w, 2 * w, 1), (3 * w, w, 0), (w + 3, w, 0)),
    ]
    macs = sum(9 * a * b * pixels / 4**halved + 2 * b * dim for a, b, halved in layers)
    weights = sum(9 * a * b + b * (2 * dim + 5) for a, b, _ in layers)
    made = sum(b * pixels / 4**halved for _, b, halved in layers)
    return Cost(macs + 3 * (w * pixels + dim), weights + 3 * (w + dim + 2), made, dim)


def unet(width: int, side: int, *, skips: bool = True) -> float:
    """Multiplications with additions of a network of transfer on one picture."""
    widths = [width * 2**i for i in range(4)]
    # Channels given and made, and how many times a side is halved.
    down = [
        layer
        for i, w in enumerate(widths)
        for layer in (((widths[i - 1] if i else 3), w, i), (w, w, i))
    ]
    up = [
        layer
        for i, w in enumerate(widths[:-1])
        for layer in ((widths[i + 1] + skips * w, w, i), (w, w, i))
    ]
    return sum(9 * a * b * side**2 / 4**halved for a, b, halved in [*down, *up])


def _apart(one: Cost) -> Cost:
    """The same network on both sides, with their difference."""
    return Cost(2 * one.macs, one.parameters, 2 * one.activations, 3 * one.features)


def encoder(
    options: Mapping[str, Any], channels: int, side: int, dims: int, *, stride: int = 2
) -> Cost:
    """A residual network that does not pool at first, on one image: see ``multitask.network``."""
    return _trunk(options, channels, side, dims, pooled=False, stride=stride)


def decoder(
    options: Mapping[str, Any], channels: int, side: int, dims: int, *, outputs: int
) -> Cost:
    """Decoder of one of their targets that puts out ``outputs`` numbers a pixel."""
    width, expansion = options["width"], EXPANSION[LAYERS[options["backbone"]][0]]
    inner = [max(4, width // 2), width, 2 * width, 4 * width]
    below = [*inner[1:], 8 * width * expansion]
    beside = [channels, *(n * expansion for n in inner[1:])]
    total = _convolution(inner[0], outputs, 1, side, dims)
    for given, made, skip in zip(below, inner, beside, strict=True):
        total += _convolution(made + skip, made, 3, side, dims)
        side = _halved(side)
        total += _convolution(given, made, 1, side, dims)
    return total


def beside(options: Mapping[str, Any], side: int, dims: int, targets: int) -> float:
    """Numbers that ``mtan`` and ``ctan`` put out for their targets next to the shared maps."""
    expansion, total = EXPANSION[LAYERS[options["backbone"]][0]], 0.0
    stages = (1, 2, 3, 4) if options["system"] == "mtan" else options.get("stages", ())
    for stage in stages:
        across = -(-side // 2**stage)
        total += 3 * targets * options["width"] * 2 ** (stage - 1) * expansion * across**dims
        # Every place attends to the means of cells, of at most 8 a side or nearly twice as many.
        cells = across // max(1, across // 8)
        total += options.get("heads", 0) * targets**2 * (across * cells) ** dims
    return total


def _trunk(
    options: Mapping[str, Any],
    channels: int,
    side: int,
    dims: int = 2,
    *,
    pooled: bool = True,
    stride: int = 2,
) -> Cost:
    """A residual network without a head on one picture."""
    kind, depths = LAYERS[options["backbone"]]
    given = options["width"]
    side = -(-side // stride)
    total = _convolution(channels, given, options["stem"], side, dims)
    side = _halved(side) if pooled else side
    for stage, depth in enumerate(depths):
        planes = options["width"] * 2**stage
        for i in range(depth):
            after = _halved(side) if stage and not i else side
            total += _block(kind, given, planes, (side, after), dims)
            side, given = after, planes * EXPANSION[kind]
    return total


def _halved(side: int) -> int:
    """Side after a stride of two with the usual padding."""
    return -(-side // 2)


def _block(kind: str, given: int, planes: int, sides: tuple[int, int], dims: int) -> Cost:
    """A residual block, by its sides before and after."""
    made, (before, after) = planes * EXPANSION[kind], sides
    if kind == "basic":
        total = _convolution(given, planes, 3, after, dims)
        total += _convolution(planes, planes, 3, after, dims)
    else:
        total = _convolution(given, planes, 1, before, dims)
        total += _convolution(planes, planes, 3, after, dims)
        total += _convolution(planes, made, 1, after, dims)
    if given != made or before != after:
        # MONAI's short cut has a bias.
        total += _convolution(given, made, 1, after, dims) + Cost(0, made, 0, made)
    return total


def _convolution(given: int, made: int, kernel: int, side: int, dims: int) -> Cost:
    """A convolution to ``side`` ** ``dims`` places without bias, and its normalisation."""
    weights, places = given * made * kernel**dims, side**dims
    return Cost(weights * places, weights + 2 * made, made * places, made)
