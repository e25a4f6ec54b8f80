"""Extras against their formulas, and how they stay out of the default grid."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import exposure

from generated import make_sample
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks import extras as e
from medtaskatlas.tasks import generative as g


def test_jpeg_quality_is_that_of_the_quantiser() -> None:
    """The scale of the IJG's encoder: half a table at 75, one at 50, ten at 5."""
    roots = np.sqrt([0, 0.5, 1, 2, 10])
    assert [e.jpeg_quality(float(r)) for r in roots] == [100, 75, 50, 25, 5]


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_is_what_a_jpeg_file_holds(colour: bool, tmp_path) -> None:
    sample = make_sample(64, colour=colour)
    lossy, _ = e.jpeg_artifact_removal(sample, {"quality": 20})
    file = str(tmp_path / "image.jpg")
    pixels = sample.image if colour else sample.image[..., 0]
    cv2.imwrite(file, pixels[..., ::-1] if colour else pixels, [cv2.IMWRITE_JPEG_QUALITY, 20])
    again = cv2.imread(file, cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(lossy, again)
    assert np.abs(lossy.astype(int) - sample.image).mean() > 1


def test_outpainting_shows_a_window_and_the_stated_grey() -> None:
    sample = make_sample(100, colour=True)
    last = 100 * 100
    for share in (0.0, 0.2, 0.5, 0.7):
        params = {"share": share, "x": 0.3, "y": 0.9, "level": 90}
        framed, _ = e.outpainting(sample, params)
        inside = (framed == sample.image).all(axis=-1)
        assert (framed[~inside] == 90).all()
        assert inside.mean() == pytest.approx(1 - share, abs=0.02)
        assert inside.sum() <= last
        last = inside.sum()


def test_noise_addition_reverses_denoising() -> None:
    sample = make_sample(64, colour=True)
    params = {"sigma": 25.0, "seed": 8}
    clean, noisy = e.noise_addition(sample, params)
    assert clean is sample.image
    np.testing.assert_array_equal(noisy, g.denoising_gaussian(sample, params)[0])


def test_sharpening_is_unsharp_masking() -> None:
    sample = make_sample(64)
    _, sharp = e.sharpening(sample, {"amount": 1.5, "sigma": 1.0})
    plane = sample.image[..., 0].astype(float)
    expected = plane + 1.5 * (plane - ndimage.gaussian_filter(plane, 1.0, mode="mirror"))
    assert np.abs(sharp[..., 0] - np.clip(expected, 0, 255)).max() <= 1


def test_edges_are_the_length_of_the_gradient() -> None:
    plane = make_sample(64).image[..., 0]
    _, found = e.edges(Sample(np.repeat(plane[..., None], 3, axis=2)), {})
    kernel = np.outer([3, 10, 3], [-1, 0, 1])
    gradient = [
        ndimage.correlate(plane.astype(float), k, mode="mirror") for k in (kernel, kernel.T)
    ]
    expected = np.clip(np.hypot(*gradient) / 4, 0, 255)
    assert np.abs(found[..., 0] - expected).max() <= 1
    assert not e.edges(Sample(np.full((40, 40, 3), 99, np.uint8)), {})[1].any()


def test_equalisation_flattens_the_histogram() -> None:
    sample = make_sample(96)
    _, flat = e.histogram_equalisation(sample, {"share": 1.0})
    expected = exposure.equalize_hist(sample.image[..., 0]) * 255
    # scikit-image leaves the darkest level where its share puts it; here it becomes 0.
    assert np.abs(flat[..., 0] - expected).max() < 3
    assert flat.min() == 0
    assert flat.max() == 255
    _, half = e.histogram_equalisation(sample, {"share": 0.5})
    middle = (sample.image.astype(float) + flat) / 2
    assert np.abs(half - middle).max() <= 1


@pytest.mark.parametrize("levels", [256, 9, 2])
def test_full_equalisation_is_that_of_opencv(levels: int) -> None:
    """Grey by its histogram, colours by the map of their luma, to the bit."""
    image = make_sample(80, colour=True, seed=levels).image // (256 // levels)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    flat = cv2.equalizeHist(grey)
    np.testing.assert_array_equal(e.histogram_equalisation(Sample(grey), {"share": 1.0})[1], flat)
    made = e.histogram_equalisation(Sample(image), {"share": 1.0})[1]
    for channel in range(3):
        for level in np.unique(grey):
            found = made[image[..., channel] == level, channel]
            assert (found == flat[grey == level][0]).all()


def test_pseudocolour_follows_luma_and_grows_brighter() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    _, hot = e.pseudocolour(Sample(np.repeat(ramp[..., None], 3, axis=2)), {})
    levels = hot[0].astype(int)
    assert (np.diff(levels, axis=0) >= 0).all()
    assert len(np.unique(levels, axis=0)) == 256
    np.testing.assert_array_equal(levels[0], [0, 0, 0])
    np.testing.assert_array_equal(levels[128], [255, 0, 0])
    sample = make_sample(40, colour=True)
    grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(e.pseudocolour(sample, {})[1], levels[grey])
