"""Predictions of all encoders and seeds, aligned: results/<run>/predictions/."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.atlas.embedding_file import PAIR_COLUMNS
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import META_KEY

# Largest derivative of the mean loss at which a linear probe counts as converged.
FLAT_ENOUGH = 1e-4
VALUES = ("correct", "family_correct", "ap_at_r", "chance")


@dataclass(frozen=True)
class MethodPredictions:
    """What one method said, over seeds.

    Attributes
    ----------
    values
        Name of :data:`VALUES` to float32 [S, N].
    predicted, predicted_family
        Object [S, N], names of tasks and of their families; None for the control.
    """

    values: dict[str, np.ndarray]
    predicted: np.ndarray
    predicted_family: np.ndarray


@dataclass(frozen=True)
class EncoderPredictions:
    """What one encoder's methods said.

    Attributes
    ----------
    name, kind, role, control
        Name, kind and role of the encoder, and what it controls for; see
        :mod:`medtaskatlas.encoders.kind`.
    seeds
        Its seeds, sorted.
    methods
        Method to its predictions.
    cautions
        Method to what a note on its numbers must say; most have none.
    """

    name: str
    kind: str
    role: str
    control: str | None
    seeds: list[int]
    methods: dict[str, MethodPredictions]
    cautions: dict[str, str] = field(default_factory=dict)

    @property
    def is_baseline(self) -> bool:
        """Whether it never learned from our tasks."""
        return self.role == "baseline"


@dataclass(frozen=True)
class Predictions:
    """Queries, and what every encoder said of them.

    Attributes
    ----------
    frame
        One row a query: the pair's columns and ``query_set``.
    encoders
        In order of their names.
    """

    frame: pd.DataFrame
    encoders: list[EncoderPredictions]

    @property
    def query_sets(self) -> list[str]:
        """Query sets that have rows."""
        return sorted(set(self.frame["query_set"]))

    def only(self, query_set: str) -> Predictions:
        """Queries of one set.

        Parameters
        ----------
        query_set
            ``groups``, ``datasets`` or ``tasks``.

        Returns
        -------
        Predictions
            The same encoders.
        """
        mask = (self.frame["query_set"] == query_set).to_numpy()
        encoders = []
        for encoder in self.encoders:
            methods = {
                name: MethodPredictions(
                    {key: value[:, mask] for key, value in method.values.items()},
                    method.predicted[:, mask],
                    method.predicted_family[:, mask],
                )
                for name, method in encoder.methods.items()
            }
            encoders.append(replace(encoder, methods=methods))
        return Predictions(self.frame.loc[mask].reset_index(drop=True), encoders)


def load_predictions(paths: Iterable[str | Path]) -> Predictions:
    """Read and align predictions.

    Parameters
    ----------
    paths
        Files made by :func:`medtaskatlas.atlas.predict.predict` of one run.

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
    """Caution on a linear probe that did not converge.

    Parameters
    ----------
    slope
        ``linear_slope`` of the facts of predictions; None where there is no such probe.

    Returns
    -------
    str or None
        For a note; None where it converged.
    """
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


def read_predictions(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read one file.

    Parameters
    ----------
    path
        A file made by :func:`medtaskatlas.atlas.predict.predict`.

    Returns
    -------
    pandas.DataFrame
        One row a query and method.
    dict
        Facts of its encoder.

    Raises
    ------
    DataError
        If it is missing, damaged, or not of medtaskatlas.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is missing", "start the run again to make it")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is damaged or truncated ({error})", f"delete {path} and start the run again"
        ) from error
    if META_KEY not in (table.schema.metadata or {}):
        raise DataError(f"{path} was not written by medtaskatlas", f"delete {path}")
    return table.to_pandas(), json.loads(table.schema.metadata[META_KEY])
