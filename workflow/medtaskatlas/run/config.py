"""The configuration: every key described, every bad value an error before the DAG is built."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.core.strict_model import Folder, StrictModel, submodels
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.encoders.kinds import KINDS, Encoder
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.multitask.options import Multitask
from medtaskatlas.transfer.options import Transfer


class Splits(StrictModel):
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


class Heldout(StrictModel):
    """What no encoder sees in training and no gallery holds."""

    datasets: list[str] = Field([], description="datasets kept out of training, by name")
    tasks: list[str] = Field([], description="tasks kept out of training, by name")


class UnseenTasks(StrictModel):
    """Study: every task is held out once, and must still be placed among its kin."""

    encoders: list[str] = Field(min_length=1, description="encoders that learn, by name")
    folds: int = Field(6, ge=2, description="trainings of each; every task is held out in one")
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: the encoder's own")


class Scaling(StrictModel):
    """Study: the same small budget on less data, to see what more of it would buy."""

    encoder: str = Field(description="encoder that learns, by name")
    pairs: list[int] = Field([], description="training pairs a cell, on all training datasets")
    datasets: list[int] = Field([], description="numbers of training datasets, with all pairs")
    seeds: list[int] = Field([0], min_length=1, description="training seeds of each point")
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: the encoder's own")


class DatasetFilter(StrictModel):
    """Datasets by what they are, instead of by name; all given conditions must hold."""

    source: list[str] | None = Field(None, description="where they come from, e.g. embedded")
    modality: list[str] | None = Field(None, description="modalities, e.g. CT, MR, US")
    body_part: list[str] | None = Field(None, description="what they show, e.g. chest")
    annotation: list[str] | None = Field(None, description="ground_truth, derived or none")


class SizedDataset(StrictModel):
    """A dataset with a size of its own, and with ``of`` one dataset at several sizes."""

    name: str = Field(
        pattern="^[a-z][a-z0-9_]*$", description="its name in the run: one of the catalogue, or new"
    )
    of: str | None = Field(
        None,
        description="dataset of the run that it shows at another size, in the same groups and "
        "splits; for runs of Medformer alone; null: it is the dataset `name`",
    )
    image_size: int | None = Field(
        None, ge=16, le=1024, description="side of its images, pixels; null: the run's"
    )
    volume_size: int | None = Field(
        None, ge=16, le=256, description="side of its volumes, voxels; null: the run's"
    )


class Config(StrictModel):
    """A run of the workflow."""

    run: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="name of the run: its folder in results/",
    )
    datasets: list[str | SizedDataset] | DatasetFilter | Literal["all"] = Field(
        [],
        description="names from the catalogue, or {name: ..., image_size: ...} for a size of its "
        "own; or a filter, or `all`",
    )
    datasets_dir: Folder | list[Folder] | None = Field(
        None,
        description="folder of folder datasets of your own, or several ([a, b]); every one in "
        "them is added",
    )
    tasks: list[str] | Literal["all"] = Field("all", description="names of tasks, or `all`")
    tasks_dir: Folder | None = Field(None, description="folder of *.py files with your own tasks")
    heldout: Heldout = Field(Heldout(), description="datasets and tasks kept out of training")
    development: list[str] = Field(
        [],
        description="datasets on which choices were made, of methods or options: the run refuses "
        "to hold them out, for what is told of held-out datasets must not rest on them",
    )
    licences: list[str] | None = Field(
        None, description="licences (SPDX or LicenseRef) to restrict the run to; null takes all"
    )
    mirror: str | None = Field(
        None,
        description="URL or folder that stands in for the internet, laid out by host and path",
    )
    image_size: int = Field(64, ge=16, le=1024, description="side of the square images, pixels")
    volume_size: int | None = Field(
        None,
        ge=16,
        le=256,
        description="side of the volumes, voxels, of the datasets that have volumes; null: no "
        "volumes are made",
    )
    images_per_dataset: int | None = Field(
        None, ge=3, description="most images of a dataset, whole groups evenly spread; null: all"
    )
    keep_duplicates: bool = Field(
        False,
        description="keep images that are the same as another to the pixel, also in another "
        "published split, so that test sets are whole; in runs of `medformer` alone, whose scores "
        "stand there with and without them",
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
    trajectory_tasks: list[str] = Field(
        ["noise_addition"],
        description="tasks of which trajectories alone are made, beside those of `tasks`",
    )
    unseen_tasks: UnseenTasks | None = Field(
        None, description="study of tasks that training never saw; null: none"
    )
    scaling: Scaling | None = Field(None, description="study of less data; null: none")
    encoders: dict[str, Encoder] = Field(
        {},
        description="name: {kind: ..., options}; `like: NAME` takes the options of another first; "
        "`NAME: null` drops one, e.g. on the command line",
    )
    multitask: Multitask | None = Field(
        None, description="multi-task systems on the same data; null: none"
    )
    medformer: Medformer | None = Field(
        None, description="one transformer for pictures and volumes of all sets; null: none"
    )
    transfer: Transfer | None = Field(
        None, description="what tasks have in common as functions of an image; null: nothing"
    )
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="training seeds of each encoder")
    seed: int = Field(0, ge=0, description="seed of everything that is not training")
    torch_threads: int = Field(
        2, ge=1, description="threads of a training job; fixed here so --cores changes no result"
    )
    # The next three change no result, so they are no part of what says how a result was made.
    cells_per_job: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="tasks of a dataset whose pairs one job makes; changes no result; null: 1 on "
        "this machine, 30 where jobs are sent to a cluster",
    )
    container: str = Field(
        "medtaskatlas.sif",
        exclude=True,
        min_length=1,
        description="image of the jobs with `--sdm apptainer`, a file or an address such as "
        "docker://NAME; changes no result; docs/containers.md",
    )
    train_minutes: int = Field(
        720,
        ge=1,
        exclude=True,
        description="wall-clock limit that a training asks a cluster for, minutes; changes no "
        "result; one that is stopped there goes on from its checkpoint",
    )
    splits: Splits = Field(Splits(), description="shares of groups")

    @property
    def datasets_dirs(self) -> list[Path]:
        """Folders of folder datasets."""
        given = self.datasets_dir or []
        return given if isinstance(given, list) else [given]

    @property
    def sized(self) -> dict[str, SizedDataset]:
        """Datasets with a size of their own, by name."""
        named = self.datasets if isinstance(self.datasets, list) else []
        return {entry.name: entry for entry in named if isinstance(entry, SizedDataset)}

    def image_size_of(self, dataset: str) -> int:
        """Side of the images of a dataset, pixels."""
        own = self.sized.get(dataset)
        return self.image_size if own is None or own.image_size is None else own.image_size

    def volume_size_of(self, dataset: str) -> int | None:
        """Side of the volumes of a dataset, voxels, where it has any; None: none are made."""
        own = self.sized.get(dataset)
        return self.volume_size if own is None or own.volume_size is None else own.volume_size

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.datasets == [] and not self.datasets_dirs:
            raise ValueError(
                "no dataset is named: give `datasets`, or `datasets_dir` with folder datasets of "
                "your own (--config datasets_dir=PATH)"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("`seeds` names a seed twice")
        parts = (self.multitask, self.medformer, self.transfer)
        if not self.encoders and all(part is None for part in parts):
            raise ValueError(
                "`encoders` is missing or empty: name at least one, or `multitask`, `medformer` or "
                "`transfer`"
            )
        others = (self.multitask, self.transfer)
        if self.keep_duplicates and (self.encoders or any(part is not None for part in others)):
            raise ValueError(
                "`keep_duplicates`: `encoders`, `multitask` and `transfer` would learn from "
                "copies of what they test; leave it out, or give `medformer` a run of its own"
            )
        for name in self.encoders:
            if not name.isidentifier():
                raise ValueError(f"`encoders`: {name!r} must be letters, digits and underscores")
        learning = [name for name, encoder in self.encoders.items() if encoder.learns]
        studied = {
            "unseen_tasks.encoders": self.unseen_tasks.encoders if self.unseen_tasks else [],
            "scaling.encoder": [self.scaling.encoder] if self.scaling else [],
        }
        for key, names in studied.items():
            for name in names:
                if name not in learning:
                    raise ValueError(
                        f"`{key}`: {name!r} is no encoder that learns: take one of {learning}, "
                        f"or give `{key.partition('.')[0]}: null` for no such study"
                    )
        return self

    def seeds_of(self, encoder: str) -> list[int]:
        """Seeds of an encoder: its own or the run's; the first where a seed changes nothing."""
        kind: EncoderKind = self.encoders[encoder]
        seeds = kind.seeds or self.seeds
        return seeds if kind.seeded else seeds[:1]


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration as Snakemake read it, and fill in all defaults.

    Raises
    ------
    ConfigError
        Names each bad key, its value and the nearest valid names.
    """
    if not raw:
        raise ConfigError(
            "the configuration is empty", "give one, e.g. --configfile config/embedded.yaml"
        )
    raw = dict(_with_nulls(raw))
    _check_mirror(str(raw.get("mirror")))
    if isinstance(raw.get("encoders"), Mapping):
        _check_dropped(raw)
        chosen = {name: o for name, o in raw["encoders"].items() if o is not None}
        raw["encoders"] = _spelt_out(chosen)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        errors = _as_meant(error.errors())
        remedies = dict.fromkeys(filter(None, map(_remedy, errors)))
        raise ConfigError("\n".join(map(_explain, errors)), "; ".join(remedies)) from None


def _check_mirror(mirror: str) -> None:
    """Refuse a password: a configuration is copied into results, logs and Snakemake's scripts."""
    _, scheme, rest = mirror.partition("://")
    if scheme and (at := rest.rpartition("@")[2]) != rest:
        host = at.partition("/")[0].partition(":")[0]
        raise ConfigError(
            "config: mirror: holds a password, which would be copied into results and logs",
            "take it out of `mirror`, and write into the file ~/.netrc (chmod 600): "
            f"machine {host} login USER password PASSWORD",
        )


def _with_nulls(value: Any) -> Any:
    """Null for the text: Snakemake reads what stands behind ``--config`` without YAML's types."""
    if isinstance(value, Mapping):
        return {key: _with_nulls(part) for key, part in value.items()}
    return None if value == "null" else value


def dropped_encoders(raw: Mapping[str, Any]) -> list[str]:
    """Encoders that a configuration, as Snakemake read it, drops by ``NAME: null``."""
    encoders = _with_nulls(raw.get("encoders"))
    named = encoders.items() if isinstance(encoders, Mapping) else ()
    return [name for name, options in named if options is None]


def _check_dropped(raw: Mapping[str, Any]) -> None:
    """Refuse what refers to an encoder that is dropped."""
    refers = {
        f"encoders.{name}.like": (options["like"], f'--config "encoders={{{name}: null}}"')
        for name, options in raw["encoders"].items()
        if isinstance(options, Mapping) and "like" in options
    }
    for study, key in (("unseen_tasks", "encoders"), ("scaling", "encoder")):
        if isinstance(raw.get(study), Mapping):
            refers[f"{study}.{key}"] = (raw[study].get(key), f"--config {study}=null")
    for name in dropped_encoders(raw):
        for key, (named, remedy) in refers.items():
            if name == named or (isinstance(named, list) and name in named):
                raise ConfigError(
                    f"config: {key} names {name!r}, which `encoders: {{{name}: null}}` drops",
                    f"name another encoder there, or do without: {remedy}",
                )


def _spelt_out(encoders: Mapping[str, Any]) -> dict[str, Any]:
    """Options of each encoder with its kind, and with those of the encoder that it is like."""
    # The name of an encoder is its kind where no kind is given: `pixels: {}` is enough.
    named = {
        name: {"kind": name, **options} if isinstance(options, Mapping) else options
        for name, options in encoders.items()
    }

    def whole(name: str, behind: tuple[str, ...]) -> Any:
        options = named[name]
        if not isinstance(options, Mapping) or "like" not in options:
            return options
        like = options["like"]
        if like not in named:
            raise ConfigError(f"config: encoders.{name}.like: {like!r}", nearest(str(like), named))
        if like in behind:
            raise ConfigError(
                f"config: encoders.{name}.like: {' is like '.join((*behind, like))}",
                "give one of them options of its own",
            )
        base = whole(like, (*behind, like))
        own = {k: v for k, v in encoders[name].items() if k != "like"}
        return {**base, **own} if isinstance(base, Mapping) else base

    return {name: whole(name, (name,)) for name in named}


# Where a key takes one of several types, pydantic reports the failure of each of them.
_DATASETS = "list[union[str,SizedDataset]]"
_UNIONS: dict[str, dict[type, str]] = {
    "datasets": {list: _DATASETS, dict: "DatasetFilter"},
    "tasks": {list: "list[str]"},
}


def _as_meant(errors: list[Any]) -> list[Any]:
    """Errors without those of types that the user did not mean."""
    kept = []
    for error in errors:
        where = error["loc"]
        meant = _UNIONS.get(str(where[0])) if len(where) > 1 else None
        if meant is None:
            kept.append(error)
            continue
        value = error["input"]
        entry = where[1] == _DATASETS and len(where) == 4
        if entry and (where[3] == "str") == isinstance(value, Mapping):
            continue
        if len(where) == 2 and type(value) not in meant:
            said = " or ".join(
                ["a list of names", *(["a filter"] if dict in meant else []), "`all`"]
            )
            kept.append({**error, "loc": where[:1], "msg": f"must be {said}", "type": "union"})
        elif len(where) > 2 or where[1] == meant.get(type(value)):
            kept.append(error)
    unique = {(error["loc"], error["msg"]): error for error in kept}
    return list(unique.values())


def _path(where: list[str]) -> list[str]:
    """Keys on the way to an error, without pydantic's names of types."""
    tags = {*KINDS, "list[str]", _DATASETS, "str", "DatasetFilter", "SizedDataset"}
    tags |= {"literal['all']"}
    return [
        part
        for i, part in enumerate(where)
        # An encoder may be called like its kind: only the tag behind the name is no key.
        if not (i and part in tags and where[i - 1] != "encoders")
    ]


def _remedy(error: Any) -> str | None:
    """What to type instead, as YAML that stands in a file and behind ``--config`` alike."""
    path = _path([str(part) for part in error["loc"]])
    if path == ["run"] and isinstance(error["input"], int | float):
        # Snakemake makes a number of it on the command line, whatever the quotes.
        value = error["input"]
        return f'write `run: "{value}"` in a file, or --config run=run{value}: a name'
    if path[:1] == ["datasets"] and path[1:2] and path[1].isdigit():
        return "write a name, or such as `{name: breastmnist, image_size: 64}`"
    typed = _typed(error, path) if path else None
    if typed is None:
        return None
    for part in reversed(path[1:]):
        typed = f"{{{part}: {typed}}}"
    return f"write `{path[0]}: {typed}`, or --config '{path[0]}={typed}'"


def _typed(error: Any, path: list[str]) -> str | None:
    """A valid value near the one that is not, as YAML; None where none is near."""
    value, context = error["input"], error.get("ctx", {})
    names = value if isinstance(value, list) else [value]
    section: type[BaseModel] = Config
    for part in path[:-1]:
        section = submodels(section).get(part, section)
    field = section.model_fields.get(path[-1])
    default = None if field is None or field.is_required() else field.default
    simple = default is not None and not isinstance(default, BaseModel | list)
    typed = _yaml(default) if simple else None
    match error["type"]:
        case "model_type" if path[-1] in submodels(section):
            first, inner = next(iter(submodels(section)[path[-1]].model_fields.items()))
            listed = str(inner.annotation).startswith("list")
            typed = f"{{{first}: {_yaml(names if listed else value)}}}"
        case "model_attributes_type":
            typed = "{}"
        case "list_type" | "union":
            typed = _yaml(names)
        case "dict_type" if isinstance(value, str | list):
            typed = "{" + ", ".join(f"{name}: {{}}" for name in names) + "}"
        case "missing":
            typed = {"run": "NAME", "encoders": "{taco: {}, pixels: {}}"}.get(path[-1], "...")
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context.get("expected", ""))
            typed = next(iter(get_close_matches(str(value), choices, 1)), None)
        case "string_type" if not isinstance(value, list | Mapping):
            typed = f'"{value}"'
        case "string_pattern_mismatch":
            typed = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_.-]+", "", str(value)) or "NAME"
        case "greater_than_equal" | "less_than_equal":
            typed = str(context.get("ge", context.get("le")))
    return typed


def _yaml(value: Any) -> str:
    """A value as YAML on one line."""
    return json.dumps(value, default=str).replace('"', "")


def _explain(error: Any) -> str:
    """One line for one validation error: key, value, what would be valid."""
    where = [str(part) for part in error["loc"]]
    key, value = ".".join(_path(where)), error["input"]
    if error["type"] == "extra_forbidden":
        return f"config: unknown key {key!r}; {nearest(where[-1], _keys_beside(where))}"
    if error["type"] == "missing":
        field = Config.model_fields.get(key)
        about = f" ({field.description})" if field else ""
        return f"config: {key!r} is missing; write `{key}: ...`{about}"
    if error["type"] == "union_tag_invalid":
        kinds = [t.strip(" '") for t in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"config: {key}.kind: {tag!r} is no kind of encoder; {nearest(tag, kinds)}"
    shown = "" if isinstance(value, Mapping) else f" (is {value!r})"
    message = error["msg"].removeprefix("Value error, ")
    return f"config: {key + ': ' if key else ''}{message}{shown}"


def _keys_beside(where: list[str]) -> list[str]:
    """Valid keys of the section in which an unknown key stands."""
    sections = submodels(Config)
    for kind in KINDS.values():
        sections |= submodels(kind)
    sections |= KINDS
    for part in reversed(where[:-1]):
        if part in sections:
            return list(sections[part].model_fields)
    return list(Config.model_fields)
