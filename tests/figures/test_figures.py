"""Every figure: both files are there and whole, and equal tables give equal files."""

from __future__ import annotations

import pandas as pd
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.figures.atlas_map import atlas_map
from medtaskatlas.figures.confusion import confusion
from medtaskatlas.figures.contact_sheets import contact_sheets
from medtaskatlas.figures.identification import identification
from medtaskatlas.figures.identification_by_task import identification_by_task
from medtaskatlas.figures.task_distances import task_distances
from medtaskatlas.figures.task_grid import task_grid


@pytest.fixture(scope="module")
def draw(tables, embeddings, pictures):
    """Name to a function that draws the figure to two paths."""
    images, _ = pictures
    t = tables
    return {
        "contact_sheets": lambda svg, png: contact_sheets(images, svg, png, heldout=["us_c"]),
        "task_grid": lambda svg, png: task_grid(t["task_grid"], t["datasets"], svg, png),
        "identification": lambda svg, png: identification(t["identification"], svg, png),
        "identification_by_task": lambda svg, png: identification_by_task(
            t["identification"], t["tasks"], svg, png, encoder="taco", baseline="pixels"
        ),
        "confusion": lambda svg, png: confusion(t["confusion"], svg, png, encoder="taco"),
        "task_distances": lambda svg, png: task_distances(
            t["task_distances"], svg, png, encoder="taco"
        ),
        "atlas_map": lambda svg, png: atlas_map(
            embeddings, svg, png, encoder="taco", heldout_datasets=["cells_d"]
        ),
    }


# Words that a reader must find.
WORDS = {
    "contact_sheets": ["DERIVED", "not ground truth", "no annotation", "held out", "4 groups"],
    "task_grid": ["inversion", "held out of training", "100"],
    "identification": ["Held-out groups", "Held-out datasets", "pixels", "9 groups", "chance"],
    "identification_by_task": ["rotation", "taco", "pixels"],
    "confusion": ["Held-out datasets", "deblurring", "named task"],
    "task_distances": ["boundary", "family (ours)"],
    "atlas_map": ["By modality", "held-out dataset", "microscopy"],
}


@pytest.mark.parametrize("name", WORDS)
def test_a_figure_is_whole_and_the_same_twice(draw, name, tmp_path):
    text_of(draw[name], tmp_path, WORDS[name])


@pytest.mark.parametrize(
    ("table", "function", "options"),
    [
        ("identification", identification, {}),
        ("confusion", confusion, {"encoder": "absent"}),
        ("task_distances", task_distances, {"encoder": "absent"}),
    ],
)
def test_no_rows_still_make_a_figure(tables, tmp_path, table, function, options):
    empty = tmp_path / "empty.parquet"
    pd.read_parquet(tables[table]).iloc[:0].to_parquet(empty)
    function(empty, tmp_path / "a.svg", tmp_path / "a.png", **options)
    assert "no " in (tmp_path / "a.svg").read_text()


def test_a_single_encoder_has_nothing_beside_it(tables, tmp_path):
    rows = pd.read_parquet(tables["identification"])
    alone = tmp_path / "alone.parquet"
    rows[rows["encoder"] == "taco"].to_parquet(alone)
    out = tmp_path / "a.svg", tmp_path / "a.png"
    identification_by_task(alone, tables["tasks"], *out, encoder="taco", baseline=None)
    assert "pixels" not in out[0].read_text()


def test_missing_intervals_are_left_out(tables, tmp_path):
    rows = pd.read_parquet(tables["identification"])
    rows[["ci_low", "ci_high"]] = float("nan")
    rows.to_parquet(tmp_path / "t.parquet")
    identification(tmp_path / "t.parquet", tmp_path / "a.svg", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize("figure", [confusion, atlas_map])
def test_a_bad_table_is_a_clear_error(tmp_path, figure):
    path = tmp_path / "confusion.parquet"
    refuses_a_bad_table(lambda *out: figure(path, *out, encoder="taco"), path)
