"""The table `identification`: how well an embedding names tasks on pairs never seen in training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.agreement import agreement_by_chance, kappa
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import interval_columns
from medtaskatlas.atlas.predictions import (
    EncoderPredictions,
    MethodPredictions,
    Predictions,
    load_predictions,
)
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    Draws,
    average_cells,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

METHODS = ("knn", "linear", "boosted")
MEASURES = {
    "balanced_accuracy": "correct",
    "family_balanced_accuracy": "family_correct",
    "map_at_r": "ap_at_r",
}
ONE_FAMILY = "all pairs are of one family: answers dealt out at random reach the same"
Statistic = Callable[[Draws, np.ndarray], np.ndarray]

SPEC = columns.TableSpec(
    "How well an embedding names the task of pairs never seen in training.",
    ("run", "encoder", "seed", "split", "method", "task_subset", "measure", "level", "name"),
    (
        *columns.WHO,
        columns.KIND,
        columns.ROLE,
        columns.text(
            "method",
            "knn: 20 nearest training pairs by cosine; linear: logistic "
            "regression; boosted: gradient boosted trees",
            "knn",
            "linear",
            "boosted",
        ),
        columns.text(
            "task_subset",
            "all tasks, or only those that the format of the output does not "
            "give away (queries only; the gallery stays whole)",
            "all",
            "not_format_identifiable",
        ),
        columns.text(
            "measure",
            "balanced_accuracy: share named right, every (dataset, task) cell "
            "counting alike; family_balanced_accuracy: the same for the family; kappa: "
            "Cohen's kappa of the balanced confusion; map_at_r: mean average precision at R",
            "balanced_accuracy",
            "family_balanced_accuracy",
            "kappa",
            "map_at_r",
        ),
        columns.text(
            "level", "what the row is about", "overall", "family", "task", "dataset", "modality"
        ),
        columns.text("name", "name of the family, task, dataset or modality; `all` for overall"),
        *columns.ESTIMATE,
        columns.number(
            "chance",
            "rate that the encoder's answers would reach if they were dealt out at random",
            0,
            1,
        ),
        *columns.N,
        columns.NOTE,
    ),
)


def identification(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    format_identifiable: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `identification`.

    Rows over all seeds at every level, with intervals; rows a seed for the levels overall and
    family.

    Parameters
    ----------
    prediction_paths
        All prediction files of the run.
    out
        results/<run>/tables/identification.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    format_identifiable
        Tasks that the format of the output gives away.
    """
    predictions = load_predictions(prediction_paths)
    rows: list[dict[str, Any]] = []
    for query_set in predictions.query_sets:
        chosen = predictions.only(query_set)
        setting = _Setting(chosen, query_set, set(format_identifiable), seed, n_draws)
        for encoder in chosen.encoders:
            for method in METHODS:
                if method in encoder.methods:
                    common = {
                        "run": run,
                        "encoder": encoder.name,
                        "kind": encoder.kind,
                        "role": encoder.role,
                        "split": query_set,
                        "method": method,
                    }
                    rows += [common | row for row in _rows_of(setting, encoder, method, query_set)]
    write_table("identification", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


@dataclass(frozen=True)
class Level:
    """A set of (dataset, task) cells with a name."""

    subset: str  # all tasks, or not_format_identifiable ones
    kind: str  # overall, family, task, dataset or modality
    name: str  # which family, task, dataset or modality; all for overall
    mask: np.ndarray  # bool [D, T], its cells
    rows: np.ndarray  # bool [N], its pairs


def levels(frame: pd.DataFrame, design: Design, given_away: Collection[str]) -> list[Level]:
    """All levels of some pairs; without the given-away tasks at all levels but ``task``."""
    dataset = design.subject_dataset[design.subject]
    tasks = np.array(design.tasks, dtype=object)
    kinds = {
        "overall": np.full(len(frame), "all", dtype=object),
        "family": frame["family"].to_numpy(dtype=object),
        "task": frame["task"].to_numpy(dtype=object),
        "dataset": frame["dataset"].to_numpy(dtype=object),
        "modality": frame["modality"].to_numpy(dtype=object),
    }
    hidden = ~np.isin(tasks, list(given_away))[design.task]
    found = []
    for subset, keep in (("all", np.ones(len(frame), bool)), ("not_format_identifiable", hidden)):
        for kind, names in kinds.items():
            if subset != "all" and kind == "task":
                continue
            for name in sorted(set(names)):
                rows = keep & (names == name)
                if rows.any():
                    mask = np.zeros((len(design.datasets), len(design.tasks)), bool)
                    mask[dataset[rows], design.task[rows]] = True
                    found.append(Level(subset, kind, str(name), mask, rows))
    return found


class _Setting:
    """What all encoders of one query set share: design, levels, draws, counts."""

    def __init__(
        self, chosen: Predictions, query_set: str, given_away: set[str], seed: int, n_draws: int
    ) -> None:
        self.frame: pd.DataFrame = chosen.frame
        self.design = Design.of(self.frame)
        self.levels = levels(self.frame, self.design, given_away)
        self.masks = np.stack([level.mask for level in self.levels])
        self.counts = [counts(self.frame, level.rows) for level in self.levels]
        self.seed, self.n_draws, self.query_set = seed, n_draws, query_set
        rng = generator(seed, "bootstrap", query_set)
        # Statements about one dataset keep that dataset; all others draw datasets too.
        self.random = draw(self.design, rng, n_draws)
        self.fixed = draw(self.design, rng, n_draws, fixed_datasets=True)
        self.as_is = no_draws(self.design)

    def seed_draws(self, encoder: EncoderPredictions) -> np.ndarray:
        """Seed weights [B, S] of an encoder, the same for all its methods and measures."""
        rng = generator(self.seed, "bootstrap seeds", self.query_set, encoder.name)
        return draw_seeds(rng, len(encoder.seeds), self.n_draws)

    def statistic(self, measure: str, said: MethodPredictions) -> Statistic:
        """Function of draws and weights of the seeds that gives a measure at all levels, [B, K]."""

        def mean(draws: Draws, seeds: np.ndarray) -> np.ndarray:
            cells = cell_means(self.design, said.values[MEASURES[measure]], draws, seeds)
            return average_cells(cells, draws.dataset, self.masks)

        # Kappa has a meaning where there is more than one true task.
        at = [k for k, level in enumerate(self.levels) if level.kind not in ("family", "task")]

        def agreement(draws: Draws, seeds: np.ndarray) -> np.ndarray:
            found = np.full((len(draws.subject), len(self.levels)), np.nan)
            found[:, at] = kappa(self.design, said.predicted, draws, seeds, self.masks[at])
            return found

        return agreement if measure == "kappa" else mean


def _rows_of(
    setting: _Setting, encoder: EncoderPredictions, method: str, query_set: str
) -> Iterator[dict[str, Any]]:
    """Rows of one encoder and method."""
    said = encoder.methods[method]
    chance = agreement_by_chance(
        setting.design, setting.frame, said.predicted, said.predicted_family, setting.as_is
    )
    one_family = setting.frame["family"].nunique() == 1
    for measure in (*MEASURES, "kappa"):
        if measure == "map_at_r" and method != "knn":
            continue
        # The task of a held-out task cannot be named: only its family can.
        if query_set == "tasks" and measure != "family_balanced_accuracy":
            continue
        statistic = setting.statistic(measure, said)
        for row in _measure(setting, encoder, statistic, measure):
            known = None
            if measure in chance and row["level"] == "overall" and row["task_subset"] == "all":
                known = chance[measure]
            told = [row["note"], encoder.cautions.get(method)]
            if known is not None and query_set == "tasks" and one_family:
                told.append(ONE_FAMILY)
            note = "; ".join(filter(None, told)) or None
            yield {"measure": measure, "chance": known, **row, "note": note}


def _measure(
    setting: _Setting, encoder: EncoderPredictions, statistic: Statistic, measure: str
) -> Iterator[dict[str, Any]]:
    """Rows of one measure at all levels over seeds and, if asked, at the wide ones a seed."""
    S, weights = len(encoder.seeds), setting.seed_draws(encoder)
    bounds = {"low": -1.0 if measure == "kappa" else 0.0, "high": 1.0}
    by_seed = np.stack([statistic(setting.as_is, np.eye(S)[[s]])[0] for s in range(S)])
    over = statistic(setting.as_is, np.full((1, S), 1 / S))[0]

    def rows(estimate: np.ndarray, weights: np.ndarray, n_seeds: int) -> Iterator[dict[str, Any]]:
        boot = {
            fixed: statistic(setting.fixed if fixed else setting.random, weights)
            for fixed in (False, True)
        }
        for k, level in enumerate(setting.levels):
            if np.isfinite(estimate[k]) and (n_seeds == S or level.kind in ("overall", "family")):
                n = setting.counts[k]
                draws = boot[n["n_datasets"] == 1][:, k]
                yield {
                    "task_subset": level.subset,
                    "level": level.kind,
                    "name": level.name,
                    "estimate": float(estimate[k]),
                    "seed_sd": float(by_seed[:, k].std(ddof=1)) if n_seeds > 1 else None,
                    **interval_columns(draws, float(estimate[k]), n, n_seeds, **bounds),
                }

    yield from rows(over, weights, S)
    if measure != "kappa" and S > 1:
        for s, seed in enumerate(encoder.seeds):
            single = np.broadcast_to(np.eye(S)[[s]], weights.shape)
            yield from ({**row, "seed": seed} for row in rows(by_seed[s], single, 1))
