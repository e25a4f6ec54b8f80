"""Weightings: what they do to gradients, what they keep, and what the library says of the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torchjd import aggregation, scalarization
from toy_targets import AGAINST, LABEL, MASK, TARGETS, VALUE, batch

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.seeds import generator
from medtaskatlas.learning.checkpoint import Checkpoint
from medtaskatlas.learning.engine import fit
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.learning.options import Training
from medtaskatlas.multitask.network import MultitaskNetwork
from medtaskatlas.multitask.objective import MultitaskObjective
from medtaskatlas.multitask.systems.options import NetworkOptions
from medtaskatlas.multitask.torchjd_weightings import WEIGHTINGS, NonNegative
from medtaskatlas.multitask.weighting import Famo, equal_norms, weighting_of

EXTRA = {"cagrad": ("cvxpy", "clarabel"), "nash_mtl": ("cvxpy", "ecos")}
MISSING = {n for n, needs in EXTRA.items() if any(find_spec(need) is None for need in needs)}
ALL = [
    pytest.param(n, marks=pytest.mark.skipif(n in MISSING, reason=f"torchjd[{n}] is not installed"))
    for n in WEIGHTINGS
]
NAMES = [t.name for t in TARGETS]
STEPS, EPOCH = 5, 2
GAPS = {0: {}, 1: {"label": [0, 2]}, 2: {"value.size": []}, 3: {"mask": [], "label": []}, 4: {}}


class Killed(BaseException):
    pass


def objective(name: str, kill_at: int | None = None, gaps=GAPS) -> MultitaskObjective:
    network = MultitaskNetwork(TARGETS, NetworkOptions(width=4), 0, channels=1, dims=2)

    class Fragile(MultitaskObjective):
        def backward(self, parts, descend):
            if kill_at is not None and self.taken == kill_at:
                raise Killed
            self.taken += 1
            return super().backward(parts, descend)

    made = Fragile(
        network,
        TARGETS,
        lambda step: batch(step, size=4, missing=gaps.get(step % 5, {})),
        weighting_of(name, NAMES, epoch=EPOCH),
    )
    made.taken = 0
    return made


def train(made, path, steps=STEPS, **options):
    set_up_torch(1)
    training = Training(steps=steps, learning_rate=1e-2, checkpoint_seconds=1e-9, **options)
    history, cost = fit(made, training, Checkpoint(path, "toy"), seed=3, title="toy")
    tensors = {
        **made.model.state_dict(),
        **{f"w.{k}": v for k, v in made.weighting.state_dict().items()},
    }
    return {k: v.clone() for k, v in tensors.items()}, history, cost


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[k].nan_to_num(-1), b[k].nan_to_num(-1)) for k in a
    )


@pytest.mark.parametrize("name", ALL)
def test_a_stopped_training_ends_as_an_unbroken_one(name, tmp_path) -> None:
    whole, history, _ = train(objective(name), tmp_path / "whole")
    # Stopped before every step but the first.
    for _ in range(STEPS - 1):
        with pytest.raises(Killed):
            train(objective(name, kill_at=1), tmp_path / "cut")
    rest = objective(name)
    resumed, history_resumed, _ = train(rest, tmp_path / "cut")
    assert rest.taken == 1
    assert same(whole, resumed)
    assert history_resumed.losses == history.losses
    assert history.parts.keys() == set(NAMES)
    for part, column in history.parts.items():
        np.testing.assert_array_equal(history_resumed.parts[part], column)
    gaps = np.isnan(list(history.parts["mask"])), np.isnan(history.parts["value.size"])
    assert [list(np.flatnonzero(g)) for g in gaps] == [[3], [2]]


def gradients(name: str) -> torch.Tensor:
    """Gradient of the encoder in a fifth step, after four that are the same for all weightings."""
    torch.manual_seed(0)
    weighting = weighting_of(name, NAMES, epoch=1)
    network = MultitaskNetwork(TARGETS, NetworkOptions(width=4), 0, channels=1, dims=2)
    slow = torch.optim.SGD(network.parameters(), lr=0.05)
    fast = torch.optim.SGD(weighting.parameters(), lr=0.1) if list(weighting.parameters()) else None
    trained = list(network.parameters())
    for step in range(5):
        data = batch(step)
        network.zero_grad()
        outputs = network(data.images, data.rows)
        losses = {t.name: t.loss(outputs[t.name], data.truths[t.name]) for t in TARGETS}
        weighting.backward(losses, trained, torch.Tensor.backward)
        found = torch.cat([p.grad.flatten() for p in network.encoder.parameters()])
        if fast:
            fast.step()
            fast.zero_grad()
        # All go the way of the plain sum, so that only the weighting differs.
        network.zero_grad()
        outputs = network(data.images, data.rows)
        losses = {t.name: t.loss(outputs[t.name], data.truths[t.name]) for t in TARGETS}
        sum(losses.values()).backward()
        slow.step()
        outputs = network(data.images, data.rows)
        losses = {t.name: t.loss(outputs[t.name], data.truths[t.name]) for t in TARGETS}
        if weighting.looks_again:
            weighting.after_step(losses)
    return found


def test_every_weighting_moves_the_parameters_differently() -> None:
    names = [n for n in WEIGHTINGS if n not in MISSING]
    found = {name: gradients(name) for name in names}
    for one, two in itertools.combinations(names, 2):
        size = max(found[one].norm(), found[two].norm())
        differ = (found[one] - found[two]).norm() / size
        if {one, two} == {"equal", "sum"}:
            assert differ < 1e-5
        else:
            assert differ > 0.01, (one, two, float(differ))


def values(step: int) -> torch.Tensor:
    return torch.from_numpy(generator(0, "losses", step).uniform(0.1, 2, 4)).float()


def named(found: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(NAMES, found, strict=True))


def test_dynamic_weights_are_those_of_the_library() -> None:
    ours, theirs = weighting_of("dwa", NAMES, epoch=3), scalarization.DWA()
    for step in range(14):
        found = values(step)
        own = ours.scalar(found, torch.arange(4))
        torch.testing.assert_close(own, theirs(found))
        assert (step < 6) == bool(torch.isclose(own, found.sum()))
        if step % 3 == 2:
            theirs.step()


def test_famo_is_that_of_the_library() -> None:
    ours, theirs = Famo(NAMES), scalarization.FAMO(4)
    for step in range(6):
        found, after = values(step).requires_grad_(), values(100 + step)
        own, other = ours.scalar(found, torch.arange(4)), theirs(found)
        torch.testing.assert_close(own, other)
        torch.testing.assert_close(*(torch.autograd.grad(x, found)[0] for x in (own, other)))
        ours.after_step(named(after))
        theirs.update(after)
        torch.testing.assert_close(ours.logits, theirs._w.detach(), rtol=1e-4, atol=1e-6)
    assert ours.logits.abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "library"), [("uncertainty", scalarization.UW), ("imtl_l", scalarization.IMTLL)]
)
def test_learned_weights_are_those_of_the_library_and_only_those_there_move(name, library) -> None:
    ours, theirs = weighting_of(name, NAMES, epoch=1), library(4)
    [own], [other] = list(ours.parameters()), list(theirs.parameters())
    with torch.no_grad():
        own.copy_(torch.tensor([0.1, -0.4, 0.3, 0.2]))
        other.copy_(own)
    torch.testing.assert_close(ours.scalar(values(0), torch.arange(4)), theirs(values(0)))
    ours.scalar(values(0)[:2], torch.tensor([3, 1])).backward()
    assert own.grad.ne(0).tolist() == [False, True, False, True]


def test_fixed_weights_go_by_name() -> None:
    weighting = weighting_of("tuned", NAMES, epoch=1, weights={"label": 3.0, "mask": 0.5})
    losses = {
        "value.size": torch.tensor(1.0),
        "label": torch.tensor(2.0),
        "mask": torch.tensor(4.0),
    }
    seen = []
    assert weighting.backward(losses, [], seen.append) == 1 + 6 + 2
    assert seen == [9.0]


@pytest.mark.parametrize("m", [1, 2, 5, 10])
def test_projection_onto_the_dual_cone_is_the_nearest_point(m) -> None:
    rng = generator(0, "cone", m)
    J = torch.from_numpy(rng.normal(size=(m, 4 * m)) - 0.1)
    G, U = J @ J.T, torch.diag(torch.from_numpy(rng.uniform(0.1, 1, m)))
    W = NonNegative()(U, G)
    # A larger constant than rounding, since the Gramian is made regular.
    slack = 1e-3 * G.diagonal().max()
    assert (W >= U - 1e-9).all(), "not of the form u + w, w >= 0"
    assert (W @ G).min() >= -slack, "a projected gradient goes against one of the gradients"
    assert (((W - U) * (W @ G)).abs() <= slack).all(), "a weight that need not be there"
    none = NonNegative()(U, torch.zeros(m, m))
    assert torch.allclose(none.double(), U, atol=1e-6)


def test_upgrad_goes_against_no_gradient_where_the_mean_does() -> None:
    J = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    # The example of torchjd's documentation, there by quadprog.
    found = aggregation.UPGrad(projector=NonNegative())(J)
    torch.testing.assert_close(found, torch.tensor([0.2929, 1.9004, 1.9004]), rtol=1e-3, atol=1e-3)
    assert (J @ J.mean(dim=0) < 0).any()
    assert (J @ found >= -1e-3).all()


def test_scaled_gradients_have_one_norm() -> None:
    J = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    mean = 4 / 3
    torch.testing.assert_close(equal_norms(J), torch.tensor([mean, 0.0, mean]))
    assert torch.equal(equal_norms(torch.zeros(2, 3)), torch.zeros(3))


@pytest.mark.parametrize("name", ["pcgrad", "upgrad", "mgda", "imtl_g", "aligned_mtl"])
def test_a_loss_that_is_no_number_is_left_to_the_history(name) -> None:
    network = MultitaskNetwork(TARGETS, NetworkOptions(width=4), 0, channels=1, dims=2)
    data = batch(0)
    outputs = network(data.images, data.rows)
    losses = {t.name: t.loss(outputs[t.name], data.truths[t.name]) for t in TARGETS}
    losses["label"] = losses["label"] * torch.nan
    total = weighting_of(name, NAMES, epoch=1).backward(
        losses, list(network.parameters()), torch.Tensor.backward
    )
    assert total.isnan()


def test_draws_of_a_weighting_are_those_of_the_step(tmp_path) -> None:
    one, _, _ = train(objective("pcgrad", gaps={}), tmp_path / "one")
    torch.manual_seed(99)
    two, _, _ = train(objective("pcgrad", gaps={}), tmp_path / "two")
    assert same(one, two)


@pytest.mark.parametrize("name", ["cagrad", "nash_mtl"])
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch) -> None:
    import torchjd._mixins

    monkeypatch.setattr(torchjd._mixins, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf"(?s)weighting: {name}.*cvxpy.*torchjd\[{name}\]"):
        weighting_of(name, NAMES, epoch=1)


def test_a_mistyped_weighting_has_a_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean pcgrad"):
        weighting_of("pc_grad", NAMES, epoch=1)


def test_targets_are_those_that_contradict_each_other() -> None:
    """The toy is a test of weightings only if gradients conflict and differ in size."""
    network = MultitaskNetwork(TARGETS, NetworkOptions(width=4), 0, channels=1, dims=2)
    data = batch(0)
    outputs = network(data.images, data.rows)
    rows = {}
    for target in (MASK, LABEL, VALUE, AGAINST):
        loss = target.loss(outputs[target.name], data.truths[target.name])
        found = torch.autograd.grad(loss, list(network.encoder.parameters()), retain_graph=True)
        rows[target.name] = torch.cat([g.flatten() for g in found])
    norms = [row.norm() for row in rows.values()]
    assert max(norms) > 3 * min(norms)
    pairs: Callable = itertools.combinations
    assert any(one @ two < 0 for one, two in pairs(rows.values(), 2))
