"""The tree of tasks: cohesion of families, cuts without them, and support of branches."""

import numpy as np
import pandas as pd
import pytest
import skbio
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.spatial.distance import pdist, squareform
from skbio.stats.distance import anosim, permanova

from atlas_synthetic import FAMILY_OF, make_frame, make_vectors, write_embedding
from medtaskatlas.atlas.clusters.statistics import (
    anosim_r,
    best_cut,
    branch_support,
    branches,
    cohesion_test,
    pseudo_f,
)
from medtaskatlas.atlas.clusters.table import clusters
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.core.errors import DataError

FEW = {"run": "synthetic", "n_draws": 200}


def _points(seed=0, n=12, apart=1.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n // 3)
    return squareform(pdist(rng.normal(size=(n, 4)) + apart * np.eye(3, 4)[labels])), labels


def _tables(folder, embeddings, **held):
    distances, out = folder / "task_distances.parquet", folder / "clusters.parquet"
    task_distances(embeddings, distances, **FEW, **held)
    clusters(distances, out, embedding_paths=embeddings, n_permutations=199, **FEW, **held)
    return read_table(out, "clusters"), distances


def test_permanova_and_anosim_are_those_of_scikit_bio():
    distance, labels = _points()
    theirs = skbio.DistanceMatrix(distance, [str(i) for i in range(len(labels))])
    got = cohesion_test(distance, labels, np.random.default_rng(0), 999)
    for measure, function in (("permanova", permanova), ("anosim", anosim)):
        wanted = function(theirs, labels.astype(str), permutations=999, seed=1)
        estimate, p = got[measure]
        assert estimate == pytest.approx(wanted["test statistic"])
        # Two Monte-Carlo estimates of one p: four standard errors of their difference.
        error = 4 * np.sqrt(2 * max(p, 0.002) * (1 - p) / 999)
        assert abs(p - wanted["p-value"]) <= error


def test_many_labellings_at_once_are_one_after_the_other():
    distance, labels = _points(3)
    rng = np.random.default_rng(0)
    many = rng.permuted(np.tile(labels, (20, 1)), axis=1)
    for function in (pseudo_f, anosim_r):
        slow = [function(distance, row[None])[0] for row in many]
        assert function(distance, many) == pytest.approx(slow)


def test_cohesion_keeps_its_level_and_has_no_number_without_scatter():
    small = sum(
        cohesion_test(*_points(seed, apart=0.0), np.random.default_rng(seed), 99)["permanova"][1]
        <= 0.05
        for seed in range(60)
    )
    assert small <= 8
    flat = cohesion_test(np.zeros((6, 6)), np.repeat([0, 1], 3), np.random.default_rng(0), 19)
    assert np.isnan(flat["permanova"]).all()
    assert flat["anosim"] == (0, 1)


def test_the_best_cut_finds_the_blocks_and_needs_some():
    distance, labels = _points(apart=20.0)
    found, score = best_cut(linkage(squareform(distance), "average"), distance)
    assert len(set(found)) == 3
    assert len(set(zip(found, labels, strict=True))) == 3
    assert score > 0.5
    flat = np.ones((5, 5)) - np.eye(5)
    assert best_cut(linkage(squareform(flat), "average"), flat) is None


def test_branches_are_the_inner_nodes_of_scipy():
    tree = linkage(pdist(np.random.default_rng(0).normal(size=(9, 3))), "average")
    got = {(branch.members, round(branch.height, 9)) for branch in branches(tree)}
    nodes = [node for node in to_tree(tree, rd=True)[1] if not node.is_leaf()]
    assert got == {(tuple(sorted(node.pre_order())), round(node.dist, 9)) for node in nodes}


def test_support_is_the_share_of_trees_with_the_same_leaves():
    distance, _ = _points(apart=3.0)
    rng = np.random.default_rng(1)
    noise = np.abs(rng.normal(size=(30, 12, 12)))
    draws = distance + (noise + noise.transpose(0, 2, 1))
    draws[:, np.arange(12), np.arange(12)] = 0
    found = branches(linkage(squareform(distance), "average"))
    share, judged = branch_support(found, draws)
    assert (judged == 30).all()
    trees = [{b.members for b in branches(linkage(squareform(d), "average"))} for d in draws]
    assert share == pytest.approx([np.mean([b.members in t for t in trees]) for b in found])
    assert share[-1] == 1  # the root
    assert 0 < share.min() < 1


def test_a_draw_without_a_task_is_no_evidence_for_its_branches():
    place = np.array([0.0, 1.0, 10.0, 12.0, 30.0])
    distance = np.abs(place[:, None] - place[None])
    found = branches(linkage(squareform(distance), "average"))
    draws = np.stack([distance] * 4)
    draws[0, 1] = draws[0, :, 1] = np.nan  # the draw lacks leaf 1
    draws[1, 2:] = draws[1, :, 2:] = np.nan  # and this one all but the leaves 0 and 1
    share, judged = branch_support(found, draws)
    by = {branch.members: (s, n) for branch, s, n in zip(found, share, judged, strict=True)}
    assert by[0, 1] == (1, 2)
    assert by[2, 3] == (1, 3)
    assert by[0, 1, 2, 3] == (1, 2)
    nothing, none = branch_support(found, np.full((3, 5, 5), np.nan))
    assert np.isnan(nothing).all()
    assert not none.any()


def test_the_table_has_a_branch_a_node_and_supports_real_families(run, tmp_path):
    embeddings = run["embeddings"]
    table, _ = _tables(tmp_path, embeddings)
    rows = table[table["level"] == "branch"]
    assert (rows.groupby(["encoder", "split"]).size() == len(FAMILY_OF) - 1).all()
    assert set(rows["metric"]) == {"centroid_cosine"}
    assert rows["estimate"].between(0, 1).all()
    taco = rows[(rows["encoder"] == "taco") & (rows["split"] == "groups")]
    supports = taco.set_index("members")["estimate"]
    assert supports["brightness,rotation,shear"] > 0.9
    assert taco.set_index("members").loc["boundary,detection,segmentation", "family"] == "semantic"
    root = taco[taco["members"].str.count(",") == len(FAMILY_OF) - 1]
    assert root["note"].str.contains("the root").all()
    assert taco["height"].to_numpy() == pytest.approx(np.sort(taco["height"]))
    noise = rows[(rows["encoder"] == "random") & (rows["split"] == "groups")]
    assert noise["estimate"].median() < supports.median()


def test_families_are_found_without_being_told(run, tmp_path):
    table, _ = _tables(tmp_path, run["embeddings"])
    rows = table[(table["metric"] == "centroid_cosine") & (table["split"] == "groups")]
    by = rows[rows["level"] == "partition"].set_index(["encoder", "measure"])
    assert by.loc[("taco", "silhouette_best"), "n_clusters"] == 3
    for measure in ("ami_label_free", "permanova", "anosim"):
        assert by.loc[("taco", measure), "p_adjusted"] < 0.05
        assert by.loc[("random", measure), "p"] > by.loc[("taco", measure), "p"]
    assert by.loc[("taco", "ami_label_free"), "estimate"] == pytest.approx(1)
    # One family of tests of its own: the older tests are not diluted.
    assert by.loc[("taco", "ami"), "p_family"] == "clusters: groups"
    assert by.loc[("taco", "anosim"), "p_family"] == "clusters, cohesion: anosim"
    again, _ = _tables(tmp_path / "again", run["embeddings"])
    pd.testing.assert_frame_equal(table, again)


def test_without_embeddings_branches_have_a_reason_instead_of_support(run, tmp_path):
    table, distances = _tables(tmp_path, run["embeddings"])
    out = tmp_path / "bare.parquet"
    clusters(distances, out, run="synthetic", n_permutations=49)
    bare = read_table(out, "clusters")
    rows = bare[bare["level"] == "branch"]
    assert rows["estimate"].isna().all()
    assert set(rows["note"]) == {"no support: made without embeddings"}
    assert len(rows) == (table["level"] == "branch").sum()


def test_a_table_of_other_embeddings_or_another_run_is_refused(run, tmp_path):
    embeddings = run["embeddings"]
    _, distances = _tables(tmp_path, embeddings)
    with pytest.raises(DataError, match="is of run 'synthetic', not 'other'"):
        clusters(distances, tmp_path / "x.parquet", run="other")
    stale = read_table(distances, "task_distances")
    facts = stale.attrs["meta"]
    stale["estimate"] *= 1.1
    write_table("task_distances", stale, distances, dict(facts))
    with pytest.raises(DataError, match="other distances than the embeddings of pixels"):
        clusters(distances, tmp_path / "x.parquet", embedding_paths=embeddings, run="synthetic")
    assert not (tmp_path / "x.parquet").exists()


def test_few_groups_give_no_support_and_one_dataset_is_enough_for_a_tree(tmp_path):
    frame = make_frame(n_datasets=1, groups=16, per_cell=32, test_only=0)
    shear = frame["task"] == "shear"
    frame = frame[~shear | (frame["split"] != "test") | (frame["image_id"] == "i1")]
    frame = frame.reset_index(drop=True)
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    table, distances = _tables(tmp_path, [path])
    rows = table[table["level"] == "branch"]
    assert len(rows) == len(FAMILY_OF) - 1
    few = rows["members"].str.contains("shear") & ~rows["note"].str.contains("the root")
    assert few.any()
    assert rows.loc[few, "estimate"].isna().all()
    assert rows.loc[few, "note"].str.contains("under 5 subjects of shear").all()
    assert rows.loc[~few, "estimate"].notna().all()
    apart = read_table(distances, "task_distances")
    alone = apart[(apart["task_b"] == "shear") & (apart["metric"] == "centroid_cosine")]
    assert alone["ci_low"].isna().all()
    assert alone["note"].str.contains("a task has 1 subject").all()


def test_tasks_that_coincide_have_reasons_instead_of_numbers(tmp_path):
    frame = make_frame(n_datasets=3, groups=8, per_cell=8)
    vectors = make_vectors(frame)
    vectors[frame["split"] == "test"] = 1.0  # held-out pairs all the same
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, vectors)
    table, _ = _tables(tmp_path, [path])
    by = table[table["level"] == "partition"].set_index(["metric", "measure"])
    cosine = by.loc["centroid_cosine"]
    for measure in ("cophenetic", "silhouette_best", "permanova"):
        assert cosine.loc[[measure], "estimate"].isna().all(), measure
        assert cosine.loc[[measure], "note"].str.contains("undefined").all()
    energy = by.loc["energy"]
    assert energy["note"].str.contains("some distances between tasks are unknown").all()
