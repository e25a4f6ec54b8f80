"""The page docs/results/<run>.md of a finished run: headline tables, command, commit and cost.

Results are not in git, and a machine may not last; the page is small enough for git.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings import CHANGES
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.code_hash import commit
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, existing_run

INTERVAL = ("estimate", "ci_low", "ci_high")
NUMBERS = ("estimate", "seed_sd", "ci_low", "ci_high", "n_pairs", "n_groups", "n_datasets")


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


# Table to heading, rows that are shown (None: all) and columns.
PageSection = tuple[str, Callable[[pd.DataFrame], pd.Series] | None, tuple[str, ...]]
SECTIONS: dict[str, PageSection] = {
    "summary": ("Findings", None, ("supported", "sentence")),
    "identification": (
        "Identification",
        _overall,
        ("encoder", "split", "method", "task_subset", "measure", *NUMBERS),
    ),
    "comparisons": (
        "Paired differences",
        lambda f: f["contrast"].isin(["best_baseline", "best_probe"]),
        ("encoder", "method", "other", "other_method", "split", "measure", *NUMBERS, "p_adjusted"),
    ),
    "separation": (
        "Shares of variance",
        _shares_of_variance,
        ("encoder", "split", "measure", "factor", "other", *NUMBERS, "p_adjusted"),
    ),
    "unseen_tasks": (
        "Unseen tasks",
        lambda f: f["level"].isin(["overall", "difference"]),
        ("encoder", "split", "measure", "level", "other", "reference", *NUMBERS, "p_adjusted"),
    ),
    "trajectories": (
        "Trajectories",
        _named_changes,
        ("encoder", "other", "split", "task", "measure", *NUMBERS),
    ),
    "failures": (
        "Failures",
        lambda f: (f["task"] == "all") & f["seed"].isna(),
        ("encoder", "split", "failure_kind", "measure", "reference", *NUMBERS),
    ),
    "scaling": (
        "Scaling",
        None,
        ("encoder", "split", "axis", "measure", "train_datasets", "train_pairs", "steps", *NUMBERS),
    ),
    "controls": (
        "Controls",
        None,
        ("control", "encoder", "split", *INTERVAL, "reference", "passed"),
    ),
    # How far each view gets over all tasks, and the tasks that it should not know but does.
    "shortcuts": (
        "Shortcuts",
        lambda f: (f["level"] == "overall") | f["flagged"].fillna(False),
        ("view", "split", "name", *INTERVAL, "chance", "flagged", "n_pairs", "n_groups"),
    ),
    "datasets": (
        "Datasets",
        None,
        ("dataset", "modality", "annotation", "heldout", "n_images", "n_groups", "licence"),
    ),
}
# Tables that not every run has.
OPTIONAL = ("unseen_tasks", "trajectories", "failures", "scaling")
NEEDED = tuple(name for name in SECTIONS if name not in OPTIONAL)


def run_page(results: str | Path, out: str | Path, *, command: str) -> None:
    """Write the page of a run.

    Parameters
    ----------
    results
        Folder of the run, results/<run>.
    out
        The Markdown file to make.
    command
        What was run, as a user would type it.

    Raises
    ------
    DataError
        If a table of the run is missing.
    """
    results = existing_run(results)
    paths = {name: results / "tables" / f"{name}.parquet" for name in SECTIONS}
    absent = [name for name in NEEDED if not paths[name].is_file()]
    if absent:
        raise DataError(f"{results} lacks the tables {', '.join(absent)}", "finish the run first")
    run = results.resolve().name
    parts = [
        f"# Run {run}",
        "",
        "Made by `medtaskatlas keep`; do not edit.",
        "",
        f"- command: `{command}`",
        f"- commit: {commit()}",
        f"- machine: {platform.machine()}, Python {platform.python_version()}",
        "",
    ]
    for name, (title, shown, columns) in SECTIONS.items():
        if name in NEEDED or paths[name].is_file():
            frame = read_table(paths[name], name, run=run)
            rows = frame if shown is None else frame[shown(frame)]
            parts += _section(title, rows[list(columns)])
    parts += _section("Cost", _cost(results / "benchmarks"))
    with atomic_write(out) as part:
        part.write_text("\n".join(parts).rstrip() + "\n")


def _section(title: str, rows: pd.DataFrame) -> list[str]:
    """Heading and Markdown table."""
    if rows.empty:
        return [f"## {title}", "", "None.", ""]
    lines = [list(rows.columns), ["---"] * len(rows.columns)]
    lines += [[_cell(value) for value in row.values()] for row in rows.to_dict("records")]
    return [f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""]


def _cell(value: Any) -> str:
    """Value as text of one cell: three decimals, nothing for null."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    # A bar would part the cell, a line end the row.
    return " ".join(str(value).split()).replace("|", r"\|")


def _cost(benchmarks: Path) -> pd.DataFrame:
    """Seconds and peak memory of the jobs of each stage, as Snakemake measured them."""
    rows = []
    for stage in sorted(p for p in benchmarks.glob("*") if p.is_dir()):
        jobs = pd.concat(
            [pd.read_csv(file, sep="\t", na_values="-") for file in sorted(stage.rglob("*.tsv"))]
        )
        rows.append(
            {
                "stage": stage.name,
                "jobs": len(jobs),
                "seconds in all": float(jobs["s"].sum()),
                "longest, s": float(jobs["s"].max()),
                "peak memory of one job, MiB": float(jobs["max_rss"].max()),
            }
        )
    return pd.DataFrame(rows)
