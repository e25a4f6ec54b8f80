"""Silhouettes, variance shares, dispersion and distances against other people's code."""

import numpy as np
import pandas as pd
import pytest
import skbio
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import f_oneway
from skbio.stats.distance import permdisp as skbio_permdisp
from sklearn.metrics import silhouette_samples

from atlas_synthetic import make_frame
from medtaskatlas.atlas.distances import centroid_cosines, energy_distances
from medtaskatlas.atlas.resampling import Design, no_draws
from medtaskatlas.atlas.separation.statistics import (
    crossed_subset,
    distances_to_centroid,
    f_statistic,
    omega_squared,
    permdisp,
    silhouettes,
    silhouettes_within,
)
from medtaskatlas.atlas.vectors import l2_normalize


def test_silhouettes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    vectors = l2_normalize(rng.normal(size=(200, 6)) + 0.5)
    labels = np.r_[rng.integers(0, 4, 199), 9]  # 9 is alone
    got = silhouettes(vectors, labels)
    assert got == pytest.approx(silhouette_samples(vectors, labels, metric="cosine"), abs=1e-5)
    assert np.isnan(silhouettes(vectors, np.zeros(200))).all()


def test_nested_silhouettes_see_one_block_at_a_time():
    rng = np.random.default_rng(0)
    vectors, labels = l2_normalize(rng.normal(size=(60, 5))), np.tile([0, 1, 2], 20)
    blocks = np.repeat([0, 1], 30)
    labels[blocks == 1] = 0
    got = silhouettes_within(vectors, labels, blocks)
    assert got[:30] == pytest.approx(silhouettes(vectors[:30], labels[:30]))
    assert np.isnan(got[30:]).all()


def test_omega_squared_is_the_textbook_anova_in_one_dimension():
    rng = np.random.default_rng(0)
    T, D, n = 4, 3, 5
    y = rng.normal(size=(T, D, n)) + np.arange(T)[:, None, None] + 2 * np.arange(D)[None, :, None]
    rows = np.arange(y.size).reshape(y.shape)
    got = omega_squared(y.reshape(-1, 1), rows, np.array(list("aabb")), np.array(list("xyz")))
    grand = y.mean()
    ss = {
        "task": D * n * ((y.mean((1, 2)) - grand) ** 2).sum(),
        "dataset": T * n * ((y.mean((0, 2)) - grand) ** 2).sum(),
    }
    error = ((y - y.mean(2, keepdims=True)) ** 2).sum()
    total = ((y - grand) ** 2).sum()
    ss["interaction"] = total - error - sum(ss.values())
    ss["family"] = sum(2 * D * n * (y[i : i + 2].mean() - grand) ** 2 for i in (0, 2))
    df = {"task": 3, "dataset": 2, "interaction": 6, "family": 1}
    mse = error / (T * D * (n - 1))
    for factor, value in ss.items():
        assert got[factor] == pytest.approx((value - df[factor] * mse) / (total + mse)), factor
    assert np.isnan(got["modality"])


def test_omega_squared_of_noise_is_about_zero():
    vectors = np.random.default_rng(0).normal(size=(6 * 5 * 20, 16))
    rows = np.arange(600).reshape(6, 5, 20)
    got = omega_squared(vectors, rows, np.array(list("aabbcc")), np.array(list("xxyyy")))
    assert all(abs(value) < 0.01 for value in got.values())


def test_crossed_subset_is_balanced_and_the_largest():
    frame = make_frame(n_datasets=4, per_cell=8)
    gone = frame["dataset"].isin(["d2", "d3"]) & (frame["family"] == "semantic")
    frame = frame[~gone].reset_index(drop=True)
    rng = np.random.default_rng(0)
    wide = crossed_subset(frame, rng)
    assert (len(wide.tasks), len(wide.datasets)) == (6, 4)
    full = crossed_subset(frame, rng, families=True)
    assert (len(full.tasks), full.datasets) == (9, ["d0", "d1"])
    chosen = frame.iloc[full.rows.ravel()]
    assert set(chosen.groupby(["task", "dataset"]).size()) == {8}
    assert crossed_subset(frame[frame["dataset"] == "d0"], rng) is None


def test_permdisp_statistic_is_that_of_scikit_bio():
    rng = np.random.default_rng(0)
    code = np.repeat([0, 1, 2], 20)
    vectors = rng.normal(size=(60, 3)) * (1 + code[:, None])
    ordination = skbio.OrdinationResults(
        "x", "x", pd.Series([1.0, 1, 1]), samples=pd.DataFrame(vectors, index=map(str, range(60)))
    )
    theirs = skbio_permdisp(ordination, code, test="centroid", permutations=0)["test statistic"]
    blocks = np.zeros(60, int)
    observed, p = permdisp(vectors[None], code, blocks, rng, 199)
    assert observed[0] == pytest.approx(theirs)
    assert p < 0.02
    z = distances_to_centroid(vectors, code)
    many = np.stack([code, rng.permutation(code)])
    slow = [f_oneway(*(z[c == k] for k in range(3))).statistic for c in many]
    assert f_statistic(z, many) == pytest.approx(slow)


def test_permdisp_keeps_its_level_and_permutes_within_blocks():
    rng = np.random.default_rng(1)
    small = 0
    for _ in range(60):
        code, blocks = np.tile([0, 1], 20), np.repeat(np.arange(10), 4)
        vectors = rng.normal(size=(40, 4)) * (1 + blocks[:, None] / 3)
        small += permdisp(vectors[None], code, blocks, rng, 99)[1] <= 0.05
    assert small <= 8
    # Where a block has one label only, nothing can move: no evidence.
    one = np.repeat([0, 1], 20)
    assert permdisp(rng.normal(size=(1, 40, 2)), one, one, rng, 50)[1] == 1


def test_energy_is_zero_for_equal_and_large_for_distant_distributions():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 4))
    code = np.repeat([0, 1], 200)
    assert energy_distances(vectors, code)[0, 1] < 0.01
    far = vectors + 50 * code[:, None]
    got = energy_distances(far, code)[0, 1]
    assert got > 0.9
    x, y = far[:200], far[200:]
    by_hand = 1 - (pdist(x).mean() + pdist(y).mean()) / (2 * cdist(x, y).mean())
    assert got == pytest.approx(by_hand)


def test_centroid_distances_balance_datasets():
    frame = pd.DataFrame(
        {"dataset": list("aaab") + list("aaab"), "subject_id": "g", "task": ["s"] * 4 + ["t"] * 4}
    )
    vectors = np.array([[1, 0]] * 3 + [[0, 1]] + [[1, 0]] * 4, np.float32)
    design = Design.of(frame)
    got = centroid_cosines(design, [vectors], no_draws(design), np.ones((1, 1)))[0]
    assert got[0, 1] == pytest.approx(1 - np.cos(np.pi / 4), abs=1e-6)  # not 1 - cos(18°)
    assert squareform(got, checks=True) is not None
