"""The table `separation`: what arranges the embedding, the task or the dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.inference import adjust
from medtaskatlas.atlas.queries import load_queries
from medtaskatlas.atlas.resampling import DRAWS
from medtaskatlas.atlas.separation.dispersion_rows import dispersion_rows
from medtaskatlas.atlas.separation.silhouette_rows import silhouette_rows
from medtaskatlas.atlas.separation.variance_rows import TaskShare, gain_rows, variance_rows
from medtaskatlas.atlas.tables import write_table


def separation(
    embedding_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `separation`, over all seeds of each encoder.

    The share of variance of the task is also compared with that of the dataset, and between trained
    encoders and baselines: on the same pairs, datasets and groups drawn together, seeds apart.

    Parameters
    ----------
    embedding_paths
        All embedding files of the run.
    out
        results/<run>/tables/separation.parquet.
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
    shares: list[TaskShare] = []
    for queries in load_queries(embedding_paths, heldout_datasets, heldout_tasks):
        common = {
            "run": run,
            "encoder": queries.name,
            "kind": queries.kind,
            "split": queries.query_set,
        }
        rows += [common | row for row in silhouette_rows(queries, seed, n_draws)]
        rows += [common | row for row in variance_rows(queries, seed, n_draws, shares)]
        rows += [common | row for row in dispersion_rows(queries, seed)]
        del queries  # before the next is read
    rows += [{"run": run, **row} for row in gain_rows(shares)]
    # Tiny runs have no tests.
    none: dict[str, Any] = {"p": None, "p_family": None}
    frame = pd.DataFrame([none | row for row in rows])
    write_table("separation", adjust(frame), out, {"run": run, "seed": seed, "n_draws": n_draws})
