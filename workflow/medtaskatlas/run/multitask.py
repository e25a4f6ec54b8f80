"""What of a run is multi-task: its problems, systems and trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.multitask.options import Multitask, SystemOptions
from medtaskatlas.multitask.problems import find_problems
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.problems.annotations import annotations_of
from medtaskatlas.problems.problem import COMPANION, Problem, check_targets, split_apart
from medtaskatlas.problems.targets import code_of_kinds, load_kinds
from medtaskatlas.problems.targets.target import IMAGE
from medtaskatlas.tasks.bank import load_bank

_MODULE = "medtaskatlas.multitask.{}"


@dataclass(frozen=True)
class MultitaskPlan:
    """Problems and systems of a run, resolved and checked."""

    options: Multitask
    problems: dict[str, Problem]
    datasets: Mapping[str, Dataset]

    @cached_property
    def systems(self) -> dict[str, dict[str, Any]]:
        """Options of each system by name, with those of its network."""
        return {
            name: {"system": system.system, "weighting": system.weighting}
            | self.options.network_options(name).model_dump(mode="json")
            for name, system in self.options.systems.items()
        }

    @cached_property
    def runs(self) -> list[tuple[str, str, int]]:
        """(problem, system, seed) of every training."""
        return [(p, s, seed) for p, s in self.pairs for seed in self.options.seeds]

    @cached_property
    def representation_runs(self) -> list[tuple[str, int]]:
        """(modality, seed) of every representation that a system starts from."""
        runs = [(self.modality(p), n) for p, s, n in self.runs if self.needs_representation(s)]
        return list(dict.fromkeys(runs))

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(problem, system) of every system that is tried on a problem."""
        return [
            (problem.name, name)
            for problem in self.problems.values()
            for name, system in self.options.systems.items()
            if problem.name in (system.problems or list(self.problems)[: system.first])
            and not (system.system == "ums_rep" and self._no_representation(problem))
        ]

    @property
    def messages(self) -> list[str]:
        """Sentences on what is left out."""
        if not any(s.system == "ums_rep" for s in self.options.systems.values()):
            return []
        found = {p.name: self._no_representation(p) for p in self.problems.values()}
        return [f"ums_rep is not tried on {name}: {why}" for name, why in found.items() if why]

    def files(self, problem: str, results: str) -> list[str]:
        """Prepared files of a problem, in the order of its datasets."""
        stage = "volumes" if self.problems[problem].volumes else "images"
        return [f"{results}/{stage}/{name}.arrow" for name in self.problems[problem].datasets]

    @property
    def volume_datasets(self) -> list[str]:
        """Datasets whose volumes are trained on."""
        found = [p.datasets for p in self.problems.values() if p.volumes]
        return list(dict.fromkeys(name for names in found for name in names))

    def modality(self, problem: str) -> str:
        """Modality of a problem with a representation."""
        return self.datasets[self.problems[problem].datasets[0]].modality

    def of_modality(self, modality: str) -> list[str]:
        """Datasets of the run whose images a representation is learned from."""
        return [name for name, d in self.datasets.items() if d.modality == modality]

    def represented(self, modality: str) -> Problem:
        """What a representation is learned by."""
        return Problem(modality, tuple(self.of_modality(modality)), (COMPANION,))

    def outputs(self, problem: Problem) -> dict[str, tuple[str, int]]:
        """Of each target what its network sees, and the numbers a pixel it puts out, or 0."""
        kinds, bank = load_kinds(self.options.targets_dir), load_bank()
        names, volumes = problem.datasets, problem.volumes
        about = [annotations_of(self.datasets[name], volumes=volumes) for name in names]
        return {
            name: (
                name if name in bank and bank[name].stored_side == "input" else IMAGE,
                (1 + len(offer.classes)) * (kinds[offer.kind].layout == "pixels"),
            )
            for name, offer in check_targets(problem, about, kinds).items()
        }

    def needs_representation(self, system: str) -> bool:
        """Whether a system starts from a representation."""
        own = self.systems[system]
        return own["system"] == "ums_rep" and own["strategy"] != "scratch"

    def representation(
        self, problem: str, system: str, results: str, seed: int | None = None
    ) -> list[str]:
        """Representation that a system starts from, one file or none; rates are chosen once."""
        if not self.needs_representation(system):
            return []
        chosen = self.options.seeds[0] if seed is None else seed
        folder = f"{results}/multitask/representations/{self.modality(problem)}"
        return [f"{folder}/seed{chosen}.safetensors"]

    def params(self, problem: str, system: str) -> dict[str, Any]:
        """All that a training depends on besides files and seed: see ``multitask.training``."""
        systems = {name: self.options.systems[name] for name in self._referred(system)}
        return {
            "problem": self.problems[problem].facts(),
            "name": system,
            "options": self._common(systems) | {"trials": self.trials(problem)},
        }

    def representation_params(self, modality: str) -> dict[str, Any]:
        """The same of a representation."""
        systems = {"representation": SystemOptions(system="hps")}
        return {
            "problem": self.represented(modality).facts(),
            "name": "representation",
            "options": self._common(systems),
        }

    def code(self, problem: str, system: str, stage: str) -> str:
        """Hash of the code of a stage (train or tune) of a system, and of a problem's targets."""
        bank = load_bank()
        tasks = [bank[n].apply.__module__ for n in self.problems[problem].targets if n in bank]
        referred = self._referred(system)
        systems = {SYSTEMS[self.options.systems[name].system].module for name in referred}
        modules = sorted(_MODULE.format(f"systems.{name}") for name in systems)
        own = code_of_kinds(self.options.targets_dir)
        return code_hash(_MODULE.format(stage), *modules, *tasks) + own

    def _referred(self, system: str) -> list[str]:
        """A system and the one that it is as wide as."""
        return [system, *filter(None, [self.systems[system].get("like")])]

    def trials(self, problem: str) -> int:
        """Settings that each training of a problem may try, with any system.

        Enough to try each target heavier than the others, where weights are tuned.
        """
        options = self.options
        tuned = any(system.weighting == "tuned" for system in options.systems.values())
        needed = len(options.rates) + len(self.problems[problem].targets)
        return max(options.trials, needed) if tuned else options.trials

    def _common(self, systems: Mapping[str, SystemOptions]) -> dict[str, Any]:
        """Options of all trainings, and of some systems; where these are tried changes nothing."""
        chosen = {"problems", "systems", "seeds", "folds"}
        own = {
            n: s.model_dump(mode="json", exclude={"problems", "first"}) for n, s in systems.items()
        }
        return {**self.options.model_dump(mode="json", exclude=chosen), "systems": own}

    def _no_representation(self, problem: Problem) -> str | None:
        """Why no representation can be learned for a problem."""
        modalities = sorted({self.datasets[name].modality for name in problem.datasets})
        if len(modalities) > 1:
            return f"its datasets are of several modalities ({', '.join(modalities)})"
        if problem.folds:
            return "with folds, its test images would be among those of the representation"
        for name in problem.datasets:
            if apart := split_apart(name, self.of_modality(modalities[0]), self.datasets):
                return f"the representation may have seen its test images, which {apart[0]} shows"
        if problem.volumes:
            return "representations are learned of images"
        return None


def plan_multitask(section: Multitask, datasets: Mapping[str, Dataset]) -> MultitaskPlan:
    """Resolve and check the section ``multitask``.

    Raises
    ------
    ConfigError
        Names the key, its value and what would be valid.
    """
    plan = MultitaskPlan(section, find_problems(section, datasets), datasets)
    for name, system in section.systems.items():
        for problem in system.problems:
            if problem not in plan.problems:
                said = f"config: multitask.systems.{name}.problems: {problem!r}"
                raise ConfigError(said, nearest(problem, plan.problems))
    if not plan.runs:
        raise ConfigError(
            "multitask: no system is left to train", "name systems that fit the problems"
        )
    return plan
