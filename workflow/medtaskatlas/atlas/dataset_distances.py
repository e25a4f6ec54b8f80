"""The table `dataset_distances`: how far apart datasets lie, and whether modalities explain it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.centroids import (
    as_they_are,
    bootstrapped,
    dataset_cosines,
)
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.distances import DRAWS, counts_of_two
from medtaskatlas.atlas.inference import adjust, centred_interval, no_interval
from medtaskatlas.atlas.modality_contrast import SAMPLED, SAMPLED_PAIRS, modality_rows
from medtaskatlas.atlas.queries import EncoderQueries, load_queries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.sample_distances import dataset_energies
from medtaskatlas.atlas.seed_spread import over_seeds
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator

MIN_PER_CELL = 4
UNDEFINED = {
    "centroid_cosine": "undefined: no common task, or the centroid of a dataset is zero",
    "energy": "undefined: no common task, a dataset of one pair, or no pair differs from another",
}
Rows = Iterator[dict[str, Any]]


def dataset_distances(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
    n_permutations: int = 9999,
) -> None:
    """Write the table `dataset_distances`, over all seeds of each encoder.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/dataset_distances.parquet.
    run
        Name of the run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    n_permutations
        Permutations of the modalities over the datasets.
    """
    rows: list[dict[str, Any]] = []
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        common = {"run": run, "encoder": queries.name, "split": queries.query_set}
        rows += [common | row for row in _rows(queries, seed, n_draws, n_permutations)]
        del queries  # before the next is read
    facts = {"run": run, "seed": seed, "n_draws": n_draws, "n_permutations": n_permutations}
    frame = adjust(pd.DataFrame(rows)) if rows else pd.DataFrame()
    write_table("dataset_distances", frame, out, facts)


def _rows(queries: EncoderQueries, seed: int, n_draws: int, n_permutations: int) -> Rows:
    """Rows of one encoder and query set."""
    design, frame = Design.of(queries.frame), queries.frame
    D = len(design.datasets)
    dataset = design.group_dataset[design.group]
    chosen = _sample(queries, dataset, design.task, seed)
    each = {
        "centroid_cosine": as_they_are(dataset_cosines, queries),
        "energy": np.stack(
            [
                dataset_energies(v[chosen], dataset[chosen], design.task[chosen])
                for v in queries.vectors
            ]
        ),
    }
    boot = bootstrapped(dataset_cosines, queries, seed, n_draws, fixed_datasets=True)
    modality = frame.groupby("dataset")["modality"].first().to_numpy(dtype=object)
    has = np.zeros((D, len(design.tasks)), int)
    has[dataset, design.task] = 1
    n_of, groups = counts_of_two(frame, dataset), np.bincount(design.group_dataset)
    S = len(queries.seeds)
    for metric, matrices in each.items():
        for a, b in combinations(range(D), 2):
            values = matrices[:, a, b]
            row: dict[str, Any] = {
                "metric": metric,
                "level": "pair",
                "dataset_a": design.datasets[a],
                "dataset_b": design.datasets[b],
                "modality_a": modality[a],
                "modality_b": modality[b],
                "n_tasks": int(has[a] @ has[b]),
                "n_dataset_pairs": 1,
                "p": None,
                **n_of[a][b],
            }
            if not np.isfinite(values).all():
                yield row | {"note": UNDEFINED[metric]}
                continue
            interval = no_interval(f"no interval: {SAMPLED}")
            if metric == "centroid_cosine":
                fewest = int(min(groups[a], groups[b]))
                # The two datasets are kept, so that only groups and seeds are drawn.
                interval = centred_interval(
                    boot[:, a, b],
                    float(values.mean()),
                    n_groups=fewest,
                    n_datasets=1,
                    n_seeds=S,
                    low=0.0,
                    side="a dataset",
                )
            yield row | over_seeds(values) | vars(interval)
        # The same permutations for all encoders: their p differ by their distances only.
        rng = generator(seed, "modalities", queries.query_set)
        draws = boot if metric == "centroid_cosine" else None
        few = int(groups.min())
        rows = modality_rows(
            matrices, draws, modality, fewest=few, rng=rng, n_permutations=n_permutations
        )
        for row in rows:
            yield {
                "metric": metric,
                "p": None,
                "p_family": f"dataset_distances, {row['level']}" if "p" in row else None,
                "n_tasks": len(design.tasks),
                **counts(frame),
                **row,
            }


def _sample(
    queries: EncoderQueries, dataset: np.ndarray, task: np.ndarray, seed: int
) -> np.ndarray:
    """Sorted rows, equally many of each cell as far as it reaches: the same for all encoders."""
    order = generator(seed, "dataset energy", queries.query_set).permutation(len(dataset))
    cell = dataset * (int(task.max()) + 1) + task
    per_cell = max(MIN_PER_CELL, SAMPLED_PAIRS // len(np.unique(cell)))
    rank = pd.Series(order).groupby(cell[order]).cumcount().to_numpy()
    return np.sort(order[rank < per_cell])
