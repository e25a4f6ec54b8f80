"""Multiplications, weights and activations of the networks, by formula.

Importing torch would take longer than the whole of planning; a test holds the formulas to torch's
own count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medtaskatlas.encoders.shapes import CHANNELS
from medtaskatlas.networks.resnet import LAYERS

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
    """Cost of an encoder on one pair; of kinds that are no network, nothing but their features.

    What has no formula is in ``counted``, which is ``networks`` of assumed.json.
    """
    kind = options["kind"]
    if kind == "taco":
        return _taco(options, side, counted)
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


def _apart(one: Cost) -> Cost:
    """The same network on both sides, with their difference beside them."""
    return Cost(2 * one.macs, one.parameters, 2 * one.activations, 3 * one.features)


def _trunk(options: Mapping[str, Any], channels: int, side: int) -> Cost:
    """A residual network without a head on one picture."""
    kind, depths = LAYERS[options["backbone"]]
    given = options["width"]
    side = _halved(side)
    total = _convolution(channels, given, options["stem"], side)
    side = _halved(side)
    for stage, depth in enumerate(depths):
        planes = options["width"] * 2**stage
        for i in range(depth):
            after = _halved(side) if stage and not i else side
            total += _block(kind, given, planes, side, after)
            side, given = after, planes * EXPANSION[kind]
    return total


def _halved(side: int) -> int:
    """Side after a stride of two with the usual padding."""
    return -(-side // 2)


def _block(kind: str, given: int, planes: int, before: int, after: int) -> Cost:
    """A residual block."""
    made = planes * EXPANSION[kind]
    if kind == "basic":
        total = _convolution(given, planes, 3, after) + _convolution(planes, planes, 3, after)
    else:
        total = _convolution(given, planes, 1, before) + _convolution(planes, planes, 3, after)
        total += _convolution(planes, made, 1, after)
    if given != made or before != after:
        # MONAI's short cut has a bias.
        total += _convolution(given, made, 1, after) + Cost(0, made, 0, made)
    return total


def _convolution(given: int, made: int, kernel: int, side: int) -> Cost:
    """A convolution without bias that puts out ``side`` squared places, and its normalisation."""
    weights = given * made * kernel**2
    return Cost(weights * side**2, weights + 2 * made, made * side**2, made)
