"""Shares of variance of tasks and datasets, on a balanced crossed subset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils.extmath import randomized_svd

from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.inference import Interval, percentile_interval
from medtaskatlas.atlas.resampling import Design, Draws

MIN_CELL = 4
FACTORS = ("task", "family", "dataset", "modality", "interaction")
# Variance below this share of the squared length is rounding of 32-bit numbers.
CONSTANT = 1e-10
# Numbers held at once in the bootstrap, so that memory does not grow with dimensions and draws.
BLOCK = 10_000_000
# Wider embeddings are bootstrapped on as many principal components.
COMPONENTS = 128
BASIS_PAIRS = 4000
EXACT_BASIS = 1024  # dimensions; a full decomposition of wider ones takes many seconds


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
        as many as there are tasks or datasets, and all are NaN where all pairs are the same but for
        rounding. Small negative values mean none.
    """
    T, D, n, _ = cells.shape
    # One copy, around the grand mean: a wide embedding has hundreds of megabytes.
    cells = cells.astype(np.float64)
    size = float(_squared(cells).sum())
    cells -= cells.mean(axis=(0, 1, 2))
    by_cell = cells.mean(axis=2)
    by_task, by_dataset = by_cell.mean(axis=1), by_cell.mean(axis=0)
    total = float(_squared(cells).sum())
    if total <= CONSTANT * size:
        return dict.fromkeys(FACTORS, float("nan"))
    error = total - n * float(_squared(by_cell).sum())
    mse = error / (T * D * (n - 1))
    crossed = by_cell - by_task[:, None] - by_dataset[None]

    def share(ss: float, df: int) -> float:
        return (ss - df * mse) / (total + mse)

    def parent_share(means: np.ndarray, parent: np.ndarray, weight: int) -> float:
        names, code = np.unique(parent, return_inverse=True)
        if not 1 < len(names) < len(means):
            return float("nan")
        size = np.bincount(code)
        centre = np.stack([means[code == i].mean(axis=0) for i in range(len(names))])
        ss = float((size * _squared(centre)).sum()) * weight
        return share(ss, len(names) - 1)

    return {
        "task": share(D * n * float(_squared(by_task).sum()), T - 1),
        "family": parent_share(by_task, np.asarray(task_parent, dtype=str), D * n),
        "dataset": share(T * n * float(_squared(by_dataset).sum()), D - 1),
        "modality": parent_share(by_dataset, np.asarray(dataset_parent, dtype=str), T * n),
        "interaction": share(n * float(_squared(crossed).sum()), (T - 1) * (D - 1)),
    }


def omega_squared_draws(
    vectors: np.ndarray,
    subset: Crossed,
    design: Design,
    draws: Draws,
    *,
    parents: tuple[np.ndarray, np.ndarray],
) -> dict[str, np.ndarray]:
    """Variance shares of :func:`omega_squared` on bootstrap draws of datasets and groups.

    The layout stays balanced: pairs are weighted inside their cell, so that every task of every
    drawn dataset counts alike whatever groups were drawn. A cell none of whose groups was drawn is
    taken as it is. With weights of 1 the shares are those of :func:`omega_squared`, but for means
    of embeddings of more than 128 dimensions: they are taken on the first 128 components.

    Parameters
    ----------
    vectors
        float [N, dim], pairs of the frame that the subset was chosen from.
    subset
        The crossed subset.
    design
        Of the subset's pairs, ``frame.iloc[subset.rows.ravel()]``.
    draws
        B draws of its datasets and groups.
    parents
        Family of each task [T], modality of each dataset [D].

    Returns
    -------
    dict of str to numpy.ndarray
        Factor to float64 [B], NaN where :func:`omega_squared` is.
    """
    T, D, n = subset.rows.shape
    B = len(draws.group)
    # Around the grand mean, lest squares lose digits; shares do not depend on it.
    chosen = vectors[subset.rows.ravel()]
    chosen = chosen - chosen.mean(axis=0, dtype=np.float64).astype(chosen.dtype)
    lengths = np.einsum("nd,nd->n", chosen, chosen, dtype=np.float64)
    # Scatter within cells is kept whole; means of cells hardly leave the first components.
    chosen = leading(chosen, COMPONENTS)
    dim = chosen.shape[1]
    G = len(design.group_dataset)
    at = design.group * T + design.task
    sums = np.zeros((G * T, dim))
    np.add.at(sums, at, chosen)
    sums = sums.reshape(G, T, dim).astype(np.float32)
    squares = np.bincount(at, lengths, G * T).reshape(G, T)
    size = np.bincount(at, minlength=G * T).reshape(G, T).astype(float)
    coded = [np.unique(np.asarray(p, dtype=str), return_inverse=True) for p in parents]
    out = {factor: np.full(B, np.nan) for factor in FACTORS}
    step = max(1, BLOCK // (T * D * dim))
    for start in range(0, B, step):
        part = slice(start, start + step)
        cells, square = _weighted_cells(sums, squares, size, design, draws.group[part])
        found = _shares(cells, square, draws.dataset[part], n, coded)
        for factor, values in found.items():
            out[factor][part] = values
    return out


def leading(vectors: np.ndarray, n: int) -> np.ndarray:
    """Coordinates on the first principal components.

    Parameters
    ----------
    vectors
        float [N, D], centred.
    n
        Number of components at most.

    Returns
    -------
    numpy.ndarray
        float64 [N, n]; the vectors themselves where they have no more dimensions.
    """
    if vectors.shape[1] <= n:
        return vectors.astype(np.float64)
    some = vectors[:: max(1, len(vectors) // BASIS_PAIRS)]
    if vectors.shape[1] <= EXACT_BASIS:
        axes = np.linalg.eigh(some.T.astype(np.float64) @ some)[1][:, -n:]
    else:
        axes = randomized_svd(some, n, random_state=0)[2].T
    return np.asarray((vectors @ axes.astype(vectors.dtype)).astype(np.float64))


def _weighted_cells(
    sums: np.ndarray, squares: np.ndarray, size: np.ndarray, design: Design, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means [B, D, T, dim] and mean squared lengths [B, D, T] of cells, pairs weighted."""
    B, (T, dim), D = len(weights), sums.shape[1:], len(design.datasets)
    cells, square = np.zeros((B, D, T, dim), np.float32), np.zeros((B, D, T))
    for d in range(D):
        members = design.group_dataset == d
        weight, own = weights[:, members], sums[members].reshape(members.sum(), -1)
        total, lengths = weight @ size[members], weight @ squares[members]
        cells[:, d] = (weight.astype(np.float32) @ own).reshape(B, T, dim)
        empty = total == 0
        if empty.any():
            total = np.where(empty, size[members].sum(axis=0), total)
            lengths = np.where(empty, squares[members].sum(axis=0), lengths)
            cells[:, d][empty] = sums[members].sum(axis=0)[np.nonzero(empty)[1]]
        cells[:, d] /= total[:, :, None]
        square[:, d] = lengths / total
    return cells, square


def _shares(
    cells: np.ndarray,
    square: np.ndarray,
    dataset_weight: np.ndarray,
    n: int,
    parents: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Shares on each draw, from cell means and mean squared lengths."""
    B, D, T, dim = cells.shape
    v = dataset_weight / dataset_weight.sum(axis=1, keepdims=True)
    weight = v.astype(np.float32)[:, None]
    by_task = (weight @ cells.reshape(B, D, -1)).reshape(B, T, dim)
    by_dataset = cells.mean(axis=2)
    grand = by_task.mean(axis=1)
    middle = _squared(grand)
    # Mean squares of the layout, a pair at a time; times T D n they are the sums of squares.
    total = np.einsum("bdt,bd->b", square, v) / T - middle
    between = np.einsum("bdt,bd->b", _squared(cells), v) / T - middle
    task = _squared(by_task).mean(axis=1) - middle
    dataset = (_squared(by_dataset) * v).sum(axis=1) - middle
    mse = (total - between) * n / (n - 1)
    size = T * D * n

    def share(mean_square: np.ndarray, df: int) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((size * mean_square - df * mse) / (size * total + mse))

    def parent(means: np.ndarray, weight: np.ndarray, which: int) -> np.ndarray:
        names, code = parents[which]
        if not 1 < len(names) < means.shape[1]:
            return np.full(B, np.nan)
        inside = weight @ np.eye(len(names))[code]
        member = (np.eye(len(names))[code] * weight[:, :, None]).swapaxes(1, 2)
        top = member @ means
        centre = top / np.where(inside > 0, inside, 1)[:, :, None]
        return share((_squared(centre) * inside).sum(axis=1) - middle, len(names) - 1)

    return {
        "task": share(task, T - 1),
        "family": parent(by_task, np.full((B, T), 1 / T), 0),
        "dataset": share(dataset, D - 1),
        "modality": parent(by_dataset, v, 1),
        "interaction": share(between - task - dataset, (T - 1) * (D - 1)),
    }


def _squared(values: np.ndarray) -> np.ndarray:
    """Squared length of the last axis."""
    return np.asarray(np.einsum("...e,...e->...", values, values), np.float64)


def centred_interval(
    draws: np.ndarray, estimate: float, n: Counts, n_seeds: int, *, high: float | None = None
) -> Interval:
    """Percentile interval around the estimate, of a statistic that resampling shifts.

    Drawn groups repeat each other, which adds scatter between means that the data do not have, and
    drawn datasets are fewer distinct ones. Both move all draws alike, so their mean is brought back
    to the estimate.

    Parameters
    ----------
    draws
        float [B], the statistic on every draw.
    estimate
        The statistic of the data.
    n
        What it rests on.
    n_seeds
        Seeds that were drawn.
    high
        Largest value that the statistic can have, if any.

    Returns
    -------
    Interval
        As :func:`medtaskatlas.atlas.inference.percentile_interval`, the method marked as centred.
    """
    draws = centred_draws(draws, estimate)
    made = percentile_interval(
        draws if high is None else np.minimum(draws, high),
        n_groups=n["n_groups"],
        n_datasets=n["n_datasets"],
        n_seeds=n_seeds,
    )
    if made.ci_method is None:
        return made
    return Interval(made.ci_low, made.ci_high, f"{made.ci_method}, centred", made.note)


def centred_draws(draws: np.ndarray, estimate: float) -> np.ndarray:
    """Finite draws, moved so that their mean is the estimate.

    Parameters
    ----------
    draws
        float [B].
    estimate
        The statistic of the data.

    Returns
    -------
    numpy.ndarray
        float [at most B].
    """
    draws = draws[np.isfinite(draws)]
    return draws - draws.mean() + estimate if len(draws) else draws
