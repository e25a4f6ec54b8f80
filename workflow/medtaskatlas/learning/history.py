"""What training has seen so far: the loss of every step, and the scores on validation groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import torch

from medtaskatlas.learning.options import Training

# Reading a number from a GPU makes it wait, so there it is done once in so many steps.
PENDING = 50


class LossError(Exception):
    """A loss that is no number, at a step counted from 1; its part, if there are several."""

    def __init__(self, loss: float, step: int, part: str | None) -> None:
        self.loss, self.step, self.part = loss, step, part
        of = f", that of {part}" if part else ""
        super().__init__(f"the loss is {loss} at step {step}{of}")


@dataclass
class History:
    """Losses and scores; ``title`` names the training to people."""

    title: str
    losses: list[float] = field(default_factory=list)
    # Empty where there is one part; nan at the steps that lack one.
    parts: dict[str, list[float]] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)  # by the steps that were taken before
    _pending: list[tuple[list[str], torch.Tensor]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.losses) + len(self._pending)

    def append(self, loss: torch.Tensor, parts: Mapping[str, torch.Tensor]) -> None:
        """Add the loss of a step, a scalar, and its parts; on a GPU they are read later."""
        self._pending.append((list(parts), torch.stack([loss, *parts.values()]).detach()))
        if loss.device.type == "cpu" or len(self._pending) >= PENDING:
            self.read()

    def read(self) -> None:
        """Read what is still on a GPU.

        Raises
        ------
        LossError
            If a loss is no longer a number.
        """
        if not self._pending:
            return
        # Rows differ in length where steps lack a part.
        fresh = torch.cat([row for _, row in self._pending]).double().cpu().tolist()
        pending, self._pending, begin = self._pending, [], 0
        for names, row in pending:
            loss, *values = fresh[begin : begin + len(row)]
            begin += len(row)
            several = len(names) > 1 or bool(self.parts)
            found = dict(zip(names, values, strict=True)) if several else {}
            for name in found:
                self.parts.setdefault(name, [math.nan] * len(self.losses))
            self.losses.append(loss)
            for name, column in self.parts.items():
                column.append(found.get(name, math.nan))
            for part, value in [*found.items(), (None, loss)]:
                if not math.isfinite(value):
                    raise LossError(value, len(self.losses), part)

    def latest(self) -> dict[str, str]:
        """The latest numbers that were read, as text for people."""
        shown = {"loss": f"{self.losses[-1]:.3f}"} if self.losses else {}
        if self.scores:
            shown["val"] = f"{list(self.scores.values())[-1]:.3f}"
        return shown

    def since_best(self) -> int:
        """Validations after the (first) best one; 0 before any."""
        scores = list(self.scores.values())
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def table(self, options: Training, score: str) -> pa.Table:
        """Everything as a table.

        Parameters
        ----------
        options
            Of the training: its learning rates.
        score
            Name of the column of validation scores.

        Returns
        -------
        pyarrow.Table
            Columns step, loss, learning_rate and ``score``, which is null where there was no
            validation after the step; and loss.<part> where there are several parts.
        """
        self.read()
        steps = range(len(self.losses))
        columns = {
            "step": pa.array(steps, pa.int32()),
            "loss": pa.array(self.losses, pa.float64()),
            "learning_rate": pa.array([options.rate(i) for i in steps], pa.float64()),
            score: pa.array([self.scores.get(i + 1) for i in steps], pa.float64()),
        }
        parts = {f"loss.{name}": pa.array(v, pa.float64()) for name, v in self.parts.items()}
        return pa.table(columns | parts)
