"""Problems of the section ``multitask``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.multitask.options import Multitask
from medtaskatlas.problems.annotations import Annotations, annotations_of
from medtaskatlas.problems.problem import (
    COMPANION,
    Kinds,
    Problem,
    check_targets,
    offers_of,
    split_apart,
)
from medtaskatlas.problems.targets import load_kinds


def find_problems(
    section: Multitask, datasets: Mapping[str, Dataset], *, root: Path | None = None
) -> dict[str, Problem]:
    """Problems of a run, by name, before there are images.

    Parameters
    ----------
    section
        Section ``multitask`` of the configuration.
    datasets
        Datasets of the run, by name.
    root
        Folder that ``targets_dir`` is relative to; None: the working directory.

    Raises
    ------
    ConfigError
        If a dataset or target is unknown, a problem has one target, or datasets disagree; also if
        no dataset has what ``auto`` looks for.
    """
    folder = section.targets_dir
    kinds = load_kinds(folder if folder is None or root is None else root / folder)
    if section.problems:
        return {
            name: _checked(
                Problem(
                    name,
                    tuple(options.datasets),
                    tuple(options.targets),
                    options.folds or section.folds,
                    options.volumes,
                ),
                datasets,
                kinds,
            )
            for name, options in section.problems.items()
        }
    found = {}
    for name, dataset in datasets.items():
        if targets := auto_targets(annotations_of(dataset), kinds):
            found[name] = Problem(name, (name,), targets, section.folds)
    if not found:
        raise ConfigError(
            "multitask: no dataset of the run has a mask, label, map, value or objects",
            "name annotated datasets, or `multitask: null`; `medtaskatlas targets` lists them",
        )
    return found


def auto_targets(annotations: Annotations, kinds: Kinds) -> tuple[str, ...]:
    """Targets that ``auto`` learns of a dataset: all that are annotated, none where there is none.

    Objects are taken where they are numbered, since else they are the mask once more. A single
    target is joined by :data:`COMPANION`.
    """
    targets = [
        offer.target
        for offer in offers_of(annotations, kinds).values()
        if kinds[offer.kind].annotated and (offer.kind != "objects" or annotations.numbered)
    ]
    return (*targets, COMPANION) if len(targets) == 1 else tuple(targets)


def _checked(problem: Problem, datasets: Mapping[str, Dataset], kinds: Kinds) -> Problem:
    """A problem that its datasets can serve."""
    key = f"multitask.problems.{problem.name}"
    for name in problem.datasets:
        if name not in datasets:
            raise ConfigError(f"config: {key}.datasets: {name!r}", nearest(name, datasets))
        others = set(datasets[name].overlaps) & set(problem.datasets)
        if problem.folds and others:
            raise ConfigError(
                f"config: {key}.folds: {name} and {min(others)} show the same, and folds would "
                "part it",
                "leave `folds` out, or give each a problem of its own",
            )
        if apart := split_apart(name, problem.datasets, datasets):
            raise ConfigError(
                f"config: {key}.datasets: {name} and {apart[0]} show the same and are split apart "
                "from each other: one would be trained on what the other tests",
                "give each a problem of its own",
            )
    annotations = [
        annotations_of(datasets[name], volumes=problem.volumes) for name in problem.datasets
    ]
    check_targets(problem, annotations, kinds)
    if len(problem.targets) < 2:
        every = {name for about in annotations for name in offers_of(about, kinds)}
        raise ConfigError(
            f"config: {key}.targets: {list(problem.targets)} is one target alone",
            f"name two or more of {', '.join(sorted(every))}",
        )
    return problem
