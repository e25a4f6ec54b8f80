"""Trajectories: geometry against oracles, the table of a small run, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from set_synthetic import HELDOUT, make_set_run

from atlas_synthetic import write_embedding
from medtaskatlas.atlas.embeddings import load_set
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.trajectories.geometry import (
    flat_steps,
    mean_turning,
    path_over_chord,
    spearman,
    sphere_steps,
)
from medtaskatlas.atlas.trajectories.summaries import padded, weighted_quantiles
from medtaskatlas.atlas.trajectories.table import trajectories
from medtaskatlas.atlas.trajectories.tracks import FEW_LEVELS, GAPS, Trajectories
from medtaskatlas.atlas.vectors import Scale
from medtaskatlas.core.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(set_run):
    return set_run


def _make(run, out, main=None, trajectory=None, **options):
    trajectories(
        run["main"] if main is None else main,
        run["trajectory"] if trajectory is None else trajectory,
        run["pairs"]["trajectory"],
        run["images"],
        out,
        run="synthetic",
        asked_of=["taco"],
        **{"n_draws": 200, **options},
    )
    return read_table(out, "trajectories", run="synthetic")


@pytest.fixture(scope="module")
def table(run):
    return _make(run, run["folder"] / "trajectories.parquet")


def _arc(angles, dim=6):
    """Points of a great circle, of other lengths than 1."""
    a, b = np.linalg.qr(RNG.normal(size=(dim, 2)))[0].T
    points = np.cos(angles)[:, None] * a + np.sin(angles)[:, None] * b
    return points * RNG.uniform(0.5, 3, (len(angles), 1))


def test_a_great_circle_is_straight_whatever_its_speed_and_the_lengths_of_its_vectors():
    angles = np.array([0, 0.01, 0.4, 0.5, 1.1, 2.9])
    steps = sphere_steps(_arc(angles)[None])
    np.testing.assert_allclose(steps.distance[0], angles, atol=1e-9)
    np.testing.assert_allclose(steps.displacement[0], 1 - np.cos(angles), atol=1e-9)
    assert path_over_chord(steps)[0] == pytest.approx(1)
    assert mean_turning(steps)[0] == pytest.approx(0, abs=1e-4)


def test_going_forth_and_back_turns_by_180_degrees():
    steps = sphere_steps(_arc(np.array([0, 0.5, 0.2, 0.7]))[None])
    np.testing.assert_allclose(steps.turning[0], [180, 180], atol=1e-3)
    assert path_over_chord(steps)[0] == pytest.approx((0.5 + 0.3 + 0.5) / 0.7)


def test_a_right_angle_on_the_sphere():
    octant = np.eye(3)[[0, 1, 2]]  # two sides of a triangle whose angles are all right
    steps = sphere_steps(octant[None])
    np.testing.assert_allclose(steps.turning[0], [90])
    assert path_over_chord(steps)[0] == pytest.approx(2)


def test_noise_turns_by_120_degrees_and_correlates_with_nothing():
    noise = RNG.normal(size=(400, 11, 200))
    steps = sphere_steps(noise + 30 * RNG.normal(size=(400, 1, 200)))
    assert np.mean(mean_turning(steps)) == pytest.approx(120, abs=1)
    severity = np.broadcast_to(np.linspace(0, 1, 11), (400, 11))
    assert abs(spearman(severity, steps.distance).mean()) < 0.05


def test_spearman_is_scipys_without_level_0_ties_included():
    severity = np.broadcast_to(np.linspace(0, 1, 9), (50, 9))
    moved = np.round(RNG.uniform(size=(50, 9)) * 6)
    moved[:, 0] = 0
    ours = spearman(severity, moved)
    oracle = [spearmanr(s[1:], m[1:]).statistic for s, m in zip(severity, moved, strict=True)]
    np.testing.assert_allclose(ours, oracle)


def test_what_does_not_move_has_no_number():
    still = np.ones((1, 5, 4)) + 1e-9 * RNG.normal(size=(1, 5, 4))
    steps = sphere_steps(still)
    severity = np.linspace(0, 1, 5)[None]
    assert np.isnan(spearman(severity, steps.distance, 1e-5)[0])
    assert np.isnan(path_over_chord(steps, 1e-5)[0])
    assert np.isnan(mean_turning(steps)[0])
    assert np.isnan(sphere_steps(np.zeros((1, 5, 4))).displacement).all()


def test_pixels_are_measured_in_grey_levels():
    points = np.array([[[0, 0], [2, 0], [4, 0], [4, 6]]], np.int16)
    steps = flat_steps(points)
    np.testing.assert_allclose(steps.distance, [[0, 1, 2, 5]])
    np.testing.assert_allclose(steps.turning, [[0, 90]], atol=1e-3)
    assert path_over_chord(steps)[0] == pytest.approx(1)


def test_weighted_quantiles_are_numpys_of_repeated_values():
    values = np.round(RNG.normal(size=(4, 7)), 1)
    values[1, 3] = np.nan
    weights = RNG.integers(0, 4, (30, 4, 7))
    weights[0, 2] = 0
    got = weighted_quantiles(values, weights, (0.1, 0.5, 0.9))
    assert np.isnan(got[0, 2]).all()
    for b in range(30):
        for c in range(4):
            repeated = np.repeat(values[c], weights[b, c])
            repeated = repeated[np.isfinite(repeated)]
            if len(repeated):
                np.testing.assert_allclose(got[b, c], np.quantile(repeated, (0.1, 0.5, 0.9)))


def test_padding_leaves_out_what_is_in_no_cell():
    rows, there = padded(np.array([1, -1, 0, 1, 3]), 4)
    assert [sorted(r[t]) for r, t in zip(rows, there, strict=True)] == [[2], [0, 3], [], [4]]


def test_scale_is_that_of_the_gallery():
    vectors = (RNG.normal(size=(9000, 7)) * np.arange(7) + 3).astype(np.float32)
    gallery = RNG.uniform(size=9000) < 0.6
    scaled = Scale.of(vectors[gallery]).apply(vectors)
    exact = vectors.astype(np.float64)
    spread = exact[gallery].std(axis=0)
    wanted = (exact - exact[gallery].mean(axis=0)) / np.where(spread > 0, spread, 1)
    np.testing.assert_allclose(scaled, np.clip(wanted, -5, 5), atol=1e-5)
    assert (scaled[:, 0] == 0).all()


def test_only_pairs_outside_training_are_read_and_main_pairs_tell_what_is_known(run):
    frame = run["frames"]["failure"]
    loaded = load_set(run["main"][0], run["failure"][0])
    outside = frame[(frame["split"] == "test") | frame["dataset"].isin(HELDOUT)]
    assert loaded.frame["pair_id"].tolist() == sorted(outside["pair_id"])
    held = loaded.frame["dataset"].isin(HELDOUT)
    assert (loaded.frame["query_set"] == held.map({True: "datasets", False: "groups"})).all()
    # The gallery has no pair of this task.
    assert (loaded.frame["known"] == (loaded.frame["failure_of"] != "noise_addition")).all()
    assert 0 < loaded.frame["known"].mean() < 1


def test_the_good_encoder_is_monotone_and_smoother_than_the_noisy_ones(table):
    task = table[(table["scope"] == "task") & table["seed"].isna()]
    by = task.set_index(["split", "measure", "encoder", "task"])["estimate"].sort_index()
    for split in ("groups", "datasets"):
        assert (by[split, "spearman", "taco"] > 0.98).all()
        assert (by[split, "spearman_p10", "taco"] <= by[split, "spearman", "taco"]).all()
        assert (by[split, "spearman", "random"].abs() < 0.45).all()
        assert (by[split, "path_over_chord", "taco"] < 1.5).all()
        assert (by[split, "path_over_chord", "random"] > 4).all()
        worse = by[split, "path_over_chord_p90", "taco"] >= by[split, "path_over_chord", "taco"]
        assert worse.all()
    assert task.loc[task["measure"] == "spearman", "seed_sd"].notna().sum() > 0
    assert not task.loc[task["task"] == "noise_addition", "task_trained"].any()
    assert task.loc[task["task"] == "rotation", "task_trained"].all()


def test_the_control_sees_noise_grow_in_pixels(table):
    rows = table[(table["encoder"] == "raw_pixels") & (table["task"] == "noise_addition")]
    rows = rows[(rows["scope"] == "task") & (rows["split"] == "datasets")]
    by = rows.set_index("measure")
    assert by.loc["spearman", "estimate"] == 1
    curve = rows[rows["measure"] == "displacement"].sort_values("level")
    assert list(curve["level"]) == list(range(11))
    np.testing.assert_allclose(curve["severity"], np.linspace(0, 1, 11), atol=1e-6)
    assert curve["estimate"].iloc[0] == 0
    assert (np.diff(curve["estimate"]) > 0).all()
    assert rows["seed"].isna().all()


def test_the_median_is_that_of_the_images_and_a_mean_over_seeds(table):
    images = table[(table["scope"] == "image") & (table["measure"] == "path_over_chord")]
    images = images[(images["encoder"] == "taco") & (images["split"] == "groups")]
    images = images[images["task"] == "rotation"]
    wanted = images[images["seed"].notna()].groupby("seed")["estimate"].median()
    rows = table[(table["scope"] == "task") & (table["measure"] == "path_over_chord")]
    rows = rows[(rows["encoder"] == "taco") & (rows["split"] == "groups")]
    rows = rows[rows["task"] == "rotation"]
    got = rows.set_index("seed")["estimate"]
    assert got[0] == pytest.approx(wanted[0])
    over = rows[rows["seed"].isna()].iloc[0]
    assert over["estimate"] == pytest.approx(wanted.mean())
    assert over["seed_sd"] == pytest.approx(wanted.std())
    assert over["ci_low"] <= over["estimate"] <= over["ci_high"]
    assert over["n_images"] == images["image_id"].groupby(images["dataset"]).nunique().sum()
    assert over["n_pairs"] == 11 * over["n_images"]
    assert "dataset > subject > seed" in over["ci_method"]


def test_what_training_asked_for_is_told(table):
    assert set(table["encoder"]) > {"taco"}
    assert (table["asked_for"] == (table["encoder"] == "taco")).all()


def test_only_test_groups_and_heldout_datasets_are_there(table, run):
    images = table[table["scope"] == "image"]
    frame = run["frames"]["trajectory"].drop_duplicates(["dataset", "image_id"])
    split_of = frame.set_index(["dataset", "image_id"])["split"]
    inside = images[images["split"] == "groups"]
    assert set(images.loc[images["split"] == "datasets", "dataset"]) == set(HELDOUT)
    assert {split_of[d, i] for d, i in zip(inside["dataset"], inside["image_id"], strict=True)} == {
        "test"
    }


def test_differences_take_baselines_off_trained_encoders(table):
    rows = table[table["measure"] == "path_over_chord_difference"]
    pairs = set(zip(rows["encoder"], rows["other"], strict=True))
    assert pairs == {
        ("taco", "pixels"), ("taco", "random"), ("taco", "raw_pixels"), ("pixels", "random"),
        ("pixels", "raw_pixels"), ("random", "raw_pixels"),
    }  # fmt: skip
    better = rows[(rows["encoder"] == "taco") & (rows["other"] == "random")]
    assert (better["ci_high"] < 0).all()
    medians = table[(table["measure"] == "path_over_chord") & (table["scope"] == "task")]
    medians = medians[medians["seed"].isna()].set_index(["encoder", "split", "task"])["estimate"]
    for row in better.itertuples():
        wanted = medians["taco", row.split, row.task] - medians["random", row.split, row.task]
        assert row.estimate == pytest.approx(wanted)


def test_equal_input_gives_an_equal_table(run, table, tmp_path):
    again = _make(run, tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(again, table)


def test_an_encoder_that_does_not_move_gets_rows_without_numbers(run, tmp_path):
    main, frame = run["frames"]["main"], run["frames"]["trajectory"]
    rng = np.random.default_rng(3)
    # As an encoder of the input alone: of each image the same vector at all levels.
    code = frame.groupby(["dataset", "image_id"]).ngroup().to_numpy()
    paths = [
        write_embedding(
            tmp_path / f"seed0{middle}.parquet", f.reset_index(drop=True), v, "blind", 0, "taco"
        )
        for middle, f, v in (
            ("", main, rng.normal(size=(len(main), 8))),
            (".trajectory", frame, rng.normal(size=(code.max() + 1, 8))[code]),
        )
    ]
    frame = _make(run, tmp_path / "t.parquet", [run["main"][0], paths[0]],
                  [run["trajectory"][0], paths[1]])  # fmt: skip
    blind = frame[(frame["encoder"] == "blind") & (frame["measure"] == "spearman")]
    assert len(blind) > 0
    assert blind["estimate"].isna().all()
    assert set(blind["note"]) == {"undefined: the displacement is constant"}
    other = frame[(frame["other"] == "blind") | (frame["encoder"] == "blind")]
    other = other[other["measure"] == "path_over_chord_difference"]
    assert other["estimate"].isna().all()
    assert set(other["note"]) == {"undefined: the trajectory ends where it began"}
    good = frame[(frame["encoder"] == "taco") & (frame["measure"] == "spearman")]
    assert good["estimate"].notna().all()


def test_fewer_than_three_levels_and_gaps_are_told():
    pairs = pd.DataFrame(
        {"task": "a", "dataset": "d", "draw": [0, 0, 1, 1, 1, 2, 2, 2],
         "level": [0, 1, 0, 1, 2, 0, 1, 3], "severity": [0, 1, 0, 0.5, 1, 0, 0.5, 1],
         "family": "f", "modality": "CT", "image_id": "i", "subject_id": "s", "group_id": "g",
         "query_set": "groups", "known": True}
    )  # fmt: skip
    found = Trajectories.of(pairs.sample(frac=1, random_state=0).reset_index(drop=True))
    assert list(found.frame["reason"].fillna("")) == [FEW_LEVELS, "", GAPS]
    assert [list(batch) for batch in found.batches()] == [[1]]
    np.testing.assert_array_equal(found.severity[1], [0, 0.5, 1])


def test_two_levels_make_rows_with_a_reason(tmp_path):
    short = make_set_run(tmp_path, tasks=("brightness",), datasets=("ct_a", "xr_held"), levels=2)
    frame = _make(short, tmp_path / "t.parquet")
    assert set(frame["scope"]) == {"image", "dataset", "task"}
    assert set(frame["encoder"]) == {"taco", "pixels", "random", "raw_pixels"}
    assert frame["estimate"].isna().all()
    assert set(frame["note"]) == {FEW_LEVELS}


def test_trajectories_other_than_those_of_the_pair_files_are_refused(run, tmp_path):
    frame = run["frames"]["trajectory"]
    short = (frame["task"] == "brightness") & (frame["level"] > 1)
    kept = frame[~short].reset_index(drop=True)
    vectors = RNG.normal(size=(len(kept), 24))
    main = run["frames"]["main"].reset_index(drop=True)
    paths = [
        write_embedding(tmp_path / "seed0.parquet", main, RNG.normal(size=(len(main), 24))),
        write_embedding(tmp_path / "seed0.trajectory.parquet", kept, vectors),
    ]
    with pytest.raises(DataError, match="different trajectories"):
        _make(run, tmp_path / "t.parquet", paths[:1], paths[1:])


def _wrong(made, tmp_path, change, **facts):
    frame = made["frames"]["trajectory"].reset_index(drop=True)
    vectors = change(RNG.normal(size=(len(frame), 24)))
    return write_embedding(
        tmp_path / "seed0.trajectory.parquet", frame, vectors, **{"encoder": "taco", **facts}
    )


@pytest.mark.parametrize(
    ("change", "facts", "words"),
    [
        (lambda v: np.where(np.arange(len(v))[:, None] == 3, np.nan, v), {}, "1 of .* not finite"),
        (np.ones_like, {}, "all embeddings are the same vector"),
        (lambda v: v[:, :5], {}, "has 5 dimensions"),
        (lambda v: v, {"seed": 4}, "is of seed 4"),
        (lambda v: v, {"encoder": "other"}, "is of encoder 'other'"),
        (lambda v: v, {"run": "older"}, "is of run 'older'"),
    ],
)
def test_files_that_do_not_fit_are_refused(run, tmp_path, change, facts, words):
    path = _wrong(run, tmp_path, change, **facts)
    with pytest.raises(DataError, match=words):
        load_set(run["main"][0], path)


def test_another_run_a_missing_file_and_no_trajectory_are_refused(run, tmp_path):
    with pytest.raises(DataError, match="is of run 'synthetic', not 'mine'"):
        trajectories(run["main"], run["trajectory"], [], [], tmp_path / "t.parquet", run="mine")
    with pytest.raises(DataError, match="is missing"):
        load_set(run["main"][0], tmp_path / "seed0.trajectory.parquet")
    with pytest.raises(DataError, match="5 files of main pairs but 4"):
        _make(run, tmp_path / "t.parquet", trajectory=run["trajectory"][:4])
    with pytest.raises(DataError, match="no trajectory lies outside training"):
        _make(run, tmp_path / "t.parquet", [], [])
