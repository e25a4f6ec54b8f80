"""What the trainings of a multi-task system on a problem come to: arithmetic, memory, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from medtaskatlas.multitask.options import AGGREGATORS, VALIDATED
from medtaskatlas.problems.problem import COMPANION, Problem
from medtaskatlas.run.budget.networks import Cost, beside, decoder, encoder

if TYPE_CHECKING:
    from medtaskatlas.run.budget.counts import Counts

# Numbers that a step holds for one that a convolution puts out: at most, measured on hard sharing,
# mtan and ctan at 64 to 128 px and 32 to 64 voxels a side, with and without gradients by target.
HELD = 6
# Copies of the weights: with gradients, two averages, the best ones and a checkpoint of them.
COPIES = 6
# Of an image's statistics of one target, while they are made, and in the file.
ROW_BYTES, FILE_ROW_BYTES = 1000, 50
EXAMPLES = 4


@dataclass(frozen=True)
class Network:
    """Network of one training, on one image of each kind of input of its targets."""

    cost: Cost
    inputs: int  # kinds of input
    targets: int


class Trainings:
    """All trainings of a system with one seed.

    Parameters
    ----------
    counts
        Of the run.
    problem, options
        What is learned; options of the system with its ``system`` and ``weighting``.
    targets
        Those of each training.
    """

    def __init__(
        self,
        counts: Counts,
        problem: Problem,
        options: Mapping[str, Any],
        targets: Sequence[Sequence[str]],
    ) -> None:
        plan, config = counts.plan.multitask, counts.plan.config
        assert plan is not None
        self.plan, self.problem, self.options = plan, problem, options
        self.dims = 3 if problem.volumes else 2
        first = problem.datasets[0]
        side = config.volume_size_of(first) if problem.volumes else config.image_size_of(first)
        assert side is not None
        self.side, self.places = side, side**self.dims
        of = [counts.plan.datasets[name] for name in problem.datasets]
        self.channels = 3 if any("colour" in d.provides for d in of) else 1
        self.images = sum(map(counts.images, problem.datasets))
        self.mapped_mb = sum(map(counts.images_mb, problem.datasets))
        # Shares of the images.
        self.val, self.test = config.splits.val, config.splits.test
        if problem.folds:
            self.val = self.test = 1 / problem.folds
        self.outputs = plan.outputs(problem)
        self.networks = [self._network(names, self.options) for names in targets]
        if like := options.get("like"):
            other = self._network(problem.targets, plan.systems[like]).cost.parameters
            self.networks = [
                self._network(names, options, (other / n.cost.parameters) ** 0.5)
                for names, n in zip(targets, self.networks, strict=True)
            ]

    @classmethod
    def of(cls, counts: Counts, problem: str, system: str) -> Self:
        """Those of a system on a problem."""
        plan = counts.plan.multitask
        assert plan is not None
        found = plan.problems[problem]
        targets = plan.options.network_options(system).trainings(found.targets)
        return cls(counts, found, plan.systems[system], targets)

    @classmethod
    def of_representation(cls, counts: Counts, modality: str) -> Self:
        """The one of a modality's representation."""
        plan = counts.plan.multitask
        assert plan is not None
        problem = plan.represented(modality)
        options = plan.options.model_dump() | {"system": "hps", "weighting": "equal"}
        return cls(counts, problem, options, [[COMPANION]])

    @property
    def rate_key(self) -> str:
        """What its rate is known by."""
        own = self.options["system"], self.options.get("strategy"), self.options["weighting"]
        return "/".join(
            ["multitask", *(part for part in own if part not in {None, "equal", "tuned"})]
        )

    @property
    def folds(self) -> int:
        """Times that all is trained."""
        return self.problem.folds or 1

    def _network(
        self, names: Sequence[str], options: Mapping[str, Any], wider: float = 1.0
    ) -> Network:
        """Network of some targets."""
        options = {**options, "width": round(options["width"] * wider)}
        shape = self.channels, self.side, self.dims
        once, inputs = encoder(options, *shape), len({self.outputs[name][0] for name in names})
        total = Cost(
            inputs * once.macs, once.parameters, inputs * once.activations, once.features
        ) + Cost(0, 0, beside(options, self.side, self.dims, len(names)), once.features)
        for name in names:
            if channels := self.outputs[name][1]:
                total += decoder(options, *shape, outputs=channels)
        return Network(total, inputs, len(names))

    def tries(self, network: Network) -> int:
        """Settings that tuning tries for one training of a fold: see ``multitask.tune.search``."""
        tuned = self.options["weighting"] == "tuned" and network.targets > 1
        weights = network.targets + 1 if tuned else 1
        most = self.plan.trials(self.problem.name)
        if len(self.plan.options.rates) > 1:
            return most
        return min(most, weights) if weights > 1 else 0

    def tflop(self, steps: int, *, after: float, tuning: bool = False) -> float:
        """Arithmetic of all trainings; backward is twice forward, and a multiplication counts two.

        Parameters
        ----------
        steps
            Of each training.
        after
            Share of the images that it is evaluated on at its end.
        tuning
            Whether each training is tried with several settings.
        """
        looks = -(-steps // self.plan.options.look_every)
        trained = 3 * steps * self.plan.options.batch_size
        seen = trained + looks * min(VALIDATED, self.val * self.images) + after * self.images
        times = sum(n.cost.macs * (self.tries(n) if tuning else 1) for n in self.networks)
        return self.folds * times * seen * 2 / 1e12

    def read_mb(self, steps: int, *, tuning: bool = False) -> float:
        """Pixels of the images that the steps see."""
        inputs = sum(n.inputs * (self.tries(n) if tuning else 1) for n in self.networks)
        images = self.folds * inputs * steps * self.plan.options.batch_size
        return images * self.places * (1 if self.problem.volumes else 3) / 1e6

    @property
    def weights_mb(self) -> float:
        """Networks of all folds."""
        return self.folds * sum(n.cost.parameters for n in self.networks) * 4 / 1e6

    @property
    def rows(self) -> float:
        """Statistics of all images and targets."""
        return self.images * self.folds * sum(n.targets for n in self.networks)

    @property
    def file_mb(self) -> float:
        """Files of one seed: networks, statistics and examples."""
        maps = sum(8 * (outputs > 0) for _, outputs in self.outputs.values())
        examples = EXAMPLES * self.places * (3 + maps)
        return self.weights_mb + (self.rows * FILE_ROW_BYTES + examples) / 1e6

    @property
    def memory_mb(self) -> float:
        """What a job holds besides its libraries, without pixels that are read memory-mapped."""
        joined = self.options["weighting"] in AGGREGATORS

        def step(n: Network) -> float:
            # Aggregators have a gradient a target, twice.
            copies = COPIES + joined * 2 * n.targets
            held = HELD * self.plan.options.batch_size * n.cost.activations
            return (held + copies * n.cost.parameters) * 4 / 1e6

        kept = 2 * self.weights_mb + self.rows * ROW_BYTES / 1e6
        return max(map(step, self.networks)) + kept


def all_trainings(counts: Counts) -> Iterator[Trainings]:
    """Trainings of each problem, system and seed of a run, and of its representations."""
    if plan := counts.plan.multitask:
        for problem, system, _ in plan.runs:
            yield Trainings.of(counts, problem, system)
        for modality, _ in plan.representation_runs:
            yield Trainings.of_representation(counts, modality)
