"""What the training engine is given: a model, its batches and its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sized
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from medtaskatlas.learning.processes import Processes

BatchT = TypeVar("BatchT", bound=Sized)


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

        The names are the same at every step. ``model`` is the model as the precision and the
        processes need it; with several processes its outputs are those of the own part, to be
        joined with :meth:`Processes.gather`.
        """

    def validate(self, model: nn.Module) -> float:
        """Score on validation groups, higher is better; needed with ``patience`` only."""
        raise NotImplementedError(f"{type(self).__name__} has no validation")
