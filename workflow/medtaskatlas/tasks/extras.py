"""Extras beside the thirty tasks that need no physics of a scanner.

Each runs only where a configuration names it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.generative import GAUSSIAN
from medtaskatlas.tasks.noise import normals
from medtaskatlas.tasks.pixels import (
    between,
    blur,
    draw_seed,
    like,
    looked_up,
    magnitude,
    mix,
    noise_generator,
    scale_of,
    thin,
    to_uint8,
)
from medtaskatlas.tasks.task import Ladder, Pair, Params, draws, no_params, task

# The root, since a coarser quantiser finds less and less left to take.
JPEG = Ladder("root of the quantiser's scale", "1", 0, math.sqrt(10))
OUTPAINTING = Ladder("share of area missing", "1", 0, 0.7)
SHARPENING = Ladder("amount", "1", 0, 4)
EQUALISATION = Ladder("share of the way to a flat histogram", "1", 0, 1)

# Steepest edge of 8 bits: Scharr's kernel sums to 16 on either side.
STEEPEST = 16 * 255


def _draw_jpeg(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {"quality": jpeg_quality(JPEG.at(severity))}


def jpeg_quality(root: float) -> int:
    """Quality on the IJG scale whose quantiser is the stated one."""
    scale = root**2
    return max(1, round(100 - 50 * scale if scale < 1 else 50 / scale))


@task(family="generative", draw=_draw_jpeg, ladder=JPEG, extra=True)
def jpeg_artifact_removal(sample: Sample, params: Params) -> Pair:
    """Remove the blocks and ringing of JPEG, as of archives with lossy compression.

    Baseline JPEG (ITU-T T.81) at a quality of the IJG scale, colours at half resolution; 100 stands
    for no compression, since its error is that of rounding. Erickson, J Digit Imaging 15:5, 2002,
    says what ratios radiology puts up with.
    """
    if params["quality"] >= 100:
        return sample.image, sample.image
    plane = thin(sample.image)
    quality = [cv2.IMWRITE_JPEG_QUALITY, max(1, params["quality"])]
    # OpenCV's encoder takes the channels for blue, green and red, and weighs them so.
    grey = plane.ndim == 2
    ordered = plane if grey else cv2.cvtColor(plane, cv2.COLOR_RGB2BGR)
    code = cv2.imencode(".jpg", ordered, quality)[1]
    decoded = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    return like(np.asarray(decoded), sample.image), sample.image


@task(
    family="generative",
    draw=draws(
        share=OUTPAINTING,
        x=between(0, 1),
        y=between(0, 1),
        level=lambda rng: int(rng.integers(256)),
    ),
    ladder=OUTPAINTING,
    extra=True,
)
def outpainting(sample: Sample, params: Params) -> Pair:
    """Continue a picture beyond its field of view, as of CT truncated by a narrow scan field.

    The rest has one grey level, which differs from pair to pair as that of the holes of inpainting
    does. Completion of truncated CT: Hsieh et al., Med Phys 31:2385, 2004.
    """
    plane = thin(sample.image)
    height, width = plane.shape[:2]
    part = math.sqrt(1 - min(params["share"], 0.95))
    rows, columns = max(1, round(part * height)), max(1, round(part * width))
    top, left = round(params["y"] * (height - rows)), round(params["x"] * (width - columns))
    window = slice(top, top + rows), slice(left, left + columns)
    framed = np.full_like(plane, params["level"])
    framed[window] = plane[window]
    return like(framed, sample.image), sample.image


@task(
    family="transformation", draw=draws(sigma=GAUSSIAN, seed=draw_seed), ladder=GAUSSIAN, extra=True
)
def noise_addition(sample: Sample, params: Params) -> Pair:
    """Add white Gaussian noise: the reverse of denoising_gaussian, with the same ladder.

    The model of thermal noise at high signal (Gonzalez and Woods, Digital Image Processing, 2018,
    ch. 5); used for trajectories.
    """
    plane = thin(sample.image)
    noise = normals(noise_generator(params["seed"]), plane.shape)
    return sample.image, like(mix(plane, noise, params["sigma"]), sample.image)


@task(
    family="transformation",
    draw=draws(amount=SHARPENING, sigma=between(0.7, 1.5)),
    ladder=SHARPENING,
    extra=True,
)
def sharpening(sample: Sample, params: Params) -> Pair:
    """Sharpen by unsharp masking, as the display of digital radiographs does.

    The image and ``amount`` times its difference from a blurred copy, ``sigma`` pixels at 64 px
    (Loo et al., Med Phys 12:209, 1985).
    """
    plane = thin(sample.image)
    detail = plane - blur(plane, params["sigma"] * scale_of(sample.image))
    return sample.image, like(mix(plane, detail, params["amount"]), sample.image)


@task(family="transformation", draw=no_params, extra=True)
def edges(sample: Sample, params: Params) -> Pair:
    """Show the steepness of grey levels: length of the gradient, by Scharr's kernels.

    White is a quarter of the steepest edge of 8 bits (Jähne, Scharr and Körkel, Handbook of
    Computer Vision and Applications, 1999, vol. 2). In colour each channel has its own.
    """
    plane = thin(sample.image)
    across, down = (
        cv2.Scharr(plane, cv2.CV_32F, dx, 1 - dx, borderType=cv2.BORDER_REFLECT_101)
        for dx in (1, 0)
    )
    length = magnitude(across, down)
    length *= np.float32(4 * 255 / STEEPEST)
    return sample.image, like(to_uint8(length), sample.image)


@task(family="transformation", draw=draws(share=EQUALISATION), ladder=EQUALISATION, extra=True)
def histogram_equalisation(sample: Sample, params: Params) -> Pair:
    """Spread grey levels until all are equally frequent, or a part of the way.

    The mean of the equalised and of the old level, weighted (Stark, IEEE Trans Image Process 9:889,
    2000). Colours take the map of their luma. A constant picture stays as it is.
    """
    plane = thin(sample.image)
    share = params["share"]
    if plane.ndim == 2 and plane.size < 190**2:
        # On one plane OpenCV's own two passes are quicker than a table, until it is large.
        mixed = cv2.addWeighted(plane, 1 - share, cv2.equalizeHist(plane), share, 0)
        return sample.image, like(mixed, sample.image)
    table = _equalising(plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY))
    levels = cv2.addWeighted(_GREYS, 1 - share, table, share, 0)
    return sample.image, like(looked_up(plane, levels[0]), sample.image)


# One of each grey level, in order.
_GREYS = np.arange(256, dtype=np.uint8).reshape(1, 256)


def _equalising(grey: np.ndarray) -> np.ndarray:
    """What ``cv2.equalizeHist`` makes of every grey level of a plane; uint8 [1, 256]."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).reshape(1, -1)
    below = np.cumsum(counts, dtype=np.float32)
    darkest = below[np.argmax(below > 0)]
    if darkest == grey.size:
        return _GREYS
    return to_uint8((below - darkest) * (np.float32(255) / (grey.size - darkest))).reshape(1, 256)


@task(family="transformation", draw=no_params, format_identifiable=True, extra=True)
def pseudocolour(sample: Sample, params: Params) -> Pair:
    """Show grey levels in the colours of hot iron, as nuclear medicine shows counts.

    Red rises over the lower half, green over the upper half, blue over the last quarter (after the
    palette of DICOM PS3.6, annex B.1.1). Colour pictures go by their luma; a picture of one channel
    shows the luma of the colours.
    """
    plane = thin(sample.image)
    grey = plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY)
    hot = cv2.merge([looked_up(grey, table) for table in _hot_iron()])
    if sample.image.ndim == 3 and sample.image.shape[2] == 3:
        return sample.image, hot
    return sample.image, like(cv2.cvtColor(hot, cv2.COLOR_RGB2GRAY), sample.image)


def _hot_iron() -> list[np.ndarray]:
    """Red, green and blue of every grey level."""
    grey = np.arange(256)
    ramps = (2 * grey, 2 * (grey - 128), 4 * (grey - 192))
    return [np.clip(ramp, 0, 255).astype(np.uint8) for ramp in ramps]
