"""How far the tasks of a run, as functions of an image, are from pairs of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medtaskatlas.atlas.transfer.functional_distance import ROUNDING, Described, read_described
from medtaskatlas.place.pairs import OwnPairs
from medtaskatlas.transfer.kernel import Moments, error, moments, networks, operator

FOLDS = 5  # in which the pairs' own map is asked about pairs that it was not fitted to


class Functions:
    """The tasks of a run as functions: linear maps of fixed features, on every dataset."""

    def __init__(self, run: Path, name: str) -> None:
        paths = sorted((run / "transfer" / "kernel").glob("*.safetensors"))
        self.every: list[Described] = [read_described(path, name) for path in paths]
        self._maps: dict[tuple[str, str | None], torch.Tensor] = {}

    @property
    def tasks(self) -> dict[str, str]:
        """Family of every task."""
        return {
            task: one.facts[i]["family"] for one in self.every for i, task in enumerate(one.tasks)
        }

    def datasets(self, task: str) -> list[str]:
        """Datasets that show a task."""
        return [one.dataset for one in self.every if task in one.tasks]

    def map_of(self, task: str, without: str | None = None) -> torch.Tensor:
        """Map of a task over its datasets, each counting alike; without one if it has others."""
        if (task, without) not in self._maps:
            having = [one for one in self.every if task in one.tasks]
            others = [one for one in having if one.dataset != without] or having
            parts = [one.fitted[one.tasks.index(task)].mean() for one in others]
            self._maps[task, without] = operator(reduce(add, parts))
        return self._maps[task, without]

    def distances_of(self, gains: pd.DataFrame) -> pd.DataFrame:
        """Distance from the map of every source to the cells whose gains were measured.

        The map is of other datasets than the cell's, as that of any source is for pairs of the
        user's own. Columns ``source``, ``target``, ``dataset`` and ``distance``.
        """
        wanted = gains[["source", "target", "dataset"]].drop_duplicates()
        rows = []
        for one in self.every:
            here = wanted[wanted["dataset"] == one.dataset]
            known = here["target"].isin(one.tasks) & here["source"].isin(self.tasks)
            for target, own in here[known].groupby("target"):
                t = one.tasks.index(str(target))
                itself = _log(error(operator(one.fitted[t]), one.asked[t]))
                for source in own["source"]:
                    there = _log(error(self.map_of(source, one.dataset), one.asked[t]))
                    rows.append((source, target, one.dataset, there - itself))
        return pd.DataFrame(rows, columns=["source", "target", "dataset", "distance"])

    def distances_to(
        self, pairs: OwnPairs, seed: int, weights: np.ndarray | None
    ) -> tuple[pd.Series, pd.DataFrame]:
        """Distance from the map of every task to the user's pairs, and under every draw of them.

        The log of its error over that of the map of the pairs themselves, which is asked about
        pairs of other files than it was fitted to. ``weights`` [B, N] say how often each pair was
        drawn; without them there is no draw.
        """
        made = networks(seed)
        each = [
            moments(made, pairs.inputs[i : i + 1], pairs.outputs[i : i + 1])
            for i in range(len(pairs))
        ]
        own = _own_errors(each, pairs.files)
        errors = {
            task: np.array([float(error(self.map_of(task), one).mean()) for one in each])
            for task in self.tasks
        }
        as_is = pd.Series({task: _ratio(of, own) for task, of in errors.items()})
        if weights is None:
            return as_is, pd.DataFrame(columns=list(errors))
        drawn = {task: _ratio(weights @ of, weights @ own, axis=1) for task, of in errors.items()}
        return as_is, pd.DataFrame(drawn)


def _log(errors: torch.Tensor) -> float:
    """Log of the mean error over initialisations."""
    return float(np.log(max(float(errors.mean()), ROUNDING)))


def _ratio(errors: np.ndarray, own: np.ndarray, axis: int | None = None) -> Any:
    """Log of summed errors over summed errors."""
    if axis is None:
        errors, own = errors.mean(), own.mean()
    return np.log(np.maximum(errors, ROUNDING) / np.maximum(own, ROUNDING))


def _own_errors(each: Sequence[Moments], files: np.ndarray) -> np.ndarray:
    """Error of the pairs' own map on each pair, fitted to other files where there are any."""
    _, file = np.unique(files, return_inverse=True)
    n_folds = min(FOLDS, int(file.max()) + 1)
    found = np.empty(len(each))
    for fold in range(n_folds):
        asked = file % n_folds == fold
        fitted = [one for one, out in zip(each, asked, strict=True) if not out or n_folds == 1]
        own = operator(reduce(add, fitted))
        for i in np.flatnonzero(asked).tolist():
            found[i] = float(error(own, each[i]).mean())
    return found
