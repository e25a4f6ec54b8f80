"""Bootstrap, tests and agreement: oracles, coverage, and what happens with too little data."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, sem
from scipy.stats import t as student
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, cohen_kappa_score

from medtaskatlas.atlas.agreement import agreement_by_chance, kappa
from medtaskatlas.atlas.clusters.statistics import agreement_test, tables_of
from medtaskatlas.atlas.inference import (
    MANY,
    adjust,
    against_baselines,
    bootstrap_interval,
    bootstrap_p,
    difference_sd,
    jackknife_interval,
    permutation_p,
    sign_flip_p,
)
from medtaskatlas.atlas.resampling import (
    Design,
    average_cells,
    cell_means,
    draw,
    draw_seeds,
    no_draws,
)
from medtaskatlas.core.seeds import generator


def _frame(datasets=4, groups=6, tasks=3, pairs=5):
    return pd.DataFrame(
        [
            (f"d{d}", f"g{g}", f"t{t}")
            for d in range(datasets)
            for g in range(groups)
            for t in range(tasks)
            for _ in range(pairs)
        ],
        columns=["dataset", "subject_id", "task"],
    )


def _everything(design):
    return np.ones((1, len(design.datasets), len(design.tasks)), bool)


def _boot(design, values, draws, seeds):
    return average_cells(
        cell_means(design, values, draws, seeds), draws.dataset, _everything(design)
    )[:, 0]


def test_a_subject_of_two_datasets_is_drawn_in_each():
    design = Design.of(_frame(datasets=3, groups=2))
    assert design.shape == (6, 3)


def test_estimate_is_the_mean_over_cells():
    frame = _frame().drop(index=[0, 1, 2, 3])  # cells of unequal size
    rng = np.random.default_rng(0)
    values = rng.random((2, len(frame)))
    design = Design.of(frame)
    got = _boot(design, values, no_draws(design), np.full((1, 2), 0.5))[0]
    both = frame.assign(v=values.mean(axis=0))
    assert got == pytest.approx(both.groupby(["dataset", "task"])["v"].mean().mean())


def test_draws_equal_an_explicit_resampling_loop():
    frame = _frame()
    design = Design.of(frame)
    values = np.random.default_rng(1).random((1, len(frame)))
    draws = draw(design, generator(0, "x"), 20)
    got = _boot(design, values, draws, np.ones((20, 1)))
    for b in range(20):
        cells = []
        for d in range(4):
            weight = draws.subject[b][design.subject] * (
                design.subject_dataset[design.subject] == d
            )
            assert weight.sum() == draws.dataset[b, d] * 6 * 15
            for t in range(3):
                w = weight * (design.task == t)
                if w.sum():
                    cells += [(w @ values[0]) / w.sum()] * int(draws.dataset[b, d])
        assert got[b] == pytest.approx(np.mean(cells))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    frame = _frame(datasets=10, groups=5, tasks=2, pairs=4)
    design = Design.of(frame)
    rng = np.random.default_rng(0)
    for trial in range(150):
        effect = rng.normal(0, 1, 10)[design.subject_dataset] + rng.normal(0, 0.5, 50)
        values = effect[design.subject] + rng.normal(0, 0.5, len(frame))
        draws = draw(design, generator(trial, "coverage"), 400)
        boot = _boot(design, values[None], draws, np.ones((400, 1)))
        n = {"n_subjects": 50, "n_datasets": 10}
        interval = bootstrap_interval(boot, float(values.mean()), n, n_seeds=1)
        covered += interval.ci_low <= 0 <= interval.ci_high
    assert 0.89 <= covered / 150 <= 0.99


def test_interval_is_wider_than_one_that_ignores_groups():
    frame = _frame(datasets=8, groups=4, tasks=1, pairs=50)
    design = Design.of(frame)
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 32)[design.subject] + rng.normal(0, 0.1, len(frame))
    boot = _boot(design, values[None], draw(design, generator(0, "w")), np.ones((2000, 1)))
    assert boot.std() > 3 * values.std() / np.sqrt(len(values))


def test_seed_spread_enters_the_interval():
    frame = _frame()
    design = Design.of(frame)
    values = np.array([0.0, 0.5, 1.0])[:, None] * np.ones(len(frame))
    draws = draw(design, generator(0, "s"))
    boot = _boot(design, values, draws, draw_seeds(generator(0, "seeds"), 3))
    assert boot.std() == pytest.approx(np.std([0, 0.5, 1]) / np.sqrt(3), rel=0.1)


def test_paired_difference_is_narrower_than_an_unpaired_one():
    frame = _frame(datasets=10)
    design = Design.of(frame)
    rng = np.random.default_rng(0)
    shared = rng.normal(size=10)[design.subject_dataset[design.subject]]
    a, b = shared + 0.1, shared + rng.normal(0, 0.1, len(frame))
    draws = draw(design, generator(0, "p"))
    one = np.ones((2000, 1))
    paired = _boot(design, a[None], draws, one) - _boot(design, b[None], draws, one)
    other = draw(design, generator(1, "p"))
    unpaired = _boot(design, a[None], draws, one) - _boot(design, b[None], other, one)
    assert paired.std() < unpaired.std() / 5
    n = {"n_subjects": 40, "n_datasets": 10}
    assert bootstrap_p(paired, float((a - b).mean()), n) < 0.02


def test_draws_are_reproducible():
    design = Design.of(_frame())
    one, two = (draw(design, generator(7, "r"), 50) for _ in range(2))
    assert (one.subject == two.subject).all()


def test_few_subjects_give_no_interval_and_say_why():
    n = {"n_subjects": 4, "n_datasets": 2}
    interval = bootstrap_interval(np.ones(10), 1.0, n, n_seeds=3)
    assert interval.ci_low is None
    assert "4 subjects" in interval.note


def test_datasets_that_show_one_subject_are_not_independent():
    draws = np.random.default_rng(0).normal(0, 1, 500)
    apart, same = (
        bootstrap_interval(draws, 0.0, {"n_subjects": s, "n_datasets": 9}, n_seeds=1)
        for s in (30, 5)
    )
    assert "t of 8 degrees" in apart.ci_method
    assert "t of 4 degrees" in same.ci_method
    assert same.ci_high > apart.ci_high


def test_intervals_stay_within_bounds():
    draws = np.random.default_rng(0).normal(0.97, 0.05, 500)
    n = {"n_subjects": 12, "n_datasets": 4}
    interval = bootstrap_interval(draws, 0.97, n, n_seeds=1, low=0.0, high=1.0)
    assert interval.ci_high == 1
    assert interval.ci_low < 0.97


@pytest.mark.parametrize("units", [5, MANY])
def test_interval_and_p_agree(units):
    rng = np.random.default_rng(1)
    n = {"n_subjects": units, "n_datasets": 1}
    for shift in np.linspace(-3, 3, 25):
        draws = rng.normal(shift, 1, 2000)
        interval = bootstrap_interval(draws, shift, n, n_seeds=1)
        apart = interval.ci_low > 0 or interval.ci_high < 0
        assert apart == (bootstrap_p(draws, shift, n) < 0.05)


def test_signs_of_five_datasets_cannot_say_more_than_a_sixteenth():
    rng = np.random.default_rng(0)
    assert sign_flip_p(np.array([0.2, 0.3, 0.1, 0.4, 0.2]), rng) == 2 / 2**5
    assert sign_flip_p(np.array([0.2, 0.3, -0.1, 0.4, 0.2]), rng) == 4 / 2**5
    assert sign_flip_p(np.array([0.2]), rng) is None
    many = rng.normal(1, 1, 30)
    assert sign_flip_p(many, rng) < 0.001
    assert sign_flip_p(rng.normal(0, 1, 30), rng) > 0.05


def test_permutation_p_is_never_zero():
    assert permutation_p(10, np.zeros(99)) == 0.01
    assert permutation_p(0, np.zeros(99)) == 1


def test_adjust_is_benjamini_hochberg_within_families():
    frame = pd.DataFrame({"p": [0.01, 0.04, None, 0.03, 0.5], "p_family": list("aaaab")})
    got = adjust(frame)["p_adjusted"]
    assert got[[0, 1, 3]].to_numpy() == pytest.approx(false_discovery_control([0.01, 0.04, 0.03]))
    assert np.isnan(got[2])
    assert got[4] == 0.5


def test_kappa_is_cohens_where_cells_are_of_one_size():
    frame = _frame(datasets=1, groups=6, tasks=4, pairs=10)
    design = Design.of(frame)
    rng = np.random.default_rng(0)
    truth = frame["task"].to_numpy(dtype=object)
    said = np.where(
        rng.random(len(frame)) < 0.5, truth, rng.choice(["t0", "t1", "zzz"], len(frame))
    )
    got = kappa(design, said[None], no_draws(design), np.ones((1, 1)), _everything(design))[0, 0]
    assert got == pytest.approx(cohen_kappa_score(truth, said))


@pytest.mark.parametrize(
    "answers", [("t0", "t1", "t2", "t3"), ("t0", "t1", "other", "more"), ("other", "more")]
)
def test_chance_is_what_answers_dealt_out_at_random_reach(answers):
    """Whatever is named: tasks that are asked, tasks that no query has, or these alone."""
    family_of = {"t0": "a", "t1": "a", "t2": "b", "t3": "b", "other": "a", "more": "c"}
    frame = _frame(datasets=2, groups=6, tasks=4, pairs=10)
    # Cells of unequal size, one of them missing: cells count alike, pairs do not.
    drop = (frame["dataset"] == "d1") & (frame["task"] == "t3")
    drop |= (frame["dataset"] == "d0") & (frame["task"] == "t0") & (np.arange(len(frame)) % 3 > 0)
    frame = frame[~drop].reset_index(drop=True)
    frame["family"] = frame["task"].map(family_of)
    design, rng = Design.of(frame), np.random.default_rng(0)
    size = frame.groupby(["dataset", "task"])["task"].transform("size").to_numpy()
    weight = 1 / size
    said = rng.choice(np.array(answers, dtype=object), (2, len(frame)))
    # A lopsided answerer, so that shares differ.
    said[0, frame["task"] == "t1"] = answers[0]
    families = np.vectorize(family_of.get, otypes=[object])(said)
    got = agreement_by_chance(design, frame, said, families, no_draws(design))
    for measure, asked, named in (
        ("balanced_accuracy", frame["task"], said),
        ("family_balanced_accuracy", frame["family"], families),
    ):
        truth = asked.to_numpy(dtype=object)
        chosen = rng.choice(len(frame), (400, len(frame)), p=weight / weight.sum())
        rates = [
            np.average(named[s][dealt] == truth, weights=weight) for s in (0, 1) for dealt in chosen
        ]
        error = np.std(rates) / np.sqrt(len(rates))
        assert got[measure] == pytest.approx(np.mean(rates), abs=5 * error + 1e-12)


def test_permutation_of_partitions_orders_as_ami_and_ari_do():
    rng = np.random.default_rng(0)
    stated, found = np.repeat([0, 1, 2], 5), np.r_[np.repeat([0, 1, 2], 4), [0, 1, 2]]
    got = agreement_test(stated, found, np.random.default_rng(3), 999)
    null = np.random.default_rng(3).permuted(np.tile(stated, (999, 1)), axis=1)
    for name, score in (("ami", adjusted_mutual_info_score), ("ari", adjusted_rand_score)):
        observed = score(stated, found)
        slow = np.array([score(s, found) for s in null])
        assert got[name][0] == pytest.approx(observed)
        assert got[name][1] == pytest.approx((1 + (slow >= observed - 1e-9).sum()) / 1000)
    assert tables_of(rng.permutation(stated)[None], found).sum() == 15


def test_trained_encoders_are_held_against_the_baselines_of_their_split():
    class Encoder(NamedTuple):
        role: str
        split: str

    roles = ("model", "baseline", "control", "baseline")
    encoders = [Encoder(role, split) for split in ("groups", "datasets") for role in roles]
    pairs = list(against_baselines(encoders, lambda encoder: encoder.split))
    assert len(pairs) == 2 * 2 * 2
    assert all(one.split == other.split for one, other in pairs)
    assert {(one.role, other.role) for one, other in pairs} == {
        ("model", "baseline"),
        ("control", "baseline"),
    }
    assert difference_sd(np.array([1.0, 3.0]), np.array([5.0])) == pytest.approx(2**0.5)
    assert difference_sd(np.array([1.0]), np.array([5.0])) is None


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(size=9)
    each = np.array([np.delete(values, i).mean() for i in range(9)])
    made = jackknife_interval(values.mean(), each, "task")
    ends = student.interval(0.95, 8, values.mean(), sem(values))
    assert (made.ci_low, made.ci_high) == pytest.approx(ends)
    assert "jackknife over tasks" in made.ci_method
    assert jackknife_interval(0.9, np.array([0.9, 0.2]), "task", high=1.0).ci_high == 1
    assert jackknife_interval(0.9, np.array([0.9]), "dataset").note == "no interval: 1 dataset"
    undefined = jackknife_interval(0.9, np.array([0.9, np.nan]), "dataset")
    assert undefined.note.startswith("no interval: undefined without")
