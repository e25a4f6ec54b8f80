"""Trained networks of a system, put together again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import existing_folder
from medtaskatlas.formats.multitask_training import read_config
from medtaskatlas.multitask.options import Multitask
from medtaskatlas.multitask.training import forward_of, network_of
from medtaskatlas.problems.ensemble import (
    CONFIG,
    MODEL,
    Ensemble,
    Member,
    by_number,
    check_alike,
    misfit,
    read_weights,
    restored,
)
from medtaskatlas.problems.problem import Kinds
from medtaskatlas.problems.targets import load_kinds, target_of

_PREPARATION = ("modality", "body_part", "windowing", "axes")
# What all seeds of a system must have in common to be averaged.
_COMMON = ("problem", "network", "channels", "size", *_PREPARATION)


def load_ensemble(model: Path, targets_dir: Path | None = None) -> Ensemble:
    """Networks of a system.

    Parameters
    ----------
    model
        Folder of a system, multitask/<problem>/<system>: all its seeds; or of one of them.
    targets_dir
        Folder with the user's own kinds of targets; by default the one that it was trained with.

    Raises
    ------
    ConfigError, DataError
        If there is no trained system, its files are of another version or damaged, its seeds do not
        fit each other, or a kind of target is not known.
    """
    folders = _seeds(existing_folder(model))
    configs = [read_config(folder / CONFIG) for folder in folders]
    check_alike(folders, configs, _COMMON)
    members, folds, seeds = [], set(), []
    for folder, config in zip(folders, configs, strict=True):
        try:
            members += _members(folder, config, targets_dir)
            folds |= {training["fold"] for training in config["trainings"]}
            seeds.append(int(config["seed"]))
        except (KeyError, TypeError, ValidationError) as error:
            raise misfit(folder, error) from error
    common = configs[0]
    ensemble = Ensemble(
        folders,
        common["problem"]["targets"],
        tuple(common["size"]),
        int(common["channels"]),
        {key: common[key] for key in _PREPARATION},
        members,
        seeds,
        sorted(folds),
        {"problem": common["problem"]},
    )
    ensemble.check_mean()
    return ensemble


def _seeds(model: Path) -> list[Path]:
    """Folders of the seeds of a system, or of the one that is named."""
    if (model / MODEL).is_file():
        return [model]
    found = [path.parent for path in model.glob(f"seed*/{MODEL}")]
    if not found:
        near = sorted({str(p.parent.parent) for p in model.glob(f"**/seed*/{MODEL}")})
        raise ConfigError(
            f"{model} holds no trained system",
            f"name one of {', '.join(near)}"
            if near
            else "give multitask/<problem>/<system> of a "
            "run, or a seed in it; `snakemake multitask` trains them",
        )
    return by_number(found)


def _members(folder: Path, config: Mapping[str, Any], targets_dir: Path | None) -> list[Member]:
    """Networks of one seed."""
    # How losses are weighed, which may need a package, is nothing to a trained network.
    given = config["options"]
    systems = {n: {**s, "weighting": "equal"} for n, s in given["systems"].items()}
    options = Multitask.model_validate({**given, "systems": systems})
    trained_with = options.targets_dir
    if targets_dir is None and trained_with is not None and trained_with.is_dir():
        targets_dir = trained_with
    kinds = _kinds(folder, config, targets_dir)
    tensors = read_weights(folder)
    made = partial(network_of, options, config["name"], seed=config["seed"])
    shape = {"channels": config["channels"], "dims": len(config["size"])}
    members: list[Member] = []
    number: dict[int, int] = {}
    spoken: set[tuple[int, str]] = set()
    for training in config["trainings"]:
        fold, names = training["fold"], training["targets"]
        i = number[fold] = number.get(fold, -1) + 1
        facts = config["targets"][str(fold)]
        targets = {name: target_of(facts[name], kinds) for name in facts}
        start = f"{fold}.{i}."
        own = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        network = restored(made(targets, names, **shape), own, folder)
        # Where targets are trained two by two, the first network of each speaks for it.
        fresh = [name for name in names if (fold, name) not in spoken]
        spoken |= {(fold, name) for name in fresh}
        if fresh:
            members.append(Member(forward_of(network), {name: targets[name] for name in fresh}))
    return members


def _kinds(folder: Path, config: Mapping[str, Any], targets_dir: Path | None) -> Kinds:
    """Kinds of targets, among them all that were trained."""
    kinds = load_kinds(targets_dir)
    for targets in config["targets"].values():
        for name, facts in targets.items():
            if facts["kind"] not in kinds:
                raise ConfigError(
                    f"{folder / CONFIG}: target {name} is of the kind {facts['kind']}, which is "
                    "not known",
                    "give the folder with its file: --targets-dir",
                )
    return kinds
