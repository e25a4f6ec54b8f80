"""A balanced crossed subset of the pairs: every task in every dataset, equally often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_CELL = 4


@dataclass(frozen=True)
class Crossed:
    """Pairs in which every chosen task meets every chosen dataset equally often.

    Attributes
    ----------
    rows
        int [T, D, n], rows of the frame.
    tasks, datasets
        Names, sorted.
    """

    rows: np.ndarray
    tasks: list[str]
    datasets: list[str]


def crossed_subset(
    frame: pd.DataFrame, rng: np.random.Generator, *, families: bool = False
) -> Crossed | None:
    """Largest crossed subset, with as many pairs a cell as its smallest cell has.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``task``, ``family``; one row a pair.
    rng
        Chooses pairs in cells that have more.
    families
        Take only subsets that hold all families of the frame.

    Returns
    -------
    Crossed or None
        None where no two tasks share two datasets with at least four pairs a cell.
    """
    size = frame.groupby(["task", "dataset"], observed=True).size().unstack(fill_value=0)
    enough = size >= MIN_CELL
    family = frame.groupby("task", observed=True)["family"].first()
    every = set(family)
    best: tuple[int, list[str], list[str]] = (0, [], [])
    # Datasets with more tasks first: the tasks they share can only become fewer along the way.
    order = enough.sum().sort_values(ascending=False, kind="stable").index
    for count in range(2, len(order) + 1):
        datasets = list(order[:count])
        tasks = list(enough.index[enough[datasets].all(axis=1)])
        area = count * len(tasks)
        complete = not families or set(family.loc[tasks]) == every
        if len(tasks) >= 2 and area > best[0] and complete:
            best = (area, tasks, datasets)
    if best[0] == 0:
        return None
    _, tasks, datasets = best
    datasets = sorted(datasets)
    n = int(size.loc[tasks, datasets].to_numpy().min())
    place = frame.reset_index(drop=True).groupby(["task", "dataset"], observed=True).indices
    rows = [
        [np.sort(rng.permutation(place[task, dataset])[:n]) for dataset in datasets]
        for task in tasks
    ]
    return Crossed(np.array(rows), tasks, datasets)
