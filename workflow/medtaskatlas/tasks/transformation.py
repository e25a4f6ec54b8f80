"""Transformations: the input is the image, the output is a change of it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.geometry import displaced, warped
from medtaskatlas.tasks.pixels import draw_seed, looked_up, scale_of
from medtaskatlas.tasks.task import Draw, Ladder, Pair, Params, draws, no_params, task

ROTATION = Ladder("angle", "degrees", 0, 90)
TRANSLATION = Ladder("shift", "share of the side", 0, 0.4)
SCALING = Ladder("zoom", "octaves", 0, 1)
SHEAR = Ladder("angle", "degrees", 0, 40)
# Stronger, or with more knots, the field would fold: tissue does not (tests measure how rarely).
ELASTIC = Ladder("displacement", "pixels at 64 px", 0, 4)
BRIGHTNESS = Ladder("offset", "grey levels", 0, 110)
GAMMA = Ladder("exponent", "octaves", 0, 1.6)


def _sign(rng: np.random.Generator) -> int:
    """Either -1 or 1, as ``rng.choice([-1, 1])`` has it but ten times quicker."""
    return (-1, 1)[rng.integers(0, 2)]


def _signed(name: str, ladder: Ladder) -> Draw:
    """Draw the effect of the severity in either direction."""

    def draw(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        return {name: _sign(rng) * ladder.at(severity)}

    return draw


def _moving(draw: Draw) -> Draw:
    """Draw a shift by a part of a pixel beside a movement, so that all hit the grid alike."""

    def both(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        params = draw(rng, sample, severity)
        x, y = rng.uniform(-0.5, 0.5, 2) * min(1.0, 5 * severity)
        return {**params, "aside": [float(x), float(y)]}

    return both


def _aside(params: Params) -> list[float]:
    """Shift beside a movement, pixels (x, y)."""
    return list(params.get("aside", (0.0, 0.0)))


@task(family="transformation", draw=_moving(_signed("angle", ROTATION)), ladder=ROTATION)
def rotation(sample: Sample, params: Params) -> Pair:
    """Rotate about the centre, either way; a part of a pixel beside it, as all movements."""
    angle = math.radians(params["angle"])
    cos, sin = math.cos(angle), math.sin(angle)
    return sample.image, warped(sample.image, (cos, -sin, sin, cos), _aside(params))


@task(family="transformation", draw=no_params)
def horizontal_flip(sample: Sample, params: Params) -> Pair:
    """Mirror left and right."""
    return sample.image, cv2.flip(sample.image, 1).reshape(sample.image.shape)


@task(family="transformation", draw=no_params)
def vertical_flip(sample: Sample, params: Params) -> Pair:
    """Mirror top and bottom."""
    return sample.image, cv2.flip(sample.image, 0).reshape(sample.image.shape)


def _draw_translation(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    direction = rng.uniform(0, 2 * math.pi)
    shift = TRANSLATION.at(severity)
    return {"x": shift * math.cos(direction), "y": shift * math.sin(direction)}


@task(family="transformation", draw=_draw_translation, ladder=TRANSLATION)
def translation(sample: Sample, params: Params) -> Pair:
    """Shift in a random direction, borders filled by reflection.

    By parts of pixels too, since a shift by whole ones would be the one movement that resamples
    nothing, and a histogram would tell it.
    """
    height, width = sample.image.shape[:2]
    back = (-params["x"] * width, -params["y"] * height)
    return sample.image, warped(sample.image, (1.0, 0.0, 0.0, 1.0), back)


@task(family="transformation", draw=_moving(_signed("octaves", SCALING)), ladder=SCALING)
def scaling(sample: Sample, params: Params) -> Pair:
    """Zoom in or out about the centre, borders filled by reflection.

    Zooming out does not average: noise keeps its strength, as it does in all other movements.
    """
    step = 2.0 ** -params["octaves"]
    return sample.image, warped(sample.image, (step, 0, 0, step), _aside(params))


def _draw_shear(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {"angle": _sign(rng) * SHEAR.at(severity), "axis": ("x", "y")[rng.integers(0, 2)]}


@task(family="transformation", draw=_moving(_draw_shear), ladder=SHEAR)
def shear(sample: Sample, params: Params) -> Pair:
    """Shear along rows or columns about the centre."""
    slope = math.tan(math.radians(params["angle"]))
    along_rows = params["axis"] == "x"
    matrix = (1.0, slope, 0.0, 1.0) if along_rows else (1.0, 0.0, slope, 1.0)
    return sample.image, warped(sample.image, matrix, _aside(params))


@task(
    family="transformation",
    draw=_moving(
        draws(displacement=ELASTIC, knots=lambda rng: int(rng.integers(3, 6)), seed=draw_seed)
    ),
    ladder=ELASTIC,
)
def elastic_deformation(sample: Sample, params: Params) -> Pair:
    """Smooth random displacement, cubic between a coarse grid of knots (Simard et al., 2003)."""
    height, width = sample.image.shape[:2]
    knots = params["knots"]
    rng = np.random.Generator(np.random.SFC64(params["seed"]))
    coarse = rng.standard_normal((knots, knots, 2), dtype=np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    # The stated displacement is the root mean square over the image.
    size = max(float(np.sqrt(cv2.norm(field, cv2.NORM_L2SQR) / (height * width))), 1e-6)
    field *= np.float32(params["displacement"] * scale_of(sample.image) / size)
    field += np.array(_aside(params), np.float32)
    return sample.image, displaced(sample.image, field)


# Grey levels as shares of full scale.
_SHARES = np.arange(256, dtype=np.float64) / 255


def _mapped(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Image with each grey level replaced by another, float [256] of 0 to 255."""
    return looked_up(image, np.rint(levels).astype(np.uint8))


@task(family="transformation", draw=_signed("offset", BRIGHTNESS), ladder=BRIGHTNESS)
def brightness(sample: Sample, params: Params) -> Pair:
    """Add a whole number to all grey levels, clipped."""
    offset = round(params["offset"])
    # A row of numbers, since OpenCV would add to the first channel only.
    row = sample.image.reshape(1, -1)
    moved = cv2.add(row, offset) if offset >= 0 else cv2.subtract(row, -offset)
    return sample.image, moved.reshape(sample.image.shape)


@task(family="transformation", draw=_signed("octaves", GAMMA), ladder=GAMMA)
def contrast_gamma(sample: Sample, params: Params) -> Pair:
    """Raise grey levels, as a share of full scale, to a power.

    A curve on 8 bits leaves gaps in the histogram where it is steep. They stay: dither would fill
    them, but equal grey levels would no longer stay equal, and its grain, in the steep part only,
    would mark the task more plainly than gaps do. A display of stored 8 bits shows the same gaps.
    """
    levels = _SHARES ** (2.0 ** params["octaves"])
    levels *= 255
    return sample.image, _mapped(sample.image, levels)


@task(family="transformation", draw=no_params)
def inversion(sample: Sample, params: Params) -> Pair:
    """Swap dark and bright: 255 minus the grey level."""
    return sample.image, np.invert(sample.image)
