"""MR and CT artefacts against numpy's Fourier transform, scikit-image's scan, and distributions."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skimage.transform import iradon, radon

from generated import make_sample
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks import acquisition as a
from medtaskatlas.tasks import tomography as ct

LEVEL = 1e-3
shapes = st.tuples(st.integers(28, 70), st.integers(28, 70))


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def grey(plane: np.ndarray) -> Sample:
    return Sample(np.repeat(plane[..., None], 3, axis=2))


def closest(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(int)


def assert_same_levels(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal, but for halves that single precision rounds to the other side."""
    difference = np.abs(found.astype(int) - closest(expected))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize("level", [0, 12, 60, 150])
def test_magnitude_noise_is_rician(level: int) -> None:
    sample = Sample(np.full((256, 256, 3), level, np.uint8))
    noisy, _ = a.rician_denoising(sample, {"sigma": 20.0, "seed": 5})
    values = noisy[..., 0].ravel().astype(float)
    spread = values + np.random.default_rng(0).uniform(-0.5, 0.5, values.size)
    rice = stats.rice(level / 20, scale=20)
    # The test asks for departures larger than what rounding makes of a density that starts at 0.
    assert stats.kstest(spread[values > 2], lambda x: truncated(rice, x, 2.5)).pvalue > LEVEL
    wrong = stats.rice(level / 20 + 0.1, scale=20)
    assert stats.kstest(spread[values > 2], lambda x: truncated(wrong, x, 2.5)).pvalue < LEVEL or (
        level == 0
    )
    mean = rice.mean()
    assert values.mean() == pytest.approx(mean, abs=4 * rice.std() / 256)


def truncated(law, x: np.ndarray, low: float) -> np.ndarray:
    return (law.cdf(x) - law.cdf(low)) / (1 - law.cdf(low))


@given(shape=shapes, kept=st.floats(0.1, 0.95), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_gibbs_is_a_truncated_fourier_transform(shape, kept, seed) -> None:
    plane = picture(shape, seed)
    ringing, _ = a.gibbs_removal(grey(plane), {"kept": kept})
    window = np.ones(shape, bool)
    for axis, size in enumerate(shape):
        highest = max(1, round(kept * (size // 2)))
        inside = np.abs(np.rint(np.fft.fftfreq(size, 1 / size))) <= highest
        window &= np.expand_dims(inside, 1 - axis)
    expected = np.abs(np.fft.ifft2(np.fft.fft2(plane) * window).real)
    assert_same_levels(ringing[..., 0], expected)


def test_gibbs_overshoots_an_edge_by_nine_percent() -> None:
    plane = np.full((256, 256), 60, np.uint8)
    plane[:, 64:192] = 160
    ringing, _ = a.gibbs_removal(grey(plane), {"kept": 0.25})
    # Wilbraham and Gibbs: 8.95 % of the step.
    assert ringing.max() - 160 == pytest.approx(8.95, abs=1)
    assert 60 - ringing.min() == pytest.approx(8.95, abs=1)


@given(
    shape=shapes,
    channels=st.sampled_from([1, 3]),
    axis=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_weighted_lines_are_those_of_the_whole_transform(shape, channels, axis, seed) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.uniform(0, 255, (channels, *shape)).astype(np.float32)
    weights = rng.uniform(-1, 1, planes.shape[axis]).astype(np.float32)
    lines = weights[None, :, None] if axis == 1 else weights[None, None, :]
    expected = np.abs(np.fft.ifft2(np.fft.fft2(planes) * lines))
    np.testing.assert_allclose(a.weigh_lines(planes, weights, axis), expected, atol=2e-2)


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_ghosts_lie_at_the_field_of_view_over_the_period(period: int, axis: int) -> None:
    plane = picture((64, 64))
    params = {"modulation": 0.5, "period": period, "phase": 0.4, "axis": axis}
    ghosts, _ = a.ghosting_removal(grey(plane), params)
    step = 64 // period
    there, back = (np.roll(plane.astype(float), s, axis) for s in (step, -step))
    turned = np.exp(0.4j) * back + np.exp(-0.4j) * there
    expected = np.abs(plane + 0.25 * turned) / (1 + 0.5 * np.cos(0.4))
    assert_same_levels(ghosts[..., 0], expected)


@given(shape=shapes, seed=st.integers(0, 99), severity=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_stripes_are_spikes_of_k_space(shape, seed, severity) -> None:
    sample = grey(picture(shape, seed))
    params = a._draw_spikes(np.random.default_rng(seed), sample, severity)
    striped, _ = a.spike_removal(sample, params)
    spectrum = np.fft.fft2(sample.image[..., 0].astype(float))
    for row, column, phase in params["spikes"]:
        assert max(abs(row) / shape[0], abs(column) / shape[1]) > 0.02, "not at the centre"
        height = params["amplitude"] / np.sqrt(len(params["spikes"]))
        spectrum[row, column] += height * spectrum.size * np.exp(1j * phase)
    assert_same_levels(striped[..., 0], np.abs(np.fft.ifft2(spectrum)))


@given(size=st.integers(28, 300), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_faster_scans_measure_a_part_of_the_lines_and_the_centre(size, seed) -> None:
    last = np.ones(size)
    centre = np.abs(np.rint(np.fft.fftfreq(size, 1 / size))) <= 0.04 * size
    for left_out in (0.0, 0.2, 0.5, 0.8):
        mask = a.line_mask(size, left_out, seed)
        assert mask.sum() == round(size * (1 - left_out))
        assert (mask <= last).all()
        assert mask[centre].all()
        last = mask


def test_undersampling_is_the_masked_transform() -> None:
    sample = make_sample(64, colour=True)
    for axis in (0, 1):
        params = {"left_out": 0.6, "axis": axis, "seed": 4}
        aliased, _ = a.undersampled_mri(sample, params)
        mask = np.expand_dims(a.line_mask(64, 0.6, 4), (1 - axis, 2))
        spectrum = np.fft.fft2(sample.image.astype(float), axes=(0, 1)) * mask
        assert_same_levels(aliased, np.abs(np.fft.ifft2(spectrum, axes=(0, 1))))


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.indices((side, side)) - (side - 1) / 2
    return (np.hypot(x, y) < radius).astype(np.float32)


def in_degrees(views: int) -> np.ndarray:
    """Our angles run from x to y, scikit-image's the other way round."""
    return -np.degrees(ct.view_angles(views))


@pytest.mark.parametrize("side", [31, 65])
def test_projection_agrees_with_scikit_image(side: int) -> None:
    # Odd sides: scikit-image's axis is at n // 2 then, which is the middle.
    image = disc(side, side * 0.4) * 100 + disc(side, side * 0.2) * 80
    image[:, : side // 2] *= 0.6
    views, elements = ct.view_count(side), ct.detector_size(side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = radon(image.astype(float), in_degrees(views), circle=True)
    margin = (elements - side) // 2
    ours = ct.project(image, views, elements) * side
    assert not ours[:, : margin - 2].any()
    difference = ours[:, margin : margin + side] - oracle.T
    # From a smaller image: sharp corners differ, the rest must not.
    assert np.sqrt((difference**2).mean()) < 0.03 * oracle.max()
    # Every view sees all of the object.
    np.testing.assert_allclose(ours.sum(axis=1), image.sum(), rtol=0.02)


@pytest.mark.parametrize("side", [33, 65, 101])
def test_back_projection_agrees_with_scikit_image(side: int) -> None:
    views, elements = ct.view_count(side), ct.detector_size(side)
    sinogram = np.random.default_rng(0).standard_normal((views, elements)).astype(np.float32)
    ours = ct.back_project(sinogram, side)
    oracle = iradon(
        sinogram.T, in_degrees(views), output_size=side, filter_name="hann", circle=True
    )
    inside = disc(side, side // 2 - 1) > 0
    assert np.corrcoef(ours[inside], oracle[inside])[0, 1] > 0.995
    assert ours[inside].std() == pytest.approx(oracle[inside].std(), rel=0.03)


def test_back_projection_reconstructs_what_was_projected() -> None:
    side = 65
    image = disc(side, 20) * 100
    views, elements = ct.view_count(side), ct.detector_size(side)
    again = ct.back_project(ct.project(image, views, elements) * side, side)
    assert again[disc(side, 14) > 0].mean() == pytest.approx(100, abs=3)
    assert again[disc(side, 30) - disc(side, 26) > 0].mean() == pytest.approx(0, abs=3)


def test_noise_of_low_dose_is_that_of_counting() -> None:
    """Deviation falls with the root of the dose and grows with the opacity of the object."""
    image = (disc(64, 28) * 120).astype(np.uint8)

    def errors(plane: np.ndarray, noise: float) -> np.ndarray:
        fields = []
        for seed in range(6):
            noisy, _ = a.low_dose_ct(grey(plane), {"noise": noise, "seed": seed})
            fields.append((noisy[..., 0].astype(float) - plane)[disc(64, 12) > 0])
        return np.array(fields)

    weak, strong = errors(image, 0.02), errors(image, 0.08)
    assert strong.std() == pytest.approx(4 * weak.std(), rel=0.12)
    assert abs(weak.mean()) < 0.5
    opaque = np.where(disc(64, 28) > 0, 120 + 100 * (disc(64, 28) - disc(64, 18)), 0)
    assert errors(opaque.astype(np.uint8), 0.02).std() > 1.15 * weak.std()


def test_low_dose_agrees_with_the_whole_chain_of_scikit_image() -> None:
    """Same deviation as when a noisy sinogram is reconstructed by scikit-image."""
    side, noise = 65, 0.03
    image = (disc(side, 26) * 110).astype(np.uint8)
    views = ct.view_count(side)
    degrees = in_degrees(views)
    scale = a.OPACITY / (255 * side)
    rng = np.random.default_rng(0)
    attenuation = radon(image.astype(float), degrees, circle=True) * scale
    clean, noisy, ours = (np.zeros((8, side, side)) for _ in range(3))
    for i in range(8):
        counts = np.maximum(rng.poisson(np.exp(-attenuation) / noise**2), 1)
        measured = -np.log(counts * noise**2)
        for target, sinogram in ((clean, attenuation), (noisy, measured)):
            target[i] = iradon(sinogram, degrees, filter_name="hann", circle=True) / scale
        ours[i] = a.low_dose_ct(grey(image), {"noise": noise, "seed": i})[0][..., 0] - 1.0 * image
    inside = disc(side, 18) > 0
    assert ours[:, inside].std() == pytest.approx((noisy - clean)[:, inside].std(), rel=0.08)
