"""Every figure: whole files, the same twice, with the words that a reader looks for."""

from __future__ import annotations

from pkgutil import resolve_name

import cv2
import numpy as np
import pandas as pd
import pytest
from figure_tables import (
    BRANCHES,
    FAMILIES,
    cluster_rows,
    comparison_rows,
    dataset_distance_rows,
    scaling_rows,
    separation_rows,
    write_table,
)
from set_synthetic import HELDOUT
from whole import refuses_a_bad_table, text_of

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.figures.dendrogram import tree_of
from medtaskatlas.figures.geometry import square
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.figures.task_distances import METRICS

# Facts of a run, by the names of the registry.
FACTS = {
    "shown_encoder": "taco",
    "unseen_tasks_encoder": "taco",
    "baseline": "pixels",
    "heldout_datasets": HELDOUT,
    "seed": 0,
}
# Words that a reader must find, as often as they stand here.
WORDS = {
    "contact_sheets": ["DERIVED", "not ground truth", "no annotation", "held out", "4 groups"],
    "task_grid": ["inversion", "held out of training", "100", "5 groups of 4 subjects"],
    "identification": ["Held-out groups", "Held-out datasets", "pixels", "9 groups", "chance"],
    "identification_by_task": ["rotation", "taco", "pixels"],
    "confusion": ["Held-out datasets", "deblurring", "named task"],
    "task_distances": ["boundary", "family (ours)"],
    "atlas_map": ["By modality", "held-out dataset", "<!-- XR -->"],
    "dendrogram": ["<!-- 97 -->", "<!-- deblurring -->", "semantic", "of several families",
                   "held-out groups", "AMI 0.44", "adjusted p = 0.002", "cophenetic r 0.77",
                   "9 groups"],
    "dataset_distances": ["<!-- mr c -->", "<!-- .62 -->", "modality", "permutation p = 0.01",
                          "9 groups"],
    "variance_shares": ["Held-out groups", "Held-out datasets", "1,200 pairs, 9 groups",
                        "modality", "0.80", "not defined", "task × dataset"],
    "geometry": ["Held-out groups", "debiased CKA", "Spearman", ".31", ".62*", "-.05", ".91",
                 ".88", ".77", "framed"],
    "shortcuts": ["inpainting", "output only", "chance", "Held-out datasets", "1,200 pairs",
                  "(25)"],
    "unseen_tasks": ["boundary", "deblurring", "shear", *["some kin"] * 6,
                     "1 of 3 in their own family"],
    "scaling": ["<!-- 400 -->", "<!-- 3,600 -->", "<!-- 2 -->", "<!-- 8 -->",
                "held-out groups (+3.1 points a doubling)"],
    "trajectories": ["taco, held-out datasets", "rotation", "not trained on",
                     "8 images, 1 dataset"],
    "severity_curves": ["Held-out datasets", "task not trained on", "raw pixels", "severity",
                        "8 images, 1 dataset"],
    "failures": ["held-out groups", "half done", "no number", "AUC", "3 datasets"],
}  # fmt: skip
# Figures whose tests are in another file.
OF_THEIR_OWN = {"gallery", "findings"} | {
    figure.name
    for figure in FIGURES.values()
    if (figure.when or "").startswith(("multitask", "medformer", "transfer"))
}
NEVER = {
    # Support below a half, that of the root, which means nothing, and none unknown.
    "dendrogram": ("<!-- 31 -->", "<!-- 100 -->", "<!-- ? -->"),
    "variance_shares": ("-0.00",),
    "geometry": ("0.44",),
}
ABSENT = {"encoder": "absent"}
EMPTY = {}
# Figure, what is asked for instead (nothing: it reads a table without rows), and what is said.
NOTHING = [
    ("identification", EMPTY, "no "),
    ("confusion", ABSENT, "no "),
    ("task_distances", ABSENT, "no "),
    ("dendrogram", ABSENT, "no tree of three or more tasks"),
    ("dendrogram", {"split": "datasets"}, "no tree of three or more tasks"),
    ("dataset_distances", ABSENT, "no distances between two or more datasets"),
    ("variance_shares", EMPTY, "no c"),
    ("geometry", EMPTY, "no c"),
    ("shortcuts", EMPTY, "no task was audited"),
    ("unseen_tasks", ABSENT, "no task was held out of a training of absent"),
    ("failures", ABSENT, "no failure of absent on held-out pairs"),
    ("severity_curves", {"encoders": ["absent"]}, "no trajectory outside training"),
    ("trajectories", {"tasks": ["absent"]}, "no trajectory of taco outside training"),
]


@pytest.fixture
def drawn(files, tmp_path):
    """Draw a figure as its rule does, with other files or options where given; its SVG's text."""

    def draw(name, place=tmp_path, **others):
        figure = FIGURES[name]
        arguments = {argument: files[table] for argument, table in figure.inputs.items()}
        arguments |= {argument: FACTS[fact] for argument, fact in figure.params.items()}
        out = {kind: place / f"f.{kind}" for kind in ("svg", "png")}
        resolve_name(f"medtaskatlas.{figure.function}")(**arguments | others | out)
        return out["svg"].read_text()

    return draw


def test_every_figure_of_the_registry_is_here():
    assert {*FIGURES} == {*WORDS} | OF_THEIR_OWN


@pytest.mark.parametrize("name", WORDS)
def test_a_figure_is_whole_and_the_same_twice(drawn, name, tmp_path):
    text = text_of(lambda svg, png: drawn(name, svg.parent), tmp_path, WORDS[name])
    for word in WORDS[name]:
        assert text.count(word) >= WORDS[name].count(word), word
    for word in NEVER.get(name, ()):
        assert word not in text, word
    if name in ("variance_shares", "geometry"):
        width = cv2.imread(str(tmp_path / "new" / "f.png")).shape[1]
        assert width < 1.05 * 7.2 * 150, "wider than a printed page"


def test_failures_can_be_shown_by_what_is_accepted(drawn):
    text = drawn("failures", measure="accepted_rate")
    for word in ("held-out datasets", "another image", "named as the task"):
        assert word in text


@pytest.mark.parametrize(("name", "instead", "words"), NOTHING)
def test_what_is_not_there_is_said(drawn, files, tmp_path, name, instead, words):
    if instead is EMPTY:
        argument, table = next(iter(FIGURES[name].inputs.items()))
        instead = {argument: tmp_path / "empty.parquet"}
        pd.read_parquet(files[table]).iloc[:0].to_parquet(instead[argument])
    assert words in drawn(name, **instead)


@pytest.mark.parametrize("name", [name for name in WORDS if name != "contact_sheets"])
def test_a_bad_table_is_a_clear_error(drawn, tmp_path, name):
    for argument in FIGURES[name].inputs:
        bad = tmp_path / f"{argument}.parquet"
        refuses_a_bad_table(lambda *_, given={argument: bad}: drawn(name, **given), bad)


def test_a_single_encoder_has_nothing_beside_it(drawn, files, tmp_path):
    rows = pd.read_parquet(files["identification"])
    alone = write_table(tmp_path, "alone", rows[rows["encoder"] == "taco"])
    assert "pixels" not in drawn("identification_by_task", table=alone, baseline=None)


def test_missing_intervals_are_left_out(drawn, files, tmp_path):
    rows = pd.read_parquet(files["identification"]).assign(ci_low=np.nan, ci_high=np.nan)
    assert "Held-out groups" in drawn("identification", table=write_table(tmp_path, "t", rows))


def test_the_tree_is_built_from_its_branches(drawn, tmp_path):
    rows = pd.DataFrame(BRANCHES, columns=["members", "height", "estimate"])
    root = tree_of(rows.sample(frac=1, random_state=0), FAMILIES)
    assert root.tasks == ("boundary", "segmentation", "deblurring", "rotation")
    assert [part.height for part in root.parts] == [0.2, 0.5]
    assert [part.support for part in root.parts] == [0.97, 0.31]
    assert [leaf.tasks for leaf in root.parts[0].parts] == [("boundary",), ("segmentation",)]
    unknown = cluster_rows([(members, height, None) for members, height, _ in BRANCHES])
    text = drawn("dendrogram", table=write_table(tmp_path, "unknown", unknown))
    assert text.count("<!-- ? -->") == 2


def test_modalities_that_cannot_be_tested_say_why(drawn, tmp_path):
    rows = dataset_distance_rows(None, "undefined: no two datasets share a modality")
    text = drawn("dataset_distances", table=write_table(tmp_path, "untested", rows))
    assert "no two datasets share a modality" in text
    assert "permutation p" not in text


def test_every_metric_of_the_table_has_a_name():
    columns = TABLES["task_distances"].load_schema().columns
    column = next(c for c in columns if c.name == "metric")
    assert set(METRICS) == set(column.values)


def test_longer_bars_are_larger_shares(drawn, tmp_path):
    made = {}
    for share in (0.2, 0.9):
        rows = pd.DataFrame(separation_rows(("groups",), share)).assign(
            ci_low=np.nan, ci_high=np.nan
        )
        drawn("variance_shares", table=write_table(tmp_path, "t", rows))
        picture = cv2.imread(str(tmp_path / "f.png")).astype(int)
        purple = np.abs(picture - [0xA7, 0x79, 0xCC]).max(axis=-1) < 8
        made[share] = purple.any(axis=0).sum()
    assert made[0.9] > 2 * made[0.2]


def test_the_matrix_is_symmetric_and_its_diagonal_over_seeds_where_there_are_some():
    rows = pd.DataFrame(comparison_rows())
    rows = rows[(rows["contrast"] == "geometry") & (rows["split"] == "groups")]
    matrix, stars = square(rows, "mantel_spearman", ["pixels", "random", "taco"])
    expected = [[0.88, 0.62, 0.31], [0.62, np.nan, -0.05], [0.31, -0.05, 0.91]]
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(stars, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool))
    matrix, _ = square(rows, "cka_debiased", ["pixels", "random", "taco"])
    assert matrix[2, 2] == 0.77
    assert np.isnan(matrix[0, 0])


def test_frames_are_the_flagged_cells_and_one_query_set_is_one_panel(drawn, files, tmp_path):
    def frames(text):
        """Outlines in vermillion; one belongs to the legend."""
        return text.lower().count("stroke: #d55e00") - 1

    assert frames(drawn("shortcuts")) == 2
    frame = pd.read_parquet(files["shortcuts"])
    frame["flagged"] = pd.array([pd.NA] * len(frame), dtype="boolean")
    frame[frame["split"] == "groups"].to_parquet(tmp_path / "t.parquet")
    text = drawn("shortcuts", table=tmp_path / "t.parquet")
    assert frames(text) == 0
    assert "Held-out datasets" not in text


def test_scaling_of_nothing_says_so(drawn, tmp_path):
    whole = write_table(tmp_path, "whole", scaling_rows(("all",)))
    assert "nothing was trained on less data" in drawn("scaling", table=whole)
