"""Tasks as functions: sums over pixels say what maps of features make of pairs."""

import numpy as np
import pytest
import torch

from generated import smooth_image
from medtaskatlas.transfer.kernel import (
    FEATURES,
    INITIALISATIONS,
    apart,
    error,
    moments,
    networks,
    operator,
)


@pytest.fixture(scope="module")
def made():
    return networks(0)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return np.stack([smooth_image(rng, 32, 32, i % 2 == 0) for i in range(12)])


def _predicted(made, maps, inputs):
    """What maps make of images, place by place."""
    x = torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 255
    features = [network(x, 1).permute(0, 2, 3, 1).reshape(-1, FEATURES) for network in made]
    return torch.stack([f.double() @ w for f, w in zip(features, maps, strict=True)])


def test_a_function_of_the_grey_level_is_found(made, images):
    fitted, asked = (moments(made, part, 255 - part) for part in (images[:8], images[8:]))
    maps = operator(fitted)
    assert maps.shape == (INITIALISATIONS, FEATURES, 3)
    assert (error(maps, asked) < 1e-3).all()
    # It is no good for a task that leaves the image as it is.
    assert (error(maps, moments(made, images[8:], images[8:])) > 0.01).all()


def test_errors_are_those_of_the_maps_place_by_place(made, images):
    noisy = np.clip(images + np.random.default_rng(1).normal(0, 20, images.shape), 0, 255)
    noisy = noisy.astype(np.uint8)
    maps = operator(moments(made, noisy[:8], images[:8]))
    asked = moments(made, noisy[8:], images[8:])
    wanted = torch.from_numpy(images[8:]).reshape(-1, 3).double() / 255
    by_hand = (_predicted(made, maps, noisy[8:]) - wanted).square().mean(dim=(1, 2))
    torch.testing.assert_close(error(maps, asked), by_hand, rtol=1e-4, atol=1e-7)
    other = operator(moments(made, images[:8], 255 - images[:8]))
    between = _predicted(made, maps, noisy[8:]) - _predicted(made, other, noisy[8:])
    by_hand = between.square().mean(dim=(1, 2))
    torch.testing.assert_close(apart(maps, other, asked), by_hand, rtol=1e-4, atol=1e-7)
    assert torch.equal(apart(maps, other, asked), apart(other, maps, asked))


def test_moments_of_parts_add_up_and_means_count_alike(made, images):
    whole = moments(made, images, 255 - images)
    parts = moments(made, images[:3], 255 - images[:3])
    parts += moments(made, images[3:], 255 - images[3:])
    for one, other in zip(whole.tensors(), parts.tensors(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
    twice = whole + whole
    for one, other in zip(whole.mean().tensors(), twice.mean().tensors(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_large_images_are_summed_at_some_places(made):
    rng = np.random.default_rng(2)
    large = np.stack([smooth_image(rng, 96, 96, True) for _ in range(3)])
    assert moments(made, large, large).pixels[0] == 3 * 32 * 32


def test_networks_are_a_function_of_the_seed(made, images):
    again, other = (moments(networks(seed), images, images).gram for seed in (0, 1))
    torch.testing.assert_close(again, moments(made, images, images).gram)
    assert not torch.allclose(again, other)


def test_without_a_pair_there_is_nothing_to_sum(made):
    none = np.empty((0, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="no pair"):
        moments(made, none, none)
