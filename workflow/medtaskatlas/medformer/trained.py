"""Trained arms: found in a run, put together again, and asked for the targets of one set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.core.files import existing_run
from medtaskatlas.formats.multitask_training import read_config
from medtaskatlas.medformer.adaptation import forward_of
from medtaskatlas.medformer.model import KINDS, Medformer, Shape, Who
from medtaskatlas.medformer.options import REGRESSIONS, NetworkOptions
from medtaskatlas.medformer.sets import Learned
from medtaskatlas.medformer.train import network_of
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
from medtaskatlas.problems.targets import load_kinds, target_of

FOLDER = "medformer"  # of a run
RUNS = "results"
MEAN = "mean"  # of all latents of a kind
_PREPARATION = ("modality", "body_part", "windowing", "axes")
_KIND = {True: "volumes", False: "pictures"}


@dataclass(frozen=True)
class Chosen:
    """A set that an arm has learned, and the folders of its seeds with their config.json."""

    name: str
    configs: dict[Path, dict[str, Any]]


def choose(
    model: Path,
    run: Path | None = None,
    set_name: str | None = None,
    labels: int | None = None,
    *,
    volumes: bool | None = None,
) -> Chosen:
    """The trainings that are meant.

    Parameters
    ----------
    model
        medformer/<arm>, in a run or with ``run``; or a folder below medformer/ as it lies there.
    run
        results/<run>; by default the one in results/ that has the arm.
    set_name
        Set whose targets are wanted; by default the only one of that kind of image.
    labels
        Percentage of the labels that the arm was trained with; by default the largest.
    volumes
        Whether the images are volumes; None: not known, or both.

    Raises
    ------
    ConfigError
        If there is no such arm, set or percentage, or several; names them.
    """
    parts = Path(model).parts
    at = max(i for i, part in enumerate(parts[:-1]) if part == FOLDER)
    # <set>/<arm>/labels<percent>/seed<k>; the arm alone stands for all sets.
    below = parts[at + 1 :] if len(parts) > at + 2 else ("*", parts[-1])
    arm, place = below[1], _run_of(Path(*parts[:at]), run, below[1]) / FOLDER
    wanted = [*below, *("labels*", "seed*")[len(below) - 2 :], MODEL]
    found = by_number([file.parent for file in place.glob("/".join(wanted))])
    if not found:
        arms = {file.parents[2].name for file in place.glob(f"*/*/labels*/seed*/{MODEL}")}
        raise ConfigError(
            f"{place} has no trained arm {'/'.join(part for part in below if part != '*')}",
            nearest(arm, arms),
        )
    configs = {folder: read_config(folder / CONFIG) for folder in found}
    try:
        name = _set_of(arm, configs, set_name, volumes)
    except (KeyError, TypeError) as error:
        raise misfit(found[0], error) from error
    configs = {folder: c for folder, c in configs.items() if name in c["sets"]}
    percents = sorted({_percent(folder) for folder in configs})
    if labels is not None and labels not in percents:
        raise ConfigError(
            f"--labels: {arm} was not trained with {labels} % of the labels of {name}",
            f"give one of {', '.join(map(str, percents))}",
        )
    share = percents[-1] if labels is None else labels
    configs = {folder: c for folder, c in configs.items() if _percent(folder) == share}
    places = sorted({str(folder.parent) for folder in configs})
    if len(places) > 1:
        raise ConfigError(
            f"{arm} was trained several times on {name}", f"name a folder: {', '.join(places)}"
        )
    return Chosen(name, configs)


def _percent(folder: Path) -> int:
    """Percentage of the labels of a seed's folder."""
    return int(folder.parent.name.removeprefix("labels"))


def _run_of(before: Path, run: Path | None, arm: str) -> Path:
    """Folder of the run: the one that is named, in the path of the model or beside it."""
    if run is not None or before.parts:
        return existing_run(run or before)
    runs = sorted({p.parents[2] for p in Path(RUNS).glob(f"*/{FOLDER}/*/{arm}") if p.is_dir()})
    if len(runs) != 1:
        had = f"several runs: {', '.join(map(str, runs))}" if runs else f"no run in {RUNS}/"
        raise ConfigError(f"the arm {arm} is in {had}", f"say which run: --run {RUNS}/NAME")
    return runs[0]


def _set_of(
    arm: str,
    configs: Mapping[Path, Mapping[str, Any]],
    asked: str | None,
    volumes: bool | None,
) -> str:
    """Set whose targets are meant."""
    cubes = {
        name: len(facts["size"]) == 3
        for config in configs.values()
        for name, facts in config["sets"].items()
    }
    if asked is not None:
        if asked not in cubes:
            raise ConfigError(
                f"--set: the arm {arm} has not learned {asked!r}", nearest(asked, cubes)
            )
        return asked
    fitting = [name for name in cubes if volumes in (None, cubes[name])] or list(cubes)
    if len(fitting) > 1:
        shown = ", ".join(f"{name} ({_KIND[cubes[name]]})" for name in sorted(fitting))
        raise ConfigError(
            f"the arm {arm} has learned several sets: {shown}",
            "say whose targets are meant: --set NAME",
        )
    return fitting[0]


def load_arm(chosen: Chosen, latents: Mapping[str, str]) -> Ensemble:
    """Networks of all seeds, asked for the targets of one set.

    Parameters
    ----------
    chosen
        See :func:`choose`.
    latents
        Names of latents in the place of the set's own, by kind; ``mean``: the mean of all.

    Raises
    ------
    ConfigError, DataError
        If files are of another version or damaged, seeds do not fit each other, or a latent is not
        known.
    """
    folders, configs = list(chosen.configs), list(chosen.configs.values())
    check_alike(folders, configs, ("arm", "options", "network", "share"))
    facts = [config["sets"][chosen.name] for config in configs]
    check_alike(folders, facts, ("shape", "size", *_PREPARATION))
    members = []
    for folder, config in zip(folders, configs, strict=True):
        try:
            members.append(_member(folder, config, chosen.name, latents))
        except (KeyError, TypeError, ValueError) as error:
            raise misfit(folder, error) from error
    first = facts[0]
    ensemble = Ensemble(
        folders,
        list(first["targets"]),
        tuple(first["size"]),
        int(first["shape"]["channels"]),
        {key: first[key] for key in _PREPARATION},
        members,
        [int(config["seed"]) for config in configs],
        facts={
            "arm": configs[0]["arm"],
            "set": chosen.name,
            "share": configs[0]["share"],
            "latents": dict(latents),
        },
    )
    ensemble.check_mean()
    return ensemble


def _member(
    folder: Path, config: Mapping[str, Any], name: str, latents: Mapping[str, str]
) -> Member:
    """Network of one seed."""
    sets = {n: _learned(n, facts) for n, facts in config["sets"].items()}
    model, options = config["options"]["model"], NetworkOptions.model_validate(config["network"])
    if model in REGRESSIONS:
        raise ConfigError(
            f"the arm {config['arm']} keeps no weights: it is fitted anew for its scores",
            "choose an arm with a network",
        )
    made = network_of(model, options, list(sets.values()), int(config["seed"]))
    network = restored(made, read_weights(folder), folder)
    _check_latents(network, config["arm"], latents)
    one = sets[name]

    def who(target: str) -> Who:
        own = dict(zip(KINDS, astuple(one.who(target)), strict=True)) | dict(latents)
        return Who(*(None if latent == MEAN else latent for latent in own.values()))

    forwards = {
        target: forward_of(network, one, who(target), mirrored=bool(config["mirrored"]))
        for target in one.targets
    }

    def forward(images: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {t: forwards[t](images, {t: own})[t] for t, own in rows.items()}

    return Member(forward, one.targets)


def _learned(name: str, facts: Mapping[str, Any]) -> Learned:
    """Set as config.json knows it."""
    kinds = load_kinds()
    targets = {t: target_of(own, kinds) for t, own in facts["targets"].items()}
    (modality,), (body_part,) = facts["modality"], facts["body_part"]
    shape, size = Shape(**facts["shape"]), tuple(facts["size"])
    return Learned(name, targets, shape, size, modality, body_part)


def _check_latents(network: torch.nn.Module, arm: str, latents: Mapping[str, str]) -> None:
    """Refuse latents that the network has not, or does not look at."""
    used: Sequence[str] = ()
    if isinstance(network, Medformer):
        used = KINDS if network.options.latents == "all" else ("task",)
    for kind, name in latents.items():
        if kind not in used:
            raise ConfigError(
                f"--{kind.replace('_', '-')}: the arm {arm} looks at no latent of it",
                "leave the option out; --window CENTRE WIDTH sets grey levels",
            )
        assert isinstance(network, Medformer)
        network.latents.get(kind, None if name == MEAN else name)
