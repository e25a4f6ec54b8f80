"""Shares of variance on many bootstrap draws at once."""

from __future__ import annotations

import numpy as np

from medtaskatlas.atlas.resampling import Design, Draws
from medtaskatlas.atlas.separation.crossed import Crossed
from medtaskatlas.atlas.separation.variance import FACTORS, squared_lengths
from medtaskatlas.atlas.vectors import leading

# Numbers held at once in the bootstrap, so that memory does not grow with dimensions and draws.
BLOCK = 10_000_000
# Wider embeddings are bootstrapped on as many principal components.
COMPONENTS = 128


def omega_squared_draws(
    vectors: np.ndarray,
    subset: Crossed,
    design: Design,
    draws: Draws,
    *,
    parents: tuple[np.ndarray, np.ndarray],
) -> dict[str, np.ndarray]:
    """Variance shares on bootstrap draws of datasets and groups.

    The layout stays balanced: pairs are weighted inside their cell, so that every task of every
    drawn dataset counts alike whatever groups were drawn. A cell none of whose groups was drawn is
    taken as it is. With weights of 1 the shares are those of
    :func:`~medtaskatlas.atlas.separation.variance.omega_squared`, but for means of embeddings of
    more than 128 dimensions: they are taken on the first 128 components.

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
        Factor to float64 [B], NaN where ``omega_squared`` is.
    """
    T, D, n = subset.rows.shape
    B = len(draws.group)
    # Around the grand mean, lest squares lose digits; shares do not depend on it.
    chosen = vectors[subset.rows.ravel()]
    chosen -= chosen.mean(axis=0, dtype=np.float64).astype(chosen.dtype)
    lengths = np.einsum("nd,nd->n", chosen, chosen, dtype=np.float64)
    # Scatter within cells is kept whole; means of cells hardly leave the first components.
    chosen = leading(chosen, COMPONENTS)
    dim = chosen.shape[1]
    G = len(design.group_dataset)
    at = design.group * T + design.task
    sums = design.sums_of_rows(chosen).astype(np.float32)
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
