"""Losses agree with loops that say what they mean, and with pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from medtaskatlas.encoders.kinds.taco import Taco
from medtaskatlas.encoders.taco.criterion import Criterion
from medtaskatlas.encoders.taco.losses import (
    EMPTY,
    FAILURE,
    Compared,
    masks,
    nt_xent,
    similarities,
    supcon,
    triplet,
)
from medtaskatlas.encoders.taco.memory import Memory

# Three tasks with two images of two draws each; a lone pair; three failures.
LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, FAILURE, FAILURE, FAILURE])
CELL = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, FAILURE, FAILURE, FAILURE])


def compared(label=LABEL, cell=CELL, seed=0, dim=6) -> Compared:
    points = torch.randn(len(label), dim, generator=torch.Generator().manual_seed(seed))
    return Compared(torch.nn.functional.normalize(points, dim=1).requires_grad_(), label, cell)


def loop(batch: Compared, loss: str, temperature: float = 0.3, margin: float = 0.4) -> float:
    """The losses, written out anchor by anchor."""
    cosine = (batch.embedding @ batch.embedding.T).tolist()
    label, cell = batch.label.tolist(), batch.cell.tolist()
    terms = []
    for a in range(len(label)):
        others = [i for i in range(len(label)) if i != a]
        key = cell if loss == "nt_xent" else label
        positive = [i for i in others if label[a] >= 0 and key[i] == key[a]]
        negative = [i for i in others if label[i] != label[a]]
        e = [math.exp(c / temperature) for c in cosine[a]]
        below = sum(e[i] for i in negative)
        if loss == "supcon" and positive:
            below += sum(e[i] for i in positive)
            terms.append(-sum(math.log(e[p] / below) for p in positive) / len(positive))
        if loss == "nt_xent":
            terms += [-math.log(e[p] / (e[p] + below)) for p in positive]
        if loss == "triplet" and positive and negative:
            far = min(cosine[a][p] for p in positive)
            near = max(cosine[a][n] for n in negative)
            terms.append(max(0.0, margin + near - far))
    return sum(terms) / len(terms)


def loss_of(batch: Compared, loss: str) -> torch.Tensor:
    options = Taco(loss=loss, temperature=0.3, margin=0.4, embedding_dim=batch.embedding.shape[1])
    return Criterion(options, 4, 4, seed=0)(batch, None)


@pytest.mark.parametrize("loss", ["supcon", "nt_xent", "triplet"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_loss_is_what_a_loop_says(loss, seed) -> None:
    batch = compared(seed=seed)
    assert loss_of(batch, loss).item() == pytest.approx(loop(batch, loss), rel=1e-5)


def test_supcon_is_bit_for_bit_that_of_metric_learning() -> None:
    label = torch.arange(6).repeat_interleave(5)
    ours, theirs = compared(label, label, dim=32), compared(label, label, dim=32)
    positive, negative = masks(ours, ours, "supcon")
    one = supcon(similarities(ours, ours), positive, negative, 0.1)
    other = SupConLoss(temperature=0.1)(theirs.embedding, label)
    one.backward()
    other.backward()
    assert torch.equal(one, other)
    assert torch.equal(ours.embedding.grad, theirs.embedding.grad)


@pytest.mark.parametrize("loss", ["supcon", "nt_xent", "triplet"])
def test_a_failure_is_a_negative_and_nobodys_positive(loss) -> None:
    batch = compared()
    positive, negative = masks(batch, batch, loss)
    wrong = batch.label == FAILURE
    assert not positive[wrong].any()
    assert not positive[:, wrong].any()
    assert negative[~wrong][:, wrong].all()
    without = Compared(batch.embedding[:13], batch.label[:13], batch.cell[:13])
    assert loss_of(batch, loss) >= loss_of(without, loss)
    assert loss_of(batch, loss).item() != loss_of(without, loss).item()


def test_lone_anchors_are_skipped_and_give_no_gradient() -> None:
    label = torch.tensor([0, 1, 2, FAILURE])
    for function, value in ((supcon, 0.1), (nt_xent, 0.1), (triplet, 0.2)):
        batch = compared(label, label)
        positive, negative = masks(batch, batch, "supcon")
        loss = function(similarities(batch, batch), positive, negative, value)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(batch.embedding.grad, torch.zeros_like(batch.embedding))


def test_pairs_of_one_task_on_other_images_are_neither_in_nt_xent() -> None:
    batch = compared()
    positive, negative = masks(batch, batch, "nt_xent")
    assert positive[0].nonzero().flatten().tolist() == [1]
    assert not (positive | negative)[0, 2:4].any()


def test_memory_holds_the_newest_and_is_compared_with() -> None:
    memory = Memory(20, 6)
    first, second = compared(seed=1), compared(seed=2)
    alone = memory.beside(first)
    assert (alone.label[16:] == EMPTY).all()
    memory.remember(first)
    memory.remember(second)
    assert torch.equal(memory.label, torch.cat([LABEL, LABEL[:4]]))
    assert torch.equal(memory.embedding[:16], second.embedding)
    assert torch.equal(memory.embedding[16:], first.embedding[:4])
    assert set(memory.state_dict()) == {"embedding", "label", "cell"}


@pytest.mark.parametrize("loss", ["supcon", "nt_xent", "triplet"])
def test_a_full_memory_is_as_a_larger_batch_for_the_anchors_in_it(loss) -> None:
    options = Taco(loss=loss, temperature=0.3, margin=0.4, embedding_dim=6, memory=16)
    criterion = Criterion(options, 4, 4, seed=0)
    empty = criterion(compared(), None)
    assert empty.item() == pytest.approx(loop(compared(), loss), rel=1e-5)
    criterion.memory.remember(compared(seed=1))
    both = Compared(
        torch.cat([compared().embedding, compared(seed=1).embedding]),
        LABEL.repeat(2),
        CELL.repeat(2),
    )
    # The mean over all anchors of the large batch is that over the two halves as anchors.
    halves = [criterion(compared(), None).item()]
    criterion.memory.remember(compared())
    halves.append(criterion(compared(seed=1), None).item())
    assert sum(halves) / 2 == pytest.approx(loop(both, loss), rel=1e-5)


def test_cross_entropy_is_over_tasks_and_not_over_failures() -> None:
    options = Taco(cross_entropy=0.5, embedding_dim=6)
    state = torch.random.get_rng_state()
    criterion = Criterion(options, 5, 4, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    features = torch.randn(16, 5)
    right = LABEL >= 0
    named = criterion.classifier(features)[right]
    expected = torch.nn.functional.cross_entropy(named, LABEL[right])
    plain = Criterion(Taco(embedding_dim=6), 5, 4, seed=3)(compared(), None)
    both = criterion(compared(), features)
    assert both.item() == pytest.approx((plain + 0.5 * expected).item(), rel=1e-6)
    again = Criterion(options, 5, 4, seed=3)
    assert torch.equal(again.classifier.weight, criterion.classifier.weight)
