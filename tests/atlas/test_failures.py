"""Failures: scores and areas against oracles, the table of a small run, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from set_synthetic import HELDOUT
from sklearn.metrics import roc_auc_score

from atlas_synthetic import write_embedding
from medtaskatlas.atlas.failures.scores import auc_draws, judge, rate_draws, right_pairs
from medtaskatlas.atlas.failures.table import UNKNOWN, failures
from medtaskatlas.atlas.knn import nearest, vote
from medtaskatlas.atlas.resampling import Draws
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.tasks.failure import FAILURES

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(set_run):
    return set_run


def _make(run, out, main=None, failure=None, **options):
    failures(
        run["main"] if main is None else main,
        run["failure"] if failure is None else failure,
        out,
        run="synthetic",
        **{"n_draws": 200, **options},
    )
    return read_table(out, "failures", run="synthetic")


@pytest.fixture(scope="module")
def table(run):
    return _make(run, run["folder"] / "failures.parquet")


def _draws(groups, n=20):
    return Draws(np.ones((n, 1)), RNG.integers(0, 3, (n, groups)).astype(float))


def test_the_area_is_sklearns_of_repeated_groups():
    right, wrong = np.round(RNG.normal(1, 1, 40), 1), np.round(RNG.normal(0, 1, 25), 1)
    right_group, wrong_group = RNG.integers(0, 6, 40), RNG.integers(2, 9, 25)
    draws = _draws(9)
    got = auc_draws(right, right_group, wrong, wrong_group, draws)
    for b, weight in enumerate(draws.subject):
        weights = np.concatenate([weight[right_group], weight[wrong_group]])
        truth = np.repeat([1, 0], [40, 25])
        score = np.concatenate([right, wrong])
        wanted = roc_auc_score(truth, score, sample_weight=weights)
        assert got[b] == pytest.approx(wanted)


def test_draws_without_a_pair_have_no_number():
    draws = Draws(np.ones((1, 1)), np.array([[0.0, 2.0]]))
    zero, one = np.zeros(3, int), np.ones(3, int)
    assert np.isnan(auc_draws(np.ones(3), zero, np.ones(3), one, draws)[0])
    assert np.isnan(rate_draws(np.ones(3), zero, draws)[0])
    assert rate_draws(np.array([1.0, 0, 0]), one, draws)[0] == pytest.approx(1 / 3)


def test_judging_is_the_plain_search_for_neighbours():
    gallery = l2_normalize(RNG.normal(size=(300, 8)))
    task = RNG.integers(0, 5, 300)
    queries = l2_normalize(RNG.normal(size=(700, 8)))
    of = RNG.integers(-1, 5, 700)
    similarity, named = judge(queries, of, gallery, task)
    for part, rows, near in nearest(queries, gallery, 20):
        np.testing.assert_array_equal(named[part], vote(task[rows], near, 5))
    for i in range(0, 700, 7):
        if of[i] < 0:
            assert np.isnan(similarity[i])
        else:
            own = np.sort(gallery[task == of[i]] @ queries[i])[-20:]
            assert similarity[i] == pytest.approx(own.mean(), abs=1e-5)


def test_a_gallery_smaller_than_k_is_used_whole():
    gallery = l2_normalize(RNG.normal(size=(6, 4)))
    similarity, named = judge(gallery[:2], np.array([0, 1]), gallery, np.array([0, 0, 0, 0, 0, 1]))
    assert list(named) == [0, 0]
    assert similarity[1] == pytest.approx(float(gallery[1] @ gallery[5]), abs=1e-6)


def test_right_pairs_are_spread_over_datasets():
    role = ["gallery"] * 5 + ["groups"] * 925
    frame = pd.DataFrame({"task": "a", "role": role, "dataset": ["big"] * 900 + ["small"] * 30})
    chosen = right_pairs(frame, 0)
    assert len(chosen) == 100
    assert chosen.min() >= 5
    assert frame["dataset"].iloc[chosen].value_counts()["small"] == 30
    np.testing.assert_array_equal(chosen, right_pairs(frame, 0))


def test_failures_that_lie_elsewhere_are_separated_and_those_that_look_right_are_not(table):
    taco = table[(table["encoder"] == "taco") & table["seed"].isna()]
    for split in ("groups", "datasets"):
        here = taco[(taco["split"] == split) & (taco["measure"] == "separation_auc")]
        by = here.set_index(["task", "failure_kind"])["estimate"]
        for task in ("rotation", "deblurring", "all"):
            for kind in ("noise", "blank", "another_image", "untouched"):
                assert by[task, kind] > 0.99
            assert 0.2 < by[task, "half_done"] < 0.8
        rate = taco[(taco["split"] == split) & (taco["measure"] == "accepted_rate")]
        rate = rate.set_index(["task", "failure_kind"])
        assert rate.loc[("all", "half_done"), "estimate"] == 1
        assert rate.loc[("all", "noise"), "estimate"] < 0.7
        assert rate.loc[("rotation", "noise"), "reference"] == 1
        assert rate.loc[("rotation", "half_done"), "goes_to"] is None or pd.isna(
            rate.loc[("rotation", "half_done"), "goes_to"]
        )
        assert rate.loc[("rotation", "noise"), "goes_to"] in ("brightness", "deblurring")


def test_an_encoder_that_knows_nothing_separates_nothing(table):
    rows = table[(table["encoder"] == "random") & (table["measure"] == "separation_auc")]
    rows = rows[(rows["task"] == "all") & (rows["failure_kind"] == "all") & rows["seed"].isna()]
    assert rows["estimate"].between(0.4, 0.6).all()
    assert (rows["reference"] == 0.5).all()


def test_every_kind_has_a_row_and_what_was_never_made_has_a_reason(table):
    one = table[(table["encoder"] == "taco") & (table["split"] == "groups") & table["seed"].isna()]
    one = one[one["measure"] == "separation_auc"].set_index(["task", "failure_kind"])
    for task in ("rotation", "brightness", "deblurring", "noise_addition", "all"):
        assert set(one.loc[task].index) == {*FAILURES, "all"}
    assert np.isnan(one.loc[("rotation", "overdone"), "estimate"])
    assert "right way of this task" in one.loc[("rotation", "overdone"), "note"]
    assert set(one.loc["noise_addition", "note"]) == {UNKNOWN}
    assert one.loc["noise_addition", "estimate"].isna().all()
    assert one.loc[("deblurring", "overdone"), "n_pairs"] > 0


def test_only_failures_outside_training_are_scored(table, run):
    frame = run["frames"]["failure"]
    frame = frame[frame["failure_of"] == "rotation"]
    held = frame["dataset"].isin(HELDOUT)
    wanted = {"datasets": held.sum(), "groups": (~held & (frame["split"] == "test")).sum()}
    rows = table[(table["task"] == "rotation") & (table["failure_kind"] == "all")]
    for split, number in wanted.items():
        assert set(rows.loc[rows["split"] == split, "n_pairs"]) == {number}


def test_over_all_tasks_is_the_mean_of_tasks_and_has_rows_a_seed(table):
    auc = table[(table["measure"] == "separation_auc") & (table["encoder"] == "taco")]
    auc = auc[(auc["split"] == "datasets") & (auc["failure_kind"] == "noise")]
    over = auc[auc["seed"].isna()].set_index("task")["estimate"]
    assert over["all"] == pytest.approx(over.drop("all").mean())
    seeds = auc[(auc["task"] == "all") & auc["seed"].notna()]
    assert set(seeds["seed"]) == {0, 1}
    assert over["all"] == pytest.approx(seeds["estimate"].mean())


def test_intervals_hold_the_estimate_and_few_groups_have_none(table):
    there = table[table["ci_low"].notna()]
    assert (there["ci_low"] <= there["estimate"] + 1e-9).all()
    assert (there["estimate"] <= there["ci_high"] + 1e-9).all()
    few = table[(table["n_groups"] < 5) & table["estimate"].notna()]
    assert len(few) > 0
    assert few["note"].str.contains("at least 5 are needed").all()


def test_equal_input_gives_an_equal_table(run, table, tmp_path):
    pd.testing.assert_frame_equal(_make(run, tmp_path / "again.parquet"), table)


def test_the_scale_of_the_features_does_not_matter_to_an_encoder_that_is_standardised(
    run, table, tmp_path
):
    frames = {name: run["frames"][name].reset_index(drop=True) for name in ("main", "failure")}
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=(len(f), 10)) for name, f in frames.items()}
    tables = []
    for factor in (1.0, np.linspace(1, 900, 10)):
        paths = [
            write_embedding(
                tmp_path / f"{name}.parquet", f, vectors[name] * factor, "pixels", 0, "pixels",
                standardise=True,
            )
            for name, f in frames.items()
        ]  # fmt: skip
        tables.append(_make(run, tmp_path / "t.parquet", paths[:1], paths[1:]))
    left, right = (t["estimate"].to_numpy() for t in tables)
    np.testing.assert_allclose(left, right, atol=0.05)
    assert np.isfinite(left).sum() > 50


def test_no_heldout_failure_and_nan_are_refused(run, tmp_path):
    frame = run["frames"]["failure"]
    trained = frame[(frame["split"] == "train") & ~frame["dataset"].isin(HELDOUT)]
    trained = trained.reset_index(drop=True)
    vectors = RNG.normal(size=(len(trained), 24))
    path = write_embedding(tmp_path / "seed0.failure.parquet", trained, vectors)
    with pytest.raises(DataError, match="no failure is held out: failures cannot be judged"):
        _make(run, tmp_path / "t.parquet", run["main"][:1], [path])
    vectors[2] = np.nan
    path = write_embedding(tmp_path / "seed0.failure.parquet", trained, vectors)
    with pytest.raises(DataError, match=r"1 of \d+ embeddings are not finite"):
        _make(run, tmp_path / "t.parquet", run["main"][:1], [path])


def test_embeddings_of_different_pairs_are_refused(run, tmp_path):
    frame = run["frames"]["failure"].iloc[:-1].reset_index(drop=True)
    vectors = RNG.normal(size=(len(frame), 24))
    path = write_embedding(tmp_path / "seed1.failure.parquet", frame, vectors, seed=1)
    with pytest.raises(DataError, match="are embeddings of different pairs"):
        _make(run, tmp_path / "t.parquet", run["main"][:2], [run["failure"][0], path])
