"""One training of a multi-task system: what trials, seeds and representations share."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.learning.checkpoint import Checkpoint, load_tensors, save_tensors
from medtaskatlas.learning.cost import Cost
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.history import History
from medtaskatlas.learning.options import Training
from medtaskatlas.multitask.network import MultitaskNetwork
from medtaskatlas.multitask.objective import MultitaskObjective
from medtaskatlas.multitask.options import VALIDATED, Multitask, SystemOptions
from medtaskatlas.multitask.systems import SYSTEMS, ums_rep
from medtaskatlas.multitask.systems.options import NetworkOptions, StlWideOptions, UmsRepOptions
from medtaskatlas.multitask.weighting import weighting_of
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.evaluate import evaluate, primary_scores
from medtaskatlas.problems.problem import Problem
from medtaskatlas.problems.targets import code_of_kinds, load_kinds
from medtaskatlas.problems.targets.target import Target

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, with the weights of the best look at validation images."""

    network: MultitaskNetwork
    targets: list[str]
    history: History
    cost: Cost
    options: Training

    @property
    def score(self) -> float:
        """Best validation score."""
        return max(self.history.scores.values())

    @property
    def best_step(self) -> int:
        """Steps before the best look."""
        scores = self.history.scores
        return max(scores, key=lambda step: (scores[step], -step))


@dataclass(frozen=True)
class Job:
    """A system on a problem.

    Parameters
    ----------
    files
        Dataset of the problem to its prepared file.
    problem, name, options
        What is learned, by which system; the section with this system and those it refers to.
    seed
        Of weights and batches.
    split_seed
        The run's: folds are the same for all seeds.
    representation
        Weights that ``ums_rep`` starts from.
    """

    files: Mapping[str, str | Path]
    problem: Problem
    name: str
    options: Multitask
    seed: int
    split_seed: int
    representation: str | Path | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[str | Path],
        job: Mapping[str, Any],
        *,
        seed: int,
        split_seed: int,
        representation: str | Path | None = None,
    ) -> Self:
        """Job from what a rule hands to its script; see ``run.multitask``.

        Parameters
        ----------
        paths
            Prepared files, in the order of the problem's datasets.
        job
            ``problem``, ``name`` and ``options``, JSON-able.
        seed, split_seed, representation
            See the class.
        """
        problem = Problem.from_facts(job["problem"])
        return cls(
            dict(zip(problem.datasets, paths, strict=True)),
            problem,
            job["name"],
            Multitask.model_validate(job["options"]),
            seed,
            split_seed,
            representation,
        )

    @property
    def folds(self) -> Sequence[int]:
        """Folds that are measured on; -1: the images' own splits."""
        return range(self.problem.folds) if self.problem.folds else [-1]

    @property
    def system(self) -> SystemOptions:
        """Options of the system."""
        return self.options.systems[self.name]

    @property
    def network_options(self) -> NetworkOptions:
        """Options of the network."""
        return self.options.network_options(self.name)

    @property
    def trainings(self) -> list[list[str]]:
        """Targets of each training."""
        return self.network_options.trainings(self.problem.targets)

    def data(self, fold: int) -> ProblemData:
        """Data of a fold."""
        return ProblemData(
            self.problem,
            self.files,
            load_kinds(self.options.targets_dir),
            self.seed,
            fold,
            split_seed=self.split_seed,
            batch_size=self.options.batch_size,
        )

    def network(self, data: ProblemData, targets: Sequence[str]) -> MultitaskNetwork:
        """Network of one training with its initial weights."""
        network = network_of(
            self.options, self.name, data.targets, targets, seed=self.seed, **_shape(data)
        )
        if self.representation is not None:
            ums_rep.start_from(network, load_tensors(self.representation)[0])
        return network

    def train(
        self,
        data: ProblemData,
        targets: list[str],
        folder: Path,
        *,
        learning_rate: float,
        weights: Weights | None = None,
        steps: int | None = None,
        title: str | None = None,
    ) -> Trained:
        """Train the network of some targets, or take it up if it is trained already.

        Parameters
        ----------
        data
            Of one fold.
        targets
            Names.
        folder
            Where states are kept.
        learning_rate, weights
            What was chosen; ``weights`` by target, with the weighting ``tuned`` only.
        steps
            None: those of the options.
        title
            Name in errors and next to the progress bar.

        Raises
        ------
        DataError
            If the loss is no number, or validation images say nothing of any target.
        SystemExit
            After SIGTERM, once the state is saved.
        """
        options = self._engine_options(steps or self.options.steps, learning_rate)
        facts = [options.model_dump(exclude={"checkpoint_seconds"}), targets, data.fold, weights]
        fingerprint = self._fingerprint(facts)
        key = hashlib.sha256(json.dumps([fingerprint, facts]).encode()).hexdigest()[:16]
        network, done = self.network(data, targets), folder / f"{key}.done.safetensors"
        if done.is_file():
            tensors, kept = load_tensors(done)
            network.load_state_dict(tensors)
            history, cost = _history(kept["history"]), Cost(**kept["cost"])
            return Trained(network.eval(), targets, history, cost, options)
        state = folder / f"{key}.safetensors"
        objective = self._objective(data, targets, network, options.steps, weights)
        name = title or f"{self.problem.name} {self.name} seed {self.seed}"
        history, cost = fit(
            objective, options, Checkpoint(state, fingerprint), seed=self.seed, title=name
        )
        kept = {"history": asdict(history), "cost": asdict(cost)}
        save_tensors(done, network.state_dict(), kept)
        state.unlink(missing_ok=True)
        return Trained(network.eval(), targets, history, cost, options)

    def _engine_options(self, steps: int, learning_rate: float) -> Training:
        """Options of the engine; the best look decides how long a training was good for."""
        of_engine = {name: getattr(self.options, name) for name in Training.model_fields}
        looks = steps // self.options.look_every + 1
        return Training.model_validate(
            of_engine
            | {"steps": steps, "learning_rate": learning_rate}
            | {"patience": self.options.patience or looks}
        )

    def _objective(
        self,
        data: ProblemData,
        targets: list[str],
        network: MultitaskNetwork,
        steps: int,
        weights: Weights | None,
    ) -> MultitaskObjective:
        """What the engine makes small."""
        epoch = data.epoch_steps(targets)
        own = self.network_options
        return MultitaskObjective(
            network,
            [data.targets[name] for name in targets],
            lambda step: data.batch(step, targets),
            weighting_of(self.system.weighting, targets, epoch=epoch, weights=weights),
            groups=ums_rep.groups(network, own, steps) if isinstance(own, UmsRepOptions) else (),
            validation=_validation(data, targets, self.problem.name),
        )

    @cached_property
    def _content(self) -> list[str]:
        """Hashes of all files that decide the weights."""
        files = [*self.files.values(), *([self.representation] if self.representation else [])]
        return [sha256(file) for file in files]

    def _fingerprint(self, facts: list[Any]) -> str:
        """Hash of all that decides the weights: options, seed, data and code."""
        # With this system there is the one that it is as wide as.
        systems = {name: s.model_dump() for name, s in self.options.systems.items()}
        modules = {SYSTEMS[s.system].module for s in self.options.systems.values()}
        code = code_hash(
            __name__, *sorted(f"medtaskatlas.multitask.systems.{name}" for name in modules)
        ) + code_of_kinds(self.options.targets_dir)
        parts = [self.problem.facts(), systems, self.network_options.model_dump(), facts]
        numbers = [self.options.batch_size, self.seed, self.split_seed]
        text = json.dumps(
            [*parts, *numbers, *self._content, torch.__version__, code], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()


def network_of(
    options: Multitask,
    name: str,
    targets: Mapping[str, Target],
    trained: Sequence[str],
    *,
    seed: int,
    channels: int,
    dims: int,
) -> MultitaskNetwork:
    """Network of one training of a system, with its initial weights.

    Parameters
    ----------
    options, name
        Section with the system and those it refers to; its name.
    targets
        All of the problem, of one fold.
    trained
        Names of those that the training is of.
    seed
        Of the initial weights.
    channels, dims
        Channels and dimensions of the images.
    """
    system, own, more = options.systems[name], options.network_options(name), {}
    if isinstance(own, StlWideOptions):
        like, wide = SYSTEMS[options.systems[own.like].system], options.network_options(own.like)
        every = list(targets.values())
        more["parameters"] = like.parameters(every, wide, channels=channels, dims=dims)
    wanted = [targets[target] for target in trained]
    network = SYSTEMS[system.system].network(
        wanted, own, seed, channels=channels, dims=dims, **more
    )
    if dims == 2:  # convolutions of pictures take a tenth less time with channels side by side
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def clear(states: str | Path) -> None:
    """Remove the states of trainings whose results are written."""
    shutil.rmtree(states, ignore_errors=True)


def total(costs: Sequence[Cost]) -> Cost:
    """Cost of several trainings, one after the other."""
    columns = {f.name: [getattr(cost, f.name) for cost in costs] for f in fields(Cost)}
    return Cost(
        **{
            name: max(values, default=0) if name.startswith("peak_") else sum(values)
            for name, values in columns.items()
        }
    )


def forward_of(network: nn.Module) -> Callable[..., Any]:
    """Outputs of a network without gradients, on the device that it lies on."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def forward(images: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> Any:
        return network(images.to(device), {name: r.to(device) for name, r in rows.items()})

    return forward


def _shape(data: ProblemData) -> dict[str, int]:
    """Channels and dimensions of the images."""
    return {"channels": data.channels, "dims": len(data.size)}


def _validation(
    data: ProblemData, targets: list[str], problem: str
) -> Callable[[nn.Module], float]:
    """Mean primary score of the targets on validation images; those that are not defined aside."""

    def score(model: nn.Module) -> float:
        rows = evaluate(data, "val", forward_of(model), targets, most=VALIDATED)
        defined = [s for s in primary_scores(rows).values() if math.isfinite(s)]
        if not defined:
            raise DataError(
                f"problem {problem}: validation images have no score of {', '.join(targets)}",
                "give `folds` for so small a set, or other `splits`",
            )
        return sum(defined) / len(defined)

    return score


def _history(kept: Mapping[str, Any]) -> History:
    """History as a file keeps it."""
    scores = {int(step): score for step, score in kept["scores"].items()}
    return History(kept["title"], kept["losses"], kept["parts"], scores)
