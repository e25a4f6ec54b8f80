"""Statistics of what arranges an embedding: silhouettes, shares of variance and dispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.inference import permutation_p
from medtaskatlas.atlas.resampling import Design, Draws
from medtaskatlas.atlas.vectors import CONSTANT, leading, row_blocks

BLOCK = 2**19  # numbers that are made 64-bit at once
# Numbers held at once in the bootstrap, so that memory does not grow with dimensions and draws.
NUMBERS_AT_ONCE = 10_000_000
# Wider embeddings are bootstrapped on as many principal components.
COMPONENTS = 128
MIN_CELL = 4
FACTORS = ("task", "family", "dataset", "modality", "interaction")


def silhouettes(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    r"""Silhouette of every row [N] of unit vectors [N, D] by cosine distance, -1 to 1.

    :math:`s = (b - a) / \max(a, b)` with a the mean distance to the other rows of the own label and
    b the smallest mean distance to the rows of another one (Rousseeuw, 1987). The mean cosine
    distance to a set of unit vectors is one minus the product with their mean, so the cost is N x
    labels and exact. It is 0 for the only row of a label (as in scikit-learn) and NaN with one
    label only.
    """
    names, code = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return np.full(len(vectors), np.nan)
    size = np.bincount(code)
    total = label_sums(vectors, code)
    products, itself = np.empty((len(vectors), len(names))), np.empty(len(vectors))
    for part in row_blocks(vectors, BLOCK):
        block = vectors[part].astype(np.float64)
        products[part] = block @ total.T
        itself[part] = np.einsum("nd,nd->n", block, block)
    rows = np.arange(len(vectors))
    own = size[code]
    with np.errstate(invalid="ignore", divide="ignore"):
        a = 1 - (products[rows, code] - itself) / (own - 1)
        distance = 1 - products / size
        distance[rows, code] = np.inf
        b = distance.min(axis=1)
        s = (b - a) / np.maximum(a, b)
    return np.where(own > 1, np.nan_to_num(s), 0.0)


def label_sums(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Sums [T, D] of the rows of each label 0..T-1, without a copy of all rows."""
    total = np.zeros((int(code.max()) + 1, vectors.shape[1]))
    member = np.eye(len(total))
    for part in row_blocks(vectors, BLOCK):
        total += member[code[part]].T @ vectors[part].astype(np.float64)
    return total


def silhouettes_within(vectors: np.ndarray, labels: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Silhouette of every row among the rows of its own block; NaN in blocks with one label."""
    out = np.full(len(vectors), np.nan)
    for block in np.unique(blocks):
        rows = blocks == block
        out[rows] = silhouettes(vectors[rows], labels[rows])
    return out


@dataclass(frozen=True)
class Crossed:
    """Pairs in which every chosen task meets every chosen dataset equally often."""

    rows: np.ndarray  # int [T, D, n], rows of the frame
    tasks: list[str]  # Names, sorted
    datasets: list[str]


def crossed_subset(
    frame: pd.DataFrame, rng: np.random.Generator, *, families: bool = False
) -> Crossed | None:
    """Largest crossed subset, with as many pairs a cell as its smallest cell has.

    With `families`, only subsets that hold all families of the frame. None where no two tasks share
    two datasets with at least four pairs a cell.
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
    vectors: np.ndarray, rows: np.ndarray, task_parent: np.ndarray, dataset_parent: np.ndarray
) -> dict[str, float]:
    r"""Variance shares of a balanced two-way layout with interaction, in Euclidean space.

    :math:`\omega^2 = (SS - df\,MSE) / (SS_{total} + MSE)` (Hays, 1963; Olejnik and Algina, 2003),
    with sums of squared Euclidean distances over all dimensions (Anderson, 2001), on cells of
    `rows` [T, D, n]. Tasks are nested in families [T], datasets in modalities [D], so `task` and
    `dataset` include them. `family` or `modality` is NaN where it has one level, or as many as
    there are tasks or datasets; all are NaN where all pairs are the same but for rounding. Small
    negative values mean none.
    """
    T, D, n = rows.shape
    by_cell = np.empty((T, D, vectors.shape[1]))
    # A cell at a time, twice: a wide embedding has hundreds of megabytes.
    size = 0.0
    for cell in np.ndindex(T, D):
        one = vectors[rows[cell]].astype(np.float64)
        size += float(squared_lengths(one).sum())
        by_cell[cell] = one.mean(axis=0)
    grand = by_cell.mean(axis=(0, 1))
    total = 0.0
    for cell in np.ndindex(T, D):
        total += float(squared_lengths(vectors[rows[cell]] - grand).sum())
    by_cell -= grand
    by_task, by_dataset = by_cell.mean(axis=1), by_cell.mean(axis=0)
    if total <= CONSTANT * size:
        return dict.fromkeys(FACTORS, float("nan"))
    error = total - n * float(squared_lengths(by_cell).sum())
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
        ss = float((size * squared_lengths(centre)).sum()) * weight
        return share(ss, len(names) - 1)

    return {
        "task": share(D * n * float(squared_lengths(by_task).sum()), T - 1),
        "family": parent_share(by_task, np.asarray(task_parent, dtype=str), D * n),
        "dataset": share(T * n * float(squared_lengths(by_dataset).sum()), D - 1),
        "modality": parent_share(by_dataset, np.asarray(dataset_parent, dtype=str), T * n),
        "interaction": share(n * float(squared_lengths(crossed).sum()), (T - 1) * (D - 1)),
    }


def squared_lengths(values: np.ndarray) -> np.ndarray:
    """Squared length of the last axis, float64."""
    return np.asarray(np.einsum("...e,...e->...", values, values), np.float64)


def omega_squared_draws(
    vectors: np.ndarray,
    subset: Crossed,
    design: Design,
    draws: Draws,
    *,
    parents: tuple[np.ndarray, np.ndarray],
) -> dict[str, np.ndarray]:
    """Variance shares [B] of each factor on bootstrap draws of datasets and groups.

    The layout stays balanced: pairs are weighted inside their cell, so that every task of every
    drawn dataset counts alike whatever groups were drawn. A cell none of whose groups was drawn is
    taken as it is. With weights of 1 the shares are those of :func:`omega_squared`, but for means
    of embeddings of more than 128 dimensions: they are taken on the first 128 components. `design`
    is that of the subset's pairs.
    """
    T, D, n = subset.rows.shape
    B = len(draws.subject)
    # Around the grand mean, lest squares lose digits; shares do not depend on it.
    chosen = vectors[subset.rows.ravel()]
    chosen -= chosen.mean(axis=0, dtype=np.float64).astype(chosen.dtype)
    lengths = np.einsum("nd,nd->n", chosen, chosen, dtype=np.float64)
    # Scatter within cells is kept whole; means of cells hardly leave the first components.
    chosen = leading(chosen, COMPONENTS)
    dim = chosen.shape[1]
    G = len(design.subject_dataset)
    at = design.subject * T + design.task
    sums = design.sums_of_rows(chosen).astype(np.float32)
    squares = np.bincount(at, lengths, G * T).reshape(G, T)
    size = np.bincount(at, minlength=G * T).reshape(G, T).astype(float)
    coded = [np.unique(np.asarray(p, dtype=str), return_inverse=True) for p in parents]
    out = {factor: np.full(B, np.nan) for factor in FACTORS}
    step = max(1, NUMBERS_AT_ONCE // (T * D * dim))
    for start in range(0, B, step):
        part = slice(start, start + step)
        cells, square = _weighted_cells(sums, squares, size, design, draws.subject[part])
        found = _shares(cells, square, draws.dataset[part], n, coded)
        for factor, values in found.items():
            out[factor][part] = values
    return out


def _weighted_cells(
    sums: np.ndarray, squares: np.ndarray, size: np.ndarray, design: Design, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means [B, D, T, dim] and mean squared lengths [B, D, T] of cells, pairs weighted."""
    B, (T, dim), D = len(weights), sums.shape[1:], len(design.datasets)
    cells, square = np.zeros((B, D, T, dim), np.float32), np.zeros((B, D, T))
    for d in range(D):
        members = design.subject_dataset == d
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
    middle = squared_lengths(grand)
    # Mean squares of the layout, a pair at a time; times T D n they are the sums of squares.
    total = np.einsum("bdt,bd->b", square, v) / T - middle
    between = np.einsum("bdt,bd->b", squared_lengths(cells), v) / T - middle
    task = squared_lengths(by_task).mean(axis=1) - middle
    dataset = (squared_lengths(by_dataset) * v).sum(axis=1) - middle
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
        return share((squared_lengths(centre) * inside).sum(axis=1) - middle, len(names) - 1)

    return {
        "task": share(task, T - 1),
        "family": parent(by_task, np.full((B, T), 1 / T), 0),
        "dataset": share(dataset, D - 1),
        "modality": parent(by_dataset, v, 1),
        "interaction": share(between - task - dataset, (T - 1) * (D - 1)),
    }


def distances_to_centroid(vectors: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Euclidean distance [N] of every row to the centroid of its label."""
    centre = label_sums(vectors, code)
    centre /= np.maximum(np.bincount(code), 1)[:, None]
    distance = np.empty(len(vectors))
    for part in row_blocks(vectors, BLOCK):
        distance[part] = np.linalg.norm(vectors[part] - centre[code[part]], axis=1)
    return distance


def f_statistic(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """F [P] of a one-way analysis of variance of values [N], for P labellings [P, N] at once."""
    labels = int(code.max()) + 1
    P, N = code.shape
    at = code + labels * np.arange(P)[:, None]
    centred = values - values.mean()
    total = np.bincount(at.ravel(), np.tile(centred, P), minlength=P * labels).reshape(P, labels)
    size = np.bincount(at.ravel(), minlength=P * labels).reshape(P, labels)
    between = (total**2 / np.maximum(size, 1)).sum(axis=1)
    within = (centred**2).sum() - between
    with np.errstate(invalid="ignore", divide="ignore"):
        return (between / (labels - 1)) / (within / (N - labels))


def permdisp(
    vectors: np.ndarray,
    code: np.ndarray,
    blocks: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> tuple[np.ndarray, float]:
    """Test of equal dispersion (Anderson, 2006): F of each seed [S], and p of their mean.

    Distances to the centroid are permuted among labels within blocks, since pairs of one group of
    images are not independent. Vectors are [S, N, D], the same rows for every seed.
    """
    values = [distances_to_centroid(v, code) for v in vectors]
    observed = np.array([f_statistic(v, code[None])[0] for v in values])
    home = np.argsort(blocks, kind="stable")
    null = np.zeros(n_permutations)
    for start in range(0, n_permutations, 100):
        count = min(100, n_permutations - start)
        keys = blocks + rng.random((count, len(blocks)))
        moved = np.empty((count, len(blocks)), code.dtype)
        moved[:, home] = code[np.argsort(keys, axis=1)]
        null[start : start + count] = np.mean([f_statistic(v, moved) for v in values], axis=0)
    return observed, permutation_p(float(observed.mean()), null)
