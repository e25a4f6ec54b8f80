"""Keep what a run showed: docs/results/<run>.md, small enough for git.

Results are not in git, and a machine may not last. The page holds the headline tables, the command
and the commit that made them, and what each stage cost.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medtaskatlas.atlas.findings.trajectories import CHANGES
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.code_hash import commit
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import existing_run, whole_file

NEEDED = (
    "summary",
    "identification",
    "comparisons",
    "separation",
    "controls",
    "shortcuts",
    "datasets",
)
NUMBERS = ["estimate", "seed_sd", "ci_low", "ci_high", "n_pairs", "n_groups", "n_datasets"]


def keep(results: str | Path, out: str | Path, *, command: str) -> None:
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
    absent = [n for n in NEEDED if not (results / "tables" / f"{n}.parquet").is_file()]
    if absent:
        raise DataError(f"{results} lacks the tables {', '.join(absent)}", "finish the run first")
    more = [n for n in OPTIONAL if (results / "tables" / f"{n}.parquet").is_file()]
    run = results.resolve().name
    tables = {
        n: read_table(results / "tables" / f"{n}.parquet", n, run=run) for n in (*NEEDED, *more)
    }
    parts = [
        f"# Run {run}",
        "",
        "Made by `medtaskatlas keep`; do not edit.",
        "",
        f"- command: `{command}`",
        f"- commit: {commit()}",
        f"- machine: {platform.machine()}, Python {platform.python_version()}",
        "",
        *_section("Findings", _findings(tables["summary"])),
        *_section("Identification", _identification(tables["identification"])),
        *_section("Paired differences", _comparisons(tables["comparisons"])),
        *_section("Shares of variance", _separation(tables["separation"])),
        *(line for name in more for line in _section(*OPTIONAL[name](tables[name]))),
        *_section("Controls", _controls(tables["controls"])),
        *_section("Shortcuts", _shortcuts(tables["shortcuts"])),
        *_section("Datasets", _datasets(tables["datasets"])),
        *_section("Cost", _cost(results / "benchmarks")),
    ]
    with whole_file(out) as part:
        part.write_text("\n".join(parts).rstrip() + "\n")


def _section(title: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Heading and Markdown table."""
    rows = list(rows)
    if not rows:
        return [f"## {title}", "", "None.", ""]
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[_cell(value) for value in row.values()] for row in rows]
    return [f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""]


def _cell(value: Any) -> str:
    """Value as text of one cell: three decimals, nothing for null."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    # A bar would part the cell, a line end the row.
    return " ".join(str(value).split()).replace("|", r"\|")


def _records(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame[columns].to_dict("records")]


def _findings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return _records(frame, ["supported", "sentence"])


def _identification(frame: pd.DataFrame) -> list[dict[str, Any]]:
    chosen = frame[(frame["level"] == "overall") & frame["seed"].isna()]
    return _records(chosen, ["encoder", "split", "method", "task_subset", "measure", *NUMBERS])


def _comparisons(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["encoder", "method", "other", "other_method", "split", "measure", *NUMBERS]
    best = frame[frame["contrast"].isin(["best_baseline", "best_probe"])]
    return _records(best, [*columns, "p_adjusted"])


def _separation(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Shares of task and dataset, their difference, and the gain of the task's on baselines."""
    shares = frame["measure"].str.startswith("omega_squared")
    chosen = frame[shares & (frame["within"] == "crossed")]
    chosen = chosen[chosen["factor"].isin(["task", "dataset"]) | chosen["other"].notna()]
    columns = ["encoder", "split", "measure", "factor", "other", *NUMBERS]
    return _records(chosen, [*columns, "p_adjusted"])


Kept = tuple[str, list[dict[str, Any]]]


def _unseen(frame: pd.DataFrame) -> Kept:
    columns = ["encoder", "split", "measure", "level", "other", "reference", *NUMBERS]
    chosen = frame[frame["level"].isin(["overall", "difference"])]
    return "Unseen tasks", _records(chosen, [*columns, "p_adjusted"])


def _trajectories(frame: pd.DataFrame) -> Kept:
    """The changes that the paper names, over all images."""
    chosen = frame[
        (frame["scope"] == "task")
        & frame["seed"].isna()
        & frame["task"].isin(CHANGES)
        & frame["measure"].isin(
            ["spearman", "spearman_p10", "path_over_chord", "path_over_chord_difference"]
        )
    ]
    return "Trajectories", _records(
        chosen, ["encoder", "other", "split", "task", "measure", *NUMBERS]
    )


def _failures(frame: pd.DataFrame) -> Kept:
    chosen = frame[(frame["task"] == "all") & frame["seed"].isna()]
    columns = ["encoder", "split", "failure_kind", "measure", "reference", *NUMBERS]
    return "Failures", _records(chosen, columns)


def _scaling(frame: pd.DataFrame) -> Kept:
    columns = ["encoder", "split", "axis", "measure", "train_datasets", "train_pairs", "steps"]
    return "Scaling", _records(frame, [*columns, *NUMBERS])


# Tables that not every run has.
OPTIONAL: dict[str, Callable[[pd.DataFrame], Kept]] = {
    "unseen_tasks": _unseen,
    "trajectories": _trajectories,
    "failures": _failures,
    "scaling": _scaling,
}


def _controls(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["control", "encoder", "split", "estimate", "ci_low", "ci_high", "reference"]
    return _records(frame, [*columns, "passed"])


def _shortcuts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """How far each view gets over all tasks, and the tasks that it should not know but does."""
    shown = frame[(frame["level"] == "overall") | frame["flagged"].fillna(False)]
    columns = ["view", "split", "name", "estimate", "ci_low", "ci_high", "chance", "flagged"]
    return _records(shown, [*columns, "n_pairs", "n_groups"])


def _datasets(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["dataset", "modality", "annotation", "heldout", "n_images", "n_groups", "licence"]
    return _records(frame, columns)


def _cost(benchmarks: Path) -> list[dict[str, Any]]:
    """Seconds and peak memory of the jobs of each stage, as Snakemake measured them."""
    rows: list[dict[str, Any]] = []
    if not benchmarks.is_dir():
        return rows
    for stage in sorted(p for p in benchmarks.iterdir() if p.is_dir()):
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
    return rows
