"""Unified modality-specific representation: our reading of Zamzmi et al. (2021).

First the encoder and a decoder learn to denoise all images of a modality, which is the training of
:data:`network` with one target. Then all targets are fine-tuned together from these weights, by a
strategy that says which parts of the encoder are trained, when and how fast; decoders always are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.learning.objective import Group
from medtaskatlas.multitask.network import MultitaskNetwork
from medtaskatlas.multitask.systems.options import UmsRepOptions

network = MultitaskNetwork


def start_from(network: MultitaskNetwork, weights: Mapping[str, torch.Tensor]) -> None:
    """Take over a representation: the encoder, and the decoder of each target that it has too.

    One of a modality with colour does to a grey network's images what it does to them in colour.

    Raises
    ------
    DataError
        If it is of another encoder; names the first tensor that does not fit. The network is then
        as it was.
    """
    own = network.state_dict()
    weights = {k: _of_planes(v, own[k].shape) if k in own else v for k, v in weights.items()}
    for name, tensor in own.items():
        if name.startswith("encoder.") and name not in weights:
            raise DataError(f"the representation has no {name}", _REMEDY)
        if name in weights and weights[name].shape != tensor.shape:
            shapes = f"{tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
            raise DataError(f"{name} of the representation is {shapes}", _REMEDY)
    network.load_state_dict({**own, **{k: v for k, v in weights.items() if k in own}})


def _of_planes(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Weights of one plane in place of three alike: inputs are summed, outputs averaged."""
    if tensor.dim() == len(shape) >= 4 and tensor.shape[1] == shape[1] + 2:
        # An image stands behind what a decoder has from below.
        summed = tensor[:, -3:].sum(dim=1, keepdim=True)
        tensor = torch.cat([tensor[:, :-3], summed], dim=1)
    if len(tensor) == 3 and shape[:1] == (1,):
        tensor = tensor.mean(dim=0, keepdim=True)
    return tensor


_REMEDY = "learn it with the same backbone, width, stem, norm and targets' channels"


def groups(network: MultitaskNetwork, options: UmsRepOptions, steps: int) -> list[Group]:
    """Parts of the encoder from the last stage to the stem, with their rates at each step.

    Gradual unfreezing and discriminative rates are those of Howard and Ruder (2018), whose factor
    between two layers is 2.6.
    """
    encoder = network.encoder
    parts = [*reversed(encoder.stages), encoder.stem]
    return [
        Group(part, _factor(options, depth, len(parts), steps)) for depth, part in enumerate(parts)
    ]


def _factor(options: UmsRepOptions, depth: int, parts: int, steps: int) -> Callable[[int], float]:
    """Factor of the rate of a part of the encoder by step; the last stage has depth 0."""
    constant = {
        "scratch": 1.0,
        "full": 1.0,
        "frozen": 0.0,
        "last_stage": float(depth == 0),
        "discriminative": options.decay ** -(depth + 1),
    }
    if options.strategy in constant:
        return lambda step: constant[options.strategy]
    begin = round((depth + 1) / parts * options.thaw * steps)
    return lambda step: float(step >= begin)
