"""The table `controls`: checks that would fail if the measurement were wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.atlas.controls.duplicates import duplicated_task
from medtaskatlas.atlas.controls.training import against_untrained, input_only
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.predictions import EncoderPredictions, Predictions, load_predictions
from medtaskatlas.atlas.queries import load_queries
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    balanced_mean,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.seeds import generator

CHANCE_MARGIN = 0.02
# Families whose tasks take the image as it is; see medtaskatlas.tasks.
CLEAN_INPUT = ("semantic", "transformation")


def controls(
    prediction_paths: Iterable[str | Path],
    embedding_paths: Iterable[str | Path],
    comparisons_path: str | Path,
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `controls`.

    Parameters
    ----------
    prediction_paths, embedding_paths
        All files of the run.
    comparisons_path
        The table `comparisons`.
    out
        results/<run>/tables/controls.parquet.
    run
        Name of the run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    rows: list[dict[str, Any]] = []
    predictions = load_predictions(prediction_paths)
    for query_set in predictions.query_sets:
        if query_set != "tasks":
            chosen = predictions.only(query_set)
            rows += [
                _shuffled_gallery(chosen, e, query_set, seed, n_draws) for e in chosen.encoders
            ]
            rows += [
                input_only(chosen, e, query_set, families=CLEAN_INPUT, seed=seed, n_draws=n_draws)
                for e in chosen.encoders
                if e.control == "input_only"
            ]
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks, every_task=True):
        rows.append(duplicated_task(queries, seed))
        del queries  # before the next is read
    by_role = {e.name: e for e in predictions.encoders}
    rows += against_untrained(
        read_table(comparisons_path, "comparisons", run=run),
        [name for name, e in by_role.items() if e.role in ("model", "ablation")],
        [name for name, e in by_role.items() if e.control == "shuffled_labels"],
    )
    meta = {"run": run, "seed": seed, "n_draws": n_draws}
    write_table("controls", [{"run": run, **row} for row in rows], out, meta)


def _shuffled_gallery(
    chosen: Predictions, encoder: EncoderPredictions, query_set: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """KNN with a gallery of permuted labels must name tasks as often as chance does."""
    said = encoder.methods["knn_shuffled"].values
    design = Design.of(chosen.frame)
    S, n = len(encoder.seeds), counts(chosen.frame)
    rng = generator(seed, "bootstrap", query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    seeds = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder.name), S, n_draws)
    as_is, whole = no_draws(design), np.full((1, S), 1 / S)
    estimate = float(balanced_mean(design, said["correct"], as_is, whole)[0])
    reference = float(balanced_mean(design, said["chance"], as_is, whole)[0])
    each = [balanced_mean(design, said["correct"], as_is, np.eye(S)[[s]])[0] for s in range(S)]
    interval = percentile_interval(
        balanced_mean(design, said["correct"], draws, seeds),
        n_groups=n["n_groups"],
        n_datasets=n["n_datasets"],
        n_seeds=S,
    )
    low = estimate if interval.ci_low is None else interval.ci_low
    return {
        "control": "shuffled_gallery",
        "encoder": encoder.name,
        "split": query_set,
        "expectation": "with the gallery's labels permuted (50 times), kNN names tasks at chance: "
        f"the interval reaches down to chance + {CHANCE_MARGIN} or below",
        "estimate": estimate,
        "seed_sd": float(np.std(each, ddof=1)) if S > 1 else None,
        **vars(interval),
        "reference": reference,
        "passed": bool(low <= reference + CHANCE_MARGIN),
        **n,
    }
