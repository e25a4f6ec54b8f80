"""What the page of a run shows of each table: which rows and columns, and in which form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings import CHANGES
from medtaskatlas.atlas.medformer.convergence import REACHED
from medtaskatlas.atlas.medformer.findings import main_score
from medtaskatlas.atlas.medformer.means import ALL

INTERVAL = ("estimate", "ci_low", "ci_high")
GROUPS = ("n_groups", "n_subjects")
NUMBERS = (*("estimate", "seed_sd", "ci_low", "ci_high", "n_pairs"), *GROUPS, "n_datasets")


@dataclass(frozen=True)
class Shown:
    """A table on the page.

    Attributes
    ----------
    title
        Heading.
    columns
        Columns that are shown, or, with ``across``, those that name a row.
    where
        Which rows; None: all.
    across
        Column whose values become columns, each with the number ``value`` and its interval, if it
        has one; else numbers that share a cell are averaged.
    order
        Puts first what is kept where a table is cut.
    """

    title: str
    columns: tuple[str, ...]
    where: Callable[[pd.DataFrame], pd.Series] | None = None
    across: str | None = None
    value: str = "estimate"
    order: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of the page."""
        rows = table if self.where is None else table[self.where(table)]
        rows = rows if self.order is None else self.order(rows)
        return rows[list(self.columns)] if self.across is None else self._wide(rows, self.across)

    def _wide(self, rows: pd.DataFrame, across: str) -> pd.DataFrame:
        """A column a value of `across`, with n, the mean over all first."""
        index = list(self.columns)
        if rows.empty:
            return rows[index]
        if self.value == "estimate" and rows["ci_low"].notna().any():
            told = rows.apply(_with_interval, axis=1)
        else:
            rows = rows.groupby([*index, across], sort=False)[[self.value]].mean().reset_index()
            told = rows[self.value].map(cell)
        names = sorted(dict.fromkeys(rows[across]), key=lambda name: name != ALL)
        wide = rows.assign(told=told).pivot_table(
            index=index, columns=across, values="told", aggfunc="first", sort=False
        )[names]
        if "n_subjects" in rows:
            n = rows.groupby(across)["n_subjects"].max()
            wide.columns = [f"{name}, n = {n[name]}" for name in names]
        return wide.reset_index().rename_axis(columns=None)


def cell(value: Any) -> str:
    """Value as text of one cell: three decimals, nothing for null."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    # A bar would part the cell, a line end the row.
    return " ".join(str(value).split()).replace("|", r"\|")


def _with_interval(row: pd.Series) -> str:
    """A number with its interval."""
    text = cell(float(row["estimate"]))
    if pd.isna(row["ci_low"]):
        return text
    return f"{text} [{cell(float(row['ci_low']))}, {cell(float(row['ci_high']))}]"


def _overall(f: pd.DataFrame) -> pd.Series:
    return (f["level"] == "overall") & f["seed"].isna()


def _shares_of_variance(f: pd.DataFrame) -> pd.Series:
    """Shares of task and dataset, their difference, and the gain of the task's on baselines."""
    shares = f["measure"].str.startswith("omega_squared") & (f["within"] == "crossed")
    return shares & (f["factor"].isin(["task", "dataset"]) | f["other"].notna())


def _named_changes(f: pd.DataFrame) -> pd.Series:
    """The changes that the paper names, over all images."""
    steady = ["spearman", "spearman_p10", "path_over_chord", "path_over_chord_difference"]
    rows = (f["scope"] == "task") & f["seed"].isna()
    return rows & f["task"].isin(CHANGES) & f["measure"].isin(steady)


def _against_references(f: pd.DataFrame) -> pd.Series:
    """Mean gains against every reference; those of single targets are in the findings."""
    drawn = f["scope"] != "these_problems"
    return f["seed"].isna() & f["estimate"].notna() & (f["measure"] == "delta_m") & drawn


def _of_main_score(f: pd.DataFrame) -> pd.Series:
    """Rows of one score a target, over seeds."""
    of = {target: main_score(list(own["score"])) for target, own in f.groupby("target")}
    return f["seed"].isna() & (f["score"] == f["target"].map(of))


# Table to what is shown of it, in the order of the page.
SECTIONS: dict[str, Shown] = {
    # What is supported first, and what is of most datasets.
    "summary": Shown(
        "Findings",
        ("verdict", "sentence"),
        order=lambda f: f.sort_values(["supported", "n_datasets"], ascending=False, kind="stable"),
    ),
    "identification": Shown(
        "Identification",
        ("encoder", "split", "method", "task_subset", "measure", *NUMBERS),
        _overall,
    ),
    "comparisons": Shown(
        "Paired differences",
        ("encoder", "method", "other", "other_method", "split", "measure", *NUMBERS, "p_adjusted"),
        lambda f: f["contrast"].isin(["best_baseline", "best_probe"]),
    ),
    "separation": Shown(
        "Shares of variance",
        ("encoder", "split", "measure", "factor", "other", *NUMBERS, "p_adjusted"),
        _shares_of_variance,
    ),
    "unseen_tasks": Shown(
        "Unseen tasks",
        ("encoder", "split", "measure", "level", "other", "reference", *NUMBERS, "p_adjusted"),
        lambda f: f["level"].isin(["overall", "difference"]),
    ),
    "trajectories": Shown(
        "Trajectories", ("encoder", "other", "split", "task", "measure", *NUMBERS), _named_changes
    ),
    "failures": Shown(
        "Failures",
        ("encoder", "split", "failure_kind", "measure", "reference", *NUMBERS),
        lambda f: (f["task"] == "all") & f["seed"].isna(),
    ),
    "scaling": Shown(
        "Scaling",
        ("encoder", "split", "axis", "measure", "train_datasets", "train_pairs", "steps", *NUMBERS),
    ),
    "controls": Shown(
        "Controls", ("control", "encoder", "split", *INTERVAL, "reference", "passed")
    ),
    # How far each view gets over all tasks, and the tasks that it should not know but does.
    "shortcuts": Shown(
        "Shortcuts",
        ("view", "split", "name", *INTERVAL, "chance", "flagged", "n_pairs", *GROUPS),
        lambda f: (f["level"] == "overall") | f["flagged"].fillna(False),
    ),
    "multitask_gains": Shown(
        "Multi-task systems: mean change of all targets (delta-m), by problem",
        ("system", "reference_kind"),
        _against_references,
        across="problem",
    ),
    "multitask_cost": Shown(
        "Cost of multi-task systems: CPU seconds of training, times those of single-task networks",
        ("system",),
        lambda f: f["seed"].isna() & (f["part"] == "training") & (f["measure"] == "cpu_seconds"),
        across="problem",
        value="relative_to_stl",
    ),
    "ums_rep": Shown(
        "UMS-Rep: all targets together, by problem",
        ("system", "strategy", "measure"),
        lambda f: f["seed"].isna() & (f["target"] == ALL) & f["estimate"].notna(),
        across="problem",
    ),
    "affinity": Shown(
        "Which target helps which",
        ("problem", "target", "beside", "score", *INTERVAL, "n_subjects"),
        lambda f: f["seed"].isna() & (f["measure"] == "relative_change"),
    ),
    "medformer_scores": Shown(
        "Arms of Medformer, by set",
        ("arm", "labels", "duplicates", "score"),
        lambda f: (f["split"] == "test") & _of_main_score(f),
        across="set",
    ),
    # Pre-training and its control first, baselines last.
    "medformer_gains": Shown(
        "Arms of Medformer that differ in one thing, by set",
        ("differs", "arm", "reference", "labels", "duplicates", "score"),
        _of_main_score,
        across="set",
        order=lambda f: f.sort_values(
            "differs", key=lambda kind: (kind == "model") * 1 - (kind == "matched"), kind="stable"
        ),
    ),
    "medformer_duplicates": Shown(
        "Images of Medformer's sets that are the same",
        (
            *("set", "n_train", "n_val", "n_test", "within_split", "across_splits"),
            *("other_labels", "n_left_out"),
        ),
    ),
    "medformer_convergence": Shown(
        "Cost of the arms of Medformer, a mean over the trainings of all sets",
        ("measure", "arm", "labels"),
        lambda f: f["seed"].isna() & f["measure"].isin([REACHED, "cpu_seconds"]),
        across="part",
    ),
    "datasets": Shown(
        "Datasets",
        ("dataset", "modality", "annotation", "heldout", "n_images", *GROUPS, "licence"),
    ),
}
