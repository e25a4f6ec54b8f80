"""The tree of tasks and the heatmap of datasets: what is drawn is what the table says."""

from __future__ import annotations

import pandas as pd
import pytest
from whole import refuses_a_bad_table, text_of

from medtaskatlas.figures.dataset_distances import dataset_distances
from medtaskatlas.figures.dendrogram import dendrogram, tree_of
from medtaskatlas.figures.task_distances import METRICS

FAMILIES = {
    "segmentation": "semantic",
    "boundary": "semantic",
    "deblurring": "generative",
    "rotation": "transformation",
}
BRANCHES = [
    # members, height, support
    ("boundary,segmentation", 0.2, 0.97),
    ("deblurring,rotation", 0.5, 0.31),
    ("boundary,deblurring,rotation,segmentation", 1.1, 1.0),
]
N = {"n_pairs": 120, "n_images": 60, "n_groups": 9, "n_datasets": 3}


def _clusters(path, branches=BRANCHES):
    common = {"encoder": "taco", "split": "groups", "metric": "centroid_cosine", **N}
    rows = [
        common | {"level": "branch", "measure": "support", "members": m, "height": h, "estimate": s}
        for m, h, s in branches
    ]
    rows += [
        common | {"level": "task", "measure": "silhouette", "task": t, "family": f, "estimate": 0.1}
        for t, f in FAMILIES.items()
    ]
    rows += [
        common | {"level": "partition", "measure": "ami", "estimate": 0.44, "p_adjusted": 0.002},
        common | {"level": "partition", "measure": "cophenetic", "estimate": 0.77},
    ]
    pd.DataFrame(rows).to_parquet(path)
    return path


def _datasets(path, p=0.01, note=None):
    modality = {"ct_a": "CT", "ct_b": "CT", "mr_c": "MR"}
    common = {"encoder": "taco", "split": "groups", "metric": "centroid_cosine", "note": None, **N}
    names = sorted(modality)
    rows = [
        common
        | {"level": "pair", "dataset_a": a, "dataset_b": b, "modality_a": modality[a],
           "modality_b": modality[b], "estimate": 0.1 if modality[a] == modality[b] else 0.62}
        for i, a in enumerate(names) for b in names[i + 1 :]
    ]  # fmt: skip
    rows += [
        common | {"level": level, "estimate": value, "p": None}
        for level, value in (("one_modality", 0.1), ("two_modalities", 0.62))
    ]
    value = None if note else 0.52
    rows.append(common | {"level": "modality_difference", "estimate": value, "p": p, "note": note})
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_the_tree_is_built_from_its_branches():
    rows = pd.DataFrame(BRANCHES, columns=["members", "height", "estimate"])
    root = tree_of(rows.sample(frac=1, random_state=0), FAMILIES)
    assert root.tasks == ("boundary", "segmentation", "deblurring", "rotation")
    assert [part.height for part in root.parts] == [0.2, 0.5]
    assert [part.support for part in root.parts] == [0.97, 0.31]
    assert [leaf.tasks for leaf in root.parts[0].parts] == [("boundary",), ("segmentation",)]


def test_support_is_shown_from_fifty_on(tmp_path):
    table = _clusters(tmp_path / "clusters.parquet")
    words = (
        "<!-- 97 -->", "<!-- deblurring -->", "semantic", "of several families", "held-out groups",
        "AMI 0.44", "adjusted p = 0.002", "cophenetic r 0.77", "9 groups",
    )  # fmt: skip
    text = text_of(lambda *out: dendrogram(table, *out, encoder="taco"), tmp_path, words)
    assert "<!-- 31 -->" not in text
    assert "<!-- 100 -->" not in text  # the root: of no meaning
    assert "<!-- ? -->" not in text


def test_support_that_is_unknown_is_a_question_mark(tmp_path):
    unknown = [(members, height, None) for members, height, _ in BRANCHES]
    table = _clusters(tmp_path / "clusters.parquet", unknown)
    dendrogram(table, tmp_path / "a.svg", tmp_path / "a.png", encoder="taco")
    assert (tmp_path / "a.svg").read_text().count("<!-- ? -->") == 2


def test_no_tree_says_so(tmp_path):
    table = _clusters(tmp_path / "clusters.parquet")
    for options in ({"encoder": "absent"}, {"encoder": "taco", "split": "datasets"}):
        dendrogram(table, tmp_path / "a.svg", tmp_path / "a.png", **options)
        assert "no tree of three or more tasks" in (tmp_path / "a.svg").read_text()


def test_datasets_are_drawn_by_modality_with_the_test(tmp_path):
    table = _datasets(tmp_path / "dataset_distances.parquet")
    words = ("<!-- mr c -->", "<!-- .62 -->", "modality", "permutation p = 0.01", "9 groups")
    text_of(lambda *out: dataset_distances(table, *out, encoder="taco"), tmp_path, words)
    reason = "undefined: no two datasets share a modality"
    table = _datasets(tmp_path / "dataset_distances.parquet", None, reason)
    dataset_distances(table, tmp_path / "a.svg", tmp_path / "a.png", encoder="taco")
    text = (tmp_path / "a.svg").read_text()
    assert "no two datasets share a modality" in text
    assert "permutation p" not in text
    dataset_distances(table, tmp_path / "a.svg", tmp_path / "a.png", encoder="absent")
    assert "no distances between two or more datasets" in (tmp_path / "a.svg").read_text()


def test_every_metric_of_the_table_has_a_name():
    from medtaskatlas.atlas.distances import SPEC

    column = next(c for c in SPEC.columns if c.name == "metric")
    assert set(METRICS) == set(column.values)


@pytest.mark.parametrize("figure", [dendrogram, dataset_distances])
def test_a_bad_table_is_a_clear_error(tmp_path, figure):
    path = tmp_path / "t.parquet"
    refuses_a_bad_table(lambda *out: figure(path, *out, encoder="taco"), path)
