"""The table `transfer_prediction`: how well what is known before predicts measured gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import Counts
from medtaskatlas.atlas.inference import Interval, adjust, jackknife_interval, permutation_p
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.atlas.transfer.cells import ALL, Cells, read_cells
from medtaskatlas.atlas.transfer.predictors import (
    BAR,
    CONTROL,
    OF_SOURCES,
    OURS,
    PREDICTORS,
    RIVAL,
    Predictor,
)
from medtaskatlas.atlas.transfer.ranks import (
    BOUNDS,
    CORRELATIONS,
    MEASURES,
    Scores,
    permuted,
    scores,
)
from medtaskatlas.core.seeds import generator

PERMUTATIONS = 999
# Scores are compared with those of these, on the cells that both know.
AGAINST = ("output_mse", "output_mse_log", "static_ranker", "family")
TRAINED, HELDOUT = "trained", "heldout"
CEILING = "ceiling"
OF_SEEDS, OF_DATASETS = "noise_ceiling_seeds", "noise_ceiling_datasets"
UNDEFINED = "undefined: too few cells, or all of them are alike"
OF_SOURCES_ALONE = "undefined: says the same of every target"

SPEC = columns.TableSpec(
    "How well does what is known before any training on two tasks predict how much one gains from "
    "the other? The target itself and controls are no sources here.",
    ("run", "protocol", "predictor", "encoder", "dataset", "measure", "against"),
    (
        columns.RUN,
        columns.text("protocol", "how gains were measured, see transfer_gains"),
        columns.text(
            "predictor",
            f"see transfer_predictors; {OF_SEEDS}: gains of another seed, mean over pairs of "
            f"seeds; {OF_DATASETS}: gains on another dataset, mean over pairs of datasets",
            *(*PREDICTORS, OF_SEEDS, OF_DATASETS),
        ),
        columns.text("encoder", "encoder of the space; null of others", nullable=True),
        columns.text(
            "predictor_role",
            "ours; bar: the plain difference of outputs; rival; control: must be at 0; ceiling: "
            "what gains say of themselves",
            *(OURS, BAR, RIVAL, CONTROL, CEILING),
        ),
        columns.text(
            "dataset",
            "dataset of the targets; all: every one; trained, heldout: those that sources were "
            "trained on, and the others, where there are both",
        ),
        columns.text(
            "measure",
            "target_centred: rank correlation of cells less the mean of their target and dataset; "
            "double_centred: less that of their source too; within_family: target_centred, of "
            "sources of the target's family; weighted_tau: Kendall's tau of sources, the best "
            "ones weighing most, mean over targets; sign_accuracy: share of gains whose sign is "
            "told by a line fitted to other targets; regret: gain of the best source less that of "
            "the chosen one, mean over targets; regret_ratio: that over the regret of a source "
            "drawn at random",
            *MEASURES,
        ),
        columns.text(
            "against",
            "null: the score itself; else the predictor whose score on the same cells is taken off",
            *AGAINST,
            nullable=True,
        ),
        columns.number(
            "reference",
            "what knowing nothing reaches: 0 of correlations, the commoner sign, a random source",
        ),
        *columns.ESTIMATE,
        columns.number(
            "datasets_low",
            "lower end of the interval by jackknife over datasets, as the other is over tasks; "
            "null of one dataset, of ceilings, and where a score is undefined without a dataset",
        ),
        columns.number("datasets_high", "its upper end"),
        columns.number("p", "one-sided p, tasks permuted; null: no test", 0, 1),
        columns.number("p_adjusted", "p after Holm within `p_family`", 0, 1),
        columns.text("p_family", "tests that are adjusted together", nullable=True),
        columns.count("n_cells", "(dataset, source, target) cells"),
        columns.count("n_sources", "sources among them"),
        columns.count("n_targets", "targets among them"),
        *columns.N,
        columns.NOTE,
    ),
)


def transfer_prediction(
    predictors_path: str | Path,
    out: str | Path,
    *,
    run: str,
    gains_path: str | Path | None = None,
    affinity_path: str | Path | None = None,
    seed: int = 0,
    n_permutations: int = PERMUTATIONS,
) -> None:
    """Write the table `transfer_prediction`.

    Intervals are by jackknife: over tasks, each left out as source and as target, and over
    datasets. p permutes tasks, as sources and targets at once, and within families where only
    these are asked about; it is adjusted by Holm over the predictors of a measure.

    Parameters
    ----------
    predictors_path
        Table `transfer_predictors` of the run.
    out
        results/<run>/tables/transfer_prediction.parquet.
    run
        Name of the run.
    gains_path, affinity_path
        Tables of measured gains, as that was made of.
    seed
        The run's seed.
    n_permutations
        Permutations of a test.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another run.
    """
    predicted = read_table(predictors_path, "transfer_predictors", run=run)
    rows: list[dict[str, Any]] = []
    for cells in read_cells(gains_path, affinity_path, run=run):
        own = predicted[predicted["protocol"] == cells.protocol]
        orders = _orders(cells, seed, n_permutations)
        for dataset, chosen in _settings(cells):
            setting = _Setting(dataset, cells, chosen, orders)
            about = {"run": run, "protocol": cells.protocol, "dataset": dataset}
            rows += [about | row for row in _rows(setting, own)]
    frame = adjust(pd.DataFrame(rows), "holm") if rows else pd.DataFrame()
    meta = {"run": run, "seed": seed, "n_permutations": n_permutations}
    write_table("transfer_prediction", frame, out, meta)


def best_of_ours(rows: pd.DataFrame) -> pd.Series | None:
    """Best row of ours of one protocol, target-centred, on datasets that sources were trained on.

    On all where none is held out. None where there is no such row.
    """
    rows = rows[(rows["predictor_role"] == OURS) & rows["against"].isna()]
    rows = rows[(rows["measure"] == "target_centred") & rows["estimate"].notna()]
    for dataset in (TRAINED, ALL):
        own = rows[rows["dataset"] == dataset]
        if len(own):
            return own.sort_values("estimate", kind="stable").iloc[-1]
    return None


def _settings(cells: Cells) -> Iterator[tuple[str, np.ndarray]]:
    """Name and datasets, bool [D], of what scores are of."""
    yield ALL, np.ones(len(cells.datasets), bool)
    if cells.trained.any() and not cells.trained.all():
        yield TRAINED, cells.trained
        yield HELDOUT, ~cells.trained
    if len(cells.datasets) > 1:
        for d, name in enumerate(cells.datasets):
            yield name, np.arange(len(cells.datasets)) == d


def _orders(cells: Cells, seed: int, n: int) -> dict[str, np.ndarray]:
    """Orders of tasks for every correlation, int [N, K], alike for all predictors."""
    K, rng = len(cells.tasks), generator(seed, "transfer prediction", cells.protocol)
    free = rng.permuted(np.tile(np.arange(K), (n, 1)), axis=1)
    within = np.tile(np.arange(K), (n, 1))
    for family in sorted(set(cells.families)):
        members = np.flatnonzero(np.array(cells.families) == family)
        within[:, members] = rng.permuted(np.tile(members, (n, 1)), axis=1)
    return {name: within if name == "within_family" else free for name in CORRELATIONS}


@dataclass(frozen=True)
class _Setting:
    """Gains of one protocol on some datasets."""

    name: str
    cells: Cells
    chosen: np.ndarray  # bool [D]
    orders: dict[str, np.ndarray]

    @cached_property
    def gain(self) -> np.ndarray:
        """Of the chosen datasets, [D, K, K]."""
        return self.cells.gain[self.chosen]

    @cached_property
    def of_seeds(self) -> np.ndarray:
        """The same of each seed."""
        return self.cells.of_seeds[:, self.chosen]

    @cached_property
    def n(self) -> Counts:
        """What they rest on."""
        return self.cells.n(self.chosen)

    def score(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Scores:
        """Mean scores of pairs of a prediction and gains."""
        each = [scores(x, gain, self.cells.same_family) for x, gain in pairs]
        values = np.mean([[one[name] for name in MEASURES] for one in each], axis=0)
        return {name: (pair[0], pair[1]) for name, pair in zip(MEASURES, values, strict=True)}


@dataclass(frozen=True)
class _Scored:
    """Scores of a predictor: on all cells, and without each task, dataset, and by seed."""

    whole: Scores
    tasks: list[Scores]
    datasets: list[Scores]
    seeds: list[Scores]

    @classmethod
    def of(cls, setting: _Setting, x: np.ndarray) -> _Scored:
        """Of predictions [D, K, K]."""
        gain = setting.gain
        D, seeds = len(gain), setting.of_seeds
        without = [np.arange(D) != d for d in range(D)] if D > 1 else []
        return cls(
            setting.score([(x, gain)]),
            _without_tasks(setting, [(x, gain)]),
            [setting.score([(x[kept], gain[kept])]) for kept in without],
            [setting.score([(x, one)]) for one in seeds],
        )

    @classmethod
    def of_pairs(cls, setting: _Setting, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> _Scored:
        """Of gains that predict gains: a noise ceiling."""
        return cls(setting.score(pairs), _without_tasks(setting, pairs), [], [])


def _without_tasks(
    setting: _Setting, pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[Scores]:
    """Scores without each task that is a source or a target."""
    known = np.isfinite(setting.gain)
    tasks = np.flatnonzero(known.any(axis=(0, 1)) | known.any(axis=(0, 2)))
    found = []
    for k in tasks:
        kept = np.arange(known.shape[1]) != k
        there = kept[:, None] & kept
        found.append(setting.score([(np.where(there, x, np.nan), gain) for x, gain in pairs]))
    return found


def _rows(setting: _Setting, predicted: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of every predictor on some datasets."""
    made: dict[tuple[str, str | None, bytes], _Scored] = {}

    def scored(one: Predictor) -> _Scored:
        key = one.name, one.encoder, np.isfinite(one.values).tobytes()
        if key not in made:
            made[key] = _Scored.of(setting, one.values)
        return made[key]

    every = list(_predictors(setting, predicted))
    bars = [one for one in every if one.name in AGAINST]
    for one in every:
        about = {"predictor": one.name, "encoder": one.encoder, "predictor_role": one.role}
        for measure in MEASURES:
            row = _row(setting, one.values, measure, scored(one), None, one.name)
            yield about | row | _test(setting, one.values, measure, one.name)
        for bar in bars:
            if bar.name == one.name:
                continue
            both = np.isfinite(one.values) & np.isfinite(bar.values)
            mine, base = (replace(v, values=np.where(both, v.values, np.nan)) for v in (one, bar))
            for measure in MEASURES:
                row = _row(
                    setting, mine.values, measure, scored(mine), scored(base), one.name, bar.name
                )
                yield about | {"against": bar.name} | row
    for name, pairs in _ceilings(setting):
        about = {"predictor": name, "encoder": None, "predictor_role": CEILING}
        ceiling = _Scored.of_pairs(setting, pairs)
        for measure in MEASURES:
            yield about | _row(setting, setting.gain, measure, ceiling, None, name)


def _predictors(setting: _Setting, rows: pd.DataFrame) -> Iterator[Predictor]:
    """Predictions on the datasets of a setting."""
    keys = ["predictor", "predictor_role", "encoder"]
    for (name, role, encoder), own in rows.fillna({"encoder": ""}).groupby(keys, sort=False):
        values = setting.cells.at(own, "predicted")[setting.chosen]
        yield Predictor(str(name), values, str(encoder) or None, str(role))


def _ceilings(
    setting: _Setting,
) -> Iterator[tuple[str, list[tuple[np.ndarray, np.ndarray]]]]:
    """Gains that predict gains: of every seed the others', of every dataset the others'."""
    seeds = list(setting.of_seeds)
    if len(seeds) > 1:
        yield OF_SEEDS, list(permutations(seeds, 2))
    datasets = [gain[None] for gain in setting.gain]
    if len(datasets) > 1:
        yield OF_DATASETS, list(permutations(datasets, 2))


def _row(
    setting: _Setting,
    x: np.ndarray,
    measure: str,
    one: _Scored,
    base: _Scored | None,
    *names: str,
) -> dict[str, Any]:
    """One score, or its difference to another's, with its intervals and what it rests on."""

    def value(mine: Scores, other: Scores | None) -> float:
        return mine[measure][0] - (other[measure][0] if other is not None else 0.0)

    def values(part: str) -> np.ndarray:
        mine = getattr(one, part)
        others = getattr(base, part) if base is not None else [None] * len(mine)
        return np.array([value(*both) for both in zip(mine, others, strict=True)])

    known = np.isfinite(x) & np.isfinite(setting.gain)
    row = {
        "measure": measure,
        "n_cells": int(known.sum()),
        "n_sources": int(known.any(axis=(0, 2)).sum()),
        "n_targets": int(known.any(axis=(0, 1)).sum()),
        **setting.n,
    }
    estimate = value(one.whole, base.whole if base is not None else None)
    # What is left of a ranking of sources within sources is their own gain, taken off.
    of_sources = measure == "double_centred" and any(name in OF_SOURCES for name in names)
    if of_sources or not np.isfinite(estimate):
        return row | {"note": OF_SOURCES_ALONE if of_sources else UNDEFINED}
    low, high = BOUNDS[measure] if base is None else (-np.inf, np.inf)
    interval = jackknife_interval(estimate, values("tasks"), "task", low=low, high=high)
    over = Interval(None, None, None, None)
    if one.datasets:
        over = jackknife_interval(estimate, values("datasets"), "dataset", low=low, high=high)
    each = values("seeds")
    several = len(each) > 1 and np.isfinite(each).all()
    return row | {
        "reference": one.whole[measure][1] if base is None else 0.0,
        "estimate": estimate,
        "seed_sd": float(each.std(ddof=1)) if several else None,
        **vars(interval),
        "datasets_low": over.ci_low,
        "datasets_high": over.ci_high,
    }


def _test(setting: _Setting, x: np.ndarray, measure: str, name: str) -> dict[str, Any]:
    """Test of a correlation, and its family."""
    none = {"p": None, "p_family": None}
    if measure not in CORRELATIONS or (measure == "double_centred" and name in OF_SOURCES):
        return none
    observed, null = permuted(
        x, setting.gain, setting.cells.same_family, setting.orders[measure], measure
    )
    if null.std() == 0:
        return none
    family = f"transfer_prediction, {setting.cells.protocol}, {measure}, {setting.name}"
    return {"p": permutation_p(observed, null), "p_family": family}
