"""What of a run is Medformer's: its sets, pre-trainings and arms."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.core.strict_model import StrictModel
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.medformer.options import Medformer, percent
from medtaskatlas.medformer.pretexts import module_of
from medtaskatlas.networks import lite0_weights
from medtaskatlas.problems.annotations import annotations_of
from medtaskatlas.problems.problem import offers_of, split_apart
from medtaskatlas.problems.scores import SCORES
from medtaskatlas.problems.targets import code_of_kinds, load_kinds
from medtaskatlas.tasks.bank import load_bank

_PACKAGE = "medtaskatlas.medformer"
ALL = "all_sets"  # in the place of a set
# Keys that decide the steps of an arm and no more of it.
_OF_STEPS = ("steps", "steps_all", "pretraining_steps", "pretraining_batches")


class ArmRun(NamedTuple):
    """One training: an arm on a set, or on all of them, with a share of the labels and a seed."""

    set: str
    arm: str
    percent: int
    seed: int

    @property
    def folder(self) -> str:
        """Its folder below medformer/."""
        return f"{self.set}/{self.arm}/labels{self.percent}/seed{self.seed}"


@dataclass(frozen=True)
class MedformerPlan:
    """Sets and arms of a run, resolved and checked."""

    options: Medformer
    targets: dict[str, list[str]]  # by set
    datasets: Mapping[str, Dataset]
    volumes: Sequence[str]  # datasets that are taken as volumes

    @cached_property
    def runs(self) -> list[ArmRun]:
        """All trainings."""
        return [
            ArmRun(name, arm, percent(share), seed)
            for arm, options in self.options.arms.items()
            for name in ([ALL] if options.sets == "all" else self.targets)
            for share in self.options.fractions(arm)
            for seed in self.options.seeds_of(arm)
        ]

    @cached_property
    def pretrained_on(self) -> list[str]:
        """Sets that pre-training sees: none that shows test images of another."""
        return [
            name
            for name in self.datasets
            if not any(split_apart(one, [name], self.datasets) for one in self.targets)
        ]

    @cached_property
    def pretraining_runs(self) -> list[tuple[str, str, int]]:
        """(pre-training, scope, seed) of every pre-training that an arm starts from."""
        runs = [
            (arm.start, self.scope(run), run.seed)
            for run in self.runs
            for arm in [self.options.arms[run.arm]]
            if arm.start in self.options.pretrainings
        ]
        return list(dict.fromkeys(runs))

    @property
    def volume_datasets(self) -> list[str]:
        """Datasets whose volumes are learned."""
        scopes = {scope for _, scope, _ in self.pretraining_runs}
        seen = {*self.targets, *(name for scope in scopes for name in self.pretraining_sets(scope))}
        return [name for name in self.volumes if name in seen]

    @property
    def messages(self) -> list[str]:
        """Sentences on what is left out."""
        if not self.options.pretrainings:
            return []
        left = [name for name in self.datasets if name not in self.pretrained_on]
        return [f"medformer: no pre-training on {n}: it shows test images of a set" for n in left]

    def run_of(self, wildcards: Any) -> ArmRun:
        """Training of a rule's wildcards."""
        w = wildcards
        return ArmRun(w.learned, w.arm, int(w.percent), int(w.seed))

    def sets_of(self, name: str) -> list[str]:
        """Sets of a training."""
        return list(self.targets) if name == ALL else [name]

    def files(self, names: Sequence[str], results: str) -> list[str]:
        """Prepared files of sets."""
        return [
            f"{results}/{'volumes' if name in self.volumes else 'images'}/{name}.arrow"
            for name in names
        ]

    def pretraining_sets(self, scope: str) -> list[str]:
        """Sets of a pre-training; its scope is all sets, or all that show nothing of one."""
        own, names = self.datasets.get(scope.removeprefix("without_")), self.pretrained_on
        if own is None:
            return names
        return [name for name in names if not own.overlapping(self.datasets[name])]

    def start(self, run: ArmRun, results: str) -> list[str]:
        """Weights that a training starts from: one file or none."""
        arm = self.options.arms[run.arm]
        if arm.start == "scratch":
            return []
        folder = f"{results}/medformer"
        if arm.start in self.options.arms:
            return [f"{folder}/{run._replace(set=ALL, arm=arm.start).folder}/model.safetensors"]
        return [f"{folder}/pretrained/{arm.start}/{self.scope(run)}/seed{run.seed}.safetensors"]

    def scope(self, run: ArmRun) -> str:
        """Scope of the pre-training that a training starts from."""
        start = self.options.pretrainings[self.options.arms[run.arm].start]
        return f"without_{run.set}" if start.leave_out and run.set != ALL else ALL

    def pretraining_params(self, name: str) -> dict[str, Any]:
        """All that a pre-training depends on, besides files and seed."""
        own = {name: _plain(self.options.pretrainings[name])}
        rest = {"pretrainings": own, "arms": {"none": {}}, "label_fractions": [1.0]}
        return self._common() | rest

    def params(self, run: ArmRun) -> dict[str, Any]:
        """All that a training depends on, besides files and seed."""
        arm, sets = self.options.arms[run.arm], self.sets_of(run.set)
        share = next(s for s in self.options.fractions(run.arm) if percent(s) == run.percent)
        steps = {
            "steps_all" if arm.sets == "all" else "steps": self.options.steps_of(run.arm, len(sets))
        }
        started = {n: p for n, p in self.options.pretrainings.items() if n == arm.start}
        # No other share or seed: one more of them leaves this training as it is. Steps that are
        # matched are counted above, and so no pre-training is depended on whose weights are not.
        plain = {"label_fractions": None, "matched": None}
        arms = {run.arm: _plain(arm) | plain}
        if arm.start in self.options.arms:  # its weights are a file
            arms[arm.start] = _plain(self.options.arms[arm.start]) | plain | {"start": "scratch"}
        own = {
            "pretrainings": {name: _plain(p) for name, p in started.items()},
            "arms": arms,
            "label_fractions": [share],
        }
        return {
            "options": self._common(*_OF_STEPS) | steps | own,
            "name": run.arm,
            "targets": {name: self.targets[name] for name in sets},
            "share": share,
        }

    def arm_facts(self) -> dict[str, Any]:
        """Options of every arm, for the tables."""
        return {
            name: _plain(arm) | {"latents": arm.latents or self.options.latents}
            for name, arm in self.options.arms.items()
        }

    def step_facts(self) -> dict[str, int]:
        """Steps of every pre-training, for the tables."""
        return {name: self.options.pretraining_steps_of(name) for name in self.options.pretrainings}

    def pretext_facts(self, tasks: Container[str]) -> dict[str, dict[str, str]]:
        """Pretext and its family of every arm that starts from one of some tasks alone."""
        found, bank = {}, load_bank()
        for name, arm in self.options.arms.items():
            made = self.options.pretrainings.get(arm.start)
            if made and len(made.pretexts) == 1 and made.pretexts[0] in tasks:
                pretext = made.pretexts[0]
                found[name] = {"pretext": pretext, "family": bank[pretext].family}
        return found

    def target_facts(self) -> dict[str, dict[str, dict[str, str | None]]]:
        """Primary score of every target of a set; task of the bank that it is, and its family."""
        bank, kinds = load_bank(), load_kinds()
        found: dict[str, dict[str, dict[str, str | None]]] = {}
        for name, targets in self.targets.items():
            annotations = annotations_of(self.datasets[name], volumes=name in self.volumes)
            offers = offers_of(annotations, kinds)
            found[name] = {
                target: {
                    "score": SCORES[kinds[offers[target].kind].statistics_kind][0].name,
                    "task": (task := offers[target].task),
                    "family": bank[task].family if task else None,
                }
                for target in targets
            }
        return found

    def pretraining_code(self, name: str) -> str:
        """Hash of the code of a pre-training."""
        pretexts = self.options.pretrainings[name].pretexts
        modules = {f"{_PACKAGE}.pretexts.{module_of(pretext)}" for pretext in pretexts}
        bank = load_bank()
        tasks = [bank[p].apply.__module__ for p in pretexts if p in bank]
        return code_hash(f"{_PACKAGE}.pretraining", *sorted(modules), *tasks)

    def code(self) -> str:
        """Hash of the code of a training."""
        return code_hash(f"{_PACKAGE}.train") + code_of_kinds()

    def _common(self, *others: str) -> dict[str, Any]:
        """Options of all trainings, without `others` that a kind of them has no use for."""
        chosen = {"sets", "targets", "seeds", "arms", "pretrainings", *others}
        return self.options.model_dump(mode="json", exclude=chosen)


def _plain(section: StrictModel) -> dict[str, Any]:
    """A section as rules hand it on; a rule has its seed from its wildcards."""
    return section.model_dump(mode="json", exclude={"seeds"})


def plan_medformer(
    section: Medformer, datasets: Mapping[str, Dataset], volumes: Sequence[str]
) -> MedformerPlan:
    """Resolve and check the section ``medformer``.

    Raises
    ------
    ConfigError
        Names the key, its value and what would be valid.
    """
    kinds = load_kinds()
    for name in section.sets:
        if name not in datasets:
            raise ConfigError(f"config: medformer.sets: {name!r}", nearest(name, datasets))
    targets = {}
    for name in section.sets or datasets:
        offered = offers_of(annotations_of(datasets[name], volumes=name in volumes), kinds)
        found = [target for target in section.targets if target in offered]
        if section.sets and not found:
            raise ConfigError(
                f"config: medformer.sets: {name} has none of {', '.join(section.targets)}",
                f"leave it out, or add one of {', '.join(sorted(offered))} to medformer.targets",
            )
        if found:
            targets[name] = found
    if not targets:
        raise ConfigError(
            f"config: medformer.targets: no dataset of the run has {' or '.join(section.targets)}",
            "name targets that `medtaskatlas targets` lists",
        )
    for name, pretraining in section.pretrainings.items():
        for pretext in pretraining.pretexts:
            try:
                module_of(pretext)
            except ConfigError as error:
                key = f"config: medformer.pretrainings.{name}.pretexts"
                raise ConfigError(f"{key}: {pretext!r}", error.remedy) from None
    _check_arms(section, targets, datasets)
    return MedformerPlan(section, targets, datasets, volumes)


def _check_arms(
    section: Medformer, targets: Mapping[str, Any], datasets: Mapping[str, Dataset]
) -> None:
    """Refuse arms without their weights, and arms that would train on what they test."""
    for name, arm in section.arms.items():
        if arm.model == "efficientnet_lite0" and (why := lite0_weights.missing()):
            raise ConfigError(
                f"config: medformer.arms.{name}: {why}", f"or drop it: `{name}: null`"
            )
    if any(arm.sets == "all" for arm in section.arms.values()):
        for name in targets:
            if apart := split_apart(name, targets, datasets):
                raise ConfigError(
                    f"config: medformer.sets: {name} and {apart[0]} show the same and are split "
                    "apart from each other: an arm with `sets: all` would train on what it tests",
                    "name one of them in `sets`, or use no such arm",
                )
