"""The loop of training: steps, validation, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from tqdm import tqdm

from medtaskatlas.core.errors import DivergedError
from medtaskatlas.core.seeds import generator
from medtaskatlas.learning.checkpoint import Checkpoint, TrainingState
from medtaskatlas.learning.cost import Cost, Meter
from medtaskatlas.learning.history import History, LossError
from medtaskatlas.learning.interrupt import Interrupt
from medtaskatlas.learning.machine import fabric_of, seed_torch
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
    DivergedError
        If the loss is no longer a number; names its part and the images. The last checkpoint stays.
    """
    fabric = fabric_of(options)
    processes = objective.processes
    objective.model.to(fabric.device).train()
    if processes.world > 1:
        objective.model = share_statistics(objective.model, fabric.device)
    objective.loss_state.to(fabric.device)
    parts = _parts(objective)
    optimiser = torch.optim.AdamW(
        [{"params": part} for part in parts],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    state = TrainingState(
        objective.model,
        objective.loss_state,
        optimiser,
        fabric.strategy.precision,
        History(title),
        Cost(parameters=_trained(objective, parts, options.steps)),
    )
    checkpoint.load(state)
    model, wrapped = fabric.setup(objective.model, optimiser)
    loop = _Loop(objective, options, checkpoint, state, fabric, model, wrapped)
    try:
        loop.run(seed)
    except LossError as error:
        raise _explained(objective, error, title) from None
    state.restore_best()
    objective.model.cpu()
    return state.history, state.cost


def _parts(objective: Objective[Any]) -> list[list[nn.Parameter]]:
    """Parameters outside of all groups, the loss's among them, and those of each group."""
    groups = [list(group.module.parameters()) for group in objective.groups]
    grouped = {p for group in groups for p in group}
    own = [*objective.model.parameters(), *objective.loss_state.parameters()]
    return [[p for p in own if p not in grouped], *groups]


def _trained(objective: Objective[Any], parts: list[list[nn.Parameter]], steps: int) -> int:
    """Number of parameters that are trained at some step."""
    moving = [any(group.factor(step) for step in range(steps)) for group in objective.groups]
    return sum(
        p.numel()
        for part, moves in zip(parts, [True, *moving], strict=True)
        for p in part
        if moves and p.requires_grad
    )


def _explained(objective: Objective[Any], error: LossError, title: str) -> DivergedError:
    """What a user is told of a loss that is no number."""
    # A batch is a function of its step.
    names = objective.suspects(objective.batch(error.step - 1), error.part)
    shown = ", ".join(names[:5]) + f" and {len(names) - 5} more" * (len(names) > 5)
    return DivergedError(
        f"{title}: {error}" + f"; images: {shown}" * bool(names),
        "lower its `learning_rate`" + ", or see to the images" * bool(names),
    )


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
                drawn = generator(seed, "step", len(history), rank).integers(2**62)
                seed_torch(int(drawn), device)
                thawed = self._set_rates()
                with meter.step(len(batch), afresh=thawed):
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
        history.read()
        meter.read()

    def _set_rates(self) -> bool:
        """Set the learning rate of each group; whether one is now frozen or no longer."""
        step, changed = len(self.state.history), False
        factors = [1.0, *(group.factor(step) for group in self.objective.groups)]
        rate = self.options.rate(step)
        for rates, factor in zip(self.state.optimiser.param_groups, factors, strict=True):
            rates["lr"] = rate * factor
        for group, factor in zip(self.objective.groups, factors[1:], strict=True):
            changed |= group.module.training != (factor > 0)
            group.module.train(factor > 0).requires_grad_(factor > 0)
        return changed

    def _step(self, batch: Sized) -> None:
        """Take one step."""
        self.optimiser.zero_grad(set_to_none=True)
        parts = self.objective.loss(self.model, batch)
        loss = self.objective.backward(parts, self.fabric.backward)
        self.fabric.clip_gradients(
            self.model,  # type: ignore[arg-type]
            self.optimiser,
            max_norm=GRADIENT_NORM,
            error_if_nonfinite=False,
        )
        self.optimiser.step()
        self.state.history.append(loss, parts)
        self.objective.after_step(self.model, batch)

    def _validate(self) -> None:
        """Score the model on validation groups, and keep the weights that are the best so far."""
        model, history = self.objective.model, self.state.history
        modes = {module: module.training for module in model.modules()}
        model.eval()
        with torch.inference_mode():
            score = self.objective.validate(model)
        for module, mode in modes.items():
            module.training = mode
        # One number for all, so that no process stops alone.
        history.scores[len(history)] = self.fabric.broadcast(score)
        if history.since_best() == 0:
            self.state.keep_best()

    def _stagnates(self) -> bool:
        """Whether training has gone on for long enough without gain."""
        patience = self.options.patience
        return bool(patience) and self.state.history.since_best() >= patience
