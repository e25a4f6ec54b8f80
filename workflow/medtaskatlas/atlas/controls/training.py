"""Controls by training: what learns nothing from tasks must not name them, what learns must."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.predictions import EncoderPredictions, Predictions
from medtaskatlas.atlas.resampling import (
    Design,
    balanced_mean,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.core.seeds import generator

KEPT = ("encoder", "split", "estimate", "seed_sd", "ci_low", "ci_high", "ci_method")
N = ("n_pairs", "n_images", "n_groups", "n_datasets", "note")


def against_untrained(
    comparisons: pd.DataFrame, learners: Collection[str], shuffled: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Compare what was trained with the same network without training.

    Parameters
    ----------
    comparisons
        The table `comparisons`.
    learners
        Encoders that learned from tasks: they must be better.
    shuffled
        Encoders that learned from shuffled labels: they must not be better.

    Yields
    ------
    dict
        Rows of the table `controls`.
    """
    chosen = comparisons[
        (comparisons["contrast"] == "pair")
        & (comparisons["other_kind"] == "random")
        & (comparisons["measure"] == "balanced_accuracy")
    ]
    for row in chosen.to_dict("records"):
        value: dict[str, Any] = {name: row[name] for name in (*KEPT, *N)}
        low = row["ci_low"]
        if row["encoder"] in learners:
            yield value | {
                "control": f"beats_untrained ({row['other']})",
                "expectation": "training helps: balanced accuracy minus that of the untrained "
                "network, interval above 0",
                "reference": 0.0,
                "passed": None if pd.isna(low) else bool(low > 0),
            }
        elif row["encoder"] in shuffled:
            yield value | {
                "control": f"shuffled_labels ({row['other']})",
                "expectation": "training on shuffled labels does not help: balanced accuracy minus "
                "that of the untrained network, interval not above 0",
                "reference": 0.0,
                "passed": None if pd.isna(low) else bool(low <= 0),
            }


def input_only(
    chosen: Predictions,
    encoder: EncoderPredictions,
    query_set: str,
    *,
    families: Collection[str],
    seed: int,
    n_draws: int,
) -> dict[str, Any]:
    """Check that an encoder that sees the input alone cannot tell tasks whose input is the image.

    Within a dataset, pairs of such tasks show it the same pictures. Its answers may name the tasks
    no more often than the same answers would, dealt out among these pairs of the dataset.

    Parameters
    ----------
    chosen
        Queries of one set.
    encoder
        Of them, the one that sees the input alone.
    query_set
        Name of the set.
    families
        Families whose tasks have the image as input.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Returns
    -------
    dict
        A row of the table `controls`.
    """
    mask = chosen.frame["family"].isin(list(families)).to_numpy()
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
    design = Design.of(frame)
    S, fixed = len(encoder.seeds), len(design.datasets) == 1
    draws = draw(design, generator(seed, "bootstrap", query_set), n_draws, fixed_datasets=fixed)
    seeds = draw_seeds(generator(seed, "bootstrap seeds", query_set, encoder.name), S, n_draws)
    as_is = no_draws(design)
    by_seed = np.array([balanced_mean(design, values, as_is, np.eye(S)[[s]])[0] for s in range(S)])
    interval = percentile_interval(
        balanced_mean(design, values, draws, seeds),
        n_groups=row["n_groups"],
        n_datasets=row["n_datasets"],
        n_seeds=S,
    )
    low = interval.ci_low
    return row | {
        "estimate": float(by_seed.mean()),
        "seed_sd": float(by_seed.std(ddof=1)) if S > 1 else None,
        **vars(interval),
        "passed": None if low is None else bool(low <= 0),
    }


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
