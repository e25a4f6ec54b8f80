"""Trainings besides those of the encoders: with some tasks held out, and with less data.

A study is a list of points; a point is one training. Both are known before the DAG is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from medtaskatlas.core.seeds import generator
from medtaskatlas.run.config import Config

UNSEEN_TASKS = "unseen_tasks"
SCALING = "scaling"
Cell = tuple[str, str]  # task, dataset


@dataclass(frozen=True)
class Point:
    """One training of a study."""

    study: str  # UNSEEN_TASKS or SCALING
    name: str  # of its folder below the study's
    encoder: str
    options: dict[str, Any]  # of the encoder, with the budget of the study
    seed: int
    training_cells: list[Cell]
    embedded_cells: list[Cell]  # those that are embedded, the training cells among them
    pairs_per_cell: int | None = None  # training pairs of a cell; None: all

    @property
    def key(self) -> str:
        """Its folder: ``<study>/<name>``."""
        return f"{self.study}/{self.name}"

    @property
    def unseen_tasks(self) -> list[str]:
        """Tasks that are embedded but not learnt from."""
        learnt = {task for task, _ in self.training_cells}
        return sorted({task for task, _ in self.embedded_cells} - learnt)


def task_folds(families: Mapping[str, str], folds: int, seed: int) -> list[list[str]]:
    """Deal tasks (name to family) into folds of nearly one size, each with all families."""
    rng = generator(seed, "task folds")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    place = cycle(range(folds))
    for family in sorted(set(families.values())):
        members = sorted(task for task, its in families.items() if its == family)
        for i in rng.permutation(len(members)):
            dealt[next(place)].append(members[i])
    return [sorted(fold) for fold in dealt]


def nested(names: Sequence[str], seed: int) -> list[str]:
    """One order of datasets, so that a larger choice holds every smaller one."""
    return [
        names[i] for i in generator(seed, "scaling", "datasets").permutation(len(names)).tolist()
    ]


def points_of(
    config: Config,
    *,
    families: Mapping[str, str],
    cells: Sequence[Cell],
    training_cells: Sequence[Cell],
    heldout: Sequence[str],
) -> dict[str, Point]:
    """All points of a run's studies: the folds of ``unseen_tasks``, then ``scaling``."""
    points = [
        *_unseen_tasks(config, families, cells, training_cells),
        *_scaling(config, cells, training_cells, heldout),
    ]
    return {point.key: point for point in points}


def _with_steps(config: Config, encoder: str, steps: int | None) -> dict[str, Any]:
    """Options of an encoder with another budget."""
    options = config.encoders[encoder].options()
    return options if steps is None else {**options, "steps": steps}


def _unseen_tasks(
    config: Config,
    families: Mapping[str, str],
    cells: Sequence[Cell],
    training_cells: Sequence[Cell],
) -> list[Point]:
    """A point for each fold, trained on all cells of training but the tasks of the fold.

    Tasks that the run never trains on are unseen by every fold: they are dealt behind the others,
    so that they change no training.
    """
    study = config.unseen_tasks
    if study is None:
        return []
    trained = {task for task, _ in training_cells}
    seen = {t: f for t, f in families.items() if t in trained}
    folds = task_folds(seen, study.folds, config.seed)
    embedded = [list(fold) for fold in folds]
    for i, task in enumerate(sorted({task for task, _ in cells} - trained)):
        embedded[i % study.folds].append(task)
    points = []
    for encoder in study.encoders:
        for i, fold in enumerate(folds):
            known = [cell for cell in training_cells if cell[0] not in fold]
            points.append(
                Point(
                    UNSEEN_TASKS,
                    f"{encoder}_fold{i}",
                    encoder,
                    _with_steps(config, encoder, study.steps),
                    config.seeds[0],
                    known,
                    [*known, *(cell for cell in cells if cell[0] in embedded[i])],
                )
            )
    return points


def _scaling(
    config: Config,
    cells: Sequence[Cell],
    training_cells: Sequence[Cell],
    heldout: Sequence[str],
) -> list[Point]:
    """Points with fewer pairs, fewer datasets, and with all of both, for some seeds."""
    study = config.scaling
    if study is None:
        return []
    datasets = nested(sorted({dataset for _, dataset in training_cells}), config.seed)
    every = len(datasets)
    choices: list[tuple[int, int | None]] = [(every, pairs) for pairs in study.pairs]
    choices += [(n, None) for n in study.datasets if n < every]
    unseen = [cell for cell in cells if cell[1] in heldout]
    points = []
    for n, pairs in [*choices, (every, None)]:
        for seed in study.seeds:
            known = [cell for cell in training_cells if cell[1] in datasets[:n]]
            points.append(
                Point(
                    SCALING,
                    f"datasets{n}_pairs{pairs or 'all'}_seed{seed}",
                    study.encoder,
                    _with_steps(config, study.encoder, study.steps),
                    seed,
                    known,
                    [*known, *unseen],
                    pairs,
                )
            )
    return points
