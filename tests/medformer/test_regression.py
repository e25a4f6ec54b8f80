"""Logistic regressions on pixels and on features of a network of photographs."""

import numpy as np
import pytest
import torch

from medtaskatlas.core.errors import DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.encoders.network import to_input
from medtaskatlas.medformer import regression
from medtaskatlas.medformer.options import REGRESSIONS
from medtaskatlas.medformer.regression import FEATURES, PENALTIES, SLICES, Regression, pixels
from medtaskatlas.problems.targets.label import Label
from medtaskatlas.problems.targets.value import Value

TARGET = Label(name="label", channels=3, classes=("a", "b", "c"), counts=(5, 5, 0))


@pytest.fixture(scope="module")
def photographs():
    """Features of the network at a fast resolution."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regression, "RESOLUTION", 32)
        yield FEATURES["efficientnet_lite0"]()


def test_every_regression_has_features():
    assert tuple(FEATURES) == REGRESSIONS


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_seen_as_the_encoder_imagenet_sees_them(photographs, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, channels, 28, 28), np.uint8)
    colour = np.repeat(images, 3 // channels, axis=1).transpose(0, 2, 3, 1)
    encoder = encoder_of({"kind": "imagenet", "resolution": 32}).network(0)
    with torch.inference_mode():
        wanted = encoder(to_input(np.stack([colour, colour], axis=1), torch.device("cpu")))
    found = photographs(torch.from_numpy(images).float() / 255)
    assert np.allclose(found, wanted[:, :1280].numpy(), atol=1e-4)


def test_a_volume_is_the_mean_of_its_slices_along_all_axes(photographs):
    volumes = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    at = [1, 3, 5, 7, 9, 11, 13, 15]  # the middles of eight parts of two
    assert len(at) == SLICES
    for volume, found in zip(volumes[:, 0], photographs(volumes), strict=True):
        seen = [plane for axis in range(3) for plane in volume.moveaxis(axis, 0)[at]]
        wanted = photographs(torch.stack(seen)[:, None]).mean(axis=0)
        assert np.allclose(found, wanted, atol=1e-5)


def test_large_pictures_and_volumes_are_thinned_to_pixels_of_28_a_side():
    assert pixels(torch.rand(2, 1, 28, 28)).shape == (2, 28**2)
    assert pixels(torch.rand(2, 3, 56, 56)).shape == (2, 3 * 28**2)
    assert pixels(torch.rand(1, 1, 64, 64, 64)).shape == (1, 22**3)


def fitted(features, labels, n=60):
    """A regression on features [N, F] that are also the images."""
    made = Regression("pixels", TARGET, lambda images: images.numpy())
    return made.fit((features[:n], labels[:n]), (features[n:], labels[n:]))


def test_the_penalty_is_chosen_on_validation_images():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    known = rng.normal(size=(120, 20)) + 2 * (labels[:, None] - 0.5)
    assert fitted(known, labels).penalty > min(PENALTIES)
    # Validation labels decide: those of training images are the same.
    wrong = np.where(np.arange(120) < 60, labels, 1 - labels)
    assert fitted(known, wrong).penalty == min(PENALTIES)


def test_a_class_that_is_not_in_training_gets_no_probability():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    labels[100:] = 2  # in validation alone
    images = rng.normal(size=(120, 4)) + 6.0 * (labels == 1)[:, None]
    output = fitted(images, labels).output(torch.from_numpy(images[:5]))
    said = TARGET.prediction(output)
    assert said[:, 2].max() < 1e-6
    assert (said[:, 1] > 0.5).tolist() == (labels[:5] == 1).tolist()


def test_only_labels_are_predicted():
    value = Value(name="value.area", channels=1, mean=0.0, sd=1.0, median=0.0)
    with pytest.raises(DataError, match=r"`photos` predicts labels, not value.area \(value\)"):
        Regression("photos", value, pixels)
