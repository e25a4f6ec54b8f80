"""What training has seen so far: the loss of every step, and the looks at validation groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import torch

from medtaskatlas.core.errors import DataError

# Reading a number from a GPU makes it wait, so there it is done once in so many steps.
PENDING = 50


@dataclass
class History:
    """Losses and looks.

    Attributes
    ----------
    title
        Names the training in errors.
    losses
        Loss of every step that was read.
    looks
        Steps that were taken before a look, to its balanced accuracy.
    """

    title: str
    losses: list[float] = field(default_factory=list)
    looks: dict[int, float] = field(default_factory=dict)
    _pending: list[torch.Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.losses) + len(self._pending)

    def append(self, loss: torch.Tensor) -> None:
        """Add the loss of a step.

        Parameters
        ----------
        loss
            Scalar; on a GPU it is read later.

        Raises
        ------
        DataError
            See :meth:`read`.
        """
        self._pending.append(loss.detach())
        if loss.device.type == "cpu" or len(self._pending) >= PENDING:
            self.read()

    def read(self) -> None:
        """Read what is still on a GPU.

        Raises
        ------
        DataError
            If a loss is no longer a number.
        """
        if not self._pending:
            return
        fresh = torch.stack(self._pending).double().cpu().tolist()
        self._pending.clear()
        for loss in fresh:
            self.losses.append(loss)
            if not math.isfinite(loss):
                raise DataError(
                    f"{self.title}: the loss is {loss} at step {len(self.losses)}",
                    "lower `learning_rate` of this encoder",
                )

    def latest(self) -> dict[str, str]:
        """The latest numbers that were read, as text for people."""
        shown = {"loss": f"{self.losses[-1]:.3f}"} if self.losses else {}
        if self.looks:
            shown["val"] = f"{list(self.looks.values())[-1]:.3f}"
        return shown

    def looks_since_best(self) -> int:
        """Looks after the (first) best one; 0 before any look."""
        accuracy = list(self.looks.values())
        return len(accuracy) - 1 - accuracy.index(max(accuracy)) if accuracy else 0

    def table(self, rate: Callable[[int], float]) -> pa.Table:
        """Everything as a table.

        Parameters
        ----------
        rate
            Learning rate of a step.

        Returns
        -------
        pyarrow.Table
            Columns step, loss, learning_rate and val_accuracy; the last is null where there was no
            look after the step.
        """
        self.read()
        steps = range(len(self.losses))
        return pa.table(
            {
                "step": pa.array(steps, pa.int32()),
                "loss": pa.array(self.losses, pa.float64()),
                "learning_rate": pa.array([rate(i) for i in steps], pa.float64()),
                "val_accuracy": pa.array([self.looks.get(i + 1) for i in steps], pa.float64()),
            }
        )
