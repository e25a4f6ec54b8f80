"""One optimiser step on one contrast, in parts that fit into memory.

The gradient of a contrast with respect to the embeddings needs the embeddings alone. So they are
made first, for every batch and by every process; the loss is taken of all of them; and the gradient
of each embedding is then taken back through the network batch by batch (Gao et al., 2021). It is
the gradient of one large batch, up to batch normalisation, which sees each batch by itself. With
one batch the network runs once only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.taco.batches import Batch
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.losses import Compared
from medtaskatlas.encoders.taco.ranks import Ranks
from medtaskatlas.encoders.taco.steadiness import Degrees

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule

# What stops the first, random steps from throwing the weights far out.
GRADIENT_NORM = 5.0


class Represent(nn.Module):
    """Pixels to embeddings and the features before the projection.

    Takes pixels, not numbers: mixed precision would cut an image given as floats down to eight bits
    of mantissa before the network could look at small differences.

    Parameters
    ----------
    network
        Has ``pooled`` and ``project``, see :class:`~medtaskatlas.encoders.network.TaskEncoder`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Represent pairs.

        Parameters
        ----------
        pixels
            uint8 [B, 2, H, W, 3].

        Returns
        -------
        embedding
            float [B, D] of length one.
        features
            float [B, features].
        """
        device = next(self.network.parameters()).device
        features = self.network.pooled(to_input(pixels, device))
        return self.network.project(features), features


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch normalisation as they are.

    Parameters
    ----------
    network
        Runs twice on each batch of a gradient cache, and should follow it once.

    Yields
    ------
    None
    """
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


@dataclass(frozen=True)
class Step:
    """How a step is taken.

    Attributes
    ----------
    fabric
        Devices, processes and precision.
    represent
        A :class:`Represent`, as ``fabric`` has set it up.
    criterion
        The loss.
    optimiser
        As ``fabric`` has set it up; of the parameters of both.
    ranks
        Who shares the batches.
    """

    fabric: Fabric
    represent: _FabricModule
    criterion: Criterion
    optimiser: torch.optim.Optimizer
    ranks: Ranks

    def take(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Take one step.

        Parameters
        ----------
        batches
            All batches of the contrast: one, or as many as are accumulated.

        Returns
        -------
        torch.Tensor
            The loss before the step, a scalar without history, on the device.
        """
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.backward(batches)
        self.fabric.clip_gradients(
            self.represent, self.optimiser, max_norm=GRADIENT_NORM, error_if_nonfinite=False
        )
        self.optimiser.step()
        return loss

    def backward(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Add the gradients of one contrast to those of the parameters.

        Parameters
        ----------
        batches
            All batches of the contrast.

        Returns
        -------
        torch.Tensor
            The loss, a scalar without history.
        """
        alone = len(batches) == 1
        with nullcontext() if alone else _first_pass(self.represent):
            made = [self.represent(batch.pixels) for batch in batches]
        loss, towards, parameters = self._loss(made, batches)
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            with self.fabric.no_backward_sync(self.represent, enabled=not last):
                outputs = made[i] if alone else self.represent(batch.pixels)
                # A linear function with the gradients wanted. Processes average theirs: hence the
                # factor, since each has those of its own part only.
                whole = sum((o * t).sum() for o, t in zip(outputs, towards[i], strict=False))
                whole = whole * self.ranks.world
                if last:
                    own = zip(self.criterion.parameters(), parameters, strict=True)
                    whole = whole + sum((p * g).sum() for p, g in own)
                self.fabric.backward(whole)
        return loss

    def _loss(
        self, made: Sequence[tuple[torch.Tensor, torch.Tensor]], batches: Sequence[Batch]
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]], Sequence[torch.Tensor]]:
        """Loss, its gradients at own outputs of each batch, and at the criterion's parameters."""
        sizes = [len(batch.labels) for batch in batches]
        n_outputs = 2 if self.criterion.needs_features else 1
        joined = [
            torch.cat(
                [self.ranks.gather(m[o], size) for m, size in zip(made, sizes, strict=True)]
            ).requires_grad_()
            for o in range(n_outputs)
        ]
        label, cell, severity, image = (
            torch.from_numpy(np.concatenate([getattr(b, name) for b in batches])).to(
                joined[0].device
            )
            for name in ("labels", "cells", "severities", "images")
        )
        batch = Compared(joined[0], label, cell)
        features = joined[1] if n_outputs == 2 else None
        loss = self.criterion(batch, features, Degrees(severity, image))
        gradients = torch.autograd.grad(loss, [*joined, *self.criterion.parameters()])
        self.criterion.memory.remember(batch)
        parts = [g.split(sizes) for g in gradients[:n_outputs]]
        towards = [
            [part[i][self.ranks.part(size)] for part in parts] for i, size in enumerate(sizes)
        ]
        return loss.detach(), towards, gradients[n_outputs:]


@contextmanager
def _first_pass(network: nn.Module) -> Iterator[None]:
    """Run without history and without following the statistics."""
    with torch.no_grad(), still_statistics(network):
        yield
