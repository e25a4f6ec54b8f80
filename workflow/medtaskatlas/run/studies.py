"""Trainings beside those of the encoders: with some tasks held out, and with less data.

A study is a list of points; a point is one training. Both are known before the DAG is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

from medtaskatlas.core.seeds import generator

if TYPE_CHECKING:
    from medtaskatlas.run.plan import Plan

UNSEEN_TASKS = "unseen_tasks"
SCALING = "scaling"


@dataclass(frozen=True)
class Point:
    """One training of a study.

    Attributes
    ----------
    study
        :data:`UNSEEN_TASKS` or :data:`SCALING`.
    name
        Its folder below the study's.
    encoder
        Name of the encoder.
    options
        Its options, with the budget of the study.
    seed
        Training seed.
    training_cells
        (task, dataset) that it learns from.
    asked_cells
        (task, dataset) that are embedded, those that it learns from among them.
    pairs_per_cell
        Training pairs of a cell; None: all.
    """

    study: str
    name: str
    encoder: str
    options: dict[str, Any]
    seed: int
    training_cells: list[tuple[str, str]]
    asked_cells: list[tuple[str, str]]
    pairs_per_cell: int | None = None

    @property
    def key(self) -> str:
        """Its folder: ``<study>/<name>``."""
        return f"{self.study}/{self.name}"


def task_folds(families: Mapping[str, str], folds: int, seed: int) -> list[list[str]]:
    """Deal tasks into folds, so that each fold has tasks of every family.

    Parameters
    ----------
    families
        Task to family.
    folds
        Number of folds.
    seed
        The run's seed.

    Returns
    -------
    list of list of str
        Every task is in one fold; sizes differ by one at most.
    """
    rng = generator(seed, "task folds")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    place = cycle(range(folds))
    for family in sorted(set(families.values())):
        members = sorted(task for task, its in families.items() if its == family)
        for i in rng.permutation(len(members)):
            dealt[next(place)].append(members[i])
    return [sorted(fold) for fold in dealt]


def nested(names: Sequence[str], seed: int) -> list[str]:
    """One order of datasets, so that a larger choice holds every smaller one.

    Parameters
    ----------
    names
        Names of datasets.
    seed
        The run's seed.

    Returns
    -------
    list of str
        The names, shuffled.
    """
    return [
        names[i] for i in generator(seed, "scaling", "datasets").permutation(len(names)).tolist()
    ]


def points_of(plan: Plan) -> dict[str, Point]:
    """All points of all studies of a run.

    Parameters
    ----------
    plan
        The run.

    Returns
    -------
    dict of str to Point
        By :attr:`Point.key`.
    """
    points = [*_unseen_tasks(plan), *_scaling(plan)]
    return {point.key: point for point in points}


def _with_steps(plan: Plan, encoder: str, steps: int | None) -> dict[str, Any]:
    """Options of an encoder with another budget."""
    options = plan.encoders[encoder].options()
    return options if steps is None else {**options, "steps": steps}


def _unseen_tasks(plan: Plan) -> list[Point]:
    """One point a fold and encoder: all that the run trains on but the tasks of the fold.

    Tasks that the run never trains on (held out, or on held-out datasets only) are unseen by every
    fold. They are dealt behind the others, so that they change no training.
    Tasks that the point learns from are only what the fold's are compared with, so that of whole
    datasets held out none but the fold's tasks are embedded.
    """
    study = plan.config.unseen_tasks
    if study is None:
        return []
    families = {name: task.family for name, task in plan.tasks.items()}
    trained = {task for task, _ in plan.training_cells}
    folds = task_folds({t: f for t, f in families.items() if t in trained}, study.folds, plan.seed)
    asked = [list(fold) for fold in folds]
    for i, task in enumerate(sorted({task for task, _ in plan.cells} - trained)):
        asked[i % study.folds].append(task)
    points = []
    for encoder in study.encoders:
        for i, fold in enumerate(folds):
            known = [cell for cell in plan.training_cells if cell[0] not in fold]
            points.append(
                Point(
                    UNSEEN_TASKS,
                    f"{encoder}_fold{i}",
                    encoder,
                    _with_steps(plan, encoder, study.steps),
                    plan.config.seeds[0],
                    known,
                    [*known, *(cell for cell in plan.cells if cell[0] in asked[i])],
                )
            )
    return points


def _scaling(plan: Plan) -> list[Point]:
    """Points with fewer pairs, fewer datasets, and with all of both, for some seeds."""
    study = plan.config.scaling
    if study is None:
        return []
    datasets = nested(sorted({dataset for _, dataset in plan.training_cells}), plan.seed)
    every = len(datasets)
    choices: list[tuple[int, int | None]] = [(every, pairs) for pairs in study.pairs]
    choices += [(n, None) for n in study.datasets if n < every]
    asked = [cell for cell in plan.cells if cell[1] in plan.heldout]
    points = []
    for n, pairs in [*choices, (every, None)]:
        for seed in study.seeds:
            cells = [cell for cell in plan.training_cells if cell[1] in datasets[:n]]
            points.append(
                Point(
                    SCALING,
                    f"datasets{n}_pairs{pairs or 'all'}_seed{seed}",
                    study.encoder,
                    _with_steps(plan, study.encoder, study.steps),
                    seed,
                    cells,
                    [*cells, *asked],
                    pairs,
                )
            )
    return points
