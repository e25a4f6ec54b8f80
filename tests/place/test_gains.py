"""Predicted gains: right where distance tells them, wide where it does not."""

import numpy as np
import pandas as pd
import pytest

from medtaskatlas.place.gains import Calibration


def measured(n_targets, slope=-0.3, noise=0.05, shift=0.0, seed=0):
    """Gains and distances of so many tasks on two datasets; targets differ by a `shift`."""
    rng = np.random.default_rng(seed)
    tasks = [f"t{i:02d}" for i in range(n_targets)]
    offset = dict(zip(tasks, rng.normal(0, shift, n_targets), strict=True))
    rows = [(s, t, d, rng.uniform(0, 3)) for s in tasks for t in tasks for d in ("a", "b")]
    distances = pd.DataFrame(rows, columns=["source", "target", "dataset", "distance"])
    gain = 0.7 + slope * distances["distance"] + rng.normal(0, noise, len(distances))
    gains = distances.drop(columns="distance").assign(
        gain=np.clip(gain + distances["target"].map(offset), -1, 1)
    )
    return gains, distances


def test_a_gain_is_predicted_within_its_interval():
    made = Calibration.of(*measured(12), n_seeds=1)
    for distance in (0.2, 1.5, 2.8):
        estimate, low, high = made.predict(distance)
        assert estimate == pytest.approx(0.7 - 0.3 * distance, abs=0.06)
        assert low <= estimate <= high
        assert high - low < 0.3
    assert made.evidence["coverage"] >= 0.87


def test_intervals_cover_new_targets_where_targets_differ():
    inside, widths = [], []
    for seed in range(3):
        gains, distances = measured(18, shift=0.2, seed=seed)
        new = gains["target"] > "t13"
        made = Calibration.of(gains[~new], distances, n_seeds=1)
        asked = gains[new].merge(distances, on=["source", "target", "dataset"]).iloc[::9]
        ends = [made.predict(d)[1:] for d in asked["distance"]]
        inside += [low <= g <= high for (low, high), g in zip(ends, asked["gain"], strict=True)]
        widths += [high - low for low, high in ends]
    assert np.mean(inside) > 0.84
    assert np.mean(widths) < 1.6, "the interval is the whole range"


def test_shuffled_distances_predict_nothing_and_say_so():
    gains, distances = measured(12)
    told = Calibration.of(gains, distances, n_seeds=1)
    shuffled = np.random.default_rng(1).permutation(distances["distance"])
    made = Calibration.of(gains, distances.assign(distance=shuffled), n_seeds=1)
    assert made.evidence["error"] > 3 * told.evidence["error"]
    near, far = made.predict(0.3), made.predict(2.7)
    assert near[2] - near[1] > 0.6
    assert abs(near[0] - far[0]) < 0.15


def test_few_targets_give_the_whole_range_and_fewer_nothing():
    made = Calibration.of(*measured(5), n_seeds=1)
    assert made.predict(1.0)[1:] == (-1, 1)
    assert Calibration.of(*measured(3), n_seeds=1) is None


def test_pairs_that_differ_widen_the_interval():
    made = Calibration.of(*measured(12), n_seeds=1)
    _, low, high = made.predict(1.5)
    _, lower, higher = made.predict(1.5, np.linspace(0.5, 2.5, 50))
    assert lower < low
    assert higher > high
