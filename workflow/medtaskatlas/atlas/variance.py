"""Shares of variance of tasks and datasets, on a balanced crossed subset."""

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


def omega_squared(
    cells: np.ndarray, task_parent: np.ndarray, dataset_parent: np.ndarray
) -> dict[str, float]:
    r"""Variance shares of a balanced two-way layout with interaction, in Euclidean space.

    :math:`\omega^2 = (SS - df\,MSE) / (SS_{total} + MSE)` (Hays, 1963; Olejnik and Algina, 2003),
    with sums of squared Euclidean distances over all dimensions (Anderson, 2001). Tasks are nested
    in families, datasets in modalities.

    Parameters
    ----------
    cells
        float [T, D, n, dim].
    task_parent, dataset_parent
        Family of each task [T], modality of each dataset [D].

    Returns
    -------
    dict
        Shares of ``task`` (family included), ``family``, ``dataset`` (modality included),
        ``modality``, ``interaction``; ``family`` or ``modality`` is NaN where it has one level, or
        as many as there are tasks or datasets. Small negative values mean none.
    """
    T, D, n, _ = cells.shape
    cells = cells.astype(np.float64)
    grand = cells.mean(axis=(0, 1, 2))
    by_task, by_dataset = cells.mean(axis=(1, 2)), cells.mean(axis=(0, 2))
    by_cell = cells.mean(axis=2)
    error = float(((cells - by_cell[:, :, None]) ** 2).sum())
    total = float(((cells - grand) ** 2).sum())
    mse = error / (T * D * (n - 1))
    crossed = by_cell - by_task[:, None] - by_dataset[None] + grand

    def share(ss: float, df: int) -> float:
        return (ss - df * mse) / (total + mse)

    def parent_share(means: np.ndarray, parent: np.ndarray, weight: int) -> float:
        names, code = np.unique(parent, return_inverse=True)
        if not 1 < len(names) < len(means):
            return float("nan")
        size = np.bincount(code)
        centre = np.stack([means[code == i].mean(axis=0) for i in range(len(names))])
        ss = float((size * ((centre - grand) ** 2).sum(axis=1)).sum()) * weight
        return share(ss, len(names) - 1)

    return {
        "task": share(D * n * float(((by_task - grand) ** 2).sum()), T - 1),
        "family": parent_share(by_task, np.asarray(task_parent, dtype=str), D * n),
        "dataset": share(T * n * float(((by_dataset - grand) ** 2).sum()), D - 1),
        "modality": parent_share(by_dataset, np.asarray(dataset_parent, dtype=str), T * n),
        "interaction": share(n * float((crossed**2).sum()), (T - 1) * (D - 1)),
    }
