"""The look-up finds known movements, and the trunk learns from it."""

import numpy as np
import pytest
import torch
from torch import nn

from medtaskatlas.encoders.kinds.taco import Correspondence
from medtaskatlas.encoders.taco.correspondence import COARSE, CorrespondenceTrunk
from medtaskatlas.encoders.taco.lookup import MOMENTS, averaging, movement, places, resized, summary
from medtaskatlas.encoders.taco.pair_statistics import STATISTICS, curves, spectra, statistics

SMALL = {"backbone": "resnet10", "width": 4, "stem": 3}


def make(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = Correspondence(tower=8, **options).model_dump()
        return CorrespondenceTrunk(**SMALL, kind="texture", **parts)


def noise(n=2, side=32, channels=6, seed=0):
    return (
        torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    )


def looked_up(before, after, side=16):
    """Movement with an identity tower that is sure of itself: images of ``side`` places."""
    trunk = make(grid=side, asking=side)
    with torch.no_grad():
        trunk.log_scale.fill_(float(np.log(2000.0)))
        fields, coarse = trunk.correspondence(torch.cat([before, after]))
    return fields, coarse


@pytest.mark.parametrize("side", [32, 33, 40, 64, 71])
def test_shapes(side) -> None:
    trunk = make().eval()
    with torch.no_grad():
        found = trunk(noise(3, side))
    assert found.shape == (3, trunk.features)
    assert torch.isfinite(found).all()


def test_large_pictures_are_compared_at_no_more_places() -> None:
    trunk = make().eval()
    with torch.no_grad():
        maps = trunk.tower(noise(2, 224, 3))
        fields, coarse = trunk.correspondence(maps)
    assert maps.shape[2:] == (56, 56)
    assert fields.shape[1] == trunk.asking**2
    assert coarse.shape == (1, COARSE**2, COARSE**2)


def test_parts_can_be_left_out() -> None:
    whole = make()
    none = make(grid=0, sides=0, measures=0)
    assert whole.features == none.features + MOMENTS + 3 * 64
    assert none.tower is None
    for options in ({"grid": 0}, {"volume": 0}, {"sides": 0}, {"measures": 0}):
        trunk = make(**options).eval()
        with torch.no_grad():
            assert trunk(noise()).shape == (2, trunk.features)


def test_flat_and_equal_sides_give_numbers_and_gradients() -> None:
    trunk = make()
    pairs = torch.zeros(4, 6, 32, 32)
    pairs[1:3] = 1
    pairs[3] = noise(1)[:, :3].repeat(1, 2, 1, 1)[0]
    found = trunk(pairs)
    assert torch.isfinite(found).all()
    found.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in trunk.parameters() if p.grad is not None)


def test_every_weight_learns() -> None:
    """Through the look-up alone too: the tower has a gradient where nothing else uses it."""
    for options in ({}, {"sides": 0}, {"sides": 0, "volume": 0}):
        trunk = make(**options)
        found = trunk(noise(6))
        (found * noise(1, 6, 1)[0, 0, 0, 0] + found.square() * 0.3).sin().sum().backward()
        still = [n for n, p in trunk.named_parameters() if p.grad is None]
        assert not still
        assert trunk.tower[0].weight.grad.abs().max() > 0
        assert trunk.log_scale.grad.abs() > 0


def test_deterministic() -> None:
    def run():
        trunk = make()
        trunk(noise(4)).square().mean().backward()
        return [p.grad for p in trunk.parameters()]

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))
    finally:
        torch.use_deterministic_algorithms(before)


def test_features_of_a_pair_do_not_depend_on_its_batch() -> None:
    trunk = make().eval()
    pairs = noise(3)
    with torch.no_grad():
        alone = torch.cat([trunk(p[None]) for p in pairs])
        torch.testing.assert_close(trunk(pairs), alone, rtol=1e-3, atol=1e-4)


def test_equal_sides_have_not_moved() -> None:
    a = noise(2, 16, 24)
    fields, coarse = looked_up(a, a)
    assert fields[..., 2:4].abs().max() < 0.02
    torch.testing.assert_close(fields[..., 7], torch.ones(2, 256), atol=1e-3, rtol=0)
    torch.testing.assert_close(coarse, torch.eye(64).expand(2, -1, -1), atol=0.02, rtol=0)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_flip_is_found(axis) -> None:
    a = noise(2, 16, 24)
    fields, _ = looked_up(a, a.flip(3 if axis == "x" else 2))
    at = 0 if axis == "x" else 1
    own = places(16, 16).expand(2, -1, -1)
    torch.testing.assert_close(fields[..., at], -own[..., at], atol=0.02, rtol=0)
    torch.testing.assert_close(fields[..., 1 - at], own[..., 1 - at], atol=0.02, rtol=0)
    # Moments: the products xx, xy, yx, yy of expected and own position, as for the identity but
    # for one sign.
    linear = summary(fields)[:, 2:6]
    third = float(own[0, :, 0].square().mean())
    wanted = torch.tensor([third, 0, 0, third])
    wanted[3 * at] *= -1
    torch.testing.assert_close(linear, wanted.expand(2, -1), atol=0.02, rtol=0)


def test_a_shift_is_found() -> None:
    a = noise(2, 16, 24)
    fields, _ = looked_up(a, a.roll((2, -3), (2, 3)))
    inside = fields.unflatten(1, (16, 16))[:, 2:, :-3, 2:4]
    wanted = torch.tensor([3 * 2 / 16, -2 * 2 / 16]).expand_as(inside)
    torch.testing.assert_close(inside, wanted, atol=0.02, rtol=0)


def test_a_quarter_turn_is_read_off_the_moments() -> None:
    a = noise(2, 16, 24)
    fields, _ = looked_up(a, a.rot90(1, (2, 3)))
    xx, xy, yx, yy = summary(fields)[0, 2:6]
    assert abs(xx) < 0.02
    assert abs(yy) < 0.02
    assert abs(xy) > 0.3
    assert xy == pytest.approx(-float(yx), abs=0.02)


def test_a_look_up_that_knows_nothing_says_so() -> None:
    flat = torch.zeros(1, 3, 16, 16)
    fields, coarse = looked_up(flat, flat)
    assert fields[..., :2].abs().max() < 1e-3
    spread = places(16, 16).square().sum(dim=1).mean().sqrt()
    torch.testing.assert_close(fields[..., 6], spread.expand(1, 256), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(coarse, torch.full((1, 64, 64), 1 / 64), atol=1e-5, rtol=0)


def test_movement_of_one_certain_place() -> None:
    position = places(1, 2)
    expected = torch.cat([position.flip(0), position.square().sum(1, keepdim=True)], 1)[None]
    unit = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    found = movement(expected, unit, unit.flip(1), position)[0]
    assert found[0].tolist() == pytest.approx([0.5, 0, 1, 0, -0.5, 0, 0.01, 0], abs=1e-6)


@pytest.mark.parametrize(("size", "to"), [(16, 8), (14, 16), (7, 3), (5, 5), (1, 4)])
def test_averaging_keeps_the_mean(size, to) -> None:
    matrix = averaging(size, to).double()
    torch.testing.assert_close(matrix.sum(1), torch.ones(to).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(matrix.mean(0), torch.full((size,), 1 / size).double())
    line = torch.rand(1, 1, size, size)
    assert resized(line, to, to).mean() == pytest.approx(float(line.mean()), abs=1e-5)


def test_averaging_is_torchs_pooling() -> None:
    maps = noise(1, 16, 2)
    torch.testing.assert_close(resized(maps, 4, 8), nn.functional.adaptive_avg_pool2d(maps, (4, 8)))


def test_curves_tell_gain_from_inversion_and_noise_from_noise() -> None:
    """Change and log variance about each grey level, of a ramp with every level in it."""
    ramp = torch.linspace(-1, 1, 64).repeat(64, 1)[None]

    def of(after):
        share, mean, _, variance = curves(ramp, after).unflatten(1, (2, 4, -1))[0, 0]
        return share.square(), mean, variance

    share, mean, variance = of(ramp)
    assert float(share.sum()) == pytest.approx(1, abs=1e-5)
    assert mean.abs().max() == 0
    assert variance.max() < -9
    _, mean, _ = of(-ramp)
    assert mean[1] > 1
    assert mean[-2] < -1
    random = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    _, _, even = of(ramp + 0.1 * random)
    _, _, growing = of(ramp + 0.1 * (1 + ramp) * random)
    assert even.max() - even.min() < 0.8
    assert growing[-1] - growing[1] > 2


def test_spectra_see_blur_and_not_mirrors() -> None:
    a = noise(2, 32, 1)[:, 0]
    blurred = nn.functional.avg_pool2d(a[:, None], 3, 1, 1)[:, 0]
    _, gain, _ = spectra(a, blurred).unflatten(1, (3, -1)).unbind(1)
    assert (gain[:, -4:].mean(1) < gain[:, :4].mean(1) - 1).all()
    torch.testing.assert_close(
        spectra(a, blurred),
        spectra(*(s.flip(2) for s in (a, blurred))),
        atol=1e-4,
        rtol=0,
    )


def test_statistics_take_no_gradient_and_any_size() -> None:
    pairs = noise(2, 45).requires_grad_()
    found = statistics(pairs)
    assert found.shape == (2, STATISTICS)
    assert not found.requires_grad
    assert torch.isfinite(statistics(torch.zeros(1, 6, 32, 32))).all()


def test_channels_last_gives_the_same() -> None:
    trunk = make().eval()
    pairs = noise(2)
    with torch.no_grad():
        plain = trunk(pairs)
        last = trunk.to(memory_format=torch.channels_last)(
            pairs.contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(plain, last, rtol=1e-3, atol=1e-4)


def test_bottleneck_backbones_are_joined_too() -> None:
    trunk = CorrespondenceTrunk("resnet50", 4, 3, "texture", **Correspondence().model_dump()).eval()
    with torch.no_grad():
        assert trunk(noise()).shape == (2, trunk.features)
