"""The configuration: every key described, every bad value a clear error before the DAG is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medtaskatlas.errors import ConfigError, nearest


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    # Defaults are validated too, so that a value is the same whether written out or left out.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Splits(Section):
    """Shares of the groups (patients, volumes, regions) that go into each split."""

    train: float = Field(0.6, gt=0, lt=1, description="share of groups that encoders learn from")
    val: float = Field(0.2, gt=0, lt=1, description="share of groups for choices during training")
    test: float = Field(0.2, gt=0, lt=1, description="share of groups that are only measured on")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Splits:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(
                f"train, val and test must sum to 1, not {self.train + self.val + self.test:g}"
            )
        return self


class Heldout(Section):
    """What no encoder sees in training and no gallery holds."""

    datasets: list[str] = Field([], description="datasets kept out of training, by name")
    tasks: list[str] = Field([], description="tasks kept out of training, by name")


class DatasetFilter(Section):
    """Datasets by what they are, instead of by name; all given conditions must hold."""

    source: list[str] | None = Field(None, description="where they come from, e.g. embedded")
    modality: list[str] | None = Field(None, description="modalities, e.g. CT, MR, US")
    body_part: list[str] | None = Field(None, description="what they show, e.g. chest")
    annotation: list[str] | None = Field(None, description="ground_truth, derived or none")


class Network(Section):
    """Shape of a residual network."""

    backbone: Literal["resnet10", "resnet18", "resnet34", "resnet50"] = Field(
        "resnet18", description="residual network"
    )
    width: int = Field(64, ge=8, le=128, description="channels of the first stage; doubles a stage")
    stem: Literal[3, 5, 7] = Field(7, description="side of the first kernel; 3 for small images")


class Taco(Network):
    """Task-contrastive encoder: a ResNet on the six channels of (input, output)."""

    kind: Literal["taco"] = Field("taco", description="trained by contrast between tasks")
    coordinates: Literal["sides", "difference", "texture"] = Field(
        "texture",
        description="the six channels as they are; their mean and difference; or texture beside",
    )
    embedding_dim: int = Field(128, ge=2, description="length of the embedding")
    temperature: float = Field(0.1, gt=0, description="temperature of the contrastive loss")
    steps: int = Field(2000, ge=0, description="optimiser steps; the budget is steps, not minutes")
    batch_tasks: int = Field(16, ge=2, description="tasks in a batch")
    batch_images: int = Field(8, ge=2, description="pairs of each task in a batch")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    checkpoint_seconds: float = Field(
        60, gt=0, description="seconds between checkpoints; what a kill costs at most"
    )

    @property
    def seeded(self) -> bool:
        """Whether a seed makes a difference."""
        return True


class Random(Network):
    """Untrained control: a network of the same make as it was initialised, sides seen apart."""

    kind: Literal["random"] = Field("random", description="never trained")

    @property
    def seeded(self) -> bool:
        """Whether a seed makes a difference."""
        return True


class Pixels(Section):
    """Baseline without learning: image statistics that an engineer would write down."""

    kind: Literal["pixels"] = Field("pixels", description="hand-made features of both sides")

    @property
    def seeded(self) -> bool:
        """Whether a seed makes a difference."""
        return False


Encoder = Annotated[Taco | Random | Pixels, Field(discriminator="kind")]


class Config(Section):
    """A run of the workflow."""

    run: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="name of the run: its folder in results/",
    )
    datasets: list[str] | DatasetFilter | Literal["all"] = Field(
        [], description="names from the catalogue, or a filter, or `all`"
    )
    datasets_dir: Path | None = Field(
        None, description="folder of folder datasets of your own; every one in it is added"
    )
    tasks: list[str] | Literal["all"] = Field("all", description="names of tasks, or `all`")
    tasks_dir: Path | None = Field(None, description="folder of *.py files with your own tasks")
    heldout: Heldout = Field(Heldout(), description="datasets and tasks kept out of training")
    licences: list[str] | None = Field(
        None, description="licences (SPDX or LicenseRef) to restrict the run to; null takes all"
    )
    mirror: str | None = Field(
        None,
        description="URL or folder that stands in for the internet, laid out by host and path",
    )
    image_size: int = Field(64, ge=16, le=1024, description="side of the square images, pixels")
    images_per_dataset: int | None = Field(
        None, ge=3, description="most images of a dataset, whole groups evenly spread; null: all"
    )
    pairs_per_cell: int = Field(100, ge=3, description="pairs of one task on one dataset")
    failures_per_cell: int = Field(
        40, ge=0, description="pairs in which one task goes wrong on one dataset; 0: none"
    )
    trajectories_per_cell: int = Field(
        8, ge=0, description="images, outside training, with a severity trajectory of one task"
    )
    trajectory_levels: int = Field(
        11, ge=11, le=256, description="steps of a trajectory, evenly from severity 0 to 1"
    )
    encoders: dict[str, Encoder] = Field(description="name: {kind: ..., options}")
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="training seeds of each encoder")
    seed: int = Field(0, ge=0, description="seed of everything that is not training")
    torch_threads: int = Field(
        2, ge=1, description="threads of a training job; fixed here so --cores changes no result"
    )
    splits: Splits = Field(Splits(), description="shares of groups")

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.datasets == [] and self.datasets_dir is None:
            raise ValueError(
                "no dataset is named: give `datasets`, or `datasets_dir` with folder datasets of "
                "your own (--config datasets_dir=PATH)"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("`seeds` names a seed twice")
        if not self.encoders:
            raise ValueError("`encoders` is empty: name at least one")
        for name in self.encoders:
            if not name.isidentifier():
                raise ValueError(f"`encoders`: {name!r} must be letters, digits and underscores")
        return self

    def seeds_of(self, encoder: str) -> list[int]:
        """Seeds that an encoder is run with.

        Parameters
        ----------
        encoder
            Name of the encoder.

        Returns
        -------
        list of int
            All seeds, or the first where a seed makes no difference.
        """
        return self.seeds if self.encoders[encoder].seeded else self.seeds[:1]


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration as Snakemake read it.

    Parameters
    ----------
    raw
        Keys and values of the YAML files and of ``--config``.

    Returns
    -------
    Config
        The configuration with all defaults filled in.

    Raises
    ------
    ConfigError
        Names each bad key, its value and the nearest valid names.
    """
    if not raw:
        raise ConfigError(
            "the configuration is empty", "give one, e.g. --configfile config/embedded.yaml"
        )
    # The name of an encoder is its kind where no kind is given: `pixels: {}` is enough.
    raw = dict(raw)
    if isinstance(raw.get("encoders"), Mapping):
        raw["encoders"] = {
            name: {"kind": name, **(options or {})}
            if isinstance(options or {}, Mapping)
            else options
            for name, options in raw["encoders"].items()
        }
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e) for e in _told_once(error.errors()))) from None


# Where a key takes one of several types, pydantic reports the failure of each of them.
_UNIONS: dict[str, dict[type, str]] = {
    "datasets": {list: "list[str]", dict: "DatasetFilter"},
    "tasks": {list: "list[str]"},
}


def _told_once(errors: list[Any]) -> list[Any]:
    """Errors without those of types that the user did not mean."""
    kept = []
    for error in errors:
        where = error["loc"]
        meant = _UNIONS.get(str(where[0])) if len(where) > 1 else None
        if meant is None:
            kept.append(error)
            continue
        value = error["input"]
        if len(where) == 2 and type(value) not in meant:
            said = " or ".join(
                ["a list of names", *(["a filter"] if dict in meant else []), "`all`"]
            )
            kept.append({**error, "loc": where[:1], "msg": f"must be {said}", "type": "union"})
        elif len(where) > 2 or where[1] == meant.get(type(value)):
            kept.append(error)
    unique = {(error["loc"], error["msg"]): error for error in kept}
    return list(unique.values())


def _explain(error: Any) -> str:
    """One line for one validation error: key, value, remedy."""
    tags = {"taco", "random", "pixels", "list[str]", "DatasetFilter", "literal['all']"}
    where = [str(part) for part in error["loc"]]
    path = [
        part
        for i, part in enumerate(where)
        # An encoder may be called like its kind: only the tag behind the name is no key.
        if not (i and part in tags and where[i - 1] != "encoders")
    ]
    key, value = ".".join(path), error["input"]
    if error["type"] == "extra_forbidden":
        return f"config: unknown key {key!r}; {nearest(where[-1], _keys_beside(where))}"
    if error["type"] == "missing":
        return f"config: {key!r} is missing"
    if error["type"] == "union_tag_invalid":
        kinds = [t.strip(" '") for t in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"config: {key}.kind: {tag!r} is no kind of encoder; {nearest(tag, kinds)}"
    shown = "" if isinstance(value, Mapping) else f" (is {value!r})"
    message = error["msg"].removeprefix("Value error, ")
    return f"config: {key + ': ' if key else ''}{message}{shown}"


def _keys_beside(where: list[str]) -> list[str]:
    """Valid keys of the section in which an unknown key stands."""
    sections: dict[str, type[BaseModel]] = {
        "splits": Splits,
        "heldout": Heldout,
        "datasets": DatasetFilter,
        "taco": Taco,
        "random": Random,
        "pixels": Pixels,
    }
    for part in reversed(where[:-1]):
        if part in sections:
            return list(sections[part].model_fields)
    return list(Config.model_fields)
