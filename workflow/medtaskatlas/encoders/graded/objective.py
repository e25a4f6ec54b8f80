"""What a graded code is trained for: to do its task on another image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.graded.network import GradedEncoder
from medtaskatlas.encoders.network import to_input
from medtaskatlas.encoders.pairbank import TrainingRows
from medtaskatlas.encoders.taco.batches import mirror
from medtaskatlas.encoders.taco.losses import supcon
from medtaskatlas.encoders.taco.sampler import tasks_of
from medtaskatlas.learning.objective import Objective

if TYPE_CHECKING:
    from medtaskatlas.encoders.kinds.taco_graded import TacoGraded

VALIDATED = 256  # pairs of validation groups
# Mean square error, of values -1..1, below which it does not matter how small it is.
EXACT = 1e-3


@dataclass(frozen=True)
class Batch:
    """Pairs, of each another of the same task, and codes of the tasks."""

    shown: np.ndarray  # uint8 [B, 2, H, W, 3], whose code is taken
    asked: np.ndarray  # uint8 [B, 2, H, W, 3], on whose input the task is done
    labels: np.ndarray  # int64 [B]

    def __len__(self) -> int:
        return len(self.labels)


class FromBoth(nn.Module):
    """Pixels of shown and asked pairs to outputs, codes and points for contrast."""

    def __init__(self, network: GradedEncoder) -> None:
        super().__init__()
        self.network: Any = network

    def forward(
        self, shown: np.ndarray, asked: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Log error [B] of doing the task, codes [B, D], points [B, E] or None."""
        device = next(self.network.parameters()).device
        code, points = self.network.both(to_input(shown, device))
        return log_error(self.network, code, to_input(asked, device)), code, points


def log_error(network: GradedEncoder, code: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Log of the mean square error [B] of doing what codes [B, D] say to pairs [B, 6, H, W]."""
    before, after = asked.chunk(2, dim=1)
    done = network.doer(before, code).float()
    return torch.log((done - after.float()).square().flatten(1).mean(dim=1) + EXACT)


class Partners:
    """Of every pair another of its task, on another image of its dataset where there is one."""

    def __init__(self, rows: TrainingRows, of: np.ndarray) -> None:
        self.rows = of
        task, dataset, image = rows.names(of)
        self.tasks, self.codes = tasks_of(task)
        cell = np.array([f"{t}/{d}" for t, d in zip(task, dataset, strict=True)])
        _, self._cell = np.unique(cell, return_inverse=True)
        _, self._image = np.unique(image.astype(str), return_inverse=True)
        self._of_cell = [np.flatnonzero(self._cell == c) for c in range(self._cell.max() + 1)]
        self._of_task = [np.flatnonzero(self.codes == t) for t in range(len(self.tasks))]

    def draw(self, n_tasks: int, n_images: int, rng: np.random.Generator) -> np.ndarray:
        """Positions of some pairs of some tasks, int64 [n_tasks * n_images]; cells alike."""
        chosen = rng.permutation(len(self.tasks))[:n_tasks]
        found = []
        for task in chosen:
            own = self._of_task[task]
            cells = np.unique(self._cell[own])
            for cell in rng.permutation(np.resize(rng.permutation(cells), n_images)):
                found.append(rng.choice(self._of_cell[cell]))
        return np.array(found)

    def of(self, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Position of another pair of each."""
        found = []
        for i in at:
            cell = self._of_cell[self._cell[i]]
            others = cell[self._image[cell] != self._image[i]]
            if not len(others):
                own = self._of_task[self.codes[i]]
                others = own[own != i]
            found.append(rng.choice(others))
        return np.array(found)


class GradedObjective(Objective[Batch]):
    """To do its task on another image, by as short a code as will do; and contrast if asked."""

    score: ClassVar[str] = "val_doing"

    def __init__(
        self, network: GradedEncoder, rows: TrainingRows, options: TacoGraded, *, seed: int
    ) -> None:
        super().__init__(FromBoth(network))
        self.bank, self.options, self.seed = rows.bank, options, seed
        self.partners = Partners(rows, rows.train)
        self.looks = self._validation(rows) if options.patience else None

    def _validation(self, rows: TrainingRows) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of validation groups, and of each another: rows of the collection."""
        task = rows.bank.strings("task")
        known = rows.val[np.isin(task[rows.val], self.partners.tasks)]
        if len(known) < 2 or np.unique(task[known], return_counts=True)[1].min() < 2:
            raise DataError(
                "`patience` looks at validation groups, where some task has less than two pairs",
                "set `patience: 0` of this encoder, or raise the share `splits: {val: ...}`",
            )
        own = Partners(rows, known)
        rng = generator(self.seed, "graded looks")
        at = rng.permutation(len(known))[:VALIDATED]
        return known[at], known[own.of(at, rng)]

    def batch(self, step: int) -> Batch:
        """Batch of a step."""
        rng = generator(self.seed, "graded batch", step)
        at = self.partners.draw(self.options.batch_tasks, self.options.batch_images, rng)
        other = self.partners.of(at, rng)
        sides = []
        for chosen in (at, other):
            pixels = self.bank.gather(self.partners.rows[chosen])
            mirror(pixels, rng.random((2, len(chosen))) < 0.5)
            sides.append(pixels)
        shown, asked = sides
        return Batch(shown, asked, self.partners.codes[at])

    def loss(self, model: Callable[..., Any], batch: Batch) -> dict[str, torch.Tensor]:
        """What is left undone, the codes' lengths, and contrast."""
        missed, code, points = model(batch.shown, batch.asked)
        parts = {
            "doing": missed.mean(),
            "length": self.options.penalty * code.square().sum(dim=1).mean(),
        }
        if points is not None:
            label = torch.from_numpy(batch.labels).to(points.device)
            parts["contrast"] = self.options.contrast * supcon(
                points, label, self.options.temperature
            )
        return parts

    def validate(self, model: nn.Module) -> float:
        """Mean log error on validation groups, turned so that higher is better."""
        assert self.looks is not None
        assert isinstance(model, FromBoth)
        shown, asked = self.looks
        parts = [
            model(self.bank.gather(shown[i : i + 64]), self.bank.gather(asked[i : i + 64]))[0]
            for i in range(0, len(shown), 64)
        ]
        return -float(torch.cat(parts).mean())
