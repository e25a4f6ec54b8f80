"""The table `scaling`: quality after the same steps on less data, and what doubling it brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.inference import interval_columns
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    Draws,
    balanced_mean,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.predictions import read_predictions
from medtaskatlas.pairs.roles import KNOWN_TASKS

MEASURES = {"balanced_accuracy": "correct", "family_balanced_accuracy": "family_correct"}

SPEC = columns.TableSpec(
    "What would more data buy: quality after the same steps on fewer pairs, or fewer datasets.",
    ("run", "encoder", "seed", "split", "axis", "measure", "train_datasets", "train_pairs"),
    (
        *columns.WHO,
        columns.text(
            "axis", "what is varied; all: everything that there is", "pairs", "datasets", "all"
        ),
        columns.text(
            "measure",
            "balanced_accuracy and family_balanced_accuracy of kNN, gallery and training from the "
            "same data; gain_per_doubling: slope of balanced_accuracy on log2 of what is varied",
            "balanced_accuracy",
            "family_balanced_accuracy",
            "gain_per_doubling",
        ),
        columns.count(
            "train_datasets", "datasets trained on; null: a slope over them", nullable=True
        ),
        columns.count("train_pairs", "pairs trained on; null: a slope over them", nullable=True),
        columns.count("steps", "optimiser steps"),
        *columns.MEASURED,
    ),
)


@dataclass(frozen=True)
class Amount:
    """One amount of data, over its seeds."""

    datasets: int  # that were trained on
    pairs: int
    per_cell: int | None  # bound on the training pairs of a cell; None: all
    seeds: list[int]  # sorted
    values: dict[str, np.ndarray]  # column of the predictions to float64 [S, N]


def scaling(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `scaling`.

    Parameters
    ----------
    prediction_paths
        Predictions of all points of the study.
    out
        results/<run>/tables/scaling.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.

    Raises
    ------
    DataError
        If a file is damaged or of another run.
    """
    found = [read_predictions(path) for path in prediction_paths]
    for _, facts in found:
        if facts.get("run") != run:
            raise DataError(
                f"scaling: predictions of run {facts.get('run')!r}, not {run!r}",
                "delete the run's studies/scaling and start the run again",
            )
    rows: list[dict[str, Any]] = []
    for split in KNOWN_TASKS:
        frame, amounts = _align(found, split)
        if not len(frame):
            continue
        facts = found[0][1]
        common = {"run": run, "encoder": facts["encoder"], "split": split, "steps": facts["steps"]}
        rows += [common | row for row in _rows(frame, amounts, (seed, "scaling", split), n_draws)]
    write_table("scaling", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _align(
    found: list[tuple[pd.DataFrame, dict[str, Any]]], split: str
) -> tuple[pd.DataFrame, list[Amount]]:
    """Queries of a split that every point was asked, and what each amount of data said of them."""
    asked = []
    for frame, _ in found:
        knn = frame[(frame["method"] == "knn") & (frame["query_set"] == split)]
        asked.append(knn.set_index("pair_id").sort_index())
    if not asked:
        return pd.DataFrame(), []
    shared = asked[0].index
    for frame in asked[1:]:
        shared = shared.intersection(frame.index)
    shared = shared.sort_values()
    by_amount: dict[tuple[int, int, int | None], list[tuple[int, pd.DataFrame]]] = {}
    for frame, (_, facts) in zip(asked, found, strict=True):
        key = (len(facts["trained_datasets"]), facts["gallery_pairs"], facts["pairs_per_cell"])
        by_amount.setdefault(key, []).append((int(facts["seed"]), frame.loc[shared]))
    amounts = []
    for (datasets, pairs, per_cell), seeds in by_amount.items():
        seeds.sort(key=lambda item: item[0])
        values = {v: np.stack([f[v].to_numpy(float) for _, f in seeds]) for v in MEASURES.values()}
        amounts.append(Amount(datasets, pairs, per_cell, [s for s, _ in seeds], values))
    # By size; pairs count from the files, so that a cell with fewer is not taken for full.
    amounts.sort(key=lambda one: (one.datasets, one.pairs))
    return asked[0].loc[shared].reset_index(), amounts


def _rows(
    frame: pd.DataFrame, amounts: list[Amount], rng: tuple[Any, ...], n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of one query set: of each amount of data, then the slopes."""
    design = Design.of(frame)
    fixed = len(design.datasets) == 1
    draws = draw(design, generator(*rng, "bootstrap"), n_draws, fixed_datasets=fixed)
    n = counts(frame)
    most = max(one.datasets for one in amounts)
    curves: dict[str, list[tuple[float, float, np.ndarray, int]]] = {"pairs": [], "datasets": []}
    for one in amounts:
        full = one.datasets == most and one.per_cell is None
        axis = "all" if full else "pairs" if one.per_cell is not None else "datasets"
        for measure, column in MEASURES.items():
            estimate, by_seed, boot = _measured(design, draws, one, column, rng)
            if measure == "balanced_accuracy":
                for name in curves if full else [axis]:
                    size = one.pairs if name == "pairs" else one.datasets
                    curves[name].append((float(np.log2(size)), estimate, boot, len(one.seeds)))
            S = len(one.seeds)
            yield {
                "axis": axis,
                "measure": measure,
                "train_datasets": one.datasets,
                "train_pairs": one.pairs,
                "seed_sd": float(by_seed.std(ddof=1)) if S > 1 else None,
                "estimate": estimate,
                **interval_columns(boot, estimate, n, S, low=0.0, high=1.0),
            }
    for axis, curve in curves.items():
        yield {"axis": axis, "measure": "gain_per_doubling", **_slope(curve, n)}


def _measured(
    design: Design, draws: Draws, one: Amount, column: str, rng: tuple[Any, ...]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Balanced mean over seeds, of each seed, and on every draw."""
    S, values = len(one.seeds), one.values[column]
    as_is = no_draws(design)
    by_seed = np.array([balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)])
    seeds = draw_seeds(generator(*rng, "seeds"), S, len(draws.subject))
    return float(by_seed.mean()), by_seed, balanced_mean(design, values, draws, seeds)


def _slope(curve: list[tuple[float, float, np.ndarray, int]], n: Counts) -> dict[str, Any]:
    """Least-squares slope of a curve over its amounts, on the data and on every draw."""
    if len({size for size, *_ in curve}) < 2:
        return {"note": "undefined: a slope needs two amounts of data", **n}
    size = np.array([size for size, *_ in curve])
    weight = (size - size.mean()) / ((size - size.mean()) ** 2).sum()
    estimate = float(weight @ np.array([value for _, value, *_ in curve]))
    boot = weight @ np.stack([boot for _, _, boot, _ in curve])
    few = min(seeds for *_, seeds in curve)
    return {"estimate": estimate, **interval_columns(boot, estimate, n, few)}
