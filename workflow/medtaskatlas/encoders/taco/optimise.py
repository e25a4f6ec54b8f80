"""The loop of training: steps, looks, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import nn
from tqdm import tqdm

from medtaskatlas.encoders.taco.batches import Batch, Composer, batches
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.gradient_cache import Represent, Step
from medtaskatlas.encoders.taco.looks import Looks, looks_of
from medtaskatlas.encoders.taco.machine import fabric_of
from medtaskatlas.encoders.taco.ranks import Ranks, share_statistics
from medtaskatlas.encoders.taco.rows import TrainingRows, composer
from medtaskatlas.learning.checkpoint import Resume
from medtaskatlas.learning.history import History
from medtaskatlas.learning.interrupt import Interrupt
from medtaskatlas.learning.schedule import learning_rate
from medtaskatlas.learning.state import TrainingState

if TYPE_CHECKING:
    from medtaskatlas.encoders.kinds.taco import Taco

# What a shell reports of a process that SIGTERM has ended.
TERMINATED = 128 + 15


def optimise(
    network: nn.Module,
    rows: TrainingRows,
    options: Taco,
    resume: Resume,
    *,
    seed: int,
    title: str,
    ranks: Ranks,
) -> History:
    """Train a network in place.

    Parameters
    ----------
    network
        Has ``pooled``, ``project`` and ``features``; on the CPU before and after.
    rows
        The pairs.
    options
        Of the encoder.
    resume
        Where the state is kept.
    seed
        Training seed.
    title
        Name in errors and beside the progress bar.
    ranks
        Which process this is, of how many.

    Returns
    -------
    History
        Losses and looks. With ``patience`` the network has the weights of the best look.

    Raises
    ------
    SystemExit
        After SIGTERM, once the state is saved.
    DataError
        If the loss is no longer a number.
    """
    fabric = fabric_of(options)
    composed = composer(rows, options, seed)
    looks = None
    if options.patience:
        looks = looks_of(rows, every=options.look_every, patience=options.patience, seed=seed)
    network.to(fabric.device).train()
    if ranks.world > 1:
        network = share_statistics(network, fabric.device)
    features, n_tasks = int(network.features), len(composed.sampler.tasks)  # type: ignore[arg-type]
    criterion = Criterion(options, features, n_tasks, seed).to(fabric.device)
    optimiser = torch.optim.AdamW(
        [*network.parameters(), *criterion.parameters()],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    history = History(title)
    state = TrainingState(network, criterion, optimiser, history, fabric.strategy.precision)
    resume.load(state)
    represent, wrapped = fabric.setup(Represent(network), optimiser)
    step = Step(fabric, represent, criterion, wrapped, ranks)
    stream = _stream(rows, composed, len(history), options, ranks)
    _run(step, state, stream, looks=looks, options=options, resume=resume)
    state.restore_best()
    network.cpu()
    return history


def _stream(
    rows: TrainingRows, composed: Composer, done: int, options: Taco, ranks: Ranks
) -> Iterator[list[Batch]]:
    """The batches of every step that is still to be taken."""
    each = options.accumulate
    numbers = range(done * each, options.steps * each)
    stream = batches(rows.bank, composed, numbers, ranks.rank, ranks.world)
    while contrast := list(islice(stream, each)):
        yield contrast


def _run(
    step: Step,
    state: TrainingState,
    stream: Iterator[list[Batch]],
    *,
    looks: Looks | None,
    options: Taco,
    resume: Resume,
) -> None:
    """Take the steps that are left."""
    history = state.history
    if looks is not None and looks.over(history):
        return
    writes = step.ranks.rank == 0
    saved = time.monotonic()
    bar = tqdm(
        total=options.steps,
        initial=len(history),
        desc=history.title,
        unit="step",
        mininterval=2,
        disable=not writes,
    )
    with bar, Interrupt(ignored=not writes) as interrupt:
        for contrast in stream:
            rate = learning_rate(len(history), options.steps, options.learning_rate, options.warmup)
            for group in state.optimiser.param_groups:
                group["lr"] = rate
            history.append(step.take(contrast))
            if looks is not None and looks.due(len(history), options.steps):
                _look(looks, state, step)
            bar.set_postfix(history.latest(), refresh=False)
            bar.update()
            late = time.monotonic() - saved > options.checkpoint_seconds
            if writes and (late or interrupt.asked):
                resume.save(state)
                saved = time.monotonic()
            if interrupt.asked:
                raise SystemExit(TERMINATED)
            if looks is not None and looks.over(history):
                return


def _look(looks: Looks, state: TrainingState, step: Step) -> None:
    """Look at the validation groups, and keep the weights if they have never been as good."""
    accuracy = looks.accuracy(state.network, step.fabric.device)
    # One number for all, so that no process stops alone.
    state.history.looks[len(state.history)] = step.fabric.broadcast(accuracy)
    if state.history.looks_since_best() == 0:
        state.keep_best()
