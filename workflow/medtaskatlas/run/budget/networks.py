"""What the networks cost: multiplications, weights and activations, counted from their shape.

By formula, since importing torch would take longer than the whole of planning; a test holds the
formulas to torch's own count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medtaskatlas.encoders.shapes import CHANNELS
from medtaskatlas.networks.resnet import LAYERS

EXPANSION = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True)
class Cost:
    """Cost of one pair.

    Attributes
    ----------
    macs
        Multiplications with an addition of one pass forward.
    parameters
        Weights.
    activations
        Numbers that the convolutions put out, which training keeps.
    features
        Length of what comes out.
    """

    macs: float
    parameters: float
    activations: float
    features: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.parameters + other.parameters,
            self.activations + other.activations,
            other.features,
        )

    def times(self, n: int) -> Cost:
        """The same network on several pictures.

        Parameters
        ----------
        n
            How many.

        Returns
        -------
        Cost
            With the weights of one.
        """
        return Cost(self.macs * n, self.parameters, self.activations * n, self.features)


def _convolution(given: int, made: int, kernel: int, side: int) -> Cost:
    """A convolution without bias that puts out ``side`` squared places, and its normalisation."""
    weights = given * made * kernel**2
    return Cost(weights * side**2, weights + 2 * made, made * side**2, made)


def _halved(side: int) -> int:
    """Side after a stride of two with the usual padding."""
    return -(-side // 2)


def trunk(backbone: str, width: int, stem: int, channels: int, side: int) -> Cost:
    """Cost of a residual network on one picture; see :func:`medtaskatlas.networks.resnet.trunk`.

    Parameters
    ----------
    backbone
        A key of :data:`LAYERS`.
    width
        Channels of the first stage.
    stem
        Side of the first kernel, pixels.
    channels
        Channels of the picture.
    side
        Side of the picture, pixels.

    Returns
    -------
    Cost
        Without a head.
    """
    block, depths = LAYERS[backbone]
    side = _halved(side)
    total = _convolution(channels, width, stem, side)
    side = _halved(side)
    given = width
    for stage, depth in enumerate(depths):
        planes = width * 2**stage
        for i in range(depth):
            stride = 2 if stage and not i else 1
            after = _halved(side) if stride == 2 else side
            total += _block(block, given, planes, side, after)
            side, given = after, planes * EXPANSION[block]
    return total


def _block(kind: str, given: int, planes: int, before: int, after: int) -> Cost:
    """Cost of one residual block."""
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


def cost_of(options: Mapping[str, Any], side: int, counted: Mapping[str, Any]) -> Cost:
    """Cost of an encoder on one pair.

    Parameters
    ----------
    options
        Of an encoder, as :meth:`medtaskatlas.encoders.kind.EncoderKind.options` gives them.
    side
        Side of the images, pixels.
    counted
        What was counted once, since it has no simple formula: ``networks`` of rates.json.

    Returns
    -------
    Cost
        Of kinds that are no network, nothing but their features.
    """
    kind = options["kind"]
    if kind == "taco":
        return _taco(options, side, counted)
    if kind == "random":
        one = trunk(options["backbone"], options["width"], options["stem"], 3, side)
        return _apart(one)
    if kind not in counted:
        return Cost(0, 0, 0, _FEATURES_UNKNOWN)
    known = counted[kind]
    at = options.get("resolution") or known["side"]
    scale = (at / known["side"]) ** 2
    return Cost(2 * known["macs"] * scale, known["parameters"], 0, known["features"])


# A kind of a user's own that nobody has counted: as much as TaCo.
_FEATURES_UNKNOWN = 128


def _apart(one: Cost) -> Cost:
    """Both sides apart, and their difference beside them."""
    both = one.times(2)
    return Cost(both.macs, both.parameters, both.activations, 3 * one.features)


def _taco(options: Mapping[str, Any], side: int, counted: Mapping[str, Any]) -> Cost:
    """Cost of the trained encoder with its head."""
    shape = options["backbone"], options["width"], options["stem"]
    body = trunk(*shape, CHANNELS[options["coordinates"]], side)
    if options["coordinates"] == "texture":
        body = Cost(6 * 9 * side**2, 0, 0, 0) + body
    if options["fusion"] == "correspondence":
        more = counted["correspondence"]
        macs = more["macs"] + more["macs_per_pixel"] * side**2
        body += Cost(macs, more["parameters"], 0, body.features + more["features"])
    n, dim = body.features, options["embedding_dim"]
    return body + Cost(n * (n + dim), n * (n + dim) + 2 * n + dim, 0, dim)
