"""Shares of variance of tasks and datasets, on a balanced crossed layout."""

from __future__ import annotations

import numpy as np

from medtaskatlas.atlas.vectors import CONSTANT

FACTORS = ("task", "family", "dataset", "modality", "interaction")


def omega_squared(
    vectors: np.ndarray, rows: np.ndarray, task_parent: np.ndarray, dataset_parent: np.ndarray
) -> dict[str, float]:
    r"""Variance shares of a balanced two-way layout with interaction, in Euclidean space.

    :math:`\omega^2 = (SS - df\,MSE) / (SS_{total} + MSE)` (Hays, 1963; Olejnik and Algina, 2003),
    with sums of squared Euclidean distances over all dimensions (Anderson, 2001). Tasks are nested
    in families, datasets in modalities.

    Parameters
    ----------
    vectors
        float [N, dim].
    rows
        int [T, D, n], the rows of each cell.
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
    """Squared length of the last axis.

    Parameters
    ----------
    values
        float [..., dim].

    Returns
    -------
    numpy.ndarray
        float64 [...].
    """
    return np.asarray(np.einsum("...e,...e->...", values, values), np.float64)
