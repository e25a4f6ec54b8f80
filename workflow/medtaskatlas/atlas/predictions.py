"""Predictions of all encoders and seeds, aligned: results/<run>/predictions/."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.embeddings import PAIR_COLUMNS
from medtaskatlas.formats.predictions import read_predictions

# Largest derivative of the mean loss at which a linear probe counts as converged.
FLAT_ENOUGH = 1e-6
VALUES = ("correct", "family_correct", "ap_at_r")


@dataclass(frozen=True)
class MethodPredictions:
    """What one method said, over S seeds."""

    values: dict[str, np.ndarray]  # name of VALUES to float32 [S, N]
    predicted: np.ndarray  # object [S, N], names of tasks; None where the control did not ask
    predicted_family: np.ndarray

    def only(self, mask: np.ndarray) -> MethodPredictions:
        """Queries where a mask [N] holds."""
        values = {key: value[:, mask] for key, value in self.values.items()}
        return replace(
            self,
            values=values,
            predicted=self.predicted[:, mask],
            predicted_family=self.predicted_family[:, mask],
        )


@dataclass(frozen=True)
class EncoderPredictions:
    """What one encoder's methods said."""

    name: str
    kind: str
    role: str  # see medtaskatlas.encoders.kind
    control: str | None  # what it controls for
    seeds: list[int]
    methods: dict[str, MethodPredictions]
    cautions: dict[str, str] = field(default_factory=dict)  # of a method, for notes

    @property
    def is_baseline(self) -> bool:
        """Whether it never learned from our tasks."""
        return self.role == "baseline"


@dataclass(frozen=True)
class Predictions:
    """Queries, and what every encoder said of them."""

    frame: pd.DataFrame  # one row a query: the pair's columns and `query_set`
    encoders: list[EncoderPredictions]  # by name

    @property
    def query_sets(self) -> list[str]:
        """Query sets that have rows."""
        return sorted(set(self.frame["query_set"]))

    def only(self, query_set: str) -> Predictions:
        """Queries of one set."""
        mask = (self.frame["query_set"] == query_set).to_numpy()
        encoders = [
            replace(one, methods={name: said.only(mask) for name, said in one.methods.items()})
            for one in self.encoders
        ]
        return Predictions(self.frame.loc[mask].reset_index(drop=True), encoders)


def load_predictions(paths: Iterable[str | Path]) -> Predictions:
    """Read and align the prediction files of one run.

    Parameters
    ----------
    paths
        Files results/<run>/predictions/<encoder>/seed<k>.parquet.

    Returns
    -------
    Predictions
        Rows in the same order for all.

    Raises
    ------
    DataError
        If a file is missing, damaged, or of other queries than the rest.
    """
    base: pd.DataFrame | None = None
    found: dict[str, list[tuple[int, dict[str, Any], dict[str, MethodPredictions]]]] = {}
    for path in map(Path, paths):
        frame, facts = read_predictions(path)
        methods = {str(m): rows for m, rows in frame.groupby("method")}
        pairs = methods["knn"][[*PAIR_COLUMNS, "query_set"]].reset_index(drop=True)
        if base is None:
            base = pairs
        elif not pairs.equals(base):
            raise DataError(
                f"{path} is of other pairs or roles than the other predictions",
                "delete the predictions folder and start the run again",
            )
        # Of each file only what it says is kept: its pairs are those of the first.
        said = {method: _said(rows) for method, rows in methods.items()}
        found.setdefault(str(facts["encoder"]), []).append((int(facts["seed"]), facts, said))
    if base is None:
        raise DataError("no predictions were given", "name at least one encoder in `encoders`")
    encoders = []
    for name, by_seed in sorted(found.items()):
        by_seed.sort(key=lambda item: item[0])
        seeds = [said for _, _, said in by_seed]
        stacked = {method: _stack([said[method] for said in seeds]) for method in seeds[0]}
        facts = by_seed[0][1]
        who = (name, str(facts["kind"]), str(facts["role"]), facts.get("control"))
        steepest = max((facts.get("linear_slope") or 0.0 for _, facts, _ in by_seed), default=0.0)
        caution = unconverged(steepest)
        cautions = {"linear": caution} if caution else {}
        encoders.append(EncoderPredictions(*who, [s for s, _, _ in by_seed], stacked, cautions))
    return Predictions(base, encoders)


def unconverged(slope: float | None) -> str | None:
    """Caution on a linear probe of this steepest slope; None where it converged."""
    if slope is None or slope <= FLAT_ENOUGH:
        return None
    return (
        f"the linear probe did not converge: slope {slope:.0e} of its loss, "
        f"{FLAT_ENOUGH:.0e} at most is flat"
    )


def _said(rows: pd.DataFrame) -> MethodPredictions:
    """What one method of one file said, S = 1."""
    return MethodPredictions(
        {name: rows[name].to_numpy(dtype=np.float32)[None] for name in VALUES},
        *(_names(rows[name])[None] for name in ("predicted", "predicted_family")),
    )


def _names(column: pd.Series) -> np.ndarray:
    """Strings as objects, one for each name and not one a row; None where there is none."""
    code, names = pd.factorize(column)
    return np.array([*names, None], dtype=object)[code]


def _stack(seeds: list[MethodPredictions]) -> MethodPredictions:
    """Several seeds as one."""
    return MethodPredictions(
        {name: np.concatenate([one.values[name] for one in seeds]) for name in VALUES},
        np.concatenate([one.predicted for one in seeds]),
        np.concatenate([one.predicted_family for one in seeds]),
    )
