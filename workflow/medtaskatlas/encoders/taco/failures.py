"""Failures beside a batch: the wrong way of the same tasks on the same images."""

from __future__ import annotations

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

Names = tuple[np.ndarray, np.ndarray, np.ndarray]


class FailureSampler:
    """Draws failures that content does not give away: where there are any of the batch's own.

    Parameters
    ----------
    names
        Arrays [N] of every failure: the task that goes wrong, dataset, image.
    share
        Share of a whole batch that are failures, above 0 and at most 0.5.
    seed
        Training seed.

    Raises
    ------
    DataError
        If there is no failure.
    """

    def __init__(self, names: Names, *, share: float, seed: int) -> None:
        if not len(names[0]):
            raise DataError(
                f"`failures: {share:g}` needs failure pairs of training groups, and there is none",
                "make some with `failures_per_cell`, or set `failures: 0` of this encoder",
            )
        self.share, self.seed = share, seed
        self._n = len(names[0])
        self._of_cell = _rows_by(list(zip(*names, strict=True)))
        self._of_task = _rows_by(list(names[0]))

    def beside(self, names: Names, step: int) -> np.ndarray:
        """Failures for a batch.

        Parameters
        ----------
        names
            Arrays [B] of the batch's right pairs: task, dataset, image.
        step
            Number of the batch.

        Returns
        -------
        numpy.ndarray
            int64 [B * share / (1 - share), rounded] rows of the failures: each of the task and on
            the image of a right pair of the batch, else of its task, else any.
        """
        rng = generator(self.seed, "failures", step)
        size = len(names[0])
        count = max(1, round(size * self.share / (1 - self.share)))
        models = np.resize(rng.permutation(size), count)
        drawn = []
        for task, dataset, image in zip(*(column[models] for column in names), strict=True):
            rows = self._of_cell.get((task, dataset, image), self._of_task.get(task))
            drawn.append(int(rng.integers(self._n)) if rows is None else int(rng.choice(rows)))
        return np.array(drawn)


def _rows_by(keys: list) -> dict:
    """Rows of each key."""
    found: dict = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}
