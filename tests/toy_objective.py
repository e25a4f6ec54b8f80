"""A user of the training engine that is not TaCo: names the sign of a sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn

from medtaskatlas.core.files import write_json
from medtaskatlas.core.seeds import generator
from medtaskatlas.learning.checkpoint import Checkpoint, save_tensors
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.launch import launch
from medtaskatlas.learning.machine import check_machine, set_up_torch
from medtaskatlas.learning.objective import Objective
from medtaskatlas.learning.options import Training
from medtaskatlas.learning.processes import Processes

SIZE, LENGTH, HIDDEN = 11, 6, 8


class Drift(nn.Module):
    """A learned weight of the loss, and what it has seen: both must outlive a kill."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.ones(()))

    def forward(self, loss: torch.Tensor) -> torch.Tensor:
        self.mean.mul_(0.9).add_(0.1 * loss.detach())
        return loss / self.mean.clone() * self.log_weight.exp() - 0.1 * self.log_weight


class Toy(Objective[np.ndarray]):
    """Batch statistics, dropout, two parts of a loss, one of them with a state."""

    def __init__(self, seed: int, dropout: float, processes: Processes) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(
                nn.Linear(LENGTH, HIDDEN),
                nn.BatchNorm1d(HIDDEN),
                nn.ReLU(),
                nn.BatchNorm1d(HIDDEN, affine=False),
                nn.Dropout(dropout),
                nn.Linear(HIDDEN, 2),
            )
        super().__init__(model, Drift(), processes)
        self.seed = seed

    def batch(self, step: int) -> np.ndarray:
        rng = generator(self.seed, "toy", step)
        return rng.standard_normal((SIZE, LENGTH)).astype(np.float32)

    def loss(self, model: Any, batch: np.ndarray) -> dict[str, torch.Tensor]:
        device = next(model.parameters()).device
        x = torch.from_numpy(batch).to(device)
        named = self.processes.gather(model(x[self.processes.part(SIZE)]), SIZE)
        right = (x.sum(dim=1) > 0).long()
        return {
            "named": nn.functional.cross_entropy(named, right),
            "large": self.loss_state(named.square().mean()),
        }

    def validate(self, model: nn.Module) -> float:
        x = torch.from_numpy(self.batch(10**6)).to(next(model.parameters()).device)
        return float((model(x).argmax(dim=1) == (x.sum(dim=1) > 0)).float().mean())


def train_toy(folder: str, options: dict, dropout: float = 0.3, seed: int = 0) -> None:
    """Train in as many processes as the options say."""
    training = Training(**options)
    check_machine(training)
    arguments = {"folder": str(folder), "options": options, "dropout": dropout, "seed": seed}
    if training.devices > 1:
        launch("toy_objective:train_here", arguments, training.devices)
    else:
        train_here(**arguments, processes=Processes())


def train_here(folder: str, options: dict, dropout: float, seed: int, processes: Processes) -> None:
    """Train in this process, and write model, history and cost."""
    set_up_torch(1)
    objective, training = Toy(seed, dropout, processes), Training(**options)
    place = Path(folder)
    checkpoint = Checkpoint(place / "state", "toy")
    history, cost = fit(objective, training, checkpoint, seed=seed, title="toy")
    if processes.rank == 0:
        write_json(place / "cost.json", vars(cost))
        pq.write_table(history.table(training, objective.score), place / "history.parquet")
        save_tensors(place / "model.safetensors", objective.model.state_dict(), {})
        (place / "state").unlink(missing_ok=True)
