"""Section ``multitask`` of the configuration; no torch, since Snakemake reads it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from medtaskatlas.core.errors import nearest
from medtaskatlas.core.strict_model import Folder, StrictModel
from medtaskatlas.learning.options import Training
from medtaskatlas.multitask.systems import SYSTEMS
from medtaskatlas.multitask.systems.options import NetworkOptions

WeightingName = Literal[
    "equal", "tuned", "uncertainty", "dwa", "imtl_l", "famo", "stch",
    "pcgrad", "mgda", "imtl_g", "aligned_mtl", "upgrad", "gradnorm_scaling", "cagrad", "nash_mtl",
]  # fmt: skip
# Those that join gradients of single losses, which half precision would have to scale.
AGGREGATORS = (
    "pcgrad", "mgda", "imtl_g", "aligned_mtl", "upgrad", "gradnorm_scaling", "cagrad", "nash_mtl",
)  # fmt: skip
# Validation images of each kind of input that a look takes; they are evenly spread.
VALIDATED = 400
# Packages of an extra of torchjd, which has the name of its weighting.
EXTRAS = {"cagrad": ("cvxpy", "clarabel"), "nash_mtl": ("cvxpy", "ecos")}


class ProblemOptions(StrictModel):
    """Datasets, and what to learn of their images at once."""

    datasets: list[str] = Field(min_length=1, description="datasets of one kind, by name")
    targets: list[str] = Field(
        description="what to predict, two or more; `medtaskatlas targets` lists what there is"
    )
    folds: int | None = Field(
        None, ge=3, le=20, description="grouped cross-validation; null: as `multitask.folds` says"
    )
    volumes: bool = Field(False, description="whole volumes in 3-D instead of images")

    @model_validator(mode="after")
    def _each_once(self) -> ProblemOptions:
        for key, names in (("datasets", self.datasets), ("targets", self.targets)):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"`{key}` names {twice[0]!r} twice")
        return self


class SystemOptions(StrictModel):
    """A system to be compared: an architecture with a weighting and options of its own."""

    # Options of the architecture stand beside these; `network_options` checks them.
    model_config = ConfigDict(extra="allow")

    system: str = Field(description="architecture; by default the name")
    weighting: WeightingName = Field("equal", description="how losses or gradients are weighed")
    problems: list[str] = Field(
        [], description="problems to try it on, by name; empty: see `first`"
    )
    first: int | None = Field(
        None, ge=1, description="try it on so many of the first problems; null: on all"
    )

    @model_validator(mode="after")
    def _available(self) -> SystemOptions:
        if self.system not in SYSTEMS:
            raise ValueError(f"`system`: {self.system!r} is none; {nearest(self.system, SYSTEMS)}")
        absent = [name for name in EXTRAS.get(self.weighting, ()) if find_spec(name) is None]
        if absent:
            raise ValueError(
                f"`weighting`: {self.weighting} needs {' and '.join(absent)}, not installed here; "
                f'pip install "torchjd[{self.weighting}]"'
            )
        return self


class Multitask(NetworkOptions, Training):
    """Multi-task systems, their problems and how they are trained."""

    problems: dict[str, ProblemOptions] = Field(
        {},
        description="name: {datasets, targets}; none, or `auto`: one a dataset, of all that is "
        "annotated",
    )
    systems: dict[str, SystemOptions] = Field(
        description="name: {system, weighting, problems, options}; `hps: {}` is enough"
    )
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="training seeds of each system")
    folds: int | None = Field(
        None,
        ge=3,
        le=20,
        description="grouped cross-validation instead of the images' own splits, for small sets",
    )
    targets_dir: Folder | None = Field(
        None, description="folder of *.py files with your own kinds of targets"
    )
    learning_rates: list[float] = Field(
        [], description="rates to choose from on validation groups, instead of `learning_rate`"
    )
    trials: int = Field(
        6, ge=1, description="settings that each training of a system may try, the same for all"
    )
    trial_steps: int | None = Field(
        None, ge=1, description="steps of such a training; null: `steps`"
    )
    look_every: int = Field(
        50, ge=1, description="steps between two looks at the validation groups; the best one stays"
    )
    batch_size: int = Field(32, ge=2, description="images a step, of each kind of input")

    @property
    def rates(self) -> list[float]:
        """Learning rates to choose from."""
        return self.learning_rates or [self.learning_rate]

    def network_options(self, name: str) -> NetworkOptions:
        """Options of a system's network: the section's, and its own.

        Raises
        ------
        pydantic.ValidationError
            If its architecture does not know an option, or not the value.
        """
        system = self.systems[name]
        shared = {key: getattr(self, key) for key in NetworkOptions.model_fields}
        own = system.model_extra or {}
        return SYSTEMS[system.system].options.model_validate({**shared, **own})

    @field_validator("problems", mode="before")
    @classmethod
    def _auto(cls, problems: Any) -> Any:
        """None for `auto`."""
        return {} if problems == "auto" else problems

    @field_validator("systems", mode="before")
    @classmethod
    def _named_by_system(cls, systems: Any) -> Any:
        """The name of a system is its architecture where none is given; null drops a system."""
        if not isinstance(systems, dict):
            return systems
        return {
            name: {"system": name, **options} if isinstance(options, dict) else options
            for name, options in systems.items()
            if options is not None
        }

    @model_validator(mode="after")
    def _consistent(self) -> Multitask:
        for key, numbers in (("seeds", self.seeds), ("learning_rates", self.learning_rates)):
            if len(set(numbers)) != len(numbers):
                raise ValueError(f"`{key}` names a number twice")
        if self.devices != 1:
            raise ValueError("`devices`: a training of several targets runs on one device")
        if any(rate <= 0 for rate in self.learning_rates):
            raise ValueError("`learning_rates` must be above 0")
        if not self.systems:
            raise ValueError("`systems` is empty: name at least one")
        for key, names in (("problems", self.problems), ("systems", self.systems)):
            for name in names:
                if not name.isidentifier():
                    raise ValueError(f"`{key}`: {name!r} must be letters, digits and underscores")
        for name, system in self.systems.items():
            for problem in system.problems:
                if self.problems and problem not in self.problems:
                    raise ValueError(
                        f"`systems.{name}.problems`: {problem!r} is none; "
                        + nearest(problem, self.problems)
                    )
            self._check_network(name)
        return self

    def _joint(self, name: str) -> bool:
        """Whether a system of this name trains all targets at once."""
        if name not in self.systems:
            return False
        return len(self.network_options(name).trainings(["a", "b"])) == 1

    def _check_network(self, name: str) -> None:
        """Refuse options that the architecture of a system does not know."""
        system = self.systems[name]
        try:
            options = self.network_options(name)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            known = SYSTEMS[system.system].options.model_fields
            said = {
                "extra_forbidden": f"is no option of {system.system}; {nearest(key, known)}",
                "missing": f"is missing: {known[key].description}" if key in known else "",
            }.get(first["type"], first["msg"])
            raise ValueError(f"`systems.{name}.{key}` {said}") from None
        if not self._joint(name) and system.weighting != "equal":
            raise ValueError(
                f"`systems.{name}.weighting`: {system.system} trains each target alone, so there "
                "is nothing to weigh"
            )
        if self.precision == "16-mixed" and system.weighting in AGGREGATORS:
            raise ValueError(
                f"`systems.{name}.weighting`: {system.weighting} takes gradients that "
                "`precision: 16-mixed` has not scaled; set bf16-mixed or 32-true"
            )
        like = getattr(options, "like", None)
        if like is not None and not self._joint(like):
            together = [n for n in self.systems if self._joint(n)]
            raise ValueError(
                f"`systems.{name}.like`: {like!r} is no system that trains targets together; "
                f"{nearest(like, together)}"
            )
