"""Tasks against oracles: scipy, skimage, and the distributions that they state."""

import json

import numpy as np
import pytest
from scipy import ndimage, stats

from generated import make_sample, smooth_image
from medtaskatlas.imageset import Sample
from medtaskatlas.tasks import generative as g
from medtaskatlas.tasks import semantic as s
from medtaskatlas.tasks import transformation as t


def flat(level: int, side: int = 256) -> Sample:
    return Sample(np.full((side, side, 3), level, np.uint8))


def interior(image: np.ndarray, margin: int = 24) -> np.ndarray:
    return image[margin:-margin, margin:-margin, 0].astype(float)


@pytest.mark.parametrize("angle", [-73.0, 10.0, 45.0, 90.0])
def test_rotation_agrees_with_scipy(angle: float) -> None:
    sample = make_sample(128)
    _, out = t.rotation(sample, {"angle": angle})
    expected = ndimage.rotate(
        sample.image[..., 0].astype(float), angle, reshape=False, order=3, mode="mirror"
    )
    # Cubic kernels differ (scipy's is a spline, OpenCV's a convolution), hence the tolerance.
    assert np.abs(interior(out) - expected[24:-24, 24:-24]).mean() < 3


def test_right_angle_is_exact() -> None:
    sample = make_sample(64)
    _, out = t.rotation(sample, {"angle": 90.0})
    np.testing.assert_array_equal(out, np.rot90(sample.image, 1))


def test_translation_by_whole_pixels_is_a_shift() -> None:
    sample = make_sample(64)
    _, out = t.translation(sample, {"x": 5 / 64, "y": -3 / 64})
    np.testing.assert_array_equal(out[:-3, 5:], sample.image[3:, :-5])


def test_zoom_agrees_with_scipy() -> None:
    sample = make_sample(128)
    _, out = t.scaling(sample, {"octaves": 0.6})
    step, centre = 2**-0.6, 63.5
    expected = ndimage.affine_transform(
        sample.image[..., 0].astype(float),
        [step, step],
        offset=centre * (1 - step),
        order=3,
        mode="mirror",
    )
    assert np.abs(interior(out) - expected[24:-24, 24:-24]).mean() < 2


def test_shear_moves_rows_by_their_height() -> None:
    sample = make_sample(65)
    _, out = t.shear(sample, {"angle": 45.0, "axis": "x"})
    middle = 32
    np.testing.assert_array_equal(out[middle, 8:-8], sample.image[middle, 8:-8])
    np.testing.assert_array_equal(out[middle + 4, 8:-8], sample.image[middle + 4, 12:-4])


def test_flips_and_grey_maps() -> None:
    sample = make_sample(64, colour=True)
    np.testing.assert_array_equal(t.horizontal_flip(sample, {})[1], sample.image[:, ::-1])
    np.testing.assert_array_equal(t.vertical_flip(sample, {})[1], sample.image[::-1])
    np.testing.assert_array_equal(t.inversion(sample, {})[1], 255 - sample.image)
    bright = t.brightness(sample, {"offset": 30.0})[1]
    np.testing.assert_array_equal(bright, np.clip(sample.image.astype(int) + 30, 0, 255))
    gamma = t.contrast_gamma(sample, {"octaves": 1.0})[1]
    np.testing.assert_array_equal(gamma, np.rint((sample.image / 255.0) ** 2 * 255))


def test_elastic_displacement_has_the_stated_size() -> None:
    """Measured on a ramp, whose grey level is the position."""
    side = 128
    ramp = np.repeat(np.tile(np.arange(side, dtype=np.uint8) + 64, (side, 1))[..., None], 3, 2)
    moved = []
    for seed in range(20):
        _, out = t.elastic_deformation(
            Sample(ramp), {"displacement": 3.0, "knots": 5, "seed": seed}
        )
        moved.append(((interior(out) - interior(ramp)) ** 2).mean())
    # Two components of equal size; stated at 64 px, so twice as long here.
    assert np.sqrt(2 * np.mean(moved)) == pytest.approx(6, rel=0.25)


def test_gaussian_noise_is_gaussian() -> None:
    noisy, _ = g.denoising_gaussian(flat(128), {"sigma": 20.0, "seed": 5})
    noise = noisy[..., 0].ravel().astype(float) - 128
    # Rounding widens by a twelfth of a level; the test sees departures of a percent.
    assert (
        stats.kstest(
            noise + np.random.default_rng(0).uniform(-0.5, 0.5, noise.size),
            "norm",
            (0, np.hypot(20, 12**-0.5)),
        ).pvalue
        > 1e-3
    )
    assert abs(stats.skew(noise)) < 0.05


@pytest.mark.parametrize("level", [60, 120])
def test_poisson_variance_is_the_mean(level: int) -> None:
    noisy, _ = g.denoising_poisson(flat(level), {"noise": 0.1, "seed": 5})
    counts = noisy[..., 0].ravel() * (100 / 255)
    assert counts.mean() == pytest.approx(level * 100 / 255, rel=0.02)
    assert counts.var() == pytest.approx(level * 100 / 255, rel=0.05)


def test_speckle_is_unit_mean_gamma() -> None:
    noisy, _ = g.despeckling(flat(80), {"variation": 0.3, "seed": 5})
    ratio = noisy[..., 0].ravel() / 80
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() == pytest.approx(0.3, rel=0.03)
    assert stats.skew(ratio) == pytest.approx(2 * 0.3, rel=0.15)


def test_impulses_hit_the_stated_share_half_each() -> None:
    noisy, _ = g.impulse_removal(flat(100), {"share": 0.2, "seed": 5})
    assert (noisy == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (noisy == 255).mean() == pytest.approx(0.1, abs=0.01)


def test_blur_agrees_with_scipy() -> None:
    sample = make_sample(64)
    blurred, _ = g.deblurring(sample, {"sigma": 2.0})
    expected = ndimage.gaussian_filter(sample.image[..., 0].astype(float), 2.0, mode="mirror")
    assert np.abs(blurred[..., 0] - expected).max() <= 2


@pytest.mark.parametrize(("length", "angle"), [(9.0, 0.0), (9.0, 90.0)])
def test_motion_blur_is_a_running_mean_along_the_path(length: float, angle: float) -> None:
    sample = make_sample(64)
    blurred, _ = g.motion_deblurring(sample, {"length": length, "angle": angle})
    axis = 1 if angle == 0 else 0
    expected = ndimage.uniform_filter1d(
        sample.image[..., 0].astype(float), int(length), axis=axis, mode="mirror"
    )
    assert np.abs(blurred[..., 0] - expected).mean() < 1


def test_super_resolution_keeps_the_mean_and_loses_detail() -> None:
    sample = make_sample(64)
    coarse, _ = g.super_resolution(sample, {"factor": 4.0, "enlarge": "linear"})
    assert coarse.mean() == pytest.approx(sample.image.mean(), abs=2)
    laplace = [
        np.abs(ndimage.laplace(x[..., 0].astype(float))).mean() for x in (coarse, sample.image)
    ]
    assert laplace[0] < 0.3 * laplace[1]


@pytest.mark.parametrize("shape", ["rectangles", "ellipses", "strokes"])
def test_holes_cover_the_stated_share(shape: str) -> None:
    sample = make_sample(128)
    holed, _ = g.inpainting(sample, {"share": 0.25, "shape": shape, "seed": 2})
    changed = (holed != sample.image).any(axis=-1).mean()
    assert 0.2 < changed < 0.4
    grey = np.rint(sample.image.reshape(-1, 3).mean(axis=0)).astype(int)
    assert (np.abs(holed.astype(int) - grey) <= 1).all(axis=-1).mean() >= 0.25


def test_colorization_takes_the_colour_away() -> None:
    sample = make_sample(64, colour=True)
    grey, out = g.colorization(sample, {})
    luma = sample.image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() <= 1
    assert out is sample.image


def test_bias_field_is_smooth_and_has_the_stated_amplitude() -> None:
    biased, _ = g.bias_field_correction(flat(100), {"amplitude": 0.5, "seed": 3})
    field = np.log(biased[..., 0] / 100)
    assert np.abs(field).max() == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.diff(field, axis=0)).max() < 0.05


def test_semantic_outputs_say_what_the_annotation_says() -> None:
    sample = make_sample(64)
    mask, instances = sample.mask, sample.instances
    np.testing.assert_array_equal(s.segmentation(sample, {})[1][..., 0] == 255, mask > 0)
    isolated = s.object_isolation(sample, {})[1]
    np.testing.assert_array_equal(isolated[mask > 0], sample.image[mask > 0])
    assert not isolated[mask == 0].any()
    colours = s.multiclass_segmentation(sample, {})[1]
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 3
    objects = s.instance_segmentation(sample, {})[1]
    for number in (1, 2, 3):
        assert len(np.unique(objects[instances == number], axis=0)) == 1
    assert len(np.unique(objects.reshape(-1, 3), axis=0)) == 4
    distance = s.distance_map(sample, {})[1][..., 0]
    oracle = ndimage.distance_transform_edt(mask > 0)
    assert np.abs(distance - 255 * oracle / oracle.max()).max() <= 1.5
    edge = s.boundary(sample, {})[1][..., 0] > 0
    cross = ndimage.generate_binary_structure(2, 1)
    differs = ndimage.grey_dilation(mask, footprint=cross) != ndimage.grey_erosion(
        mask, footprint=cross
    )
    np.testing.assert_array_equal(edge[1:-1, 1:-1], differs[1:-1, 1:-1])
    heat = s.centroid_heatmap(sample, {})[1][..., 0]
    for y, x in ndimage.center_of_mass(instances > 0, instances, [1, 2, 3]):
        assert heat[round(y), round(x)] > 240
    lines = s.skeleton(sample, {})[1][..., 0] > 0
    assert lines.any()
    assert not (lines & (mask == 0)).any()
    assert lines.sum() < 0.3 * (mask > 0).sum()


def test_boxes_enclose_their_objects() -> None:
    sample = make_sample(64)
    drawn = s.detection(sample, {})[1][..., 0] > 0
    for number in (1, 2, 3):
        y, x = np.nonzero(sample.instances == number)
        assert drawn[y.min(), x.min() : x.max() + 1].all()
        assert drawn[y.min() : y.max() + 1, x.max()].all()


def test_one_pixel_objects_and_objects_at_the_border() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[5, 5], mask[0, :], mask[31, 31] = 1, 1, 2
    image = smooth_image(np.random.default_rng(0), 32, 32, colour=False)
    sample = Sample(image, mask, mask.astype(np.uint16), None, 0, 2, 2)
    for name, task in vars(s).items():
        if callable(task) and getattr(task, "__module__", "") == s.__name__ and name[0] != "_":
            source, out = task(sample, json.loads("{}"))
            assert out.shape == source.shape
