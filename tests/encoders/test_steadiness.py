"""Steadiness agrees with a loop over tasks, and is asked of the right pairs."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import pearsonr

from medtaskatlas.encoders.kinds.taco import Taco
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.losses import EMPTY, FAILURE, Compared
from medtaskatlas.encoders.taco.steadiness import Degrees, unsteadiness

NAN = float("nan")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Degrees]:
    """Tasks 0, 1 are graded, 2 has no ladder, 3 has few; images 0 to 4 are there unchanged."""
    rng = np.random.default_rng(seed)
    label = [0] * 6 + [1] * 4 + [2] * 3 + [3] * 2 + [FAILURE] * 2 + [EMPTY] * 5
    severity = [*rng.random(10), *[NAN] * 3, *rng.random(2), *[NAN] * 7]
    # Image 7 is not there: its pair plays no part.
    image = [0, 1, 2, 3, 4, 7, 4, 2, 0, 1, 0, 1, 2, 3, 4, 1, 2, *range(5)]
    points = torch.tensor(rng.standard_normal((len(label), 5)))
    points = torch.nn.functional.normalize(points, dim=1).requires_grad_()
    return points, torch.tensor(label), Degrees(torch.tensor(severity), torch.tensor(image))


def test_agrees_with_a_loop() -> None:
    points, label, degrees = batch()
    z, severity, image = points.detach().numpy(), degrees.severity.numpy(), degrees.image.numpy()
    lost = []
    for rows in ([0, 1, 2, 3, 4], [6, 7, 8, 9]):
        away = [np.linalg.norm(z[r] - z[17 + image[r]]) for r in rows]
        lost.append(1 - pearsonr(severity[rows], away).statistic)
    found = unsteadiness(points, label, degrees, 4)
    assert found.item() == pytest.approx(np.mean(lost), rel=1e-6)
    (gradient,) = torch.autograd.grad(found, points)
    moved = gradient.abs().sum(dim=1) > 0
    assert moved.tolist() == [r in (0, 1, 2, 3, 4, 6, 7, 8, 9, *range(17, 22)) for r in range(22)]


def test_gradient_is_that_of_finite_differences() -> None:
    points, label, degrees = batch(1)
    assert torch.autograd.gradcheck(lambda z: unsteadiness(z, label, degrees, 4), points)


@pytest.mark.parametrize("what", ["no ladder", "nothing unchanged", "all one point"])
def test_nothing_to_ask_for_gives_finite_numbers(what) -> None:
    points, label, degrees = batch()
    if what == "no ladder":
        degrees = Degrees(torch.full_like(degrees.severity, NAN), degrees.image)
    if what == "nothing unchanged":
        label = label.masked_fill(label == EMPTY, FAILURE)
    if what == "all one point":
        points = torch.ones(22, 5).requires_grad_()
    found = unsteadiness(points, label, degrees, 4)
    (gradient,) = torch.autograd.grad(found, points)
    assert found.item() == pytest.approx(1 if what == "all one point" else 0, abs=1e-3)
    assert torch.isfinite(gradient).all()


def test_criterion_adds_it_and_contrasts_no_unchanged_pair() -> None:
    points, label, degrees = batch()
    cell = label * 10 + degrees.image
    options = {"embedding_dim": 5, "temperature": 0.5}
    whole = Criterion(Taco(**options, steadiness=0.5), 4, 4, 0)(
        Compared(points, label, cell), None, degrees
    )
    alone = Criterion(Taco(**options), 4, 4, 0)(Compared(points[:17], label[:17], cell[:17]))
    added = 0.5 * unsteadiness(points, label, degrees, 4)
    assert whole.item() == pytest.approx((alone + added).item(), rel=1e-6)


@pytest.mark.parametrize("control", [{"labels": "shuffled"}, {"sees": "input"}])
def test_controls_learn_nothing_of_severity(control) -> None:
    with pytest.raises(ValidationError, match="steadiness"):
        Taco(**control, steadiness=1)
