"""A table and a figure more: a module and a line of the registry each, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runs import command, due_jobs, of_project, project_copy

TABLE = '''
"""Pairs of each dataset that the smoke run asked about."""

import pandas as pd

from medtaskatlas.atlas.columns import RUN, TableSpec, count, text
from medtaskatlas.atlas.tables import read_table, write_table

SPEC = TableSpec(
    "How many cells has each dataset?", ("run", "dataset"),
    (RUN, text("dataset", "name of the dataset"), count("n_cells", "its cells")),
)

def cells(grid, out, *, run):
    frame = read_table(grid, "task_grid", run=run)
    rows = frame.groupby("dataset").size().reset_index(name="n_cells")
    write_table("cells_a_dataset", rows.assign(run=run), out, {"run": run})
'''
TABLE_LINE = """    Table(
        "cells_a_dataset", "atlas.mine:cells", {"grid": "task_grid"}, same("run")
    ),
"""
FIGURE = '''
"""Cells of each dataset as bars."""

from matplotlib.figure import Figure

from medtaskatlas.figures.frames import read_frame
from medtaskatlas.figures.style import save, use_style

def cells(table, svg, png, *, run):
    use_style()
    frame, figure = read_frame(table), Figure()
    axes = figure.subplots()
    axes.barh(frame["dataset"], frame["n_cells"])
    axes.set_title(run)
    save(figure, svg, png)
'''
FIGURE_LINE = """    Figure(
        "cells_drawn", "figures.mine:cells", {"table": "cells_a_dataset"}, same("run"),
        category="Data", label="cells as bars",
    ),
"""
READ = """
from medtaskatlas.atlas.tables import document, read_table
from medtaskatlas.site.pages import figures_page
print(document(), figures_page(), read_table("results/smoke/tables/cells_a_dataset.parquet"))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with a table and a figure more."""
    folder = project_copy(tmp_path_factory.mktemp("project"))
    package = folder / "workflow" / "medtaskatlas"
    for room, module, line, end in (
        ("atlas", TABLE, TABLE_LINE, ")\nTABLES = "),
        ("figures", FIGURE, FIGURE_LINE, ")\nFIGURES = "),
    ):
        (package / room / "mine.py").write_text(module)
        registry = package / room / "registry.py"
        text = registry.read_text()
        assert text.count(end) == 1
        registry.write_text(text.replace(end, line + end))
    (folder / "workflow/report/cells_drawn.rst").write_text(
        "Cells of run {{ snakemake.params.run }}."
    )
    return folder


def test_a_table_and_a_figure_are_a_module_and_a_line_each(smoke, project, tmp_path) -> None:
    folder = shutil.copytree(smoke, tmp_path / "run", symlinks=True)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=of_project(project),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def workflow(*arguments: str) -> list[str]:
        return command(folder, *arguments, snakefile=project / "Snakefile")

    for target, rules in (
        ("tables", {"table_cells_a_dataset"}),
        ("figures", {"table_cells_a_dataset", "figure_cells_drawn"}),
    ):
        due = due_jobs(run(*workflow(target, "--dry-run", "--cores", "1")))
        assert due.keys() - {target} == rules, "what was there is made anew"
    run(*workflow("--cores", "2"))
    results = folder / "results" / "smoke"
    frame = pd.read_parquet(results / "tables" / "cells_a_dataset.parquet")
    grid = pd.read_parquet(results / "tables" / "task_grid.parquet")
    assert frame["n_cells"].sum() == len(grid)
    assert (results / "figures" / "cells_drawn.png").stat().st_size > 1000
    report = (results / "report.html").read_text()
    assert "cells as bars" in report
    assert "Cells of run smoke." in report
    told = run(sys.executable, "-c", READ)
    assert "## cells_a_dataset\n" in told
    assert "| `cells_drawn` | cells as bars | Data | `cells_a_dataset` |" in told
    plan = "from medtaskatlas.cli import main; main()"
    file = str(project / "config" / "smoke.yaml")
    cost = run(sys.executable, "-c", plan, "plan", "--configfile", file)
    assert "table_cells_a_dataset" in cost
    assert "figure_cells_drawn" in cost
