"""The pixels baseline sees what it says it sees."""

import json

import numpy as np
import pytest

from generated import make_sample
from medtaskatlas.encoders.pixels import _mirrors, _phase_peak, _registration, pixel_features
from medtaskatlas.tasks.bank import load_bank

BANK = load_bank()


def grey(image):
    return image[..., 0].astype(np.float32)[None] / 255


def moved(name, **params):
    sample = make_sample(64)
    source, result = BANK[name].make(sample, json.loads(json.dumps(params)))
    return grey(source), grey(result)


def test_features_are_finite_on_any_input() -> None:
    flat = np.zeros((2, 2, 32, 32, 3), np.uint8)
    flat[1, 1] = 255
    assert np.isfinite(pixel_features(flat)).all()
    noise = np.random.default_rng(0).integers(0, 256, (3, 2, 48, 40, 3)).astype(np.uint8)
    assert np.isfinite(pixel_features(noise)).all()


def test_features_do_not_depend_on_the_batch() -> None:
    pairs = np.random.default_rng(0).integers(0, 256, (5, 2, 32, 32, 3)).astype(np.uint8)
    alone = np.concatenate([pixel_features(p[None]) for p in pairs])
    np.testing.assert_allclose(pixel_features(pairs), alone, rtol=1e-4, atol=1e-5)


def test_phase_correlation_finds_the_shift() -> None:
    a = grey(make_sample(64).image)
    b = np.roll(a, (5, -9), axis=(1, 2))
    x, y, *_ = _phase_peak(a, b)[0]
    assert (x * 64, y * 64) == pytest.approx((-9, 5))


@pytest.mark.parametrize(("name", "at"), [("horizontal_flip", 0), ("vertical_flip", 1)])
def test_mirrors_are_found(name, at) -> None:
    found = _mirrors(*moved(name))[0]
    assert found[at] == pytest.approx(1, abs=1e-3)
    assert np.delete(found, at).max() < 0.99


def test_fourier_mellin_tells_rotation_from_zoom() -> None:
    """The fifth to tenth registration features: along the angle and along the logarithm of zoom."""
    turned = _registration(*moved("rotation", angle=40.0))[0]
    zoomed = _registration(*moved("scaling", octaves=0.6))[0]
    assert turned[8] > 0.05
    assert zoomed[8] < turned[8]
    # A turn of the picture by an angle turns its spectrum by as much; whole turns are 1.
    assert turned[8] == pytest.approx(40 / 360, abs=1.5 / 64)
