"""The table `confusion`: which task is taken for which."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import interval_columns, over_seeds
from medtaskatlas.atlas.predictions import EncoderPredictions, Predictions, load_predictions
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    draw,
    draw_seeds,
)
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "Which task is taken for which (kNN); rates of a true task sum to 1.",
    ("run", "encoder", "split", "true_task", "predicted_task"),
    (
        *columns.WHO,
        columns.text("method", "knn", "knn"),
        columns.text("true_task", "task of the pairs"),
        columns.text("true_family", "its family"),
        columns.text("predicted_task", "task that was named"),
        columns.text("predicted_family", "its family"),
        columns.number("count", "pairs named so, mean over seeds", 0, nullable=False),
        *columns.MEASURED,
    ),
)


def confusion(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `confusion`: kNN, over all seeds, every true task with every named one.

    Parameters
    ----------
    prediction_paths
        All prediction files of the run.
    out
        results/<run>/tables/confusion.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    """
    predictions = load_predictions(prediction_paths)
    rows: list[dict[str, Any]] = []
    for query_set in predictions.query_sets:
        chosen = predictions.only(query_set)
        for encoder in chosen.encoders:
            common = {"run": run, "encoder": encoder.name, "split": query_set, "method": "knn"}
            rows += [common | row for row in _rows(chosen, encoder, query_set, seed, n_draws)]
    write_table("confusion", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rows(
    chosen: Predictions, encoder: EncoderPredictions, query_set: str, seed: int, n_draws: int
) -> list[dict[str, Any]]:
    """Rows of one encoder and query set."""
    knn = encoder.methods["knn"]
    design = Design.of(chosen.frame)
    answers = sorted(set(knn.predicted.ravel()) | set(design.tasks))
    # Tasks may be named that no query has.
    family = dict(zip(knn.predicted.ravel(), knn.predicted_family.ravel(), strict=True))
    family |= dict(zip(chosen.frame["task"], chosen.frame["family"], strict=True))
    code = {task: i for i, task in enumerate(answers)}
    named = np.array([[code[p] for p in row] for row in knn.predicted])
    S, (G, T), A = len(named), design.shape, len(answers)
    at = (design.subject * T + design.task) * A
    tally = np.stack([np.bincount(at + row, minlength=G * T * A) for row in named])
    tally = tally.reshape(S, G, T * A).astype(float)
    pairs = design.sums(np.ones(len(design.task)))
    draws = draw(design, generator(seed, "bootstrap", query_set), n_draws)
    weights = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder.name), S, n_draws)
    total = np.repeat(draws.subject @ pairs, A, axis=1)
    top = sum(weights[:, [s]] * (draws.subject @ tally[s]) for s in range(S))
    with np.errstate(invalid="ignore", divide="ignore"):
        boot = np.asarray(top / total).reshape(n_draws, T, A)
    rate = (tally.sum(axis=1) / np.repeat(pairs.sum(axis=0), A)).reshape(S, T, A)
    count = tally.sum(axis=1).reshape(S, T, A).mean(axis=0)
    rows = []
    for t, true_task in enumerate(design.tasks):
        n = counts(chosen.frame, design.task == t)
        for a, answer in enumerate(answers):
            rows.append(
                {
                    "true_task": true_task,
                    "true_family": family[true_task],
                    "predicted_task": answer,
                    "predicted_family": family[answer],
                    "count": count[t, a],
                    **over_seeds(rate[:, t, a]),
                    **interval_columns(
                        boot[:, t, a], float(rate[:, t, a].mean()), n, S, low=0.0, high=1.0
                    ),
                }
            )
    return rows
