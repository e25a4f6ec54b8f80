"""Geometry rows of `comparisons`, and variance shares with their intervals in `separation`."""

import numpy as np
import pandas as pd
import pytest
import skbio
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from skbio.stats.distance import permdisp as skbio_permdisp

from atlas_synthetic import make_frame, make_vectors, with_roles, write_embedding
from medtaskatlas.atlas.comparisons.table import comparisons
from medtaskatlas.atlas.distances import encoder_matrix, task_distances
from medtaskatlas.atlas.inference import bootstrap_interval
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.resampling import Design, Draws, draw, no_draws
from medtaskatlas.atlas.separation.statistics import (
    FACTORS,
    crossed_subset,
    omega_squared,
    omega_squared_draws,
    permdisp,
)
from medtaskatlas.atlas.separation.table import separation
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError

FEW = {"run": "synthetic", "n_draws": 200}


@pytest.fixture(scope="module")
def tables(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    path = {n: folder / f"{n}.parquet" for n in ("distances", "plain", "comparisons", "separation")}
    task_distances(run["embeddings"], path["distances"], **FEW)
    comparisons(run["predictions"], path["plain"], **FEW)
    _compare(run, path["distances"], path["comparisons"])
    separation(run["embeddings"], path["separation"], **FEW)
    return {name: read_table(p) for name, p in path.items()} | {"path": path}


def _compare(files, distances, out, **changed):
    options = {"embedding_paths": files["embeddings"], "task_distances_path": distances}
    comparisons(files["predictions"], out, n_permutations=999, **{**FEW, **options, **changed})


def test_other_rows_stay_as_they_were(tables):
    frame = tables["comparisons"]
    rest = frame[frame["contrast"] != "geometry"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, tables["plain"])


def test_geometry_tells_encoders_that_know_tasks_from_those_that_do_not(tables):
    frame = tables["comparisons"]
    rows = frame[frame["contrast"] == "geometry"].set_index(
        ["split", "measure", "encoder", "other", "method"]
    )
    rows = rows.sort_index()
    for split in ("groups", "datasets"):
        mantel = rows.loc[(split, "mantel_spearman")]["estimate"]
        assert len(mantel) == 3
        assert mantel["taco", "pixels"].item() > mantel["taco", "random"].item()
        row = rows.loc[(split, "mantel_spearman", "taco", "pixels", "centroid_cosine")]
        assert row["p_adjusted"] < 0.05
        assert row["p_family"] == f"comparisons, mantel: {split}"
        cka = rows.loc[(split, "cka_debiased")]
        assert cka.loc[("taco", "taco"), "estimate"].item() > 0.5
        between = cka.loc[("taco", "pixels"), "estimate"].item()
        assert cka.loc[("taco", "random"), "estimate"].item() < between
        known = cka[cka["ci_low"].notna()]
        assert ((known["ci_low"] <= known["estimate"]) & (known["ci_high"] <= 1)).all()
        assert "one seed" in cka.loc[("pixels", "pixels"), "note"].item()
        for method in ("seeds", "subjects"):
            low = rows.loc[(split, "noise_ceiling_low", "taco", "taco", method), "estimate"]
            high = rows.loc[(split, "noise_ceiling_high", "taco", "taco", method), "estimate"]
            assert 0.6 < low <= high <= 1
    assert rows["p"].notna().sum() == 6


def test_mantel_is_of_the_distances_in_the_table(tables):
    frame, distances = tables["comparisons"], tables["distances"]
    row = frame[(frame["measure"] == "mantel_spearman") & (frame["split"] == "groups")].iloc[0]
    one, two = (
        squareform(encoder_matrix(distances, row[side], "groups").to_numpy(), checks=False)
        for side in ("encoder", "other")
    )
    assert row["estimate"] == pytest.approx(spearmanr(one, two).statistic)


def test_geometry_of_held_out_tasks_is_among_themselves(tmp_path):
    hidden = ["boundary", "denoising", "detection", "inpainting", "rotation", "shear"]
    frame = with_roles(make_frame(n_datasets=3), heldout_tasks=hidden)
    files = {"embeddings": [], "predictions": []}
    for seed, name in enumerate(("one", "two")):
        path = tmp_path / name / "seed0.parquet"
        vectors = make_vectors(frame, seed=seed, noise=2.0)
        files["embeddings"].append(write_embedding(path, frame, vectors, name))
        out = tmp_path / "predictions" / name / "seed0.parquet"
        predict(path, out, probes=False)
        files["predictions"].append(out)
    distances, out = tmp_path / "t.parquet", tmp_path / "c.parquet"
    task_distances(files["embeddings"], distances, **FEW)
    _compare(files, distances, out)
    frame, table = read_table(out), read_table(distances)
    row = frame[(frame["measure"] == "mantel_spearman") & (frame["split"] == "tasks")].iloc[0]
    one, two = (
        squareform(encoder_matrix(table, name, "tasks").loc[hidden, hidden], checks=False)
        for name in ("one", "two")
    )
    assert row["estimate"] == pytest.approx(spearmanr(one, two).statistic)
    assert "left out" not in row["note"]


def test_geometry_is_reproducible_whatever_the_order_of_files(tables, run, tmp_path):
    backwards = {name: run[name][::-1] for name in ("embeddings", "predictions")}
    _compare(backwards, tables["path"]["distances"], tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "again.parquet"), tables["comparisons"])


def test_files_that_do_not_belong_together_are_refused(tables, run, tmp_path):
    out, distances = tmp_path / "c.parquet", tables["path"]["distances"]
    with pytest.raises(DataError, match="is of run 'synthetic', not 'another'"):
        _compare(run, distances, out, run="another")
    with pytest.raises(DataError, match=r"seed\d.parquet is of run 'synthetic', not 'another'"):
        _compare(run, None, out, run="another")
    some = [p for p in run["embeddings"] if (p.parent.name, p.name) != ("taco", "seed1.parquet")]
    message = r"encoder taco, .*: predictions are of seeds \[0, 1, 2\], embeddings of .* \[0, 2\]"
    with pytest.raises(DataError, match=message):
        _compare(run, None, out, embedding_paths=some)
    frame = with_roles(run["frame"], ["d3", "d4"])
    other = write_embedding(tmp_path / "p.parquet", frame, make_vectors(frame), "pixels", 0)
    with pytest.raises(DataError, match="embeddings are of other pairs"):
        _compare(run, None, out, embedding_paths=[other])
    with pytest.raises(DataError, match="is missing"):
        _compare(run, None, out, embedding_paths=[*some, tmp_path / "taco" / "seed1.parquet"])
    assert not out.exists()


@pytest.mark.parametrize("datasets", [1, 2])
def test_little_data_give_reasons(datasets, tmp_path):
    frame = make_frame(n_datasets=datasets, groups=4, per_cell=8, test_only=datasets - 1)
    files = {"embeddings": [], "predictions": []}
    for kind in ("taco", "pixels"):
        vectors = make_vectors(frame)
        if kind == "pixels":
            # The first task is told from the rest, in training only: queries are all the same.
            vectors[(frame["split"] == "test").to_numpy()] = 1.0
        path = tmp_path / "embeddings" / kind / "seed0.parquet"
        files["embeddings"].append(write_embedding(path, frame, vectors, kind, 0, kind))
        files["predictions"].append(tmp_path / "predictions" / kind / "seed0.parquet")
        predict(path, files["predictions"][-1])
    few = {"run": "synthetic", "n_draws": 50}
    task_distances(files["embeddings"], tmp_path / "d.parquet", **few)
    out = tmp_path / "c.parquet"
    _compare(files, tmp_path / "d.parquet", out, **few)
    rows = read_table(out)
    rows = rows[rows["contrast"] == "geometry"]
    of_pixels = rows[(rows["encoder"] == "pixels") | (rows["other"] == "pixels")]
    assert of_pixels["estimate"].isna().all()
    assert of_pixels["note"].str.startswith("undefined: ").all()
    separation(files["embeddings"], tmp_path / "s.parquet", **few)
    shares = read_table(tmp_path / "s.parquet")
    shares = shares[shares["measure"].str.startswith("omega")]
    # A split never has two datasets here: nothing is crossed.
    assert set(shares["measure"]) == {"omega_squared"}
    assert shares["estimate"].isna().all()
    assert shares["note"].str.startswith("no crossed subset").all()


def test_one_encoder_is_compared_with_itself_only(run, tmp_path):
    alone = {
        name: [p for p in run[name] if p.parent.name == "taco"]
        for name in ("embeddings", "predictions")
    }
    task_distances(alone["embeddings"], tmp_path / "d.parquet", **FEW)
    _compare(alone, tmp_path / "d.parquet", tmp_path / "c.parquet")
    rows = read_table(tmp_path / "c.parquet")
    assert set(rows["contrast"]) == {"geometry"}
    assert (rows["encoder"] == rows["other"]).all()
    assert rows["estimate"].notna().all()
    assert rows["p"].isna().all()


def test_shares_have_intervals_and_beat_the_baselines(tables):
    frame = tables["separation"]
    shares = frame[(frame["measure"] == "omega_squared") & (frame["within"] == "crossed")]
    # The other split has one dataset: nothing is crossed there.
    shares = shares[shares["split"] == "groups"]
    assert set(shares["encoder"]) == {"taco", "pixels", "random"}
    assert {"task", "family", "dataset", "modality"} <= set(shares["factor"])
    assert (shares["ci_low"] <= shares["estimate"]).all()
    assert (shares["estimate"] <= shares["ci_high"]).all()
    # Of four datasets.
    assert shares["ci_method"].str.startswith("t of 3 degrees of freedom").all()
    within = frame[(frame["within"] == "crossed") & (frame["split"] == "groups")]
    gain = within[within["measure"] == "omega_squared_gain"].set_index("other")
    assert set(gain.index) == {"pixels", "random"}
    assert set(gain["encoder"]) == {"taco"}
    assert (gain["ci_low"] > 0).all()
    by = shares[shares["factor"] == "task"].set_index("encoder")["estimate"]
    assert gain.loc["pixels", "estimate"] == pytest.approx(by["taco"] - by["pixels"])
    both = within[within["measure"] == "omega_squared_difference"].set_index("encoder")
    data = shares[shares["factor"] == "dataset"].set_index("encoder")["estimate"]
    assert both["estimate"].to_dict() == pytest.approx((by - data).to_dict())
    assert both.loc["taco", "ci_low"] > 0 > both.loc["random", "ci_high"]
    assert (both["p_adjusted"] >= both["p"]).all()


def _crossed(dim):
    """Vectors of a layout in which every group has one pair of every task."""
    frame = make_frame(n_datasets=3, groups=8, per_cell=8, test_only=0)
    subset = crossed_subset(frame, np.random.default_rng(0))
    vectors = np.random.default_rng(1).normal(size=(len(frame), dim)) + make_vectors(frame, dim=dim)
    design = Design.of(frame.iloc[subset.rows.ravel()])
    parents = tuple(
        frame[column].to_numpy(dtype=object)[at]
        for column, at in (("family", subset.rows[:, 0, 0]), ("modality", subset.rows[0, :, 0]))
    )
    return vectors, subset, design, (parents[0], np.array(["x", "x", "y"]))


def test_shares_of_the_data_as_they_are():
    vectors, subset, design, parents = _crossed(20)
    expected = omega_squared(vectors, subset.rows, *parents)
    got = omega_squared_draws(vectors, subset, design, no_draws(design), parents=parents)
    assert set(expected) == set(FACTORS)
    assert {f: v[0] for f, v in got.items()} == pytest.approx(expected, abs=1e-6)


def test_shares_of_a_draw_are_those_of_the_drawn_layout():
    vectors, subset, design, parents = _crossed(20)
    rng = np.random.default_rng(0)
    T = len(subset.tasks)
    drawn = [rng.integers(0, 8, 8) for _ in range(3)]
    weights = np.concatenate([np.bincount(d, minlength=8) for d in drawn]).astype(float)
    for datasets in ([0, 1, 2], [0, 0, 2], [1, 2, 2]):
        times = np.bincount(datasets, minlength=3)[None].astype(float)
        draws = Draws(times, weights[None] * times[0, design.subject_dataset])
        got = omega_squared_draws(vectors, subset, design, draws, parents=parents)
        # Rows of a cell are in the order of its groups, one a group.
        rows = np.stack([subset.rows[:, d][:, drawn[d]] for d in datasets], axis=1)
        assert rows.shape == (T, 3, 8)
        expected = omega_squared(vectors, rows, parents[0], np.array(list("xyz")))
        for factor in ("task", "family", "dataset", "interaction"):
            assert got[factor][0] == pytest.approx(expected[factor], abs=1e-6), factor


def test_a_cell_without_drawn_groups_is_taken_as_it_is():
    vectors, subset, design, parents = _crossed(5)
    only = np.ones((1, 24))
    only[0, design.subject_dataset == 1] = 0
    got = omega_squared_draws(
        vectors, subset, design, Draws(np.ones((1, 3)), only), parents=parents
    )
    expected = omega_squared(vectors, subset.rows, *parents)
    assert got["task"][0] == pytest.approx(expected["task"], abs=1e-6)


def test_wide_embeddings_are_bootstrapped_on_components():
    rng = np.random.default_rng(0)
    vectors, subset, design, parents = _crossed(20)
    wide = vectors @ np.linalg.qr(rng.normal(size=(300, 20)))[0].T
    draws = draw(design, rng, 20)
    narrow = omega_squared_draws(vectors, subset, design, draws, parents=parents)
    got = omega_squared_draws(wide, subset, design, draws, parents=parents)
    for factor, values in narrow.items():
        assert got[factor] == pytest.approx(values, abs=1e-5), factor


def test_a_constant_embedding_has_a_reason_instead_of_shares(tmp_path):
    frame = make_frame(n_datasets=4, groups=8, per_cell=16)
    vectors = make_vectors(frame)
    vectors[(frame["split"] == "test").to_numpy()] = 0.1
    path = write_embedding(tmp_path / "e.parquet", frame, vectors)
    separation([path], tmp_path / "s.parquet", **FEW)
    shares = read_table(tmp_path / "s.parquet")
    shares = shares[shares["measure"].str.startswith("omega") & (shares["split"] == "groups")]
    assert list(shares["within"]) == ["crossed", "crossed_all_families"]
    assert shares["estimate"].isna().all()
    assert set(shares["note"]) == {"undefined: the embedding is constant here"}


def test_a_centred_interval_holds_its_estimate():
    draws = np.r_[np.random.default_rng(0).normal(0.9, 0.1, 500), np.nan]
    n = {"n_subjects": 99, "n_datasets": 1}
    made = bootstrap_interval(draws, 0.8, n, n_seeds=1, high=1.0, centred=True)
    assert made.ci_low == pytest.approx(0.6, abs=0.03)
    assert made.ci_high == pytest.approx(1.0, abs=0.03)
    assert made.ci_high <= 1
    assert bootstrap_interval(draws, 0.8, n | {"n_subjects": 4}, n_seeds=1).ci_low is None
    nothing = bootstrap_interval(np.full(3, np.nan), 0.8, n, n_seeds=1)
    assert nothing.note == "no interval: the statistic is undefined"


def test_p_of_permdisp_is_that_of_scikit_bio():
    rng = np.random.default_rng(0)
    code = np.repeat([0, 1, 2], 15)
    vectors = rng.normal(size=(45, 3)) * (1 + 0.12 * code[:, None])
    matrix = skbio.DistanceMatrix(squareform(pdist(vectors)), list(map(str, range(45))))
    theirs = skbio_permdisp(
        matrix, list(map(str, code)), test="centroid", permutations=999, seed=0, warn_neg_eigval=0
    )["p-value"]
    _, p = permdisp(vectors[None], code, np.zeros(45, int), rng, 999)
    assert 0.001 < p < 0.999
    assert abs(p - theirs) < 4 * np.sqrt(2 * p * (1 - p) / 999) + 0.02
