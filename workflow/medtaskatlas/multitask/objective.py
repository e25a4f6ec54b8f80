"""What a multi-task training gives to the training engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from medtaskatlas.learning.objective import Group, Objective
from medtaskatlas.multitask.network import MultitaskNetwork, Output
from medtaskatlas.multitask.weighting import Weighting


class Target(Output, Protocol):
    """What is learned, and how far an output is from the truth."""

    def loss(self, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Mean loss over the rows, a scalar."""


class Batch(Protocol):
    """Images, and what is known of them.

    ``images`` are float [B, C, *S] in 0..1; ``rows`` those that a target is known of, int64 [n],
    and ``truths`` what is known; ``names`` those of the images, for messages.
    """

    @property
    def images(self) -> torch.Tensor:
        """Images."""

    @property
    def truths(self) -> Mapping[str, torch.Tensor]:
        """Truth of each target."""

    @property
    def rows(self) -> Mapping[str, torch.Tensor]:
        """Rows that have it."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the images."""

    def __len__(self) -> int: ...


class MultitaskObjective(Objective[Batch]):
    """Losses of several targets of one network, weighted.

    Parameters
    ----------
    network
        What is trained.
    targets
        Of the network; those of a batch that are not among them are passed over.
    batches
        Batch of a step, a function of the step alone.
    weighting
        How the losses become one step.
    groups
        Parts of the network with rates of their own.
    validation
        Score of the network on validation groups, higher is better; needed with ``patience`` only.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        targets: Sequence[Target],
        batches: Callable[[int], Batch],
        weighting: Weighting,
        *,
        groups: Sequence[Group] = (),
        validation: Callable[[nn.Module], float] | None = None,
    ) -> None:
        super().__init__(network, weighting)
        self.targets = {target.name: target for target in targets}
        self.batches, self.weighting = batches, weighting
        self.groups, self.validation = groups, validation
        self.parameters = list(network.parameters())  # a walk that need not be taken each step

    def batch(self, step: int) -> Batch:
        """Batch of a step."""
        return self.batches(step)

    def loss(self, model: Callable[..., Any], batch: Batch) -> dict[str, torch.Tensor]:
        """Loss of each target that the batch has rows of, not weighted."""
        device = next(self.model.parameters()).device
        outputs = model(batch.images.to(device, non_blocking=True), batch.rows)
        return {
            name: self.targets[name].loss(output, batch.truths[name].to(device, non_blocking=True))
            for name, output in outputs.items()
        }

    def backward(
        self, parts: dict[str, torch.Tensor], descend: Callable[[torch.Tensor], None]
    ) -> torch.Tensor:
        """Leave the gradients as the weighting has them."""
        moving = [p for p in self.parameters if p.requires_grad]
        return self.weighting.backward(parts, moving, descend)

    @torch.no_grad()
    def after_step(self, model: Callable[..., Any], batch: Batch) -> None:
        """Show the weighting the new losses of the batch, if it wants them."""
        if self.weighting.looks_again:
            # As in training, but a batch counts once in the statistics of batch normalisation.
            kept = [buffer.clone() for buffer in self.model.buffers()]
            self.weighting.after_step(self.loss(model, batch))
            for buffer, value in zip(self.model.buffers(), kept, strict=True):
                buffer.copy_(value)

    def suspects(self, batch: Batch, part: str | None) -> list[str]:
        """Images that a target is known of: those with values that are no numbers, or all."""
        if part is None:
            part = next(name for name in batch.rows if name in self.targets)
        rows = batch.rows[part]
        odd = _odd(batch.images[rows]) | _odd(batch.truths[part])
        return [batch.names[int(row)] for row in (rows[odd] if odd.any() else rows)]

    def validate(self, model: nn.Module) -> float:
        """Score on validation groups."""
        assert self.validation is not None
        return self.validation(model)


def _odd(values: torch.Tensor) -> torch.Tensor:
    """Whether a row holds what is no number, bool [n]."""
    return ~torch.isfinite(values.flatten(1) if values.dim() > 1 else values[:, None]).all(dim=1)
