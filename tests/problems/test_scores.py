"""Scores from statistics: those of scikit-learn, and of rows repeated as often as weights say."""

import numpy as np
import pytest
from sklearn import metrics

from medtaskatlas.problems.scores import SCORES, auc_of_draws, scores_of

RNG = np.random.default_rng(0)
N, C = 60, 4


def classes(n=N):
    probabilities = RNG.dirichlet(np.ones(C), n).round(1)  # rounded: ties
    return np.column_stack([probabilities, RNG.integers(0, C, n)])


STATISTICS = {
    # in common, predicted and true pixels of three classes, a class at times absent
    "segmentation": RNG.integers(0, 2, (N, 3))[:, [0, 1, 2] * 3]
    * np.hstack([RNG.integers(0, 50, (N, 3)), RNG.integers(50, 99, (N, 6))]),
    "class": classes(),
    "ordinal": classes(),
    "labels": np.column_stack([RNG.random((N, 3)).round(1), RNG.random((N, 3)) < 0.4]),
    "map": RNG.random((N, 4)) + np.eye(4)[3],
    "dose": RNG.random((N, 1)),
    "dvh": np.where(RNG.random((N, 5)) < 0.3, np.nan, RNG.random((N, 5))),
    "value": RNG.random((N, 2)),
    "objects": RNG.integers(0, 4, (N, 1)) + np.array([0, 2, 3]),
    "picture": RNG.random((N, 2)) * [1, 0.1],
}


def score(kind, name):
    return next(s for s in SCORES[kind] if s.name == name)


@pytest.mark.parametrize("kind", SCORES)
def test_a_weight_is_a_row_repeated_so_often(kind):
    rows = STATISTICS[kind]
    weights = RNG.multinomial(N, np.full(N, 1 / N), 300)
    for s in SCORES[kind]:
        together = s.compute(rows, weights)
        alone = [s.compute(np.repeat(rows, w, axis=0))[0] for w in weights]
        np.testing.assert_allclose(together, alone, rtol=1e-12, err_msg=s.name)
        assert s.low is None or together.min() >= s.low
        assert s.high is None or together.max() <= s.high


@pytest.mark.parametrize("kind", SCORES)
def test_the_primary_score_is_bounded_and_better_is_higher(kind):
    primary = SCORES[kind][0]
    if kind not in {"dose", "dvh"}:  # beside the primary score of their map
        assert primary.higher_is_better
        assert None not in {primary.low, primary.high}


def test_scores_of_classes_are_those_of_sklearn():
    rows = STATISTICS["class"]
    label, predicted = rows[:, -1].astype(int), rows[:, :-1].argmax(1)
    weights = RNG.integers(0, 4, (5, N)).astype(float)
    for s, oracle in {
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "accuracy": metrics.accuracy_score,
    }.items():
        expected = [oracle(label, predicted, sample_weight=w) for w in weights]
        np.testing.assert_allclose(score("class", s).compute(rows, weights), expected)
    expected = [
        np.mean([metrics.roc_auc_score(label == c, rows[:, c], sample_weight=w) for c in range(C)])
        for w in weights
    ]
    np.testing.assert_allclose(score("class", "macro_auc").compute(rows, weights), expected)
    kappas = [
        metrics.cohen_kappa_score(label, predicted, weights="quadratic", sample_weight=w)
        for w in weights
    ]
    np.testing.assert_allclose(score("ordinal", "quadratic_kappa").compute(rows, weights), kappas)


def test_scores_of_labels_are_those_of_sklearn():
    rows = STATISTICS["labels"]
    expected = metrics.roc_auc_score(rows[:, 3:], rows[:, :3], average="macro")
    assert score("labels", "mean_auc").compute(rows)[0] == pytest.approx(expected)
    expected = np.mean([metrics.accuracy_score(rows[:, 3 + i], rows[:, i] > 0.5) for i in range(3)])
    assert score("labels", "mean_accuracy").compute(rows)[0] == pytest.approx(expected)


def test_an_area_needs_both_kinds_and_ties_count_half():
    assert auc_of_draws(np.zeros(4), np.array([1, 0, 1, 0], bool), np.ones((1, 4)))[0] == 0.5
    two = np.array([[0.5, 0.5, 1], [0.5, 0.5, 0]])
    for name, s in {s.name: s for s in SCORES["class"]}.items():
        only_one_class = s.compute(two, np.array([[1.0, 0]]))[0]
        assert np.isnan(only_one_class) == (name != "accuracy")


def test_an_image_without_a_class_says_nothing_of_it():
    both = [[3, 0, 4, 0, 5, 0], [1, 2, 1, 4, 2, 4]]  # the first one has no class 2 anywhere
    dice, first, second = (
        s.compute(np.array(both))[0]
        for s in scores_of("segmentation", 6, ["a", "b"])
        if s.name != "pooled_dice"
    )
    assert first == pytest.approx((6 / 9 + 2 / 3) / 2)
    assert second == pytest.approx(4 / 8)
    assert dice == pytest.approx((first + second) / 2)
    imagined = np.array([[0, 5, 0]])
    assert score("segmentation", "dice").compute(imagined)[0] == 0
    assert np.isnan(score("segmentation", "dice").compute(np.zeros((2, 3)))[0])


def test_the_skill_of_the_median_is_a_half():
    assert score("value", "skill").compute(np.array([[2.0, 2], [1, 1]]))[0] == 0.5
    assert score("value", "skill").compute(np.array([[0.0, 2]]))[0] == 1


def test_a_score_of_no_image_is_nan_and_shapes_must_fit():
    for kind, scores in SCORES.items():
        for s in scores:
            assert np.isnan(s.compute(STATISTICS[kind], np.zeros((2, N)))).all(), (kind, s.name)
            assert np.isnan(s.compute(STATISTICS[kind][:0])).all()
    with pytest.raises(ValueError, match="do not fit"):
        SCORES["class"][0].compute(STATISTICS["class"], np.ones((3, N + 1)))
    with pytest.raises(ValueError, match="2 classes"):
        scores_of("segmentation", 9, ["a", "b"])
