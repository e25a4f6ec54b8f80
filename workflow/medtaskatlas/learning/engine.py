"""The loop of training: steps, validation, checkpoints."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from medtaskatlas.core.seeds import generator
from medtaskatlas.learning.checkpoint import Checkpoint, TrainingState
from medtaskatlas.learning.cost import Cost, Meter
from medtaskatlas.learning.history import History
from medtaskatlas.learning.interrupt import Interrupt
from medtaskatlas.learning.machine import fabric_of
from medtaskatlas.learning.objective import Objective
from medtaskatlas.learning.options import Training
from medtaskatlas.learning.prefetch import prefetch
from medtaskatlas.learning.processes import share_statistics

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# What stops the first, random steps from throwing the weights far out.
GRADIENT_NORM = 5.0
# What a shell reports of a process that SIGTERM has ended.
TERMINATED = 128 + 15


def fit(
    objective: Objective[Any],
    options: Training,
    checkpoint: Checkpoint,
    *,
    seed: int,
    title: str,
) -> tuple[History, Cost]:
    """Train the model of an objective in place.

    Parameters
    ----------
    objective
        Model, batches and loss. The model is on the CPU before and after.
    options
        How long and how.
    checkpoint
        Where the state is kept. A training that was cut off goes on from it, and ends with the very
        same weights.
    seed
        Of what the model draws in training, such as dropout: a function of it and of the step.
    title
        Name in errors and next to the progress bar.

    Returns
    -------
    History
        Losses and validation scores. With ``patience`` the model has the weights of the best score.
    Cost
        What it took.

    Raises
    ------
    SystemExit
        After SIGTERM or SIGINT, once the state is saved.
    DataError
        If the loss is no longer a number.
    """
    fabric = fabric_of(options)
    processes = objective.processes
    objective.model.to(fabric.device).train()
    if processes.world > 1:
        objective.model = share_statistics(objective.model, fabric.device)
    objective.loss_state.to(fabric.device)
    parameters = [*objective.model.parameters(), *objective.loss_state.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, lr=options.learning_rate, weight_decay=options.weight_decay
    )
    state = TrainingState(
        objective.model,
        objective.loss_state,
        optimiser,
        fabric.strategy.precision,
        History(title),
        Cost(parameters=sum(p.numel() for p in parameters if p.requires_grad)),
    )
    checkpoint.load(state)
    model, wrapped = fabric.setup(objective.model, optimiser)
    loop = _Loop(objective, options, checkpoint, state, fabric, model, wrapped)
    loop.run(seed)
    state.restore_best()
    objective.model.cpu()
    return state.history, state.cost


@dataclass(frozen=True)
class _Loop:
    """A training under way."""

    objective: Objective[Any]
    options: Training
    checkpoint: Checkpoint
    state: TrainingState
    fabric: Fabric
    model: Callable[..., Any]  # as the precision and the processes need it
    optimiser: torch.optim.Optimizer

    def run(self, seed: int) -> None:
        """Take the steps that are left."""
        if self._stagnates():
            return
        history, options, device = self.state.history, self.options, self.fabric.device
        rank = self.objective.processes.rank
        writes = rank == 0
        meter = Meter(self.state.cost, device, self.objective.processes.world)
        saved = time.monotonic()
        # On a GPU the threads of torch have nothing else to do.
        readers = torch.get_num_threads() if device.type == "cuda" else 1
        bar = tqdm(
            total=options.steps,
            initial=len(history),
            desc=history.title,
            unit="step",
            mininterval=2,
            disable=not writes,
        )
        steps = range(len(history), options.steps)
        gpus = [device] if device.type == "cuda" else []
        own_generators = torch.random.fork_rng(devices=gpus)
        with bar, Interrupt(ignored=not writes) as interrupt, own_generators:
            for batch in prefetch(self.objective.batch, steps, readers):
                torch.manual_seed(int(generator(seed, "step", len(history), rank).integers(2**62)))
                with meter.step(len(batch)):
                    self._step(batch)
                done = len(history)
                if options.patience and (done % options.look_every == 0 or done == options.steps):
                    self._validate()
                bar.set_postfix(history.latest(), refresh=False)
                bar.update()
                late = time.monotonic() - saved > options.checkpoint_seconds
                if writes and (late or interrupt.requested):
                    meter.read()
                    self.checkpoint.save(self.state)
                    saved = time.monotonic()
                if interrupt.requested:
                    raise SystemExit(TERMINATED)
                if self._stagnates():
                    break
        meter.read()

    def _step(self, batch: Sized) -> None:
        """Take one step."""
        for group in self.state.optimiser.param_groups:
            group["lr"] = self.options.rate(len(self.state.history))
        self.optimiser.zero_grad(set_to_none=True)
        parts = self.objective.loss(self.model, batch)
        loss = functools.reduce(torch.add, parts.values())
        self.fabric.backward(loss)
        self.fabric.clip_gradients(
            self.model,  # type: ignore[arg-type]
            self.optimiser,
            max_norm=GRADIENT_NORM,
            error_if_nonfinite=False,
        )
        self.optimiser.step()
        self.state.history.append(loss, parts)

    def _validate(self) -> None:
        """Score the model on validation groups, and keep the weights that are the best so far."""
        model, history = self.objective.model, self.state.history
        mode = model.training
        model.eval()
        with torch.inference_mode():
            score = self.objective.validate(model)
        model.train(mode)
        # One number for all, so that no process stops alone.
        history.scores[len(history)] = self.fabric.broadcast(score)
        if history.since_best() == 0:
            self.state.keep_best()

    def _stagnates(self) -> bool:
        """Whether training has gone on for long enough without gain."""
        patience = self.options.patience
        return bool(patience) and self.state.history.since_best() >= patience
