"""The table `controls`: checks that would fail if the measurement were wrong.

A new control is a function that yields rows; training on shuffled labels will be one more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.embeddings import BASELINE_KINDS
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.predictions import EncoderPredictions, Predictions, load_predictions
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    average_cells,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.seeds import generator

CHANCE_MARGIN = 0.02
DUPLICATE_LIMIT = 0.5
SPLITS = 100


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
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        rows.append(_duplicated_task(queries, seed))
    rows += _against_untrained(comparisons_path, run)
    meta = {"run": run, "seed": seed, "n_draws": n_draws}
    write_table("controls", [{"run": run, **row} for row in rows], out, meta)


def _shuffled_gallery(
    chosen: Predictions, encoder: EncoderPredictions, query_set: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """KNN with a gallery of permuted labels must name tasks as often as chance does."""
    said = encoder.methods["knn_shuffled"].values
    design = Design.of(chosen.frame)
    S, n = len(encoder.seeds), counts(chosen.frame)
    everything = np.ones((1, len(design.datasets), len(design.tasks)), bool)
    rng = generator(seed, "bootstrap", query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    seeds = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder.name), S, n_draws)

    def mean(values: np.ndarray, how: Any, weights: np.ndarray) -> np.ndarray:
        cells = cell_means(design, values, how, weights)
        return average_cells(cells, how.dataset, everything)[:, 0]

    as_is, whole = no_draws(design), np.full((1, S), 1 / S)
    estimate = float(mean(said["correct"], as_is, whole)[0])
    reference = float(mean(said["chance"], as_is, whole)[0])
    each = [mean(said["correct"], as_is, np.eye(S)[[s]])[0] for s in range(S)]
    interval = percentile_interval(
        mean(said["correct"], draws, seeds),
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


def _duplicated_task(queries: EncoderQueries, seed: int) -> dict[str, Any]:
    """Two random halves of a task must lie closer together than two tasks do."""
    row: dict[str, Any] = {
        "control": "duplicated_task",
        "encoder": queries.name,
        "split": queries.query_set,
        "expectation": "the halves of a task, split at random, lie less than "
        f"{DUPLICATE_LIMIT} of the mean distance between tasks apart",
        "reference": DUPLICATE_LIMIT,
        **counts(queries.frame),
    }
    design = Design.of(queries.frame)
    _, T = design.shape
    if T < 2 or np.bincount(design.task).min() < 4:
        return row | {"note": "could not be run: fewer than two tasks, or four pairs of each"}
    S = len(queries.seeds)
    ratio = np.stack(
        [
            halves_ratio(v, design, generator(seed, "duplicated_task", queries.query_set))
            for v in queries.vectors
        ]
    )
    if not np.isfinite(ratio).all():
        return row | {"note": "could not be run: tasks have no direction in this embedding"}
    over = ratio.mean(axis=0)
    low, high = np.quantile(over, [0.025, 0.975])
    return row | {
        "estimate": float(over.mean()),
        "seed_sd": float(ratio.mean(axis=1).std(ddof=1)) if S > 1 else None,
        "ci_low": float(low),
        "ci_high": float(high),
        "ci_method": f"2.5 to 97.5 % of {SPLITS} random splits",
        "passed": bool(high < DUPLICATE_LIMIT),
    }


def halves_ratio(
    vectors: np.ndarray, design: Design, rng: np.random.Generator, n_splits: int = SPLITS
) -> np.ndarray:
    """Distance between random halves of tasks over the distance between tasks.

    Parameters
    ----------
    vectors
        float [N, D].
    design
        Who belongs to what; halves are drawn in each (dataset, task) cell.
    rng
        Generator.
    n_splits
        Number of random splits.

    Returns
    -------
    numpy.ndarray
        float64 [n_splits]: mean cosine distance of the centroids of two halves, over tasks, as a
        share of the mean distance of half centroids of different tasks.
    """
    T = len(design.tasks)
    cell = design.group_dataset[design.group] * T + design.task
    out = np.empty(n_splits)
    for i in range(n_splits):
        order = np.lexsort((rng.random(len(cell)), cell))
        start = np.r_[0, np.flatnonzero(np.diff(cell[order])) + 1]
        within = np.arange(len(cell)) - np.repeat(start, np.diff(np.r_[start, len(cell)]))
        half = np.empty(len(cell), int)
        half[order] = within % 2
        sums = np.zeros((2 * T, vectors.shape[1]), np.float64)
        member = half * T + design.task
        for h in range(2 * T):
            sums[h] = vectors[member == h].sum(axis=0)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = sums / length
        distance = 1 - sums[:T] @ sums[T:].T
        off = ~np.eye(T, dtype=bool)
        between = distance[off].mean()
        out[i] = np.diag(distance).mean() / between if between > 1e-9 else np.nan
    return out


def _against_untrained(comparisons_path: str | Path, run: str) -> Iterator[dict[str, Any]]:
    """A trained encoder must beat the same network without training."""
    table = read_table(comparisons_path, "comparisons", run=run)
    chosen = table[
        (table["contrast"] == "pair")
        & (table["other_kind"] == "random")
        & ~table["kind"].isin(list(BASELINE_KINDS))
        & (table["measure"] == "balanced_accuracy")
    ]
    for row in chosen.to_dict("records"):
        kept = ("encoder", "split", "estimate", "seed_sd", "ci_low", "ci_high", "ci_method")
        n = ("n_pairs", "n_images", "n_groups", "n_datasets", "note")
        value: dict[str, Any] = {k: row[k] for k in (*kept, *n)}
        low = row["ci_low"]
        yield value | {
            "control": f"beats_untrained ({row['other']})",
            "expectation": "training helps: balanced accuracy minus that of the untrained "
            "network, interval above 0",
            "reference": 0.0,
            "passed": None if pd.isna(low) else bool(low > 0),
        }
