"""Scores of labels are those of medmnist.evaluator, on the same probabilities."""

import numpy as np
import pytest

from medtaskatlas.problems.scores import SCORES, check_statistics

N = 40


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def of_classes(n_classes, seed=0, strength=1.0, n=N):
    """Labels, each class there, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % n_classes)
    return label, softmax(strength * (2 * np.eye(n_classes)[label] + rng.normal(size=(n, 3))[:, [0]]
                                      + rng.normal(size=(n, n_classes))))  # fmt: skip


def binary_rows():
    yield "random", *of_classes(2)
    yield "few", *of_classes(2, seed=1, n=3)
    rare, said = of_classes(2, seed=2)
    rare = np.arange(N) // (N - 2)
    yield "rare", rare, said
    yield "constant", rare, np.full((N, 2), 0.5, np.float32)
    yield "perfect", rare, np.eye(2, dtype=np.float32)[rare]
    yield "wrong", rare, np.eye(2, dtype=np.float32)[1 - rare]
    label, said = of_classes(2, seed=3)
    yield "ties", label, said.round(1)
    # So sure that single precision ties one column and not the other.
    for name, shift in {"sure of no": -17, "sure of yes": 17}.items():
        logits = np.random.default_rng(4).normal(size=N) + shift + label
        saturated = softmax(np.column_stack([np.zeros(N), logits]))
        assert len(np.unique(saturated[:, 0])) != len(np.unique(saturated[:, 1]))
        yield name, label, saturated


def class_rows():
    for n_classes in (3, 5, 11):
        yield f"{n_classes} classes", *of_classes(n_classes, seed=n_classes)
    label, said = of_classes(5, seed=7)
    yield "ties", label, softmax(np.log(said).round(0))
    yield "constant", label, np.full((N, 5), 0.2, np.float32)
    yield "perfect", label, np.eye(5, dtype=np.float32)[label]
    yield "a class once", np.r_[4, np.arange(N - 1) % 4], said


def label_rows():
    rng = np.random.default_rng(0)
    truth = (rng.random((N, 14)) < 0.3).astype(int)
    truth[0], truth[1] = 0, 1
    said = rng.random((N, 14)).astype(np.float32)
    yield "random", truth, said
    yield "ties", truth, said.round(1)
    yield "two labels", truth[:, :2], said[:, :2]
    yield "constant", truth, np.full((N, 14), 0.5, np.float32)
    yield "perfect", truth, truth.astype(np.float32)
    once = np.eye(N, 14, dtype=int)
    yield "once", once, said


CASES = [
    pytest.param(kind, task, truth, said, id=f"{task}, {name}")
    for kind, task, rows in [
        ("class", "binary-class", binary_rows),
        ("class", "multi-class", class_rows),
        ("ordinal", "ordinal-regression", class_rows),
        ("labels", "multi-label, binary-class", label_rows),
    ]
    for name, truth, said in rows()
]


def scores_of(kind, truth, said):
    """Area and accuracy."""
    statistics = np.column_stack([said, truth])
    check_statistics(kind, statistics)
    of = {score.name: score.compute(statistics)[0] for score in SCORES[kind]}
    names = ("mean_auc", "mean_accuracy") if kind == "labels" else ("macro_auc", "accuracy")
    return [of[name] for name in names]


@pytest.mark.parametrize(("kind", "task", "truth", "said"), CASES)
def test_scores_are_the_official_ones(official, kind, task, truth, said):
    shaped = truth if kind == "labels" else truth[:, None]
    wanted = [official.getAUC(shaped, said, task), official.getACC(shaped, said, task)]
    assert scores_of(kind, truth, said) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "said", "truth", "says"),
    [
        ("class", [[-1.2, 2.2]], [0], "has -1.2 to 2.2 for probabilities"),
        ("class", [[0.2, 0.2]], [0], "probabilities of classes that sum to 0.4"),
        ("ordinal", [[0.1, 0.5, 0.9]], [2], "probabilities of classes that sum to 1.5"),
        ("class", [[0.5, 0.5]], [2], "truths of 2 to 2, not 0 to 1"),
        ("class", [[0.5, 0.5], [1, 0]], [-1, 1], "truths of -1 to 1, not 0 to 1"),
        ("labels", [[0.5, 3.5]], [[0, 1]], "has 0.5 to 3.5 for probabilities"),
        ("labels", [[0.5, 0.5]], [[0, 2]], "truths of 0 to 2, not 0 to 1"),
    ],
)
def test_what_gives_a_wrong_score_is_refused(kind, said, truth, says):
    with pytest.raises(ValueError, match=says):
        check_statistics(kind, np.column_stack([said, truth]))


def test_rounding_is_no_mistake_and_errors_are_no_probabilities():
    _, said = of_classes(11)
    check_statistics("class", np.column_stack([said * np.float32(1 - 1e-6), np.zeros(N)]))
    check_statistics("value", np.array([[3.0, 5.0]]))
