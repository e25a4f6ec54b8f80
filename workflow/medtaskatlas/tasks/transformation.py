"""Transformations: the input is the image, the output is a change of it."""

from __future__ import annotations

import cv2
import numpy as np

from medtaskatlas.imageset import Sample
from medtaskatlas.tasks.pixels import (
    draw_seed,
    like,
    noise_generator,
    scale_of,
    thin,
    to_uint8,
    warp,
)
from medtaskatlas.tasks.task import Draw, Ladder, Params, no_params, task

Pair = tuple[np.ndarray, np.ndarray]

ROTATION = Ladder("angle", "degrees", 0, 90)
TRANSLATION = Ladder("shift", "share of the side", 0, 0.4)
SCALING = Ladder("zoom", "octaves", 0, 1)
SHEAR = Ladder("angle", "degrees", 0, 40)
ELASTIC = Ladder("displacement", "pixels at 64 px", 0, 6)
BRIGHTNESS = Ladder("offset", "grey levels", 0, 110)
GAMMA = Ladder("exponent", "octaves", 0, 1.6)


def _signed(name: str, ladder: Ladder) -> Draw:
    """Draw the effect of the severity in either direction."""

    def draw(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        return {name: float(rng.choice([-1, 1])) * ladder.at(severity)}

    return draw


@task(family="transformation", draw=_signed("angle", ROTATION), ladder=ROTATION)
def rotation(sample: Sample, params: Params) -> Pair:
    """Rotate about the centre, either way."""
    a = np.deg2rad(params["angle"])
    matrix = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0]])
    return sample.image, warp(sample.image, matrix)


@task(family="transformation", draw=no_params)
def horizontal_flip(sample: Sample, params: Params) -> Pair:
    """Mirror left and right."""
    return sample.image, like(cv2.flip(thin(sample.image), 1), sample.image)


@task(family="transformation", draw=no_params)
def vertical_flip(sample: Sample, params: Params) -> Pair:
    """Mirror top and bottom."""
    return sample.image, like(cv2.flip(thin(sample.image), 0), sample.image)


def _draw_translation(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    direction = rng.uniform(0, 2 * np.pi)
    shift = TRANSLATION.at(severity)
    return {"x": float(shift * np.cos(direction)), "y": float(shift * np.sin(direction))}


@task(family="transformation", draw=_draw_translation, ladder=TRANSLATION)
def translation(sample: Sample, params: Params) -> Pair:
    """Shift in a random direction, borders filled by reflection."""
    height, width = sample.image.shape[:2]
    matrix = np.array([[1, 0, -params["x"] * width], [0, 1, -params["y"] * height]])
    return sample.image, warp(sample.image, matrix)


@task(family="transformation", draw=_signed("octaves", SCALING), ladder=SCALING)
def scaling(sample: Sample, params: Params) -> Pair:
    """Zoom in or out about the centre, borders filled by reflection."""
    step = 2.0 ** -params["octaves"]
    return sample.image, warp(sample.image, np.array([[step, 0, 0], [0, step, 0]]))


def _draw_shear(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {
        "angle": float(rng.choice([-1, 1])) * SHEAR.at(severity),
        "axis": str(rng.choice(["x", "y"])),
    }


@task(family="transformation", draw=_draw_shear, ladder=SHEAR)
def shear(sample: Sample, params: Params) -> Pair:
    """Shear along rows or columns about the centre."""
    slope = np.tan(np.deg2rad(params["angle"]))
    x, y = (slope, 0) if params["axis"] == "x" else (0, slope)
    return sample.image, warp(sample.image, np.array([[1, x, 0], [y, 1, 0]]))


def _draw_elastic(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {
        "displacement": ELASTIC.at(severity),
        "knots": int(rng.integers(4, 8)),
        "seed": draw_seed(rng),
    }


@task(family="transformation", draw=_draw_elastic, ladder=ELASTIC)
def elastic_deformation(sample: Sample, params: Params) -> Pair:
    """Smooth random displacement, cubic between a coarse grid of knots (Simard et al., 2003)."""
    height, width = sample.image.shape[:2]
    knots = params["knots"]
    coarse = noise_generator(params["seed"]).standard_normal((knots, knots, 2), dtype=np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    # The stated displacement is the root mean square over the image.
    size = max(float(np.sqrt((field**2).sum(axis=-1).mean())), 1e-6)
    field *= params["displacement"] * scale_of(sample.image) / size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        thin(sample.image),
        x + field[..., 0],
        y + field[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return sample.image, like(moved, sample.image)


@task(family="transformation", draw=_signed("offset", BRIGHTNESS), ladder=BRIGHTNESS)
def brightness(sample: Sample, params: Params) -> Pair:
    """Add a constant to all grey levels, clipped."""
    table = to_uint8(np.arange(256) + params["offset"])
    return sample.image, like(cv2.LUT(sample.image, table), sample.image)


@task(family="transformation", draw=_signed("octaves", GAMMA), ladder=GAMMA)
def contrast_gamma(sample: Sample, params: Params) -> Pair:
    """Raise grey levels, as a share of full scale, to a power."""
    table = to_uint8(255 * (np.arange(256) / 255) ** (2.0 ** params["octaves"]))
    return sample.image, like(cv2.LUT(sample.image, table), sample.image)


@task(family="transformation", draw=no_params)
def inversion(sample: Sample, params: Params) -> Pair:
    """Swap dark and bright: 255 minus the grey level."""
    return sample.image, np.uint8(255) - sample.image
