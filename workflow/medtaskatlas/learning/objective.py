"""What the training engine is given: a model, its batches and its loss."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from medtaskatlas.learning.processes import Processes

BatchT = TypeVar("BatchT", bound=Sized)


@dataclass(frozen=True)
class Group:
    """A part of the model with a rate of its own.

    ``factor`` of a step times the learning rate; at 0 the part is frozen: no gradients, and it runs
    as in evaluation, so that its statistics stay too.
    """

    module: nn.Module
    factor: Callable[[int], float]


class Objective(ABC, Generic[BatchT]):
    """What is learned.

    Parameters
    ----------
    model
        What :meth:`loss` runs; its weights are the result.
    loss_state
        Parameters and buffers of the loss: trained and in every checkpoint, no part of the model.
    processes
        Which process this is, of how many that share a batch.
    """

    score: ClassVar[str] = "val_score"  # column of the history that holds what `validate` returns
    groups: Sequence[Group] = ()  # parts of the model with rates of their own; one process only

    def __init__(
        self,
        model: nn.Module,
        loss_state: nn.Module | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.model = model
        self.loss_state = loss_state or nn.Module()
        self.processes = processes or Processes()

    @abstractmethod
    def batch(self, step: int) -> BatchT:
        """Batch of a step, a function of the seed and the step alone; called from a thread.

        Its length is the number of images of all processes; pixels of the own part are enough.
        """

    @abstractmethod
    def loss(self, model: Callable[..., Any], batch: BatchT) -> dict[str, torch.Tensor]:
        """Parts of the loss of the whole batch by name, weighted; training makes their sum small.

        A part that a step lacks is left out. ``model`` is the model as the precision and the
        processes need it; with several processes its outputs are those of the own part, to be
        joined with :meth:`Processes.gather`.
        """

    def backward(
        self, parts: dict[str, torch.Tensor], descend: Callable[[torch.Tensor], None]
    ) -> torch.Tensor:
        """Leave the gradients of a step in the parameters; the loss that the history shows.

        The sum of the parts, unless an objective weighs them. ``descend`` is the backward pass of a
        scalar as the precision needs it.
        """
        loss = functools.reduce(torch.add, parts.values())
        descend(loss)
        return loss

    def after_step(self, model: Callable[..., Any], batch: BatchT) -> None:
        """Look at the batch again once the weights have changed; nothing, unless overridden."""

    def suspects(self, batch: BatchT, part: str | None) -> list[str]:
        """Names of the images behind a part of the loss that is no number; none: unknown."""
        return []

    def validate(self, model: nn.Module) -> float:
        """Score on validation groups, higher is better; needed with ``patience`` only."""
        raise NotImplementedError(f"{type(self).__name__} has no validation")
