"""Intervals hold the truth about as often as they say: a simulation of few and of many datasets."""

import numpy as np
import pandas as pd
import pytest

from medtaskatlas.atlas.inference import MANY, bootstrap_interval, bootstrap_p
from medtaskatlas.atlas.resampling import Design, balanced_mean, draw, no_draws
from medtaskatlas.core.seeds import generator

SUBJECTS, TASKS, PAIRS = 4, 3, 4
DRAWS, TRIALS = 300, 300


def _trials(datasets, kind):
    """Estimate, draws and truth of each of many repetitions of one study."""
    frame = pd.DataFrame(
        [
            (f"d{d}", f"{d}-{s}", f"t{t}")
            for d in range(datasets)
            for s in range(SUBJECTS)
            for t in range(TASKS)
            for _ in range(PAIRS)
        ],
        columns=["dataset", "subject_id", "task"],
    )
    design = Design.of(frame)
    rng = np.random.default_rng(datasets)
    once = np.ones((1, 1))
    for trial in range(TRIALS):
        of_dataset = rng.normal(0, 1, datasets)[design.subject_dataset]
        effect = (of_dataset + rng.normal(0, 0.5, len(of_dataset)))[design.subject]
        if kind == "rates":  # near their upper end, as accuracies are
            rate = 1 / (1 + np.exp(-(2 + effect)))
            values, truth = (rng.random(len(frame)) < rate).astype(float), RATE
        else:
            values, truth = effect + rng.normal(0, 0.5, len(frame)), 0.0
        draws = draw(design, generator(trial, "coverage"), DRAWS)
        estimate = float(balanced_mean(design, values[None], no_draws(design), once)[0])
        boot = balanced_mean(design, values[None], draws, np.ones((DRAWS, 1)))
        yield estimate, boot, truth


# Mean of 1 / (1 + exp(-(2 + x))) over x of variance 1.25.
_X = np.linspace(-9, 9, 20001)
RATE = float(np.average(1 / (1 + np.exp(-(2 + _X))), weights=np.exp(-(_X**2) / 2.5)))


def _covered(datasets, kind):
    n = {"n_subjects": datasets * SUBJECTS, "n_datasets": datasets}
    ours, percentile = 0, 0
    for estimate, boot, truth in _trials(datasets, kind):
        made = bootstrap_interval(boot, estimate, n, n_seeds=1)
        ours += made.ci_low <= truth <= made.ci_high
        low, high = np.quantile(boot, [0.025, 0.975])
        percentile += low <= truth <= high
    return ours / TRIALS, percentile / TRIALS


@pytest.mark.parametrize("kind", ["numbers", "rates"])
@pytest.mark.parametrize("datasets", [3, 5, 10, 20, MANY])
def test_intervals_cover_what_they_say(datasets, kind):
    ours, _ = _covered(datasets, kind)
    assert 0.915 <= ours <= 0.995  # 95 %, and what 300 trials may miss


def test_percentiles_of_five_datasets_do_not():
    assert _covered(5, "numbers")[1] < 0.9
    assert _covered(5, "rates")[1] < 0.9


def test_p_of_nothing_is_below_five_percent_in_about_that_share():
    n = {"n_subjects": 5 * SUBJECTS, "n_datasets": 5}
    p = [bootstrap_p(boot, estimate, n) for estimate, boot, _ in _trials(5, "numbers")]
    assert 0.005 <= np.mean(np.array(p) < 0.05) <= 0.085
