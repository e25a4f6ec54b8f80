"""The table `controls`: checks that would fail if the measurement were wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import Interval, over_seeds, percentile_interval
from medtaskatlas.atlas.predictions import EncoderPredictions, Predictions, load_predictions
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import DRAWS, Design, balanced_mean, draw, draw_seeds, no_draws
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.seeds import generator

SPEC = columns.TableSpec(
    "Checks that would fail if the measurement were wrong.",
    ("run", "control", "encoder", "split"),
    (
        *columns.WHO,
        columns.text("control", "name of the control"),
        columns.text("expectation", "what must come out, in words"),
        *columns.ESTIMATE,
        columns.number("reference", "value that the estimate is held against"),
        columns.yes("passed", "whether it came out; null: could not be run", nullable=True),
        *columns.N,
        columns.NOTE,
    ),
)
CHANCE_MARGIN = 0.02
# Families whose tasks take the image as it is; see medtaskatlas.tasks.
CLEAN_INPUT = ("semantic", "transformation")
DUPLICATE_LIMIT = 0.5
SPLITS = 100
# Columns of `comparisons` that are taken over.
KEPT = (
    *("encoder", "split", "estimate", "seed_sd", "ci_low", "ci_high", "ci_method"),
    *("n_pairs", "n_images", "n_groups", "n_subjects", "n_datasets", "note"),
)


def controls(
    prediction_paths: Iterable[str | Path],
    embedding_paths: Iterable[str | Path],
    comparisons_path: str | Path,
    out: str | Path,
    *,
    run: str,
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
            blind = [e for e in chosen.encoders if e.control == "input_only"]
            inputs = (chosen, query_set, seed, n_draws)
            rows += [_shuffled_gallery(e, *inputs) for e in chosen.encoders]
            rows += [input_only(e, *inputs) for e in blind]
    for queries in load_queries(embedding_paths, every_task=True):
        rows.append(duplicated_task(queries, seed))
        del queries  # before the next is read
    rows += against_untrained(
        read_table(comparisons_path, "comparisons", run=run),
        [e.name for e in predictions.encoders if e.role in ("model", "ablation")],
        [e.name for e in predictions.encoders if e.control == "shuffled_labels"],
    )
    meta = {"run": run, "seed": seed, "n_draws": n_draws}
    write_table("controls", [{"run": run, **row} for row in rows], out, meta)


def _shuffled_gallery(
    encoder: EncoderPredictions, chosen: Predictions, query_set: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """KNN with a gallery of permuted labels must name tasks as often as chance does."""
    values = encoder.methods["knn_shuffled"].values
    design, n, S = Design.of(chosen.frame), counts(chosen.frame), len(encoder.seeds)
    as_is, all_seeds = no_draws(design), np.full((1, S), 1 / S)
    estimate = float(balanced_mean(design, values["correct"], as_is, all_seeds)[0])
    reference = float(balanced_mean(design, values["chance"], as_is, all_seeds)[0])
    each, interval = _bootstrap(design, values["correct"], (query_set, encoder.name), seed, n_draws)
    low = estimate if interval.ci_low is None else interval.ci_low
    return {
        "control": "shuffled_gallery",
        "encoder": encoder.name,
        "split": query_set,
        "expectation": "with the gallery's labels permuted (50 times), kNN names tasks at chance: "
        f"the interval reaches down to chance + {CHANCE_MARGIN} or below",
        **over_seeds(each),
        **vars(interval),
        "estimate": estimate,
        "reference": reference,
        "passed": bool(low <= reference + CHANCE_MARGIN),
        **n,
    }


def input_only(
    encoder: EncoderPredictions, chosen: Predictions, query_set: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """An encoder that sees the input alone cannot tell tasks whose input is the image.

    Within a dataset, pairs of such tasks show it the same pictures. Its answers may name the tasks
    no more often than the same answers would, dealt out among these pairs of the dataset.
    """
    mask = chosen.frame["family"].isin(CLEAN_INPUT).to_numpy()
    frame = chosen.frame.loc[mask].reset_index(drop=True)
    row: dict[str, Any] = {
        "control": "input_only",
        "encoder": encoder.name,
        "split": query_set,
        "expectation": "seeing the input alone, tasks whose input is the image are named at chance "
        "within each dataset: rate minus chance, interval not above 0",
        "reference": 0.0,
        **counts(frame),
    }
    if frame["task"].nunique() < 2:
        return row | {"note": "could not be run: fewer than two tasks whose input is the image"}
    said = encoder.methods["knn"]
    predicted = said.predicted[:, mask]
    values = said.values["correct"][:, mask] - _by_chance(frame, predicted)
    each, interval = _bootstrap(Design.of(frame), values, (query_set, encoder.name), seed, n_draws)
    passed = None if interval.ci_low is None else bool(interval.ci_low <= 0)
    return row | over_seeds(each) | vars(interval) | {"passed": passed}


def _bootstrap(
    design: Design, values: np.ndarray, source: tuple[str, str], seed: int, n_draws: int
) -> tuple[np.ndarray, Interval]:
    """Balanced mean of values [S, N] of a query set and encoder: each seed's, and the interval."""
    query_set, encoder = source
    S, fixed = len(values), len(design.datasets) == 1
    as_is = no_draws(design)
    each = [balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)]
    draws = draw(design, generator(seed, "bootstrap", query_set), n_draws, fixed_datasets=fixed)
    seeds = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder), S, n_draws)
    interval = percentile_interval(
        balanced_mean(design, values, draws, seeds),
        n_groups=len(design.group_dataset),
        n_datasets=len(design.datasets),
        n_seeds=S,
    )
    return np.array(each), interval


def _by_chance(frame: pd.DataFrame, predicted: np.ndarray) -> np.ndarray:
    """[S, N] how often the answers given in a pair's dataset name the pair's task.

    Every task of a dataset counts alike, so that a task with more pairs is not the better guess.
    """
    out = np.empty(predicted.shape)
    for rows in frame.groupby("dataset").indices.values():
        task = frame["task"].to_numpy(dtype=object)[rows]
        weight = 1 / pd.Series(task).map(pd.Series(task).value_counts()).to_numpy(dtype=float)
        for s, said in enumerate(predicted[:, rows]):
            share = pd.Series(weight).groupby(said).sum() / weight.sum()
            out[s, rows] = share.reindex(task, fill_value=0.0).to_numpy()
    return out


def against_untrained(
    comparisons: pd.DataFrame, learners: Collection[str], shuffled: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Encoders next to the same network without training.

    Those that learned from tasks must be better, those that learned from shuffled labels must not.
    """
    chosen = comparisons[
        (comparisons["contrast"] == "pair")
        & (comparisons["other_kind"] == "random")
        & (comparisons["measure"] == "balanced_accuracy")
    ]
    for row in chosen.to_dict("records"):
        helps = row["encoder"] in learners
        if helps:
            control, expectation = "beats_untrained", "training helps: {}, interval above 0"
        elif row["encoder"] in shuffled:
            control = "shuffled_labels"
            expectation = "training on shuffled labels does not help: {}, interval not above 0"
        else:
            continue
        difference = "balanced accuracy minus that of the untrained network"
        yield {name: row[name] for name in KEPT} | {
            "control": f"{control} ({row['other']})",
            "expectation": expectation.format(difference),
            "reference": 0.0,
            "passed": None if pd.isna(row["ci_low"]) else bool((row["ci_low"] > 0) == helps),
        }


def duplicated_task(queries: EncoderQueries, seed: int) -> dict[str, Any]:
    """Two random halves of a task must lie closer together than two tasks do."""
    row: dict[str, Any] = {
        "control": "duplicated_task",
        "encoder": queries.name,
        "split": queries.query_set,
        "expectation": "the halves of a task, split at random, lie less than "
        f"{DUPLICATE_LIMIT} of the mean distance between tasks apart",
        "reference": DUPLICATE_LIMIT,
        **counts(queries.frame[queries.frame["task"].isin(queries.asked)]),
    }
    design = Design.of(queries.frame)
    own = np.isin(design.tasks, queries.asked)
    if len(own) < 2 or np.bincount(design.task).min() < 4:
        return row | {"note": "could not be run: fewer than two tasks, or four pairs of each"}
    ratio = np.stack(
        [
            halves_ratio(v, design, own, generator(seed, "duplicated_task", queries.query_set))
            for v in queries.vectors
        ]
    )
    if not np.isfinite(ratio).all():
        return row | {"note": "could not be run: tasks have no direction in this embedding"}
    over = ratio.mean(axis=0)
    low, high = np.quantile(over, [0.025, 0.975])
    return row | {
        **over_seeds(ratio.mean(axis=1)),
        "estimate": float(over.mean()),
        "ci_low": float(low),
        "ci_high": float(high),
        "ci_method": f"2.5 to 97.5 % of {SPLITS} random splits",
        "passed": bool(high < DUPLICATE_LIMIT),
    }


def halves_ratio(
    vectors: np.ndarray,
    design: Design,
    own: np.ndarray,
    rng: np.random.Generator,
    n_splits: int = SPLITS,
) -> np.ndarray:
    """Distance between random halves of tasks over the distance between tasks, [n_splits].

    Halves are drawn in each (dataset, task) cell. The mean cosine distance of the centroids of two
    halves, over the tasks of `own` [T], is a share of the mean distance of half centroids of
    different tasks; other tasks are there to be compared with.
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
        off = ~np.eye(T, dtype=bool) & (own[:, None] | own)
        between = distance[off].mean()
        out[i] = np.diag(distance)[own].mean() / between if between > 1e-9 else np.nan
    return out
