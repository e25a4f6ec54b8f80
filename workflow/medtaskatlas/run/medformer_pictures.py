"""Trainings of a run whose weights figures show: the first ones, of their first seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medtaskatlas.run.medformer import ALL, ArmRun, MedformerPlan

MASKED = "masked"


@dataclass(frozen=True)
class Pictures:
    """What the rule of the pictures takes, with as many labels as there are."""

    plan: MedformerPlan

    @cached_property
    def together(self) -> list[ArmRun]:
        """A model for all sets with all latents, after masked pre-training if there is one."""
        latents = {name: arm["latents"] for name, arm in self.plan.arm_facts().items()}
        runs = [run for run in self._runs if run.set == ALL and latents[run.arm] == "all"]
        return sorted(runs, key=lambda run: not self._is_warm(run))[:1]

    @cached_property
    def pretraining(self) -> ArmRun | None:
        """A training that starts from masked pre-training."""
        return next(filter(self._is_warm, [*self.together, *self._runs]), None)

    @cached_property
    def alone(self) -> list[ArmRun]:
        """Two arms on every set: one from scratch and one pre-trained, else the first two."""
        arms, pretrainings = self.plan.options.arms, self.plan.options.pretrainings
        own = [n for n, arm in arms.items() if (arm.model, arm.sets) == ("medformer", "one")]
        cold = [name for name in own if arms[name].start == "scratch"]
        warm = [name for name in own if arms[name].start in pretrainings]
        chosen = list(dict.fromkeys([*cold[:1], *warm[:1], *own]))[:2]
        first = {(run.set, run.arm): run for run in reversed(self._runs)}
        return [first[name, arm] for name in self.plan.targets for arm in chosen]

    def files(self, results: str) -> list[str]:
        """Prepared files of all sets that are shown."""
        names = dict.fromkeys([*self.plan.targets, *self.plan.pretrained_on])
        return self.plan.files(list(names), results)

    def weights(self, part: str, results: str) -> list[str]:
        """Weights of a part."""
        if part == "pretraining":
            return self.plan.start(self.pretraining, results) if self.pretraining else []
        return [f"{results}/medformer/{run.folder}/model.safetensors" for run in self._part(part)]

    def params(self) -> dict[str, Any]:
        """What these trainings are."""
        before: dict[str, Any] | None = None
        if self.pretraining:
            name = self.plan.options.arms[self.pretraining.arm].start
            sets = self.plan.pretraining_sets(self.plan.scope(self.pretraining))
            before = {"name": name, "options": self.plan.pretraining_params(name), "sets": sets}
            before["seed"] = self.pretraining.seed
        jobs = {
            part: [self.plan.params(run) | {"seed": run.seed} for run in self._part(part)]
            for part in ("together", "alone")
        }
        return {"pretraining": before, **jobs}

    def _part(self, part: str) -> Sequence[ArmRun]:
        """Trainings of a part."""
        return {"together": self.together, "alone": self.alone}[part]

    @cached_property
    def _runs(self) -> list[ArmRun]:
        """Trainings of the first seed of every arm, those with most labels first."""
        options = self.plan.options
        runs = [run for run in self.plan.runs if run.seed == options.seeds_of(run.arm)[0]]
        return sorted(runs, key=lambda run: -run.percent)

    def _is_warm(self, run: ArmRun) -> bool:
        """Whether a training starts from masked pre-training."""
        options = self.plan.options
        start = options.pretrainings.get(options.arms[run.arm].start)
        return start is not None and MASKED in start.pretexts
