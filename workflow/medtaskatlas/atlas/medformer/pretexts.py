"""The table `medformer_pretexts`: what a pretext gains a target, and how near they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.columns import RUN, SEED, TableSpec, number, text, yes
from medtaskatlas.atlas.comparisons.mantel import METRIC
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.duplicates import KEPT
from medtaskatlas.atlas.multitask.columns import SPLIT, TESTED
from medtaskatlas.atlas.tables import read_table, write_table

# By what the distances of the tasks are measured, the first that has both: test groups of datasets
# that were trained on.
QUERY_SETS = ("groups", "regions")
DISTANCE = {"estimate": "distance", "ci_low": "distance_low", "ci_high": "distance_high"}

SPEC = TableSpec(
    "What does pre-training by one task of the atlas gain a target, and how far is that task from "
    "the target's own in the space of each encoder? Rows of medformer_gains against training from "
    "scratch with as many more steps, on all test images, with an encoder each.",
    ("run", "set", "arm", "labels", "target", "score", "reference", "encoder"),
    (
        *(RUN, columns.SET, columns.ARM, columns.LABELS, SEED, SPLIT, columns.TARGET),
        text("reference", "the arm from scratch with as many more steps"),
        text("pretext", "task of the bank that the arm was pre-trained by"),
        text("family", "its family"),
        text(
            "task",
            "task of the bank that asks for the same as the target; null: none does",
            nullable=True,
        ),
        yes("same_family", "whether it is of the pretext's family", nullable=True),
        columns.SCORE,
        yes("primary", "whether it is the primary score of the target"),
        text(
            "encoder",
            "encoder in whose space both tasks lie; null: none knows both",
            nullable=True,
        ),
        number("distance", "1 - cosine of their centroids, as in task_distances; 0: one task", 0),
        number("distance_low", "lower end of its 95 % interval"),
        number("distance_high", "upper end of its 95 % interval"),
        *TESTED,
    ),
)

Facts = Mapping[str, Any]


def medformer_pretexts(
    gains_path: str | Path,
    task_distances_path: str | Path,
    out: str | Path,
    *,
    run: str,
    pretexts: Mapping[str, Facts],
    targets: Mapping[str, Mapping[str, Facts]],
) -> None:
    """Write the table `medformer_pretexts`.

    Parameters
    ----------
    gains_path
        Table `medformer_gains` of the run; intervals and p are taken from there.
    task_distances_path
        Table `task_distances` of the run.
    out
        results/<run>/tables/medformer_pretexts.parquet.
    run
        Name of the run.
    pretexts
        ``pretext`` and ``family`` of the arms that start from one task of the atlas.
    targets
        Primary ``score``, and ``task`` and its ``family`` or null, by set and target.
    """
    gains = read_table(gains_path, "medformer_gains", run=run)
    gains = gains[(gains["differs"] == "matched") & gains["arm"].isin(pretexts)]
    gains = gains[gains["set"].isin(targets) & (gains["duplicates"] == KEPT)]
    gains = gains.drop(columns=["differs", "duplicates"])
    own = [pretexts[arm] for arm in gains["arm"]]
    asked = [targets[s][t] for s, t in zip(gains["set"], gains["target"], strict=True)]
    families = [
        None if of["family"] is None else of["family"] == one["family"]
        for one, of in zip(own, asked, strict=True)
    ]
    gains = gains.assign(
        pretext=[one["pretext"] for one in own],
        family=[one["family"] for one in own],
        task=[of["task"] for of in asked],
        primary=[of["score"] for of in asked] == gains["score"],
        same_family=pd.array(families, "boolean"),
    )
    near = _distances(read_table(task_distances_path, "task_distances", run=run))
    frame = gains.merge(near, how="left", on=["pretext", "task"])
    write_table("medformer_pretexts", frame, out, {"run": run})


def _distances(table: pd.DataFrame) -> pd.DataFrame:
    """Distance of every pretext to every task, both ways and to itself, in every encoder."""
    chosen = table[(table["metric"] == METRIC) & table["estimate"].notna()]
    chosen = pd.concat([chosen[chosen["split"] == name] for name in QUERY_SETS])
    chosen = chosen.drop_duplicates(["encoder", "task_a", "task_b"])
    chosen = chosen[["encoder", "task_a", "task_b", *DISTANCE]].rename(columns=DISTANCE)
    there = chosen.rename(columns={"task_a": "pretext", "task_b": "task"})
    back = chosen.rename(columns={"task_a": "task", "task_b": "pretext"})
    both = pd.concat([there, back], ignore_index=True)
    itself = both[["encoder", "pretext"]].drop_duplicates()
    return pd.concat([both, itself.assign(task=itself["pretext"], distance=0.0)])
