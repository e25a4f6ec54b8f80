"""The table `summary`: the findings in sentences, each with its number and its control.

A finding is a function of the tables that yields rows. Its verdict is `supported` only where its
interval or test speaks for it, it holds against every baseline where it is about learning, and the
control it depends on has passed.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.findings import FINDINGS, NOT_SUPPORTED, SUPPORTED, VERDICTS
from medtaskatlas.atlas.inference import MIN_SUBJECTS
from medtaskatlas.atlas.medformer.findings import findings as of_medformer
from medtaskatlas.atlas.medformer.gains import Arms
from medtaskatlas.atlas.medformer.pretext_findings import pretexts
from medtaskatlas.atlas.multitask.findings import FINDINGS as OF_MULTITASK
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.atlas.transfer.findings import predictions

NEEDED = ("identification", "comparisons", "separation", "task_distances", "clusters", "controls")
# Read where they are given.
OPTIONAL = (
    *("shortcuts", "unseen_tasks", "scaling", "trajectories", "failures"),
    *("multitask_gains", "ums_rep", "medformer_gains", "medformer_scores"),
    *("medformer_pretext_ranks", "transfer_prediction"),
)

SPEC = columns.TableSpec(
    "The findings in sentences, each with its number and the control it depends on.",
    ("run", "finding", "encoder", "split"),
    (
        columns.RUN,
        columns.text("finding", "name of the finding"),
        columns.ENCODER,
        columns.SEED,
        columns.SPLIT,
        columns.text("sentence", "the finding for a reader"),
        columns.text(
            "verdict",
            "supported: interval or test speak for it, its control passed, and where it is about "
            "learning the paired interval of its statistic lies above that of every baseline; "
            "above chance: all but the last; not supported",
            *VERDICTS,
        ),
        columns.yes("supported", "whether that is its verdict"),
        columns.text("control", "control that it depends on", nullable=True),
        columns.yes(
            "control_passed",
            "whether that control passed; null: none or not run",
            nullable=True,
        ),
        *columns.TESTED,
    ),
)


def summary(
    out: str | Path, *, run: str, arms: Arms | None = None, **table_paths: str | Path
) -> None:
    """Write the table `summary`.

    Parameters
    ----------
    out
        results/<run>/tables/summary.parquet.
    run
        Name of the run.
    arms
        Options of Medformer's arms, by name; None: there are none.
    table_paths
        Path of each table in :data:`NEEDED` and, if there, in :data:`OPTIONAL`, by its name; none
        of the former in a run without encoders.
    """
    encoders = any(name in table_paths for name in NEEDED)
    names = [*(NEEDED if encoders else ()), *(name for name in OPTIONAL if name in table_paths)]
    tables = {name: read_table(table_paths[name], name, run=run) for name in names}
    found = [finding(tables) for finding in (*(FINDINGS if encoders else ()), *OF_MULTITASK)]
    rows = [
        {"run": run, **_judged(row, tables.get("controls"))}
        for row in chain(
            *found, of_medformer(tables, arms or {}), pretexts(tables), predictions(tables)
        )
    ]
    write_table("summary", rows, out, {"run": run})


def _judged(row: dict[str, Any], controls: pd.DataFrame | None) -> dict[str, Any]:
    """A finding with its verdict."""
    row = _with_control(row, controls)
    return row | {"supported": row["verdict"] == SUPPORTED}


def _with_control(row: dict[str, Any], controls: pd.DataFrame | None) -> dict[str, Any]:
    """Withdraw a finding that rests on too little, or whose control did not pass."""
    if row["n_subjects"] < MIN_SUBJECTS:
        row["verdict"] = NOT_SUPPORTED
        row["sentence"] += f" Not supported: fewer than {MIN_SUBJECTS} subjects."
    control = row.get("control")
    if control is None or controls is None:
        return row
    chosen = controls[
        (controls["control"] == control)
        & (controls["encoder"] == row["encoder"])
        & (controls["split"] == row["split"])
    ]["passed"]
    passed = None if chosen.empty or chosen.isna().all() else bool(chosen.fillna(True).all())
    row = row | {"control_passed": passed}
    if not passed:
        why = "failed" if passed is False else "could not be run"
        row["verdict"] = NOT_SUPPORTED
        row["sentence"] += f" Not supported: its control ({control}) {why}."
    return row
