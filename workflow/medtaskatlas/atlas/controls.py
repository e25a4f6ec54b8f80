"""The table `controls`: checks that would fail if the measurement were wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import Interval, bootstrap_interval, over_seeds
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
# Families whose tasks take the image as it is; see medtaskatlas.tasks.
CLEAN_INPUT = ("semantic", "transformation")
SPLITS = 100
# Columns of `comparisons` that are taken over.
KEPT = (
    *("encoder", "split", "estimate", "seed_sd", "ci_low", "ci_high", "ci_method"),
    *("n_pairs", "n_images", "n_groups", "n_subjects", "n_datasets", "note"),
)
NO_POWER = (
    "could not be run: no model is shown to name these tasks better, so that this proves nothing"
)
UNTRAINED = "random"  # kind of the untrained network


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
        chosen = predictions.only(query_set)
        inputs = (chosen, query_set, seed, n_draws)
        rows += [mismatched_outputs(e, *inputs) for e in chosen.encoders]
        if query_set != "tasks":
            blind = [e for e in chosen.encoders if e.control == "input_only"]
            rows += [input_only(e, *inputs) for e in blind]
    rows += duplicated_task(load_queries(embedding_paths, every_task=True), seed)
    rows += against_untrained(
        read_table(comparisons_path, "comparisons", run=run),
        {e.name: e.role for e in predictions.encoders},
        [e.name for e in predictions.encoders if e.control == "shuffled_labels"],
    )
    meta = {"run": run, "seed": seed, "n_draws": n_draws}
    write_table("controls", [{"run": run, **row} for row in rows], out, meta)


def mismatched_outputs(
    encoder: EncoderPredictions, chosen: Predictions, query_set: str, seed: int, n_draws: int
) -> dict[str, Any]:
    """With another image's output a pair must be named less often than with its own.

    What is named by the output alone, or by debris of either side, is named as often. Of held-out
    tasks it is the family that is named.
    """
    column = "family_correct" if query_set == "tasks" else "correct"
    row: dict[str, Any] = {
        "control": "mismatched_outputs",
        "encoder": encoder.name,
        "split": query_set,
        "expectation": "pairs are named more often than the same inputs with the output of another "
        "image: difference, interval above 0",
        "reference": 0.0,
    }
    other = encoder.methods.get("knn_mismatched")
    asked = np.zeros(len(chosen.frame), bool)
    if other is not None:
        asked = np.isfinite(other.values[column]).all(axis=0)
    row |= counts(chosen.frame, asked)
    if other is None or not asked.any():
        return row | {"note": "could not be run: no pair has another image's output beside it"}
    frame = chosen.frame.loc[asked].reset_index(drop=True)
    own, wrong = (m.values[column][:, asked] for m in (encoder.methods["knn"], other))
    each, interval = _bootstrap(frame, own - wrong, (query_set, encoder.name), seed, n_draws)
    still, _ = _bootstrap(frame, wrong, (query_set, encoder.name), seed, n_draws)
    told = f"with another image's output {still.mean():.0%} are still named right"
    passed = None if interval.ci_low is None else bool(interval.ci_low > 0)
    note = "; ".join(filter(None, [interval.note, told]))
    return row | over_seeds(each) | vars(interval) | {"passed": passed, "note": note}


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
        "within each dataset: rate minus chance, interval not above 0, where a model names them "
        "more often",
        "reference": 0.0,
        **counts(frame),
    }
    if frame["task"].nunique() < 2:
        return row | {"note": "could not be run: fewer than two tasks whose input is the image"}
    said = encoder.methods["knn"]
    right = said.values["correct"][:, mask]
    by_chance = _by_chance(frame, said.predicted[:, mask])
    source = (query_set, encoder.name)
    each, interval = _bootstrap(frame, right - by_chance, source, seed, n_draws)
    row |= over_seeds(each) | vars(interval)
    if interval.ci_low is None:
        return row
    others = [e for e in chosen.encoders if e.role == "model"]
    models = [e.methods["knn"].values["correct"][:, mask].mean(axis=0) for e in others]
    gains = [
        _bootstrap(frame, (model - right.mean(axis=0))[None], source, seed, n_draws)[1].ci_low
        for model in models
    ]
    if not any(low is not None and low > 0 for low in gains):
        return row | {"note": NO_POWER}
    return row | {"passed": bool(interval.ci_low <= 0)}


def _bootstrap(
    frame: pd.DataFrame, values: np.ndarray, source: tuple[str, str], seed: int, n_draws: int
) -> tuple[np.ndarray, Interval]:
    """Balanced mean of values [S, N] of a query set and encoder: each seed's, and the interval."""
    query_set, encoder = source
    design, n = Design.of(frame), counts(frame)
    S, as_is = len(values), no_draws(design)
    each = [balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)]
    rng = generator(seed, "bootstrap", query_set)
    draws = draw(design, rng, n_draws, fixed_datasets=n["n_datasets"] == 1)
    seeds = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder), S, n_draws)
    drawn = balanced_mean(design, values, draws, seeds)
    return np.array(each), bootstrap_interval(drawn, float(np.mean(each)), n, n_seeds=S)


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
    comparisons: pd.DataFrame, roles: Mapping[str, str], shuffled: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Encoders next to the same network without training.

    Those that learned from tasks must be better. Those that learned from shuffled labels must not,
    where the same comparison shows a model to be better than they are.
    """
    chosen = comparisons[
        (comparisons["contrast"] == "pair") & (comparisons["measure"] == "balanced_accuracy")
    ]
    for row in chosen[chosen["other_kind"] == UNTRAINED].to_dict("records"):
        name, difference = row["encoder"], "balanced accuracy minus that of the untrained network"
        known = pd.notna(row["ci_low"])
        made = {column: row[column] for column in KEPT} | {"reference": 0.0, "passed": None}
        if roles[name] in ("model", "ablation"):
            control, expectation = "beats_untrained", f"training helps: {difference}, interval"
            made |= {"expectation": f"{expectation} above 0"}
            made["passed"] = bool(row["ci_low"] > 0) if known else None
        elif name in shuffled:
            control = "shuffled_labels"
            made["expectation"] = (
                f"training on shuffled labels does not help: {difference}, interval not above 0, "
                "where a model is better than it"
            )
            if known and _beaten(chosen[chosen["split"] == row["split"]], name, roles):
                made["passed"] = bool(row["ci_low"] <= 0)
            elif known:
                made["note"] = NO_POWER
        else:
            continue
        yield made | {"control": f"{control} ({row['other']})"}


def _beaten(pairs: pd.DataFrame, name: str, roles: Mapping[str, str]) -> bool:
    """Whether some model is shown to be better than an encoder."""
    model = pairs["encoder"].map(roles) == "model"
    other = pairs["other"].map(roles) == "model"
    above = (pairs["other"] == name) & model & (pairs["ci_low"] > 0)
    below = (pairs["encoder"] == name) & other & (pairs["ci_high"] < 0)
    return bool((above | below).any())


def duplicated_task(encoders: Iterable[EncoderQueries], seed: int) -> Iterator[dict[str, Any]]:
    """A task on some datasets must lie nearer to itself on others than tasks lie to each other.

    Relative to the distance between tasks, and by more than in the untrained network, which knows
    no task but sees the same pixels. Outside of `regions` datasets share no subject, so that
    nothing else makes them alike.
    """
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for queries in encoders:
        row: dict[str, Any] = {
            "control": "duplicated_task",
            "encoder": queries.name,
            "split": queries.query_set,
            "expectation": "a task on one half of the datasets lies near itself on the other, as "
            "a share of the mean distance between tasks: nearer, with its upper end, than in the "
            "untrained network with its lower end",
            **counts(queries.frame[queries.frame["task"].isin(queries.asked)]),
        }
        rng = generator(seed, "duplicated_task", queries.query_set)
        ratio, why = _halves(queries, rng)
        row |= {"note": why} if ratio is None else _over_splits(ratio)
        found.setdefault(queries.query_set, []).append((queries.kind, row))
        del queries  # before the next is read
    for of_set in found.values():
        ends = [row["ci_low"] for kind, row in of_set if kind == UNTRAINED and "ci_low" in row]
        for _, row in of_set:
            if "ci_low" not in row:
                yield row
            elif not ends:
                yield row | {"note": "could not be run: no untrained network (kind random)"}
            else:
                yield row | {"reference": min(ends), "passed": bool(row["ci_high"] < min(ends))}


def _over_splits(ratio: np.ndarray) -> dict[str, Any]:
    """Columns of a ratio [S, splits]."""
    low, high = np.quantile(ratio.mean(axis=0), [0.025, 0.975])
    return {
        **over_seeds(ratio.mean(axis=1)),
        "ci_low": float(low),
        "ci_high": float(high),
        "ci_method": f"2.5 to 97.5 % of {ratio.shape[1]} ways to halve the datasets",
    }


def _halves(
    queries: EncoderQueries, rng: np.random.Generator
) -> tuple[np.ndarray | None, str | None]:
    """Ratio [S, splits] of :func:`halves_ratio`, or why there is none."""
    design = Design.of(queries.frame)
    D, T = len(design.datasets), len(design.tasks)
    own = np.isin(design.tasks, queries.asked)
    if D < 2 or T < 2 or not own.any():
        return None, "could not be run: fewer than two datasets, or two tasks"
    dataset = design.subject_dataset[design.subject]
    size = np.zeros((D, T))
    np.add.at(size, (dataset, design.task), 1)
    first = halves_of(D, rng)
    ratio = np.empty((len(queries.vectors), len(first)))
    into = np.zeros((D, len(design.subject_dataset)))
    into[design.subject_dataset, np.arange(len(design.subject_dataset))] = 1
    for s, vectors in enumerate(queries.vectors):
        sums = design.sums_of_rows(vectors)
        means = (into @ sums.reshape(len(sums), -1)).reshape(D, T, -1)
        means /= np.maximum(size, 1)[:, :, None]
        ratio[s] = halves_ratio(means, size > 0, first, own)
    ratio = ratio[:, np.isfinite(ratio).all(axis=0)]
    if not ratio.size:
        return None, "could not be run: tasks have no direction here, or share no two datasets"
    return ratio, None


def halves_of(n_datasets: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct halves of some datasets, bool [splits, D]: all, or a hundred at random."""
    order = rng.permuted(np.tile(np.arange(n_datasets), (20 * SPLITS, 1)), axis=1)
    first = order < n_datasets // 2
    # A half and the other are one way; with an odd number the smaller half tells.
    if n_datasets % 2 == 0:
        first = first ^ first[:, :1]
    _, at = np.unique(first, axis=0, return_index=True)
    return np.asarray(first[np.sort(at)[:SPLITS]])


def halves_ratio(
    means: np.ndarray, there: np.ndarray, first: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Distance of tasks to themselves over that to others, [splits], across halves of datasets.

    ``means`` [D, T, F] are those of the pairs of each task on each dataset, where ``there`` [D, T];
    ``first`` [splits, D] tells one half. The mean cosine distance of a task's centroid on one half
    to its own on the other, over the tasks of ``own`` [T] that both have, is a share of the mean
    distance of two tasks across the halves; NaN where no two tasks are on both.
    """
    flat = means.reshape(len(means), -1)
    out = np.full(len(first), np.nan)
    for i, half in enumerate(first):
        weight = np.stack([half, ~half]).astype(float)
        n = weight @ there
        centre = (weight @ flat).reshape(2, *means.shape[1:])
        length = np.linalg.norm(centre, axis=2, keepdims=True)
        both = (n > 0).all(axis=0) & (length[..., 0] > 0).all(axis=0)
        one, other = (centre / np.maximum(length, 1e-30))[:, both]
        distance, asked = 1 - one @ other.T, own[both]
        apart = ~np.eye(len(distance), dtype=bool) & (asked[:, None] | asked)
        if asked.any() and apart.any() and distance[apart].mean() > 1e-9:
            out[i] = np.diag(distance)[asked].mean() / distance[apart].mean()
    return out
