"""Transformations against scipy and numpy, to fractions of a pixel; and what they leave behind."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from generated import make_sample
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.geometry import _doubled, warped
from medtaskatlas.tasks.task import REGISTRY

MOVEMENTS = ("rotation", "translation", "scaling", "shear", "elastic_deformation")


def out(name: str, image: np.ndarray, params: dict) -> np.ndarray:
    return REGISTRY[name].make(Sample(image), params, twice=True)[1]


def drawn(name: str, image: np.ndarray, severity: float, seed: int = 0) -> dict:
    return REGISTRY[name].parameters(np.random.default_rng(seed), Sample(image), severity)


def inside(image: np.ndarray, margin: int) -> np.ndarray:
    plane = image if image.ndim == 2 else image[..., 0]
    return plane[margin:-margin, margin:-margin].astype(float)


def waves(side: int, matrix: np.ndarray | None = None, period: float = 9.0) -> np.ndarray:
    """Two crossing waves at positions moved by a matrix about the centre: an exact oracle."""
    at = np.stack(np.mgrid[:side, :side][::-1].astype(float)) - (side - 1) / 2
    x, y = at if matrix is None else np.einsum("ij,jhw->ihw", matrix, at)
    grey = (
        128 + 50 * np.sin(2 * np.pi * (x + 0.3 * y) / period) + 40 * np.cos(2 * np.pi * y / period)
    )
    return np.rint(grey)


def as_image(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane.astype(np.uint8)[..., None], 3, axis=2)


def turn(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


@pytest.mark.parametrize(
    ("name", "params", "matrix"),
    [
        ("rotation", {"angle": 13.7}, turn(13.7)),
        ("rotation", {"angle": -61.2}, turn(-61.2)),
        ("scaling", {"octaves": 0.63}, np.eye(2) * 2**-0.63),
        ("scaling", {"octaves": -0.4}, np.eye(2) * 2**0.4),
        ("shear", {"angle": 21.0, "axis": "x"}, np.array([[1, np.tan(np.deg2rad(21))], [0, 1]])),
        ("shear", {"angle": -33.0, "axis": "y"}, np.array([[1, 0], [-np.tan(np.deg2rad(33)), 1]])),
    ],
)
def test_movements_are_exact_to_a_fraction_of_a_pixel(name, params, matrix) -> None:
    """A tenth of a pixel too far would be seen: the waves are 65 levels high and 9 pixels long."""
    moved = inside(out(name, as_image(waves(128)), params), 45)
    right = inside(waves(128, matrix), 45)
    error = np.sqrt(np.mean((moved - right) ** 2))
    assert error < 1.0
    elsewhere = inside(ndimage.shift(waves(128, matrix), (0, 0.1), order=5), 45)
    assert np.sqrt(np.mean((moved - elsewhere) ** 2)) > 2 * error


@pytest.mark.parametrize("angle", [-73.0, 10.0, 45.0])
def test_rotation_agrees_with_scipy(angle: float) -> None:
    image = make_sample(128).image
    expected = ndimage.rotate(
        image[..., 0].astype(float), angle, reshape=False, order=5, mode="mirror"
    )
    # At the edges too: both reflect. Kernels differ (scipy's is a spline), hence the tolerance.
    difference = out("rotation", image, {"angle": angle})[..., 0] - np.clip(expected, 0, 255)
    assert np.abs(difference).mean() < 1.5


def test_right_angles_are_exact() -> None:
    for side in (64, 65):
        image = make_sample(side, colour=True).image
        np.testing.assert_array_equal(out("rotation", image, {"angle": 90.0}), np.rot90(image))
        np.testing.assert_array_equal(out("rotation", image, {"angle": -90.0}), np.rot90(image, -1))


@given(
    x=st.floats(-0.4, 0.4),
    y=st.floats(-0.4, 0.4),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
)
@settings(max_examples=40, deadline=None)
def test_whole_shifts_reflect_at_the_border(x: float, y: float, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    right, down = round(x * width), round(y * height)
    x, y = right / width, down / height
    padded = np.pad(image, [(height - 1,) * 2, (width - 1,) * 2, (0, 0)], mode="reflect")
    expected = padded[height - 1 - down :, width - 1 - right :][:height, :width]
    np.testing.assert_array_equal(out("translation", image, {"x": x, "y": y}), expected)


@pytest.mark.parametrize("name", ["rotation", "scaling", "shear", "elastic_deformation"])
def test_movements_lie_a_part_of_a_pixel_aside_but_not_at_severity_zero(name: str) -> None:
    task = load_bank()[name]
    sample = make_sample(64)
    drawn = [task.draw(generator(i, name), sample, 0.5)["aside"] for i in range(50)]
    assert 0.35 < np.abs(drawn).max() <= 0.5
    assert task.draw(generator(0, name), sample, 0.0)["aside"] == [0, 0]
    params = task.draw(generator(0, name), sample, 0.5)
    there, aside = (task.apply(sample, {**params, "aside": a})[1] for a in ([0, 0], [1, 0]))
    # One pixel to the right in the input is the output of the shifted input.
    moved = Sample(np.roll(sample.image, -1, axis=1), *[None] * 4)
    np.testing.assert_allclose(
        aside[16:-16, 16:-16].astype(int),
        task.apply(moved, {**params, "aside": [0, 0]})[1][16:-16, 16:-16],
        atol=3,
    )
    assert (there != aside).any()


@pytest.mark.parametrize("size", [(64, 64), (31, 48), (5, 9)])
def test_half_way_pixels_are_exact_sums_of_lanczos_weights(size) -> None:
    """A zoom by two shows them: to the bit what whole numbers give, so the same everywhere."""
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, size).astype(np.uint8)
    at = np.arange(-3.5, 4.5)
    weights = np.array([-2, 8, -21, 79, 79, -21, 8, -2])
    lanczos = np.sinc(at) * np.sinc(at / 4)
    assert np.abs(weights / 128 - lanczos / lanczos.sum()).max() < 1 / 256

    def between(values: np.ndarray) -> np.ndarray:
        """128 times the points half-way between neighbours of a column."""
        padded = np.pad(values, [(3, 3), (0, 0)], mode="reflect")
        return sum(w * padded[i : i + len(values) - 1] for i, w in enumerate(weights))

    down, across = between(plane.astype(int)), between(plane.T.astype(int)).T
    fine = np.zeros((2 * size[0] - 1, 2 * size[1] - 1))
    fine[::2, ::2] = plane
    fine[1::2, ::2] = down / 128
    fine[::2, 1::2] = across / 128
    fine[1::2, 1::2] = between(across) / 128**2
    fine = np.clip(np.rint(fine), 0, 255)
    np.testing.assert_array_equal(_doubled(plane), fine)
    np.testing.assert_array_equal(_doubled(np.stack([plane] * 3, axis=-1))[..., 2], fine)
    # An odd side, so that the centre is a pixel.
    if size[0] % 2 and size[1] % 2:
        zoomed = warped(plane, (0.5, 0, 0, 0.5))
        top, left = size[0] // 2, size[1] // 2
        expected = fine[top : top + size[0], left : left + size[1]]
        np.testing.assert_array_equal(zoomed, expected)


def test_shear_moves_rows_by_their_height() -> None:
    image = make_sample(65).image
    moved = out("shear", image, {"angle": 45.0, "axis": "x"})
    np.testing.assert_array_equal(moved[32, 8:-8], image[32, 8:-8])
    np.testing.assert_array_equal(moved[36, 8:-8], image[36, 12:-4])
    turned = out("shear", image.transpose(1, 0, 2).copy(), {"angle": 45.0, "axis": "y"})
    np.testing.assert_array_equal(turned, moved.transpose(1, 0, 2))


def test_flips_and_grey_maps() -> None:
    image = make_sample(64, colour=True).image
    np.testing.assert_array_equal(out("horizontal_flip", image, {}), image[:, ::-1])
    np.testing.assert_array_equal(out("vertical_flip", image, {}), image[::-1])
    np.testing.assert_array_equal(out("inversion", image, {}), 255 - image)
    for offset in (30.0, -45.0, 0.4, -70.8, 110.0, -200.0):
        bright = out("brightness", image, {"offset": offset})
        np.testing.assert_array_equal(bright, np.clip(image.astype(int) + round(offset), 0, 255))
    gamma = out("contrast_gamma", image, {"octaves": 1.0})
    np.testing.assert_array_equal(gamma, np.rint((image / 255.0) ** 2 * 255))


def elastic_field(seed: int, knots: int, displacement: float, side: int = 64) -> np.ndarray:
    """The field [side, side, 2] as ramps show it: their grey level is the position."""
    ramp = np.tile(np.arange(side, dtype=np.uint8) * 2 + 64, (side, 1))
    params = {"displacement": displacement, "knots": knots, "seed": seed}
    moved = [out("elastic_deformation", as_image(r), params)[..., 0] for r in (ramp, ramp.T)]
    return np.stack(
        [(m.astype(float) - r) / 2 for m, r in zip(moved, (ramp, ramp.T), strict=True)], -1
    )


def test_elastic_displacement_has_the_stated_size() -> None:
    fields = [elastic_field(seed, 3 + seed % 3, 3.0) for seed in range(20)]
    size = [np.sqrt((f[12:-12, 12:-12] ** 2).sum(axis=-1).mean()) for f in fields]
    assert np.mean(size) == pytest.approx(3, rel=0.15)


def test_elastic_deformation_hardly_folds() -> None:
    """Even at severity 1 neighbours stay neighbours: the map's determinant is positive."""
    folded = []
    for seed in range(30):
        params = drawn("elastic_deformation", make_sample().image, 1.0, seed)
        field = elastic_field(params["seed"], params["knots"], params["displacement"])
        smooth = ndimage.gaussian_filter(field, (1, 1, 0))[6:-6, 6:-6]
        (xy, yy), (xx, yx) = (np.moveaxis(np.gradient(smooth, axis=a), -1, 0) for a in (0, 1))
        folded.append(((1 + xx) * (1 + yy) - xy * yx <= 0).mean())
    assert np.mean(folded) < 0.01


def sharpness(image: np.ndarray) -> float:
    """Energy above half of Nyquist's frequency."""
    plane = inside(image, 10)
    window = np.hanning(len(plane))
    power = np.abs(np.fft.fft2((plane - plane.mean()) * np.outer(window, window))) ** 2
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(len(plane))] * 2))
    return float(power[(f > 0.25) & (f < 0.5)].sum())


def test_rotation_loses_little_sharpness() -> None:
    """So that blur tells little: of white noise, the hardest case, other kernels keep less."""
    noise = np.random.default_rng(0).normal(128, 30, (96, 96)).clip(0, 255)
    image = as_image(noise)
    kept: list[float] = []
    others: dict[int, list[float]] = {cv2.INTER_CUBIC: [], cv2.INTER_LANCZOS4: []}
    for angle in np.linspace(15, 75, 9):
        kept.append(sharpness(out("rotation", image, {"angle": angle})) / sharpness(image))
        matrix = cv2.getRotationMatrix2D((47.5, 47.5), angle, 1.0)
        for kernel, of in others.items():
            plain = cv2.warpAffine(image, matrix, (96, 96), flags=kernel, borderMode=4)
            of.append(sharpness(plain) / sharpness(image))
    cubic, lanczos = (np.mean(of) for of in others.values())
    assert np.mean(kept) > lanczos > 0.85 > cubic


@pytest.mark.parametrize("name", MOVEMENTS)
def test_no_border_is_black(name: str) -> None:
    image = np.full((48, 48, 3), 200, np.uint8)
    for seed in range(5):
        np.testing.assert_array_equal(out(name, image, drawn(name, image, 1.0, seed)), image)


@pytest.mark.parametrize("shape", [(1, 9, 3), (9, 1, 3), (1, 1, 1), (2, 1, 3)])
@pytest.mark.parametrize("name", MOVEMENTS)
def test_a_single_line_of_pixels_is_moved_too(name: str, shape: tuple[int, ...]) -> None:
    """OpenCV's own reflection of one line never ends."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    moved = out(name, image, drawn(name, image, 1.0))
    assert moved.shape == shape
    np.testing.assert_array_equal(warped(image, (1, 0, 0, 1)), image)


def test_a_line_is_shifted_along_itself() -> None:
    line = np.random.default_rng(1).integers(0, 256, (1, 9), dtype=np.uint8)
    tall = np.repeat(line, 5, axis=0)
    shifted = warped(line, (1, 0, 0, 1), (1.5, 0.0))
    np.testing.assert_array_equal(shifted[0], warped(tall, (1, 0, 0, 1), (1.5, 0.0))[2])
