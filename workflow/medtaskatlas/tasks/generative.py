"""Generative tasks: the input is degraded, the output is the image.

What keeps a network from telling them by their debris: every input is rounded once, by the same
rule (:func:`~medtaskatlas.tasks.pixels.to_uint8`); grey pictures stay grey; borders are filled by
reflection; no input is resampled unless losing resolution is the task; holes have a grey level of
their own in every pair, so that none marks the task.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.holes import SHAPES, holes
from medtaskatlas.tasks.noise import normals, poisson, uniform_words, within_a_step
from medtaskatlas.tasks.pixels import (
    between,
    blur,
    draw_seed,
    like,
    magnitude,
    mix,
    noise_generator,
    one_of,
    scale_of,
    thin,
    to_uint8,
)
from medtaskatlas.tasks.task import Ladder, Pair, Params, draws, no_params, task

# Relative noise that 8 bits cannot show; the counts behind it overflow.
IMPERCEPTIBLE = 1e-4

GAUSSIAN = Ladder("standard deviation", "grey levels", 0, 60)
POISSON = Ladder("noise of white", "share of white", 0, 0.35)
SPECKLE = Ladder("diffuse share of the echo's amplitude", "1", 0, 1)
IMPULSE = Ladder("share of pixels hit", "1", 0, 0.3)
BLUR = Ladder("standard deviation", "pixels at 64 px", 0, 3.5)
MOTION = Ladder("path length", "pixels at 64 px", 1, 15)
RESOLUTION = Ladder("downsampling factor", "1", 1, 6)
INPAINTING = Ladder("share of area missing", "1", 0, 0.4)
BIAS = Ladder("log amplitude", "nepers", 0, 0.9)

REDUCE = ("area", "gaussian")
ENLARGE = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


@task(family="generative", draw=draws(sigma=GAUSSIAN, seed=draw_seed), ladder=GAUSSIAN)
def denoising_gaussian(sample: Sample, params: Params) -> Pair:
    """Remove additive white Gaussian noise, as of receiver electronics.

    Each channel has noise of its own, as each sensor has.
    """
    plane = thin(sample.image)
    noise = normals(noise_generator(params["seed"]), plane.shape)
    return like(mix(plane, noise, params["sigma"]), sample.image), sample.image


@task(family="generative", draw=draws(noise=POISSON, seed=draw_seed), ladder=POISSON)
def denoising_poisson(sample: Sample, params: Params) -> Pair:
    """Remove photon-counting noise, whose variance grows with the signal (X-ray, PET, NM).

    Every pixel is a count of mean ``photons * grey / 255``, as in a projection image or a
    scintigram (Barrett and Myers, Foundations of Image Science, 2004, ch. 11). What low dose does
    to a reconstructed CT slice is another thing: see ``low_dose_ct``.

    A count is spread evenly over its width, half a count to either side: else few photons would
    leave a comb of grey levels, which a histogram tells and which comes from the scale alone. It
    widens the variance by a twelfth of a count. No count stays black.
    """
    if params["noise"] < IMPERCEPTIBLE:
        return sample.image, sample.image
    plane = thin(sample.image)
    # White is `photons` counts, so its relative noise is 1 / sqrt(photons).
    photons = params["noise"] ** -2
    means = (np.arange(256) * (photons / 255)).astype(np.float32)
    rng = noise_generator(params["seed"])
    counts = poisson(rng, cv2.LUT(plane, means))
    counts += within_a_step(rng, plane.shape) * np.minimum(counts, 1)
    counts *= np.float32(255 / photons)
    return like(to_uint8(counts), sample.image), sample.image


@task(
    family="generative",
    draw=draws(diffuse=SPECKLE, cell=between(0.4, 0.8), seed=draw_seed),
    ladder=SPECKLE,
)
def despeckling(sample: Sample, params: Params) -> Pair:
    """Remove speckle, as of coherent imaging (ultrasound, OCT).

    An echo is the sum of a coherent part and of many scatterers in random phase, a complex Gaussian
    number; its amplitude has the distribution of Rice, and that of Rayleigh where speckle is fully
    developed (Burckhardt, IEEE Trans Sonics Ultrason 25:1, 1978; Wagner et al., 30:156, 1983).
    Neighbours share a resolution cell, ``cell`` pixels of standard deviation at 64 px. The grain
    multiplies the picture and has mean 1, so that brightness stays as it is.
    """
    diffuse = min(params["diffuse"], 1.0)
    if diffuse == 0:
        return sample.image, sample.image
    plane = thin(sample.image)
    height, width = plane.shape[:2]
    sigma = params["cell"] * scale_of(sample.image)
    # A margin, which is cut off, keeps borders from being grainier than the rest.
    margin = math.ceil(2 * sigma)
    rng = noise_generator(params["seed"])
    wide = (height + 2 * margin, width + 2 * margin)
    inner = slice(margin, margin + height), slice(margin, margin + width)
    real, imaginary = (
        np.ascontiguousarray(blur(normals(rng, wide), sigma)[inner]) for _ in range(2)
    )
    power = float(np.square(real).mean() + np.square(imaginary).mean())
    part = np.float32(diffuse / math.sqrt(power))
    real *= part
    imaginary *= part
    real += np.float32(math.sqrt(1 - diffuse**2))
    grain = magnitude(real, imaginary)
    grain /= grain.mean()
    return like(to_uint8(_times(plane, grain)), sample.image), sample.image


def _times(plane: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Grey levels times a field [H, W] that all channels share; float32."""
    if plane.ndim == 2:
        return plane * field
    return plane * cv2.merge([field] * plane.shape[2])


@task(family="generative", draw=draws(share=IMPULSE, seed=draw_seed), ladder=IMPULSE)
def impulse_removal(sample: Sample, params: Params) -> Pair:
    """Remove salt-and-pepper noise, as of dead and hot detector pixels."""
    plane = thin(sample.image)
    words = uniform_words(noise_generator(params["seed"]), plane.shape[:2])
    hit = round(min(params["share"], 1.0) * 65536)
    noisy = plane.copy()
    for level, until in ((255, hit), (0, hit // 2)):
        if until > 0:
            cv2.copyTo(np.full_like(plane, level), (words <= until - 1).view(np.uint8), noisy)
    return like(noisy, sample.image), sample.image


@task(family="generative", draw=draws(sigma=BLUR), ladder=BLUR)
def deblurring(sample: Sample, params: Params) -> Pair:
    """Undo a Gaussian blur, as of defocus or a wide point spread."""
    blurred = blur(thin(sample.image), params["sigma"] * scale_of(sample.image))
    return like(to_uint8(blurred), sample.image), sample.image


@task(family="generative", draw=draws(length=MOTION, angle=between(0, 180)), ladder=MOTION)
def motion_deblurring(sample: Sample, params: Params) -> Pair:
    """Undo the blur of a straight motion during the exposure."""
    length = 1 + (params["length"] - 1) * scale_of(sample.image)
    if length <= 1:
        return sample.image, sample.image
    blurred = _filter_sparse(thin(sample.image), motion_kernel(length, params["angle"]))
    return like(to_uint8(blurred), sample.image), sample.image


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """Point spread of a straight motion of constant speed."""
    half = math.ceil(length / 2)
    side = 2 * half + 2
    reach = (length - 1) / 2
    # The path is sampled ten times a pixel and spread bilinearly, so any angle and length is exact.
    at = np.linspace(-reach, reach, max(2, int(10 * length)))
    x = half + at * math.cos(math.radians(angle))
    y = half + at * math.sin(math.radians(angle))
    column, row = x.astype(np.intp), y.astype(np.intp)
    x -= column
    y -= row
    cell = row * side + column
    cells = np.concatenate([cell, cell + 1, cell + side, cell + side + 1])
    weights = np.concatenate([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
    kernel = np.bincount(cells, weights, side * side).reshape(side, side)[:-1, :-1]
    return (kernel / kernel.sum()).astype(np.float32)


def _filter_sparse(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlation with a kernel that is mostly zeros; float32, borders filled by reflection."""
    piece = 10
    height, width = plane.shape[:2]
    half = kernel.shape[0] // 2
    wide = cv2.copyMakeBorder(plane, half, half, half, half, cv2.BORDER_REFLECT_101)
    wide = wide.astype(np.float32)
    total = np.zeros(plane.shape, np.float32)
    for top in range(0, kernel.shape[0], piece):
        for left in range(0, kernel.shape[1], piece):
            part = kernel[top : top + piece, left : left + piece]
            if not part.any():
                continue
            rows, columns = part.shape
            window = wide[top : top + height + rows - 1, left : left + width + columns - 1]
            total += cv2.filter2D(window, -1, part, anchor=(0, 0))[:height, :width]
    return total


@task(
    family="generative",
    draw=draws(factor=RESOLUTION, reduce=one_of(REDUCE), enlarge=one_of(tuple(ENLARGE))),
    ladder=RESOLUTION,
)
def super_resolution(sample: Sample, params: Params) -> Pair:
    """Recover detail lost to larger pixels; the input is enlarged to the size of the output.

    A pixel is the mean over its area, as of a detector, or a sample of a Gaussian point spread, the
    two usual models (Greenspan, Comput J 52:43, 2009); the factor need not be whole.
    """
    height, width = sample.image.shape[:2]
    factor = params["factor"]
    # Whole sizes only, and never below 4 px: below that nothing of the picture is left.
    small = max(4, round(width / factor)), max(4, round(height / factor))
    plane = thin(sample.image)
    if params["reduce"] == "area":
        coarse = cv2.resize(plane.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    else:
        # As wide as half a large pixel, less what the small ones have averaged already.
        sharp = blur(plane, 0.5 * math.sqrt(max(factor**2 - 1, 0)))
        coarse = cv2.resize(sharp, small, interpolation=cv2.INTER_LINEAR)
    enlarged = cv2.resize(coarse, (width, height), interpolation=ENLARGE[params["enlarge"]])
    # The other kernels overshoot.
    rounded = to_uint8(enlarged, negative=params["enlarge"] != "linear")
    return like(rounded, sample.image), sample.image


@task(
    family="generative",
    draw=draws(share=INPAINTING, shape=one_of(SHAPES), level=one_of(range(256)), seed=draw_seed),
    ladder=INPAINTING,
)
def inpainting(sample: Sample, params: Params) -> Pair:
    """Fill in missing parts, as of burnt-in text, markers, implants or dropped-out elements.

    Holes have one grey level, which differs from pair to pair so that none marks the task.
    """
    plane = thin(sample.image)
    hole = holes(params["shape"], params["share"], plane.shape[:2], params["seed"])
    holed = np.empty_like(plane)
    holed.fill(params["level"])
    cv2.copyTo(plane, np.bitwise_xor(hole, 1, out=hole), holed)
    return like(holed, sample.image), sample.image


@task(family="generative", draw=no_params, needs=("colour",))
def colorization(sample: Sample, params: Params) -> Pair:
    """Give a grey version of a colour picture its true colours (luma of ITU-R BT.601).

    Not for grey pictures: the output of a generative task is the image, so a grey one in false
    colours would have to be the input and the task would run backwards; and under one name a
    look-up of colours and a guess of colours would be told apart by modality, not by task. False
    colours are a transformation of their own, the extra ``pseudocolour``.
    """
    plane = thin(sample.image)
    grey = plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY)
    return like(grey, sample.image), sample.image


@task(family="generative", draw=draws(amplitude=BIAS, seed=draw_seed), ladder=BIAS)
def bias_field_correction(sample: Sample, params: Params) -> Pair:
    """Undo a smooth multiplicative field, as of MR receive coils; a third-order polynomial.

    The logarithm of the field is the polynomial (Van Leemput et al., IEEE TMI 18:885, 1999), scaled
    so that its mean is 0 and its largest value is the stated one.
    """
    height, width = sample.image.shape[:2]
    field = _cubic(noise_generator(params["seed"]), height, width)
    field -= field.mean()
    low, high, _, _ = cv2.minMaxLoc(field)
    field *= np.float32(params["amplitude"] / max(high, -low, 1e-6))
    gain = cv2.exp(field)
    return like(to_uint8(_times(thin(sample.image), gain)), sample.image), sample.image


def _cubic(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Polynomial of third order with normal coefficients over [-1, 1]^2, by Horner's rule in x."""
    x, y_powers = _axes(height, width)
    weights = np.zeros((4, 4), np.float32)
    # Row i holds the coefficients of x^i in powers of y; the constant is left out.
    weights[np.triu_indices(4)] = normals(rng, (10,))
    weights[0, 0] = 0
    in_y = np.stack([(w[i:, None] * y_powers[: 4 - i]).sum(axis=0) for i, w in enumerate(weights)])[
        ..., None
    ]
    field = in_y[3] * x
    for i in (2, 1):
        field = field + in_y[i]
        field *= x
    field += in_y[0]
    return field


@lru_cache(maxsize=8)
def _axes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The x axis [W] and the powers 0 to 3 of the y axis [4, H]."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    powers = np.stack([y**i for i in range(4)])
    for table in (x, powers):
        table.flags.writeable = False
    return x, powers
