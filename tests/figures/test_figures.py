"""Every figure: both files are there and whole, and equal tables give equal files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import cv2
import pandas as pd
import pytest

from medtaskatlas.core.errors import DataError
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


# Words that a reader must find; matplotlib leaves each text as a comment beside its outlines.
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
    first = tmp_path / "new" / f"{name}.svg", tmp_path / "new" / f"{name}.png"
    draw[name](*first)
    text = first[0].read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for word in WORDS[name]:
        assert word in text
    picture = cv2.imread(str(first[1]))
    assert min(picture.shape[:2]) > 100
    assert picture.std() > 5
    second = tmp_path / "again.svg", tmp_path / "again.png"
    draw[name](*second)
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1].read_bytes() == second[1].read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


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


@pytest.mark.parametrize("content", [None, b"not a table"])
def test_a_bad_table_is_a_clear_error(tmp_path, content):
    path = tmp_path / "confusion.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"confusion\.parquet is (missing|damaged)"):
        confusion(path, tmp_path / "a.svg", tmp_path / "a.png", encoder="taco")
    with pytest.raises(DataError, match=r"confusion\.parquet is (missing|damaged)"):
        atlas_map(path, tmp_path / "a.svg", tmp_path / "a.png", encoder="taco")
