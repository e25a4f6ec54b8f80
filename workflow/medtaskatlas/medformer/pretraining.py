"""Pre-training without labels on all sets of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.learning.checkpoint import Checkpoint, save_tensors
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.objective import Objective
from medtaskatlas.medformer.model import Medformer
from medtaskatlas.medformer.options import Medformer as Section
from medtaskatlas.medformer.pretexts import module_of, pretext_of
from medtaskatlas.medformer.pretexts.pretext import Drawn, Pretext
from medtaskatlas.medformer.sets import Unlabelled, draw_set
from medtaskatlas.medformer.training import engine_options, fingerprint


@dataclass(frozen=True)
class Question:
    """A batch of one set with one pretext."""

    set: Unlabelled
    pretext: Pretext
    drawn: Drawn


@dataclass(frozen=True)
class Questions:
    """What a step is made of; its length is the number of images."""

    of: tuple[Question, ...]

    def __len__(self) -> int:
        return sum(len(next(iter(question.drawn.values()))) for question in self.of)


class PretrainingObjective(Objective[Questions]):
    """Mean of the pretexts' losses.

    Parameters
    ----------
    model
        What is trained.
    sets, pretexts
        Sets that are drawn from, and what is asked; a pretext is asked of the sets that it fits.
    batch_size, batches
        Images of a batch, and batches of a step.
    seed
        Of the batches.
    """

    def __init__(
        self,
        model: Medformer,
        sets: Sequence[Unlabelled],
        pretexts: Sequence[Pretext],
        *,
        batch_size: int,
        batches: int,
        seed: int,
    ) -> None:
        super().__init__(model)
        self.sets, self.pretexts, self.seed = sets, pretexts, seed
        self.batch_size, self.batches = batch_size, batches
        self.fitting = {p.name: [s for s in sets if p.fits(s.shape)] for p in pretexts}
        for pretext in pretexts:
            if not self.fitting[pretext.name]:
                raise DataError(
                    f"no set of the run fits the pretext {pretext.name}",
                    "leave it out of `pretexts`, or add sets that it can be asked of",
                )
            for one in self.fitting[pretext.name]:
                for shape in (one.shape, *pretext.needs(one.shape)):
                    model.add(shape, [one.who(pretext.name)], pretext.heads(one.shape))

    def batch(self, step: int) -> Questions:
        """Pretexts take turns; sets are drawn by the square root of their sizes."""
        questions = []
        for part in range(self.batches):
            pretext = self.pretexts[(step * self.batches + part) % len(self.pretexts)]
            sets = self.fitting[pretext.name]
            chosen = sets[draw_set([len(s) for s in sets], self.seed, step, part)]
            rng = generator(self.seed, "medformer pretext", step, part)
            images = chosen.batch(min(self.batch_size, len(chosen)), rng)
            assert isinstance(self.model, Medformer)
            grid = self.model.grid(chosen.shape, chosen.size)
            questions.append(Question(chosen, pretext, pretext.draw(images, grid, rng)))
        return Questions(tuple(questions))

    def loss(self, model: Callable[..., Any], batch: Questions) -> dict[str, torch.Tensor]:
        """Loss of each pretext of the step, as a share of the batches."""
        device = next(self.model.parameters()).device
        found: dict[str, torch.Tensor] = {}
        for question in batch.of:
            drawn = {k: v.to(device, non_blocking=True) for k, v in question.drawn.items()}
            name = question.pretext.name
            shape, who = question.set.shape, question.set.who(name)
            one = model(partial(question.pretext.loss, shape=shape, who=who, drawn=drawn))
            found[name] = found.get(name, torch.zeros((), device=device)) + one / self.batches
        return found

    def suspects(self, batch: Questions, part: str | None) -> list[str]:
        """Sets that were asked."""
        return [f"of {q.set.name}" for q in batch.of if part in (None, q.pretext.name)]


def pretrain(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    options: Section,
    name: str,
    seed: int,
    states: str | Path,
    threads: int,
) -> None:
    """Pre-train and write the weights; ``paths`` are all sets that it may see.

    Parameters
    ----------
    paths
        Prepared images and volumes; of these the training split alone is read, without labels.
    out
        seed<k>.safetensors; its facts hold the ``cost``.
    options, name
        The section, and which of its pre-trainings.
    seed
        Of initial weights and batches.
    states
        Folder for the state while it trains.
    threads
        Threads of torch.
    """
    set_up_torch(threads)
    chosen = options.pretrainings[name]
    model = Medformer(options, seed)
    objective = PretrainingObjective(
        model,
        [Unlabelled(path) for path in paths],
        [pretext_of(pretext) for pretext in chosen.pretexts],
        batch_size=options.batch_size,
        batches=options.pretraining_batches,
        seed=seed,
    )
    training = engine_options(options, options.pretraining_steps_of(name), validated=False)
    modules = [f"{__package__}.pretexts.{module_of(p)}" for p in chosen.pretexts]
    facts = [options.model_dump(mode="json"), name, seed]
    history, cost = fit(
        objective,
        training,
        Checkpoint(Path(states) / "state.safetensors", fingerprint(facts, paths, modules)),
        seed=seed,
        title=f"pre-training {name} seed {seed}",
    )
    last = history.losses[-max(1, len(history.losses) // 10) :]
    save_tensors(
        Path(out),
        model.state_dict(),
        {
            "cost": asdict(cost),
            "loss": float(np.mean(last)),
            "pretexts": chosen.pretexts,
            "sets": [one.name for one in objective.sets],
        },
    )
    (Path(states) / "state.safetensors").unlink(missing_ok=True)
