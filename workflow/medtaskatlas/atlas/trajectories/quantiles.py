"""Quantiles over images on many bootstrap draws at once."""

from __future__ import annotations

import numpy as np


def weighted_quantiles(
    values: np.ndarray, weights: np.ndarray, quantiles: tuple[float, ...]
) -> np.ndarray:
    """Quantiles of values that count as often as their weights say.

    The same as ``numpy.quantile`` (linear interpolation) of each value repeated that often.

    Parameters
    ----------
    values
        float [C, m]; NaN counts for nothing.
    weights
        Whole numbers [B, C, m], not negative.
    quantiles
        Q numbers, 0 to 1.

    Returns
    -------
    numpy.ndarray
        float64 [B, C, Q]; NaN where all weights are 0.
    """
    order = np.argsort(values, axis=1, kind="stable")  # NaN last
    ranked = np.take_along_axis(values, order, axis=1)
    there = np.isfinite(ranked)
    sorted_weights = np.take_along_axis(weights, order[None], axis=2) * there
    reached = np.cumsum(sorted_weights, axis=2, dtype=np.int32)
    total = reached[:, :, -1]
    last = (reached < total[:, :, None]).sum(axis=2)
    columns = np.arange(len(values))
    out = np.empty((*total.shape, len(quantiles)))
    for q, quantile in enumerate(quantiles):
        place = quantile * np.maximum(total - 1, 0)
        below = np.floor(place)
        low = np.minimum((reached <= below[:, :, None]).sum(axis=2), last)
        high = np.minimum((reached <= below[:, :, None] + 1).sum(axis=2), last)
        one, other = ranked[columns, low], ranked[columns, high]
        with np.errstate(invalid="ignore"):
            mixed = one + (place - below) * (other - one)
        out[:, :, q] = np.where(total > 0, mixed, np.nan)
    return out


def padded(code: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every cell as a rectangle.

    Parameters
    ----------
    code
        int [N], cell of each row; negative: of none.
    n_cells
        Number of cells.

    Returns
    -------
    rows
        int [C, m], positions; 0 where a cell has fewer than m rows.
    there
        bool [C, m], False in those places.
    """
    size = np.bincount(code[code >= 0], minlength=n_cells)
    order = np.argsort(code, kind="stable")[(code < 0).sum() :]
    there = np.arange(max(size.max(initial=0), 1)) < size[:, None]
    rows = np.zeros(there.shape, int)
    rows[there] = order
    return rows, there
