"""Distances between datasets and between samples, against slow code and other people's."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

from atlas_synthetic import make_frame, make_vectors, write_embedding
from medtaskatlas.atlas.centroids import dataset_cosines
from medtaskatlas.atlas.dataset_distances import dataset_distances, modality_rows
from medtaskatlas.atlas.resampling import Design, draw, no_draws
from medtaskatlas.atlas.sample_distances import (
    dataset_energies,
    euclidean,
    mean_distances,
    mmd_distances,
)
from medtaskatlas.atlas.tables import read_table

FEW = {"run": "synthetic", "n_draws": 200, "n_permutations": 499}


def _table(tmp_path, *paths, **held):
    out = tmp_path / "dataset_distances.parquet"
    dataset_distances(paths, out, **FEW, **held)
    return read_table(out, "dataset_distances")


def test_euclidean_is_that_of_scipy():
    vectors = (np.random.default_rng(0).normal(size=(50, 7)) + 100).astype(np.float32)
    got = euclidean(vectors)
    assert got == pytest.approx(cdist(vectors, vectors), abs=1e-6)
    assert (np.diag(got) == 0).all()


def test_energy_is_that_of_scipy_in_one_dimension():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(0.7, 2, size=25)
    between, within = mean_distances(euclidean(np.r_[x, y][:, None]), np.repeat([0, 1], [40, 25]))
    # Scipy's expectations within a sample count the distance of a value to itself.
    squared = 2 * between[0, 1] - within[0] * 39 / 40 - within[1] * 24 / 25
    assert np.sqrt(squared) == pytest.approx(energy_distance(x, y))


def test_mmd_is_the_formula_written_out():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 3))
    code = np.repeat([0, 1, 2], [12, 10, 8])
    vectors[code == 2] += 2
    sigma = np.median([np.linalg.norm(a - b) for i, a in enumerate(vectors) for b in vectors[:i]])

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * sigma**2))

    x, y = vectors[code == 0], vectors[code == 2]
    inside = [
        np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j])
        for s in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    got = mmd_distances(vectors, code)
    assert got[0, 2] == pytest.approx(np.sqrt(sum(inside) - 2 * across))
    assert got[0, 2] == got[2, 0] > got[0, 1]
    assert (np.diag(got) == 0).all()
    assert np.isnan(mmd_distances(np.ones((6, 2)), np.repeat([0, 1], 3))[0, 1])


def test_dataset_centroids_take_common_tasks_alike():
    frame = make_frame(n_datasets=4, groups=4, per_cell=8)
    lacks = (frame["dataset"] == "d0") & (frame["family"] == "semantic")
    thin = (frame["dataset"] == "d1") & (frame["task"] == "shear") & (frame["image_id"] > "i2")
    frame = frame[~lacks & ~thin].reset_index(drop=True)
    vectors = make_vectors(frame, dim=140)
    design = Design.of(frame)
    draws = draw(design, np.random.default_rng(0), 5, fixed_datasets=True)
    got = dataset_cosines(design, [vectors], draws, np.ones((5, 1)))
    dataset = design.subject_dataset[design.subject]
    for b in range(5):
        for one in range(4):
            for other in range(one):
                means = {
                    d: {
                        t: np.average(vectors[rows], axis=0, weights=weight)
                        for t in range(len(design.tasks))
                        if (rows := (dataset == d) & (design.task == t)).any()
                        and (weight := draws.subject[b, design.subject[rows]]).sum()
                    }
                    for d in (one, other)
                }
                common = sorted(set(means[one]) & set(means[other]))
                x, y = (np.mean([means[d][t] for t in common], axis=0) for d in (one, other))
                cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
                assert got[b, one, other] == pytest.approx(1 - cosine, abs=1e-5)
    assert got == pytest.approx(got.transpose(0, 2, 1), abs=1e-12)


def test_dataset_energy_is_that_of_drawing_a_task_then_a_pair():
    rng = np.random.default_rng(0)
    dataset, task = rng.integers(0, 3, 60), rng.integers(0, 4, 60)
    dataset[task == 3] = 2  # a task that only one dataset has
    vectors = rng.normal(size=(60, 5)) + dataset[:, None]
    got = dataset_energies(vectors, dataset, task)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        common = sorted(set(task[dataset == a]) & set(task[dataset == b]))
        weight = {}
        for d in (a, b):
            weight[d] = np.zeros(60)
            for t in common:
                rows = (dataset == d) & (task == t)
                weight[d][rows] = 1 / rows.sum() / len(common)

        def mean(u, v):
            total = share = 0.0
            for i in np.flatnonzero(u):
                for j in np.flatnonzero(v):
                    if i != j:
                        total += u[i] * v[j] * np.linalg.norm(vectors[i] - vectors[j])
                        share += u[i] * v[j]
            return total / share

        x, y = weight[a], weight[b]
        wanted = 1 - (mean(x, x) + mean(y, y)) / (2 * mean(x, y))
        assert got[a, b] == pytest.approx(max(wanted, 0))
    assert np.isnan(dataset_energies(vectors[:2], np.array([0, 1]), np.array([0, 0]))[0, 1])
    apart = dataset_energies(vectors[:8], np.repeat([0, 1], 4), np.repeat([0, 1], 4))
    assert np.isnan(apart[0, 1])  # no common task


def _with_modalities(frame, strength):
    """Vectors in which the modality of a dataset shows."""
    directions = np.random.default_rng(5).normal(size=(3, 32)) / np.sqrt(32)
    code = pd.factorize(frame["modality"], sort=True)[0]
    return (make_vectors(frame) + strength * directions[code]).astype(np.float32)


def test_datasets_of_one_modality_are_nearer_where_the_encoder_sees_it(tmp_path):
    frame = make_frame(n_datasets=9, groups=20, per_cell=20, test_only=0)
    paths = [
        write_embedding(tmp_path / name / f"seed{seed}.parquet", frame, vectors, name, seed)
        for name, strength, seeds in (("taco", 3.0, (0, 1)), ("random", 0.0, (0,)))
        for seed in seeds
        for vectors in [_with_modalities(frame, strength)]
    ]
    table = _table(tmp_path, *paths)
    assert (table[table["level"] == "pair"].groupby(["encoder", "metric"]).size() == 36).all()
    assert (table["n_tasks"] == 9).all()
    by = table.set_index(["encoder", "metric", "level"])
    for metric in ("centroid_cosine", "energy"):
        taco, noise = by.loc["taco", metric], by.loc["random", metric]
        assert taco.loc["modality_difference", "p_adjusted"] < 0.02
        assert taco.loc["anosim", "estimate"] == pytest.approx(1)
        assert noise.loc["modality_difference", "p"] > 0.05
        gap = taco.loc["two_modalities", "estimate"] - taco.loc["one_modality", "estimate"]
        assert taco.loc["modality_difference", "estimate"] == pytest.approx(gap)
        pairs = table[
            (table["encoder"] == "taco") & (table["metric"] == metric) & (table["level"] == "pair")
        ]
        same = pairs["modality_a"] == pairs["modality_b"]
        assert taco.loc["one_modality", "estimate"] == pytest.approx(pairs[same]["estimate"].mean())
        assert taco.loc["one_modality", "n_dataset_pairs"] == same.sum()
    cosine = by.loc["taco", "centroid_cosine"]
    assert (cosine.loc[["pair"], "ci_low"] <= cosine.loc[["pair"], "estimate"]).all()
    assert cosine.loc["modality_difference", "ci_low"] > 0
    assert cosine.loc["modality_difference", "ci_method"].endswith("subject > seed, 95%")
    again = tmp_path / "again"
    pd.testing.assert_frame_equal(table, _table(again, *reversed(paths)))


def test_the_p_of_modalities_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 2)) + 2 * np.repeat(np.eye(3, 2), 2, axis=0)
    square = cdist(points, points)
    modality = np.array(["CT", "CT", "MR", "MR", "US", "US"], dtype=object)
    rows = {
        row["level"]: row
        for row in modality_rows(
            square[None], None, modality, fewest=9, rng=np.random.default_rng(3), n_permutations=300
        )
    }
    upper = np.triu_indices(6, 1)

    def gap(names):
        like = names[upper[0]] == names[upper[1]]
        return square[upper][~like].mean() - square[upper][like].mean()

    orders = np.random.default_rng(3).permuted(np.tile(np.repeat([0, 1, 2], 2), (300, 1)), axis=1)
    null = np.array([gap(order) for order in orders])
    observed = gap(modality)
    assert rows["modality_difference"]["estimate"] == pytest.approx(observed)
    wanted = (1 + (null >= observed - 1e-9).sum()) / 301
    assert rows["modality_difference"]["p"] == pytest.approx(wanted)
    # Six datasets in three pairs can be arranged in 15 ways only.
    assert "p can be no less than about 0.067" in rows["modality_difference"]["note"]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda f: f[f["dataset"] == "d0"], "undefined: one dataset only"),
        (lambda f: f[f["dataset"] < "d2"], "undefined: no two datasets share a modality"),
        (
            lambda f: f[f["dataset"] < "d2"].assign(modality="CT"),
            "undefined: no two datasets are of different modalities",
        ),
    ],
    ids=["one dataset", "all different", "all the same"],
)
def test_what_cannot_be_compared_has_a_reason(tmp_path, change, note):
    frame = change(make_frame(n_datasets=3, test_only=0)).reset_index(drop=True)
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, make_vectors(frame))
    table = _table(tmp_path, path)
    rows = table[table["level"] != "pair"]
    assert set(rows["note"]) == {note}
    assert set(rows["level"]) == {"modality_difference"}
    assert rows[["estimate", "p"]].isna().all().all()


def test_datasets_without_a_common_task_or_of_one_vector_have_reasons(tmp_path):
    frame = make_frame(n_datasets=3, test_only=0)
    first, semantic = frame["dataset"] == "d0", frame["family"] == "semantic"
    frame = frame[(first & semantic) | (~first & ~semantic)].reset_index(drop=True)
    vectors = make_vectors(frame)
    vectors[(frame["dataset"] != "d0") & (frame["split"] == "test")] = 0
    path = write_embedding(tmp_path / "e" / "seed0.parquet", frame, vectors)
    table = _table(tmp_path, path)
    assert table["estimate"].isna().all()
    pairs = table[table["level"] == "pair"].set_index(["metric", "dataset_a", "dataset_b"])
    assert pairs["n_tasks"].tolist() == [0, 0, 6] * 2
    assert pairs["note"].str.startswith("undefined: no common task").all()


def test_one_pair_more_of_a_dataset_does_not_move_its_centroid_by_tasks():
    frame = make_frame(n_datasets=2, test_only=0)
    vectors = make_vectors(frame)
    more = np.r_[np.arange(len(frame)), np.flatnonzero(frame["task"] == "shear").repeat(5)]
    got = []
    for rows in (np.arange(len(frame)), more):
        design = Design.of(frame.iloc[rows])
        got.append(dataset_cosines(design, [vectors[rows]], no_draws(design), np.ones((1, 1))))
    assert got[0] == pytest.approx(got[1], abs=1e-6)
