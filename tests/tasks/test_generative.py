"""Restorations: what holds for all of them, and each against scipy or its stated distribution."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from generated import make_sample
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks import generative as g
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.holes import SHAPES, holes
from medtaskatlas.tasks.noise import normals, poisson, uniform_words
from medtaskatlas.tasks.pixels import (
    blur,
    mix,
    noise_generator,
    thin,
    to_uint8,
)

BANK = load_bank()
LEVEL = 1e-3


def flat(level: int, side: int = 256) -> Sample:
    return Sample(np.full((side, side, 3), level, np.uint8))


def changed_side(name: str, sample: Sample, severity: float, seed: int = 3) -> np.ndarray:
    t = BANK[name]
    drawn = json.loads(json.dumps(t.draw(np.random.default_rng(seed), sample, severity)))
    pair = t.make(sample, drawn)
    return pair[0] if t.stored_side == "input" else pair[1]


@pytest.mark.parametrize(
    "name",
    [
        "deblurring",
        "motion_deblurring",
        "super_resolution",
        "gibbs_removal",
        "ghosting_removal",
        "undersampled_mri",
        "sharpening",
        "histogram_equalisation",
    ],
)
@given(level=st.integers(0, 255), side=st.integers(28, 80), seed=st.integers(0, 999))
@settings(max_examples=8, deadline=None)
def test_a_constant_picture_stays_so_up_to_its_border(name, level, side, seed) -> None:
    """Padding, a kernel whose sum is not 1 or another rounding would show here."""
    sample = flat(level, side)
    np.testing.assert_array_equal(changed_side(name, sample, 0.8, seed), sample.image)


# Pixel operations.


def test_rounding_is_to_the_nearest_level_and_clips() -> None:
    values = np.arange(-300, 600, 0.25).reshape(-1, 4)
    expected = np.clip(np.rint(values), 0, 255)
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(to_uint8(values.astype(kind)), expected)
    np.testing.assert_array_equal(to_uint8(values[:, 0]), expected[:, 0])
    base = np.full(values.shape, 7, np.uint8)
    mixed = mix(base, values.astype(np.float32), 0.5)
    np.testing.assert_array_equal(mixed, np.clip(np.rint(7 + values / 2), 0, 255))


@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    at=st.integers(0, 10**6),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_one_coloured_pixel_is_enough_to_be_no_grey_picture(height, width, at, seed) -> None:
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.integers(0, 256, (height, width, 1)), 3, axis=2).astype(np.uint8)
    np.testing.assert_array_equal(thin(image), image[..., 0])
    image.reshape(-1)[at % image.size] ^= 1
    assert thin(image) is image


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5, 5.9, 6.0, 9.0, 14.0])
def test_blur_agrees_with_scipy(sigma: float) -> None:
    image = make_sample(120).image[..., 0]
    expected = ndimage.gaussian_filter(image.astype(float), sigma, mode="mirror", truncate=6)
    assert np.abs(blur(image, sigma) - expected).max() < 1
    assert np.abs(blur(image, sigma) - expected).mean() < 0.3


def test_noise_bits_are_uniform_and_independent() -> None:
    words = uniform_words(noise_generator(7), (400, 400))
    assert stats.chisquare(np.bincount(words.ravel() >> 8, minlength=256)).pvalue > LEVEL
    assert stats.chisquare(np.bincount(words.ravel() & 255, minlength=256)).pvalue > LEVEL
    fields = np.stack([normals(noise_generator(s), (200, 200)) for s in (0, 1, 2, 2**32 - 1)])
    correlation = np.corrcoef(fields.reshape(4, -1)) - np.eye(4)
    assert np.abs(correlation).max() < 4 / 200
    for axis in (1, 2):
        shifted = (fields * np.roll(fields, 1, axis)).mean(axis=(1, 2))
        assert np.abs(shifted).max() < 4 / 200


def test_normal_noise_is_normal() -> None:
    noise = normals(noise_generator(11), (500, 500)).ravel()
    assert stats.kstest(noise, "norm").pvalue > LEVEL
    assert stats.kstest(noise, "norm", (0, 1.02)).pvalue < LEVEL, "the test could not fail"
    assert noise.var() == pytest.approx(1, abs=4 * np.sqrt(2 / noise.size))
    assert (np.abs(noise) > 3).mean() == pytest.approx(0.0027, rel=0.15)


@pytest.mark.parametrize("mean", [0.3, 2.0, 3.9, 4.0, 6.5, 12.0, 40.0, 300.0])
def test_counts_are_poisson(mean: float) -> None:
    few = poisson(noise_generator(3), np.full(60_000, mean, np.float32)).astype(int)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.02, 0.98, 25), mean))
    expected = np.diff(np.concatenate([[0], stats.poisson.cdf(edges, mean), [1]])) * few.size
    found = np.bincount(np.searchsorted(edges, few), minlength=len(expected))
    keep = expected > 5
    statistic = ((found - expected)[keep] ** 2 / expected[keep]).sum()
    assert stats.chi2.sf(statistic, keep.sum() - 1) > LEVEL
    # The bound that the docstring states, seen with two million draws.
    many = poisson(noise_generator(4), np.full(2_000_000, mean, np.float32)).astype(int)
    k = np.arange(many.max() + 1)
    distance = np.abs(np.cumsum(np.bincount(many)) / many.size - stats.poisson.cdf(k, mean)).max()
    assert distance < 0.0006 + 1.95 / np.sqrt(many.size)


def test_no_counts_without_signal() -> None:
    assert not poisson(noise_generator(3), np.zeros((40, 40), np.float32)).any()


# The ten tasks.


def test_gaussian_noise_has_the_stated_deviation() -> None:
    noisy, _ = g.denoising_gaussian(flat(128), {"sigma": 20.0, "seed": 5})
    noise = noisy[..., 0].ravel().astype(float) - 128
    # Spread over its grey level, a rounded number has its distribution again, a twelfth wider.
    spread = noise + np.random.default_rng(0).uniform(-0.5, 0.5, noise.size)
    deviation = np.hypot(20, 12**-0.5)
    assert stats.kstest(spread, "norm", (0, deviation)).pvalue > LEVEL
    assert stats.kstest(spread, "norm", (0, 1.05 * deviation)).pvalue < LEVEL


def test_channels_of_a_colour_picture_have_noise_of_their_own() -> None:
    image = np.full((128, 128, 3), 120, np.uint8)
    image[..., 2] = 140
    noisy, _ = g.denoising_gaussian(Sample(image), {"sigma": 15.0, "seed": 5})
    correlation = np.corrcoef(noisy.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(correlation).max() < 4 / 128


@pytest.mark.parametrize("level", [10, 60, 120])
def test_poisson_variance_is_the_mean(level: int) -> None:
    noisy, _ = g.denoising_poisson(flat(level), {"noise": 0.1, "seed": 5})
    counts = noisy[..., 0].ravel() * (100 / 255)
    assert counts.mean() == pytest.approx(level * 100 / 255, rel=0.02)
    assert counts.var() == pytest.approx(level * 100 / 255, rel=0.05)


@pytest.mark.parametrize("noise", [0.15, 0.35])
def test_few_photons_leave_no_comb_of_grey_levels(noise: float) -> None:
    """A count is several grey levels wide; all of them occur, and black stays black."""
    noisy = g.denoising_poisson(flat(120), {"noise": noise, "seed": 5})[0][..., 0].ravel()
    photons = noise**-2
    deviation = int(255 * np.sqrt(120 / 255 / photons))
    often = np.bincount(noisy, minlength=256)[120 - deviation : 120 + deviation]
    assert often.min() > 0.4 * np.median(often)
    expected = 120 / 255 * photons + (1 - np.exp(-120 / 255 * photons)) / 12
    # White clips the upper tail.
    assert noisy.mean() == pytest.approx(120, rel=0.02)
    assert (noisy * (photons / 255)).var() == pytest.approx(expected, rel=0.1)
    assert not g.denoising_poisson(flat(0), {"noise": noise, "seed": 5})[0].any()


@pytest.mark.parametrize("name", ["gibbs_removal", "jpeg_artifact_removal"])
def test_the_effect_grows_evenly(name: str) -> None:
    """No fifth of the ladder has more than twice the share that is due to it."""
    samples = [make_sample(seed=s) for s in range(4)]
    change = [
        np.mean([np.std(changed_side(name, s, t, 0).astype(float) - s.image) for s in samples])
        for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    steps = np.diff(change) / change[-1]
    assert steps.min() > 0.08, steps
    assert steps.max() < 0.4, steps


def test_full_speckle_has_the_distribution_of_rayleigh() -> None:
    noisy, _ = g.despeckling(flat(70, 512), {"diffuse": 1.0, "cell": 0.4, "seed": 5})
    grain = noisy[..., 0] / 70
    assert grain.mean() == pytest.approx(1, abs=0.02)
    assert grain.std() / grain.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.05)
    # Far enough apart to be independent: cells have a deviation of 3.2 pixels here.
    apart = grain[::12, ::12].ravel()
    assert stats.kstest(apart, "rayleigh", (0, np.sqrt(2 / np.pi))).pvalue > LEVEL
    assert stats.kstest(apart, "norm", (1, apart.std())).pvalue < 0.01
    # Neighbours share a cell: the amplitude's correlation is close to that of the intensity.
    centred = grain - grain.mean()
    lag = (centred[:, :-3] * centred[:, 3:]).mean() / (centred**2).mean()
    assert lag == pytest.approx(np.exp(-((3 / 3.2) ** 2) / 2), abs=0.06)
    assert grain[:4].std() == pytest.approx(grain.std(), rel=0.15), "borders are as grainy"


def test_speckle_is_common_to_channels_and_leaves_black_black() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = (50, 100, 25)
    noisy, _ = g.despeckling(Sample(image), {"diffuse": 0.8, "cell": 0.6, "seed": 1})
    assert not noisy[:, :32].any()
    red, green = noisy[:, 32:, 0].astype(int), noisy[:, 32:, 1].astype(int)
    assert np.abs(green - 2 * red)[green < 255].max() <= 2


def test_impulses_hit_the_stated_share_half_each() -> None:
    noisy, _ = g.impulse_removal(flat(100), {"share": 0.2, "seed": 5})
    n = noisy[..., 0].size
    for level in (0, 255):
        hits = int((noisy[..., 0] == level).sum())
        assert stats.binomtest(hits, n, 0.1).pvalue > LEVEL
    assert set(np.unique(noisy)) == {0, 100, 255}


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_deblurring_agrees_with_scipy(sigma: float) -> None:
    sample = make_sample(64)
    blurred, _ = g.deblurring(sample, {"sigma": sigma})
    expected = ndimage.gaussian_filter(sample.image[..., 0].astype(float), sigma, mode="mirror")
    assert np.abs(blurred[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("angle", [0.0, 33.0, 120.0])
def test_motion_blur_is_the_correlation_with_its_kernel(side: int, angle: float) -> None:
    """Cut into pieces it must be what scipy makes of the whole kernel."""
    sample = make_sample(side)
    blurred, _ = g.motion_deblurring(sample, {"length": 12.0, "angle": angle})
    kernel = g.motion_kernel(1 + 11 * side / 64, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    expected = ndimage.correlate(sample.image[..., 0].astype(float), kernel, mode="mirror")
    assert np.abs(blurred[..., 0] - expected).max() < 0.51
    y, x = np.indices(kernel.shape) - kernel.shape[0] // 2
    covariance = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
    values, vectors = np.linalg.eigh(covariance)
    # A uniform path of length L has a variance of L^2 / 12; spreading adds a quarter at most.
    assert values[1] == pytest.approx((11 * side / 64) ** 2 / 12, rel=0.06, abs=0.3)
    along = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180
    assert min(abs(along - angle), 180 - abs(along - angle)) < 1


@pytest.mark.parametrize("reduce", g.REDUCE)
@pytest.mark.parametrize("enlarge", list(g.ENLARGE))
@pytest.mark.parametrize(("factor", "left"), [(2.0, 0.75), (3.7, 0.35)])
def test_super_resolution_keeps_the_mean_and_loses_detail(reduce, enlarge, factor, left) -> None:
    sample = make_sample(64)
    params = {"factor": factor, "reduce": reduce, "enlarge": enlarge}
    coarse, _ = g.super_resolution(sample, params)
    assert coarse.mean() == pytest.approx(sample.image.mean(), abs=1)
    # A window keeps the step between opposite borders out of the spectrum.
    window = np.outer(np.hanning(64), np.hanning(64))
    before, after = (
        np.abs(np.fft.fft2(window * (x[..., 0] - x.mean()))) ** 2 for x in (sample.image, coarse)
    )
    frequency = np.abs(np.fft.fftfreq(64))
    beyond = np.maximum.outer(frequency, frequency) > 0.75 / factor
    assert after[beyond].sum() < left * before[beyond].sum()
    # And is not displaced: the best shift against the image is none.
    cross = np.fft.ifft2(np.fft.fft2(coarse[..., 0]) * np.conj(np.fft.fft2(sample.image[..., 0])))
    assert np.unravel_index(np.argmax(cross.real), cross.shape) == (0, 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_holes_cover_the_stated_share(shape: str, share: float) -> None:
    image = np.full((128, 128, 3), 77, np.uint8)
    for seed in range(4):
        params = {"share": share, "shape": shape, "level": 200, "seed": seed}
        holed, _ = g.inpainting(Sample(image), params)
        assert set(np.unique(holed)) == {77, 200}
        assert (holed[..., 0] == 200).mean() == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("shape", SHAPES)
@given(
    size=st.tuples(st.integers(28, 240), st.integers(28, 240)),
    share=st.floats(0.01, 0.7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_holes_of_any_image_cover_about_their_share(shape, size, share, seed) -> None:
    """A thin image has few pixels to a hole's edge, hence the width of the bound."""
    hole = holes(shape, share, size, seed)
    assert hole.shape == size
    assert hole.dtype == np.uint8
    assert abs(hole.mean() - share) < 0.06
    assert not holes(shape, 0.0, size, seed).any()
    assert holes(shape, 1.0, size, seed).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(64, 64), (224, 224), (30, 90)])
def test_holes_grow_around_smaller_ones(shape: str, size: tuple[int, int]) -> None:
    for seed in (9, 10, 11):
        last = np.zeros(size, bool)
        for share in np.linspace(0, 0.4, 17):
            hole = holes(shape, float(share), size, seed) == 1
            assert not (last & ~hole).any()
            last = hole


@pytest.mark.parametrize("shape", SHAPES)
def test_a_larger_image_has_the_same_holes(shape: str) -> None:
    for seed in range(6):
        small, large = (holes(shape, 0.3, (side, side), seed) for side in (64, 256))
        # The mean over a small pixel's area is above a half where the small one is a hole.
        coarse = large.reshape(64, 4, 64, 4).mean(axis=(1, 3)) > 0.5
        assert (coarse != small).mean() < 0.03


def test_colorization_takes_the_colour_away() -> None:
    sample = make_sample(64, colour=True)
    grey, out = g.colorization(sample, {})
    luma = sample.image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() <= 1
    assert out is sample.image
    assert not BANK["colorization"].usable(make_sample(64, colour=False))


@pytest.mark.parametrize("seed", range(4))
def test_bias_field_is_a_cubic_of_the_stated_amplitude(seed: int) -> None:
    biased, _ = g.bias_field_correction(flat(100, 96), {"amplitude": 0.5, "seed": seed})
    field = np.log(biased[..., 0] / 100)
    assert np.abs(field).max() == pytest.approx(0.5, abs=0.02)
    assert field.mean() == pytest.approx(0, abs=0.01)
    axis = np.linspace(-1, 1, 96)
    terms = [np.outer(axis**i, axis**j).ravel() for i in range(4) for j in range(4 - i)]
    matrix = np.stack(terms, axis=1)
    fitted = matrix @ np.linalg.lstsq(matrix, field.ravel(), rcond=None)[0]
    assert np.abs(fitted - field.ravel()).max() < 0.012, "more than rounding is left"
