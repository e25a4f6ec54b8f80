"""Generative tasks: the input is degraded, the output is the image."""

from __future__ import annotations

import cv2
import numpy as np

from medtaskatlas.imageset import Sample
from medtaskatlas.tasks.pixels import (
    REFERENCE_SIDE,
    draw_seed,
    like,
    noise_generator,
    scale_of,
    thin,
    to_uint8,
)
from medtaskatlas.tasks.task import Draw, Ladder, Params, no_params, task

Pair = tuple[np.ndarray, np.ndarray]

# Relative noise that 8 bits cannot show; the counts behind it overflow.
IMPERCEPTIBLE = 1e-4

GAUSSIAN = Ladder("standard deviation", "grey levels", 0, 60)
POISSON = Ladder("noise of white", "share of white", 0, 0.35)
SPECKLE = Ladder("coefficient of variation", "1", 0, 0.8)
IMPULSE = Ladder("share of pixels hit", "1", 0, 0.3)
BLUR = Ladder("standard deviation", "pixels at 64 px", 0, 3.5)
MOTION = Ladder("path length", "pixels at 64 px", 1, 15)
RESOLUTION = Ladder("downsampling factor", "1", 1, 6)
INPAINTING = Ladder("share of area missing", "1", 0, 0.4)
BIAS = Ladder("log amplitude", "nepers", 0, 0.9)


def _seeded(name: str, ladder: Ladder) -> Draw:
    """Draw the effect of the severity and the seed of a noise field."""

    def draw(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        return {name: ladder.at(severity), "seed": draw_seed(rng)}

    return draw


@task(family="generative", draw=_seeded("sigma", GAUSSIAN), ladder=GAUSSIAN)
def denoising_gaussian(sample: Sample, params: Params) -> Pair:
    """Remove additive white Gaussian noise, as of receiver electronics."""
    plane = thin(sample.image)
    noise = noise_generator(params["seed"]).standard_normal(plane.shape, dtype=np.float32)
    return like(to_uint8(plane + params["sigma"] * noise), sample.image), sample.image


@task(family="generative", draw=_seeded("noise", POISSON), ladder=POISSON)
def denoising_poisson(sample: Sample, params: Params) -> Pair:
    """Remove photon-counting noise, whose variance grows with the signal (X-ray, PET, NM)."""
    if params["noise"] < IMPERCEPTIBLE:
        return sample.image, sample.image
    plane = thin(sample.image)
    # White is `photons` counts, so its relative noise is 1 / sqrt(photons).
    photons = params["noise"] ** -2
    counts = noise_generator(params["seed"]).poisson(plane * (photons / 255.0))
    return like(to_uint8(counts * (255.0 / photons)), sample.image), sample.image


@task(family="generative", draw=_seeded("variation", SPECKLE), ladder=SPECKLE)
def despeckling(sample: Sample, params: Params) -> Pair:
    """Remove multiplicative gamma speckle, as of coherent imaging (ultrasound, OCT)."""
    if params["variation"] < IMPERCEPTIBLE:
        return sample.image, sample.image
    plane = thin(sample.image)
    # Unit-mean gamma with `looks` averaged intensities has variation 1 / sqrt(looks).
    looks = params["variation"] ** -2
    speckle = noise_generator(params["seed"]).standard_gamma(looks, plane.shape, np.float32) / looks
    return like(to_uint8(plane * speckle), sample.image), sample.image


@task(family="generative", draw=_seeded("share", IMPULSE), ladder=IMPULSE)
def impulse_removal(sample: Sample, params: Params) -> Pair:
    """Remove salt-and-pepper noise, as of dead and hot detector pixels."""
    plane = thin(sample.image)
    hit = noise_generator(params["seed"]).random(plane.shape[:2], dtype=np.float32)
    noisy = plane.copy()
    noisy[hit < params["share"]] = 255
    noisy[hit < params["share"] / 2] = 0
    return like(noisy, sample.image), sample.image


def _draw_blur(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {"sigma": BLUR.at(severity)}


@task(family="generative", draw=_draw_blur, ladder=BLUR)
def deblurring(sample: Sample, params: Params) -> Pair:
    """Undo a Gaussian blur, as of defocus or a wide point spread."""
    sigma = params["sigma"] * scale_of(sample.image)
    if sigma == 0:
        return sample.image, sample.image
    blurred = cv2.GaussianBlur(thin(sample.image), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return like(blurred, sample.image), sample.image


def _draw_motion(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {"length": MOTION.at(severity), "angle": float(rng.uniform(0, 180))}


@task(family="generative", draw=_draw_motion, ladder=MOTION)
def motion_deblurring(sample: Sample, params: Params) -> Pair:
    """Undo the blur of a straight motion during the exposure."""
    length = 1 + (params["length"] - 1) * scale_of(sample.image)
    half = int(np.ceil(length / 2))
    a = np.deg2rad(params["angle"])
    reach = (length - 1) / 2
    # The path is sampled ten times a pixel and spread bilinearly, so any angle and length is exact.
    at = np.linspace(-reach, reach, max(2, int(10 * length)))
    x, y = half + at * np.cos(a), half + at * np.sin(a)
    kernel = np.zeros((2 * half + 2, 2 * half + 2))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - (x - column)) * np.abs(1 - dy - (y - row))
            np.add.at(kernel, (row + dy, column + dx), weight)
    kernel = kernel[:-1, :-1] / kernel[:-1, :-1].sum()
    blurred = cv2.filter2D(thin(sample.image), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return like(blurred, sample.image), sample.image


def _draw_resolution(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {
        "factor": RESOLUTION.at(severity),
        "enlarge": str(rng.choice(["linear", "cubic"])),
    }


@task(family="generative", draw=_draw_resolution, ladder=RESOLUTION)
def super_resolution(sample: Sample, params: Params) -> Pair:
    """Recover detail lost by averaging pixels; the input is enlarged to the size of the output."""
    height, width = sample.image.shape[:2]
    # Whole sizes only, and never below 4 px: below that nothing of the picture is left.
    small = tuple(max(4, round(side / params["factor"])) for side in (width, height))
    kernel = cv2.INTER_LINEAR if params["enlarge"] == "linear" else cv2.INTER_CUBIC
    coarse = cv2.resize(thin(sample.image), small, interpolation=cv2.INTER_AREA)
    return like(
        cv2.resize(coarse, (width, height), interpolation=kernel), sample.image
    ), sample.image


def _draw_inpainting(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {
        "share": INPAINTING.at(severity),
        "shape": str(rng.choice(["rectangles", "ellipses", "strokes"])),
        "seed": draw_seed(rng),
    }


@task(family="generative", draw=_draw_inpainting, ladder=INPAINTING)
def inpainting(sample: Sample, params: Params) -> Pair:
    """Fill in missing parts; holes have the image's mean grey, so that no black marks the task."""
    height, width = sample.image.shape[:2]
    hole = _holes(params["shape"], params["share"], (height, width), params["seed"])
    plane = thin(sample.image).copy()
    plane[hole] = to_uint8(plane.reshape(height * width, -1).mean(axis=0)).squeeze()
    return like(plane, sample.image), sample.image


def _holes(shape: str, share: float, size: tuple[int, int], seed: int) -> np.ndarray:
    """Random shapes until the share of the area is covered; bool [H, W]."""
    rng = noise_generator(seed)
    hole = np.zeros(size, np.uint8)
    side = min(size)
    goal = share * hole.size
    for _ in range(200):
        if np.count_nonzero(hole) >= goal:
            break
        x, y = int(rng.integers(size[1])), int(rng.integers(size[0]))
        a, b = (max(1, int(v)) for v in rng.uniform(0.05, 0.2, 2) * side)
        if shape == "rectangles":
            cv2.rectangle(hole, (x - a, y - b), (x + a, y + b), 1, -1)
        elif shape == "ellipses":
            cv2.ellipse(hole, (x, y), (a, b), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        else:
            turn = rng.uniform(0, 2 * np.pi)
            end = (int(x + 2 * side * 0.3 * np.cos(turn)), int(y + 2 * side * 0.3 * np.sin(turn)))
            cv2.line(hole, (x, y), end, 1, max(1, round(4 * side / REFERENCE_SIDE)))
    return hole.astype(bool)


@task(family="generative", draw=no_params, needs=("colour",))
def colorization(sample: Sample, params: Params) -> Pair:
    """Give a grey version of a colour picture its true colours (luma of ITU-R BT.601)."""
    grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
    return like(grey, sample.image), sample.image


@task(family="generative", draw=_seeded("amplitude", BIAS), ladder=BIAS)
def bias_field_correction(sample: Sample, params: Params) -> Pair:
    """Undo a smooth multiplicative field, as of MR receive coils; a third-order polynomial."""
    height, width = sample.image.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    weights = noise_generator(params["seed"]).standard_normal(9, dtype=np.float32)
    terms = [(i, j) for i in range(4) for j in range(4 - i) if i + j > 0]
    field = sum(w * x**i * y**j for w, (i, j) in zip(weights, terms, strict=True))
    field = field - np.mean(field)
    field *= params["amplitude"] / max(float(np.abs(field).max()), 1e-6)
    plane = thin(sample.image)
    gain = np.exp(field) if plane.ndim == 2 else np.exp(field)[..., None]
    return like(to_uint8(plane * gain), sample.image), sample.image
