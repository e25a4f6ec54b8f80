"""What sources and partners would gain a task of the user's own, by what a run measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.functional_distance import ALL
from medtaskatlas.atlas.transfer.measured import LOWEST
from medtaskatlas.place.functions import Functions

LEVEL = 0.9  # of prediction intervals
DRAWS = 20  # of the pairs, under each residual
FEWEST = 4  # targets that a prediction is calibrated on


@dataclass(frozen=True)
class Calibration:
    """From functional distance to gain, as a run measured it: the nearer, the more.

    A monotone (isotonic) regression. Intervals are those of conformal prediction for targets as
    units (Lee, Barber and Willett, 2023), from residuals with the target left out (CV+; Barber et
    al., 2021): a new target's gains lie within with a probability of about 90 %.

    Attributes
    ----------
    frame
        Cells: ``target``, ``distance`` and ``gain``.
    evidence
        What it rests on: ``n_targets``, ``n_sources``, ``n_datasets``, ``n_seeds``, ``n_cells``,
        ``coverage``, the share of a target's cells that its interval holds, measured with each
        target left out, and ``error``, the mean absolute error there.
    """

    frame: pd.DataFrame
    evidence: dict[str, Any]

    @classmethod
    def of(cls, gains: pd.DataFrame, distances: pd.DataFrame, n_seeds: int) -> Calibration | None:
        """Of gains by ``source``, ``target`` and ``dataset``; None of fewer than four targets."""
        frame = gains.merge(distances, on=["source", "target", "dataset"])
        frame = frame[np.isfinite(frame["gain"]) & np.isfinite(frame["distance"])]
        frame = frame.sort_values(["target", "dataset", "source"]).reset_index(drop=True)
        if frame["target"].nunique() < FEWEST:
            return None
        made = cls(frame, {})
        inside, missed = made._checked()
        evidence = {f"n_{name}s": int(frame[name].nunique()) for name in _COUNTED}
        evidence |= {"n_seeds": n_seeds, "n_cells": len(frame)}
        return cls(frame, evidence | {"coverage": inside, "error": missed, "level": LEVEL})

    def predict(
        self, distance: float, drawn: np.ndarray | None = None
    ) -> tuple[float, float, float]:
        """Gain at a distance, and its interval; wider by what ``drawn`` [B] distances differ."""
        frame = self.frame
        at = np.array([distance]) if drawn is None else drawn
        values, residual = np.empty((len(at), len(frame))), np.empty(len(frame))
        for out, without, missed in self._left_out:
            values[:, out], residual[out] = without(at)[:, None], missed
        low, high = _ends(values, residual, frame["target"].to_numpy())
        estimate = float(self._whole(np.array([distance]))[0])
        return estimate, min(low, estimate), max(high, estimate)

    @cached_property
    def _whole(self) -> _Monotone:
        """Fit to all targets."""
        return _Monotone.of(self.frame)

    @cached_property
    def _left_out(self) -> list[tuple[np.ndarray, _Monotone, np.ndarray]]:
        """Of each target its cells, the fit without them, and what that misses them by."""
        found = []
        for target in sorted(set(self.frame["target"])):
            out = (self.frame["target"] == target).to_numpy()
            without = _Monotone.of(self.frame[~out])
            told = without(self.frame["distance"].to_numpy()[out])
            found.append((out, without, np.abs(self.frame["gain"].to_numpy()[out] - told)))
        return found

    def _checked(self) -> tuple[float, float]:
        """Coverage and mean absolute error with each target left out."""
        frame = self.frame
        of = np.unique(frame["target"].to_numpy(dtype=str), return_inverse=True)[1]
        targets = sorted(set(of.tolist()))
        gain, distance = frame["gain"].to_numpy(), frame["distance"].to_numpy()
        # Fits without two targets serve both.
        without: dict[frozenset[int], _Monotone] = {}
        inside, missed = [], []
        for target in targets:
            asked = of == target
            rest = [other for other in targets if other != target]
            values = np.empty((int(asked.sum()), int((~asked).sum())))
            residual = np.empty(values.shape[1])
            left = of[~asked]
            for other in rest:
                pair = frozenset((target, other))
                if pair not in without:
                    kept = (of != target) & (of != other)
                    without[pair] = _Monotone(distance[kept], gain[kept], of[kept])
                own = left == other
                rows = np.flatnonzero(~asked)[own]
                residual[own] = np.abs(gain[rows] - without[pair](distance[rows]))
                values[:, own] = without[pair](distance[asked])[:, None]
            # As `_ends` has it, without sorting: the end lies beyond where less lies before it.
            share, true = _share(left, 1), gain[asked][:, None]
            above = (values + residual < true) @ share < LEVEL - 1e-12
            below = (values - residual > true) @ share < LEVEL - 1e-12
            inside.append(float((above & below).mean()))
            fitted = _Monotone(distance[~asked], gain[~asked], left)(distance[asked])
            missed.append(float(np.abs(fitted - gain[asked]).mean()))
        return float(np.mean(inside)), float(np.mean(missed))


_COUNTED = ("target", "source", "dataset")


class _Monotone:
    """Gain by distance, never rising; targets count alike."""

    def __init__(self, distance: np.ndarray, gain: np.ndarray, target: np.ndarray) -> None:
        from sklearn.isotonic import IsotonicRegression

        self.fit = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(
            distance, gain, _share(target, 1)
        )

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Monotone:
        """Of cells."""
        return cls(*(frame[name].to_numpy() for name in ("distance", "gain", "target")))

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        return np.asarray(self.fit.predict(np.asarray(distance, float)))


def _ends(values: np.ndarray, residual: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Ends of the interval from predictions [B, N] without each cell's target, and residuals [N].

    Every target has one share and the new one has one too, which may lie anywhere: with eight
    targets or fewer the interval is the whole range.
    """
    share = _share(target, len(values))

    def end(ends: np.ndarray, beyond: float) -> float:
        order = np.argsort(ends, kind="stable")
        reached = np.flatnonzero(np.cumsum(share[order]) >= LEVEL - 1e-12)
        return float(ends[order][reached[0]]) if len(reached) else beyond

    low = -end(-(values - residual).ravel(), -LOWEST)
    high = end((values + residual).ravel(), 1.0)
    return max(low, LOWEST), min(high, 1.0)


def _share(target: np.ndarray, times: int) -> np.ndarray:
    """Weight of every cell [N], repeated so many times: all of a target's have that of one."""
    _, of, count = np.unique(target, return_inverse=True, return_counts=True)
    return np.tile(1 / count[of], times) / times / (len(count) + 1)


def measured(run: Path, name: str, protocol: str) -> tuple[pd.DataFrame, int] | None:
    """Gains that a run measured by one protocol, and of how many seeds; None where it did not.

    Columns ``source`` (the partner, of ``affinity``), ``target``, ``dataset`` and ``gain``.
    """
    table = "task_affinity" if protocol == "affinity" else "transfer_gains"
    path = run / "tables" / f"{table}.parquet"
    if not path.is_file():
        return None
    rows = read_table(path, table, run=name)
    rows = rows[(rows["protocol"] == protocol) & (rows["dataset"] != ALL)]
    rows = rows[rows["source_role"].isin(("task", "itself"))]
    seeds = max(int(rows["seed"].dropna().nunique()), 1)
    over = rows[rows["seed"].isna()].rename(columns={"estimate": "gain"})
    columns = ["source", "target", "dataset"]
    means = over.groupby(columns)["gain"].mean().reset_index()
    return (means, seeds) if len(means) else None


def expected(
    kind: str,
    functions: Functions,
    distances: pd.Series,
    drawn: pd.DataFrame,
    *,
    calibration: Calibration | None,
    why_not: str,
    weights_of: Mapping[str, Path],
    n_files: int,
) -> list[dict[str, Any]]:
    """A row a task, as source or partner, the most promising first.

    Without a calibration they are ranked by distance alone; ``why_not`` is the note then.
    """
    rows = []
    # Draws of few differ less than pairs of other samples would.
    wider = np.sqrt(n_files / (n_files - 1)) if n_files > 1 else 1.0
    families = functions.tasks
    for task, distance in distances.items():
        name = str(task)
        row: dict[str, Any] = {
            "kind": kind,
            "name": name,
            "family": families[name],
            "distance": float(distance),
            "n_maps": len(functions.datasets(name)),
            "weights": str(weights_of[name]) if name in weights_of else None,
            "note": why_not or None,
        }
        if calibration is not None:
            own = None
            if len(drawn):
                own = distance + wider * (drawn[name].to_numpy()[:DRAWS] - distance)
            gain, low, high = calibration.predict(float(distance), own)
            row |= {"gain": gain, "ci_low": low, "ci_high": high, "note": None}
            if n_files == 1:
                row |= {"ci_low": LOWEST, "ci_high": 1.0, "note": "one file: any gain is possible"}
            row |= {"ci_method": f"conformal over targets, {LEVEL:.0%}"}
        rows.append(row)
    # Equal gains of a step function: the nearer first.
    rows.sort(key=lambda row: (-row.get("gain", 0.0), row["distance"], row["name"]))
    return [row | {"rank": rank} for rank, row in enumerate(rows, 1)]
