"""What trainings of Medformer come to: arithmetic, memory, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from medtaskatlas.medformer.options import REGRESSIONS, VALIDATED
from medtaskatlas.medformer.pretexts import PRETEXTS
from medtaskatlas.problems.annotations import annotations_of
from medtaskatlas.problems.problem import offers_of
from medtaskatlas.problems.targets import load_kinds
from medtaskatlas.run.budget.networks import ASSUMED, Cost, encoder
from medtaskatlas.run.budget.transformers import Form, Network, linear, patched
from medtaskatlas.run.medformer import ArmRun, MedformerPlan
from medtaskatlas.run.medformer_pictures import Pictures

if TYPE_CHECKING:
    from medtaskatlas.run.budget.counts import Counts

# Numbers that a step holds for one that a layer puts out, copies of the weights, and of the pixels
# of a batch; measured at 28 to 224 pixels and 28 and 64 voxels a side.
HELD, COPIES, BATCHES = {"medformer": 3, "resnet18": 4, "vit": 4}, 6, 12
# Images that an arm looks at for the pictures, by their dimensions: three, each place hidden.
HIDDEN = {2: 3 * 14**2, 3: 3 * 7**3}
# Copies of its features that a logistic regression holds.
FEATURE_COPIES = 4
# Of an image's statistics of one target, while they are made, and in the file; names of an image.
ROW_BYTES, FILE_ROW_BYTES, NAME_BYTES = 1000, 50, 500
# Passes of a step: backward is twice forward, and once where weights alone stay as they are.
PASSES = {"full": 3, "lora": 3, "latents": 2, "probe": 1}
# The residual network; pixels a side that a logistic regression sees, and slices of a volume that a
# network of photographs does, with its side: see medformer.baselines and medformer.regression.
RESNET, SIDE = {"backbone": "resnet18", "width": 16, "stem": 3}, 28
PHOTOGRAPHS, SLICES, RESOLUTION = "efficientnet_lite0", 24, 128


@dataclass(frozen=True)
class Examples:
    """Images or volumes of a set."""

    form: Form
    train: float
    val: float
    test: float
    outputs: tuple[tuple[str, int], ...]  # layout and numbers of each target


class Adapting(ABC):
    """One training of Medformer on some sets: an arm, or a pre-training.

    Parameters
    ----------
    counts
        Of the run.
    names
        Its sets.
    """

    on_gpu = True

    def __init__(self, counts: Counts, names: Sequence[str]) -> None:
        plan = _plan(counts)
        self.section = plan.options
        self.sets = {name: _examples(counts, plan, name) for name in names}
        self.mapped_mb = sum(
            counts.volumes_mb(name) if name in plan.volumes else counts.images_mb(name)
            for name in names
        )

    @property
    @abstractmethod
    def rate_key(self) -> str:
        """What its rate is known by."""

    @property
    @abstractmethod
    def images(self) -> float:
        """Images that its steps see."""

    @property
    @abstractmethod
    def costs(self) -> Sequence[Mapping[str, Cost]]:
        """Of an image of each set; of pre-training for each pretext."""

    @property
    @abstractmethod
    def work(self) -> float:
        """Arithmetic, TFLOP; a multiplication with its addition counts two."""

    @property
    @abstractmethod
    def held(self) -> float:
        """Numbers that it holds besides weights and images."""

    def mean(self, of: Mapping[str, float]) -> float:
        """Mean over the sets of a batch, which is of each by the square root of its size."""
        weights = {name: self.sets[name].train ** 0.5 for name in of}
        return sum(weights[name] * of[name] for name in of) / (sum(weights.values()) or 1)

    @property
    def read_mb(self) -> float:
        """Pixels of the images that the steps see."""
        return self.images * self.mean({n: e.form.stored for n, e in self.sets.items()}) / 1e6

    @property
    def weights_mb(self) -> float:
        """Its weights, with one stem."""
        return max((c.parameters for of in self.costs for c in of.values()), default=0.0) * 4 / 1e6

    @property
    def rows(self) -> float:
        """Statistics of all images and targets."""
        return 0.0

    @property
    def file_mb(self) -> float:
        """Its files."""
        return self.weights_mb + self.rows * FILE_ROW_BYTES / 1e6

    @property
    def memory_mb(self) -> float:
        """What a job holds besides its libraries, without pixels that are read memory-mapped."""
        names = sum(e.train + e.val + e.test for e in self.sets.values()) * NAME_BYTES
        batch = self.section.batch_size * max(e.form.pixels for e in self.sets.values())
        numbers = 4 * (self.held + BATCHES * batch)
        return (numbers + self.rows * ROW_BYTES + names) / 1e6 + COPIES * self.weights_mb


class ArmTraining(Adapting):
    """An arm on a set, or on all, with one seed and one share of the labels."""

    def __init__(self, counts: Counts, run: ArmRun) -> None:
        plan = _plan(counts)
        super().__init__(counts, plan.sets_of(run.set))
        self.run, self.arm = run, self.section.arms[run.arm]
        self.model, self.on_gpu = self.arm.model, self.arm.uses_gpu
        self.steps = self.section.steps_of(run.arm, len(self.sets))
        self.aligned = self.arm.align != "none" and len(self.sets) > 1
        # Test images are asked with the latents of another set as well.
        self.tests = 1 + (self.model == "medformer" and len(self.sets) > 1)

    @property
    def rate_key(self) -> str:
        """Its network; every logistic regression has a rate of its own."""
        return f"medformer{'_' if self.model in REGRESSIONS else '/'}{self.model}"

    @property
    def images(self) -> float:
        """Images that its steps see."""
        return self.steps * self.section.batch_size * (1 + self.aligned)

    @cached_property
    def costs(self) -> Sequence[Mapping[str, Cost]]:
        """Of all targets of an image of each set."""
        return [{name: self._cost(examples) for name, examples in self.sets.items()}]

    def _cost(self, examples: Examples) -> Cost:
        """Of all targets of an image."""
        options = self.section.model_dump()
        options["latents"] = self.arm.latents or self.section.latents
        form, total = examples.form, Cost(0, 0, 0, 0)
        for layout, outputs in examples.outputs:
            match self.model:
                case "medformer":
                    total += Network(options, form).answer(layout, outputs)
                case "resnet18":
                    shape = form.channels, form.side, form.dims
                    trunk = encoder(RESNET, *shape, stride=form.dims - 1)
                    total += trunk + linear(1, trunk.features, outputs)
                case "vit":
                    trunk = patched(options, form)
                    total += trunk + linear(1, trunk.features, outputs)
        return total + Network(options, form).tokens() if self.aligned else total

    @property
    def work(self) -> float:
        """TFLOP; of a logistic regression on pixels, billions of them that it is fitted to.

        Every look at validation images is of all sets.
        """
        if self.model in REGRESSIONS:
            return self._regression()
        [costs] = self.costs
        looks = -(-self.steps // self.section.look_every)
        evaluated = sum(
            costs[name].macs * (looks * min(VALIDATED, e.val) + e.val + self.tests * e.test)
            for name, e in self.sets.items()
        )
        once = self.mean({name: cost.macs for name, cost in costs.items()})
        return (PASSES[self.arm.adapt] * self.images * once + evaluated) * 2 / 1e12

    def _regression(self) -> float:
        """Work of a logistic regression: the network of photographs, or fits class by class."""
        if self.model == PHOTOGRAPHS:
            known = ASSUMED["networks"]["imagenet"]
            macs = known["macs"] * (RESOLUTION / known["side"]) ** 2
            seen = sum(
                (self._labelled(e) + e.val + e.test) * (1 if e.form.dims == 2 else SLICES)
                for e in self.sets.values()
            )
            return float(seen * macs * 2 / 1e12)
        outputs = sum(n for e in self.sets.values() for _, n in e.outputs)
        return self._features * outputs / 1e9

    def _labelled(self, examples: Examples) -> float:
        """Training images with labels."""
        return examples.train * self.run.percent / 100

    @property
    def _features(self) -> float:
        """Numbers that a logistic regression is fitted to."""
        return sum((self._labelled(e) + e.val) * self._width(e.form) for e in self.sets.values())

    def _width(self, form: Form) -> int:
        """Numbers of an image that a logistic regression sees."""
        if self.model == PHOTOGRAPHS:
            # The three sides of a difference have as many each.
            return int(ASSUMED["networks"]["imagenet"]["features"]) // 3
        thinned = -(-form.side // -(-form.side // SIDE))
        return int(form.channels * thinned**form.dims)

    @property
    def held(self) -> float:
        """Numbers that a step holds, or a logistic regression."""
        if self.model in REGRESSIONS:
            return FEATURE_COPIES * self._features
        largest = sorted(cost.activations for cost in self.costs[0].values())
        return HELD[self.model] * self.section.batch_size * sum(largest[-1 - self.aligned :])

    @property
    def rows(self) -> float:
        """Statistics of all images and targets."""
        return sum((e.val + self.tests * e.test) * len(e.outputs) for e in self.sets.values())


class PretrainingRun(Adapting):
    """A pre-training with one seed."""

    def __init__(self, counts: Counts, name: str, scope: str) -> None:
        super().__init__(counts, _plan(counts).pretraining_sets(scope))
        self.pretexts = self.section.pretrainings[name].pretexts
        self.steps = self.section.pretraining_steps_of(name)

    @property
    def rate_key(self) -> str:
        """Pretexts draw what they ask, and the network is the same."""
        return "medformer/pretraining"

    @property
    def images(self) -> float:
        """Images that its steps see."""
        return self.steps * self.section.pretraining_batches * self.section.batch_size

    @cached_property
    def costs(self) -> Sequence[Mapping[str, Cost]]:
        """For each pretext, of an image of each set that it fits."""
        options = self.section.model_dump()
        return [
            {
                name: Network(options, examples.form).pretext(pretext)
                for name, examples in self.sets.items()
                if examples.form.dims in _dims(pretext)
            }
            for pretext in self.pretexts
        ]

    @property
    def work(self) -> float:
        """TFLOP: pretexts take turns."""
        each = [self.mean({name: c.macs for name, c in of.items()}) for of in self.costs]
        return 3 * self.images * sum(each) / len(each) * 2 / 1e12

    @property
    def held(self) -> float:
        """Numbers that a step holds."""
        most = max((cost.activations for of in self.costs for cost in of.values()), default=0.0)
        images = self.section.pretraining_batches * self.section.batch_size
        return HELD["medformer"] * images * most


def _plan(counts: Counts) -> MedformerPlan:
    """What of the run is Medformer's."""
    assert counts.plan.medformer is not None
    return counts.plan.medformer


def _dims(pretext: str) -> tuple[int, ...]:
    """Dimensions of images that a pretext can be asked of."""
    if pretext == "projection":
        return (3,)
    return (2, 3) if pretext in PRETEXTS else (2,)


def _examples(counts: Counts, plan: MedformerPlan, name: str) -> Examples:
    """Images of a set."""
    dataset, config = counts.plan.datasets[name], counts.plan.config
    kinds, volumes = load_kinds(), name in plan.volumes
    if volumes:
        side = config.volume_size_of(name)
        assert side is not None
        form = Form(3, 1, side)
    else:
        colour = "colour" in dataset.provides
        form = Form(2, 3 if colour else 1, config.image_size_of(name))
    offers = offers_of(annotations_of(dataset, volumes=volumes), kinds)
    outputs = tuple(
        (kinds[offers[t].kind].layout, max(1, len(offers[t].classes)))
        for t in plan.targets.get(name, [])
    )
    n = counts.volumes(name) if volumes else counts.images(name)
    shares = dataset.split_shares or config.splits.model_dump()
    train, val, test = (n * shares[split] for split in ("train", "val", "test"))
    return Examples(form, train, val, test, outputs)


def pictures(counts: Counts) -> tuple[float, float]:
    """TFLOP and MB of the job of the pictures: arms look at images with each place hidden."""
    shown = Pictures(_plan(counts))
    alone = [ArmTraining(counts, run) for run in shown.alone]
    work = sum(
        cost.macs * HIDDEN[made.sets[name].form.dims]
        for made in alone
        for name, cost in made.costs[0].items()
    )
    every = [*alone, *(ArmTraining(counts, run) for run in shown.together)]
    return work * 2 / 1e12, max((made.memory_mb for made in every), default=0.0)


def all_arms(counts: Counts) -> Iterator[ArmTraining]:
    """All trainings of arms of a run."""
    if plan := counts.plan.medformer:
        yield from (ArmTraining(counts, run) for run in plan.runs)


def all_pretrainings(counts: Counts) -> Iterator[PretrainingRun]:
    """All pre-trainings of a run."""
    if plan := counts.plan.medformer:
        for name, scope, _ in plan.pretraining_runs:
            yield PretrainingRun(counts, name, scope)
