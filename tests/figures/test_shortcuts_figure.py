"""The figure of the shortcut audit."""

import numpy as np
import pandas as pd
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.figures.shortcuts import shortcuts

FAMILIES = {
    "boundary": "semantic",
    "inpainting": "generative",
    "rotation": "transformation",
    "horizontal_flip": "transformation",
}
VIEWS = ("border", "histogram", "input_only", "output_only", "residue", "all", "shuffled")


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {
            "run": "r", "view": v, "split": split, "level": "task", "name": task, "family": family,
            "estimate": 0.04 if v == "shuffled" else float(rng.uniform(0.1, 0.9)), "chance": 0.05,
            "explained": 0.25 if task == "rotation" else None,
            "expected": None if v in ("all", "shuffled") else task == "boundary",
            "flagged": v == "histogram" and task == "inpainting",
            "n_pairs": 120, "n_groups": 9,
        }
        for v in VIEWS
        for split in ("groups", "datasets")
        for task, family in FAMILIES.items()
        if split == "groups" or task != "boundary"
    ]  # fmt: skip
    frame = pd.DataFrame(rows).astype({"expected": "boolean", "flagged": "boolean"})
    path = tmp_path / "shortcuts.parquet"
    frame.to_parquet(path)
    return path


def _draw(table, folder):
    out = folder / "a.svg", folder / "a.png"
    shortcuts(table, *out)
    return out


def _frames(svg):
    """Outlines in vermillion; one belongs to the legend."""
    return svg.read_text().lower().count("stroke: #d55e00") - 1


def test_it_is_whole_and_the_same_twice(table, tmp_path):
    words = ("inpainting", "output only", "chance", "Held-out datasets", "120 pairs", "(25)")
    text_of(lambda *out: shortcuts(table, *out), tmp_path, words)


def test_frames_are_the_flagged_cells(table, tmp_path):
    assert _frames(_draw(table, tmp_path)[0]) == 2
    frame = pd.read_parquet(table)
    frame["flagged"] = pd.array([pd.NA] * len(frame), dtype="boolean")
    frame.to_parquet(table)
    assert _frames(_draw(table, tmp_path)[0]) == 0


def test_one_query_set_is_one_panel(table, tmp_path):
    frame = pd.read_parquet(table)
    frame[frame["split"] == "groups"].to_parquet(table)
    assert "Held-out datasets" not in _draw(table, tmp_path)[0].read_text()


def test_no_rows_still_make_a_figure(table, tmp_path):
    pd.read_parquet(table).iloc[:0].to_parquet(table)
    assert "no task was audited" in _draw(table, tmp_path)[0].read_text()


def test_a_bad_table_is_a_clear_error(tmp_path):
    path = tmp_path / "shortcuts.parquet"
    refuses_a_bad_table(lambda *out: shortcuts(path, *out), path)
