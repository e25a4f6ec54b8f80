"""The table `medformer_scores`: every score of every arm on every set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medtaskatlas.atlas.columns import RUN, SEED, TableSpec, text
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.duplicates import (
    DUPLICATES,
    KEPT,
    LEFT_OUT,
    read_left_out,
    without,
)
from medtaskatlas.atlas.medformer.official import OfficialBootstrap
from medtaskatlas.atlas.multitask.answers import load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS
from medtaskatlas.atlas.multitask.columns import ABOUT_SCORE, MEASURED, SPLIT
from medtaskatlas.atlas.multitask.scores import rows_of
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.medformer.options import arm_of

SPEC = TableSpec(
    "How good is every arm of Medformer, and every baseline, on every set, and with how many of "
    "the labels?",
    ("run", "set", "arm", "labels", "seed", "split", "duplicates", "target", "score"),
    (
        *(RUN, columns.SET, columns.ARM, columns.LABELS, SEED, SPLIT, DUPLICATES, columns.TARGET),
        text("target_kind", "kind of the target"),
        columns.SCORE,
        *ABOUT_SCORE,
        *MEASURED,
    ),
)


def medformer_scores(
    prediction_paths: Iterable[str | Path],
    duplicates_path: str | Path,
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `medformer_scores`.

    Parameters
    ----------
    prediction_paths
        All predictions of Medformer's arms in the run.
    duplicates_path
        The table `medformer_duplicates`.
    out
        results/<run>/tables/medformer_scores.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    left_out = read_left_out(duplicates_path, run)
    rows = [
        _named(run, row) | {"duplicates": duplicates}
        for whole in load_problems(prediction_paths, run=run, splits=("test", "val"))
        for duplicates, problem in ((KEPT, whole), (LEFT_OUT, without(whole, left_out)))
        if problem is not None
        for row in rows_of(problem, OfficialBootstrap(problem, seed, n_draws))
    ]
    write_table("medformer_scores", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _named(run: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a multi-task system as one of an arm."""
    arm, labels = arm_of(row["system"])
    left = {"problem", "system", "weighting", "beside", "primary"}
    kept = {key: value for key, value in row.items() if key not in left}
    return {"run": run, "set": row["problem"], "arm": arm, "labels": labels} | kept
