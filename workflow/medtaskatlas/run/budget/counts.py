"""How many pictures and pairs a run has, as far as that is known before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.run.plan import Plan

RATES = Path(__file__).parent / "rates.json"
ASSUMED = Path(__file__).parent / "assumed.json"


@dataclass(frozen=True)
class Images:
    """Pictures of a dataset.

    Attributes
    ----------
    n
        How many are prepared.
    known
        Where the number is from: ``published``, ``measured``, or ``assumed``.
    """

    n: int
    known: str


def images_of(plan: Plan, measured: Mapping[str, int]) -> dict[str, Images]:
    """Pictures of each dataset of a run.

    Parameters
    ----------
    plan
        The run.
    measured
        Dataset of the packages to how many pictures were prepared of it.

    Returns
    -------
    dict of str to Images
        Of a folder of the user's own as many as a cell has pairs: more cost nothing but disk.
    """
    return {name: _images(plan, dataset, measured) for name, dataset in plan.datasets.items()}


def _images(plan: Plan, dataset: Dataset, measured: Mapping[str, int]) -> Images:
    if dataset.n_images is not None:
        found = Images(dataset.n_images, "published")
    elif dataset.source == "embedded" and dataset.name in measured:
        found = Images(measured[dataset.name], "measured")
    else:
        found = Images(plan.config.pairs_per_cell, "assumed")
    most = plan.config.images_per_dataset
    return Images(found.n if most is None else min(found.n, most), found.known)


def pairs_of(
    plan: Plan, cells: Iterable[tuple[str, str]], set: str, most: int | None = None
) -> int:
    """Pairs of some cells.

    Parameters
    ----------
    plan
        The run.
    cells
        (task, dataset) of each.
    set
        main, failure or trajectory.
    most
        Most main pairs of a cell that learn; None: all.

    Returns
    -------
    int
        At most so many: a dataset with few usable pictures has fewer trajectories.
    """
    config = plan.config
    each = {
        "main": config.pairs_per_cell,
        "failure": config.failures_per_cell,
        "trajectory": config.trajectories_per_cell * config.trajectory_levels,
    }[set]
    n = len(list(cells))
    if most is None:
        return n * each
    learn = round(each * config.splits.train)
    return n * (each - learn + min(learn, most))


def stored_sides(plan: Plan, cells: Iterable[tuple[str, str]], set: str) -> int:
    """Sides of the pairs of some cells that are stored: the others are prepared images.

    Parameters
    ----------
    plan
        The run.
    cells
        (task, dataset) of each.
    set
        main, failure or trajectory.

    Returns
    -------
    int
        One a pair, or two where failures of a task have neither side in common with the image.
    """
    return sum(
        pairs_of(plan, [(task, dataset)], set)
        * (2 if set == "failure" and plan.made_tasks[task].stored_side == "input" else 1)
        for task, dataset in cells
    )


def pixels_mb(plan: Plan, cells: Iterable[tuple[str, str]], set: str) -> float:
    """Pixels of the pairs of some cells.

    Parameters
    ----------
    plan
        The run.
    cells
        (task, dataset) of each.
    set
        main, failure or trajectory.

    Returns
    -------
    float
        Megabytes of stored sides, uint8.
    """
    return stored_sides(plan, cells, set) * 3 * plan.config.image_size**2 / 1e6


def assumed() -> dict:
    """What is assumed or was counted once, from assumed.json.

    Returns
    -------
    dict
        ``networks``, ``download_mb_per_second``, ``gpus``.
    """
    return dict(json.loads(ASSUMED.read_text()))
