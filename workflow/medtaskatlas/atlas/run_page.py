"""The page docs/results/<run>.md of a finished run: headline tables, command, commit and cost.

Results are not in git, and a machine may not last; the page is small enough for git. Long tables
are cut, and the page says where the rest is.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medtaskatlas.atlas.run_page_sections import SECTIONS, cell
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.code_hash import commit
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, existing_run
from medtaskatlas.core.text import markdown_table

LIMIT = 24_000  # characters of all tables

# Tables that not every run has.
OPTIONAL = ("unseen_tasks", "trajectories", "failures", "scaling")
SYSTEMS = tuple(name for name in SECTIONS if name.startswith(("multitask_", "medformer_")))
SYSTEMS += ("ums_rep", "affinity")
NEEDED = tuple(name for name in SECTIONS if name not in (*OPTIONAL, *SYSTEMS))
# Those of a run without encoders.
ALWAYS = ("summary", "datasets")


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
    systems_alone = any(paths[name].is_file() for name in SYSTEMS)
    systems_alone &= not (results / "embeddings").is_dir()
    needed = ALWAYS if systems_alone else NEEDED
    absent = [name for name in needed if not paths[name].is_file()]
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
    sections = []
    for name, shown in SECTIONS.items():
        if name in needed or paths[name].is_file():
            frame = read_table(paths[name], name, run=run)
            source = f"results/{run}/tables/{name}.parquet"
            sections.append(Section(shown.title, source, _cells(shown.of(frame))))
    cost = _cells(_cost(results / "benchmarks"))
    sections.append(Section("Cost", f"results/{run}/benchmarks", cost))
    with atomic_write(out) as part:
        part.write_text("\n".join([*parts, *fitted(sections, LIMIT)]).rstrip() + "\n")


class Section(NamedTuple):
    """A table of the page."""

    title: str
    source: str  # where all of it is
    cells: list[list[str]]  # head, then rows


def fitted(sections: Sequence[Section], limit: int) -> list[str]:
    """Sections as Markdown of about so many characters; the longest ones are cut alike."""
    room, waiting = float(limit), sorted(len(_markdown(section)) for section in sections)
    while waiting and waiting[0] <= room / len(waiting):
        room -= waiting.pop(0)
    return [_markdown(section, room / len(waiting) if waiting else limit) for section in sections]


def _markdown(section: Section, most: float = float("inf")) -> str:
    """Heading and table, with as many rows as there is room for, but at least one."""
    head, *rows = section.cells
    title = f"## {section.title}\n"
    if not rows:
        return f"{title}\nNone.\n"

    def text(kept: int) -> str:
        note = f"\n{kept} of {len(rows)} rows; the others are in `{section.source}`.\n"
        return f"{title}\n{markdown_table(head, rows[:kept])}{note if kept < len(rows) else ''}"

    return next((t for n in range(len(rows), 1, -1) if len(t := text(n)) <= most), text(1))


def _cells(rows: pd.DataFrame) -> list[list[str]]:
    """Head and rows of a table as text."""
    records = rows.to_dict("records")
    return [list(map(str, rows.columns)), *([cell(v) for v in r.values()] for r in records)]


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
