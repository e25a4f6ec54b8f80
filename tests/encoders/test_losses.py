"""Losses agree with loops that say what they mean, and with pytorch-metric-learning."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from scipy.stats import pearsonr

from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.pairbank import training_rows
from medtaskatlas.encoders.taco.losses import (
    EMPTY,
    FAILURE,
    classification,
    supcon,
    unsteadiness,
)
from medtaskatlas.learning.processes import Processes

NAN = float("nan")
# Three tasks with four pairs each; a lone pair; three failures; two unchanged pairs.
LABEL = torch.tensor([0] * 4 + [1] * 4 + [2] * 4 + [3] + [FAILURE] * 3 + [EMPTY] * 2)


def points(n=18, seed=0, dim=6) -> torch.Tensor:
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1).requires_grad_()


def loop(embedding: torch.Tensor, label: torch.Tensor, temperature: float) -> float:
    """Supervised contrast, written out anchor by anchor."""
    e = torch.exp(embedding @ embedding.T / temperature).tolist()
    label, terms = label.tolist(), []
    for a in range(len(label)):
        others = [i for i in range(len(label)) if i != a and label[i] != EMPTY]
        positive = [i for i in others if label[a] >= 0 and label[i] == label[a]]
        below = sum(e[a][i] for i in positive)
        below += sum(e[a][i] for i in others if label[i] != label[a])
        if positive:
            terms.append(-sum(math.log(e[a][p] / below) for p in positive) / len(positive))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("seed", [0, 1])
def test_contrast_is_what_a_loop_says(seed) -> None:
    embedding = points(seed=seed)
    expected = loop(embedding, LABEL, 0.3)
    assert supcon(embedding, LABEL, 0.3).item() == pytest.approx(expected, rel=1e-5)


def test_supcon_is_bit_for_bit_that_of_metric_learning() -> None:
    label = torch.arange(6).repeat_interleave(5)
    ours, theirs = points(30, dim=32), points(30, dim=32)
    one, other = supcon(ours, label, 0.1), SupConLoss(temperature=0.1)(theirs, label)
    one.backward()
    other.backward()
    assert torch.equal(one, other)
    assert torch.equal(ours.grad, theirs.grad)


def test_failures_repel_and_unchanged_pairs_take_no_part() -> None:
    embedding = points()
    whole = supcon(embedding, LABEL, 0.3).item()
    assert whole > supcon(embedding[:13], LABEL[:13], 0.3).item()
    assert whole == pytest.approx(supcon(embedding[:16], LABEL[:16], 0.3).item(), rel=1e-6)


def test_lone_anchors_are_skipped_and_give_no_gradient() -> None:
    embedding = points(4)
    loss = supcon(embedding, torch.tensor([0, 1, 2, FAILURE]), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros_like(embedding))


def test_cross_entropy_is_over_tasks_and_not_over_failures() -> None:
    logits = torch.randn(len(LABEL), 4)
    right = LABEL >= 0
    expected = torch.nn.functional.cross_entropy(logits[right], LABEL[right])
    assert classification(logits, LABEL).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_objective_weighs_its_parts(pair_files) -> None:
    options = {"kind": "taco", "backbone": "resnet10", "width": 8, "batch_tasks": 4}
    more = {"cross_entropy": 0.5, "steadiness": 0.25, "temperature": 0.3}
    rows, losses = training_rows(*pair_files), []
    state = torch.random.get_rng_state()
    for weights in ({"cross_entropy": 1.0, "steadiness": 1.0, "temperature": 0.3}, more):
        kind = encoder_of({**options, **weights})
        objective = kind.objective(kind.network(3), rows, 3, Processes())
        batch = objective.batch(0)
        losses.append(objective.loss(objective.model, batch))
    assert torch.equal(state, torch.random.get_rng_state())
    one, weighted = losses
    assert list(one) == ["contrast", "cross_entropy", "steadiness"]
    for name, weight in (("contrast", 1), ("cross_entropy", 0.5), ("steadiness", 0.25)):
        assert weighted[name].item() == pytest.approx(weight * one[name].item(), rel=1e-6), name
    embedding, _ = objective.model(batch.pixels)
    expected = loop(embedding, torch.from_numpy(batch.labels), 0.3)
    assert weighted["contrast"].item() == pytest.approx(expected, rel=1e-4)


def batch(seed: int = 0) -> list[torch.Tensor]:
    """Tasks 0, 1 are graded, 2 has no ladder, 3 has few; images 0 to 4 are there unchanged."""
    rng = np.random.default_rng(seed)
    label = [0] * 6 + [1] * 4 + [2] * 3 + [3] * 2 + [FAILURE] * 2 + [EMPTY] * 5
    severity = [*rng.random(10), *[NAN] * 3, *rng.random(2), *[NAN] * 7]
    # Image 7 is not there: its pair plays no part.
    image = [0, 1, 2, 3, 4, 7, 4, 2, 0, 1, 0, 1, 2, 3, 4, 1, 2, *range(5)]
    drawn = torch.tensor(rng.standard_normal((len(label), 5)))
    drawn = torch.nn.functional.normalize(drawn, dim=1).requires_grad_()
    return [drawn, *map(torch.tensor, (label, severity, image))]


def test_unsteadiness_agrees_with_a_loop() -> None:
    embedding, label, *degrees = batch()
    z, severity, image = embedding.detach().numpy(), *(d.numpy() for d in degrees)
    lost = []
    for rows in ([0, 1, 2, 3, 4], [6, 7, 8, 9]):
        away = [np.linalg.norm(z[r] - z[17 + image[r]]) for r in rows]
        lost.append(1 - pearsonr(severity[rows], away).statistic)
    found = unsteadiness(embedding, label, *degrees, 4)
    assert found.item() == pytest.approx(np.mean(lost), rel=1e-6)
    (gradient,) = torch.autograd.grad(found, embedding)
    moved = gradient.abs().sum(dim=1) > 0
    assert moved.tolist() == [r in (0, 1, 2, 3, 4, 6, 7, 8, 9, *range(17, 22)) for r in range(22)]


def test_its_gradient_is_that_of_finite_differences() -> None:
    embedding, label, *degrees = batch(1)
    assert torch.autograd.gradcheck(lambda z: unsteadiness(z, label, *degrees, 4), embedding)


@pytest.mark.parametrize("what", ["no ladder", "nothing unchanged", "all one point"])
def test_nothing_to_ask_for_gives_finite_numbers(what) -> None:
    embedding, label, severity, image = batch()
    if what == "no ladder":
        severity = torch.full_like(severity, NAN)
    if what == "nothing unchanged":
        label = label.masked_fill(label == EMPTY, FAILURE)
    if what == "all one point":
        embedding = torch.ones(22, 5).requires_grad_()
    found = unsteadiness(embedding, label, severity, image, 4)
    (gradient,) = torch.autograd.grad(found, embedding)
    assert found.item() == pytest.approx(1 if what == "all one point" else 0, abs=1e-3)
    assert torch.isfinite(gradient).all()
