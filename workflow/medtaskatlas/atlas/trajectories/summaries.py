"""Measures of trajectories over images: medians and tails, with bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.inference import MIN_GROUPS
from medtaskatlas.atlas.resampling import Design, draw
from medtaskatlas.atlas.trajectories.quantiles import padded, weighted_quantiles
from medtaskatlas.core.seeds import generator


@dataclass(frozen=True)
class Cells:
    """Trajectories that are summed up together.

    Attributes
    ----------
    names
        One row a cell: ``task``, ``family``, ``known`` and, in cells of one dataset, ``dataset``.
    code
        int [N], cell of each trajectory.
    """

    names: pd.DataFrame
    code: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: list[str]) -> Cells:
        """Cells of equal values.

        Parameters
        ----------
        frame
            One row a trajectory.
        columns
            ``task``, with or without ``dataset``.

        Returns
        -------
        Cells
            In alphabetical order.
        """
        groups = frame.groupby(columns, sort=True)
        names = groups[["family", "known"]].first().reset_index()
        return cls(names, groups.ngroup().to_numpy())


@dataclass(frozen=True)
class Summary:
    """Quantiles over the images of each cell.

    Attributes
    ----------
    estimate
        float64 [S, C, Q], NaN where a cell has no image.
    draws
        float64 [B, S, C, Q] under the bootstrap; NaN in cells of too few groups.
    """

    estimate: np.ndarray
    draws: np.ndarray


class SplitTrajectories:
    """The trajectories of one query set and their bootstrap draws, the same for all encoders.

    Parameters
    ----------
    frame
        One row a trajectory of the run.
    split
        ``groups`` or ``datasets``.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Attributes
    ----------
    at
        int [N], positions of the trajectories in the run's frame.
    frame
        Their rows.
    cells
        ``task`` and ``dataset`` to cells.
    """

    def __init__(self, frame: pd.DataFrame, split: str, seed: int, n_draws: int) -> None:
        self.at = np.flatnonzero(frame["query_set"] == split)
        self.frame = frame.iloc[self.at].reset_index(drop=True)
        self.cells = {
            "task": Cells.of(self.frame, ["task"]),
            "dataset": Cells.of(self.frame, ["task", "dataset"]),
        }
        self._design = design = Design.of(self.frame)
        rng = generator(seed, "bootstrap", split)
        one = len(design.datasets) == 1
        # Statements about one dataset keep that dataset; all others draw datasets too.
        self._draws = {
            "task": draw(design, rng, n_draws, fixed_datasets=one).group.astype(np.int32),
            "dataset": draw(design, rng, n_draws, fixed_datasets=True).group.astype(np.int32),
        }
        self._image = self.frame.groupby(["dataset", "image_id"]).ngroup().to_numpy()
        self._dataset = design.group_dataset[design.group]

    def counts(self, scope: str, valid: np.ndarray) -> list[dict[str, int]]:
        """What each cell rests on.

        Parameters
        ----------
        scope
            ``task`` or ``dataset``.
        valid
            bool [N], the trajectories that count.

        Returns
        -------
        list of dict
            ``n_pairs``, ``n_images``, ``n_groups``, ``n_datasets`` of each cell.
        """
        cells = self.cells[scope]
        code = np.where(valid, cells.code, -1)
        levels = self.frame["n_levels"].to_numpy()
        found = []
        for rows, there in zip(*padded(code, len(cells.names)), strict=True):
            own = rows[there]
            found.append(
                {
                    "n_pairs": int(levels[own].sum()),
                    "n_images": len(np.unique(self._image[own])),
                    "n_groups": len(np.unique(self._design.group[own])),
                    "n_datasets": len(np.unique(self._dataset[own])),
                }
            )
        return found

    def summarise(
        self, scope: str, values: np.ndarray, valid: np.ndarray, quantiles: tuple[float, ...]
    ) -> Summary:
        """Quantiles over the images of every cell, as they are and on every draw.

        Parameters
        ----------
        scope
            ``task`` or ``dataset``.
        values
            float [S, N].
        valid
            bool [N], the trajectories that count.
        quantiles
            Q numbers, 0 to 1.

        Returns
        -------
        Summary
            Of all cells.
        """
        cells, C = self.cells[scope], len(self.cells[scope].names)
        rows, there = padded(np.where(valid, cells.code, -1), C)
        groups = np.array([n["n_groups"] for n in self.counts(scope, valid)])
        enough = np.flatnonzero(groups >= MIN_GROUPS)
        draws = self._draws[scope]
        weights = draws[:, self._design.group[rows[enough]]] * there[enough]
        S, Q = len(values), len(quantiles)
        estimate = np.full((S, C, Q), np.nan)
        boot = np.full((len(draws), S, C, Q), np.nan)
        for s, one in enumerate(values):
            padding = np.where(there, one[rows], np.nan)
            estimate[s] = weighted_quantiles(padding, there[None].astype(np.int32), quantiles)[0]
            if len(enough):
                boot[:, s, enough] = weighted_quantiles(padding[enough], weights, quantiles)
        return Summary(estimate, boot)
