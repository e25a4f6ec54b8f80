"""Extras that restore what the physics of MR and CT does to an image: k-space and sinogram.

A picture stands for the object: a grey level is the signal of MR or the attenuation of CT. k-space
is its Fourier transform, whose lines along one axis are measured one after the other (the
phase-encoding direction), and MR shows the magnitude of what comes back. Channels of a colour
picture are objects of their own in k-space. Nothing is resampled, so these tasks have no blur but
their own, and rounding is that of all tasks.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.noise import normals, poisson
from medtaskatlas.tasks.pixels import (
    between,
    draw_seed,
    like,
    magnitude,
    mix,
    noise_generator,
    thin,
    to_uint8,
)
from medtaskatlas.tasks.task import Ladder, Pair, Params, draws, task
from medtaskatlas.tasks.tomography import back_project, detector_size, project, view_count

RICIAN = Ladder("standard deviation of a channel", "grey levels", 0, 60)
# The root, since half of k-space can go before an eye sees much.
GIBBS = Ladder("root of the share of k-space kept along an axis", "1", 1, 0.4)
GHOSTING = Ladder("modulation of the lines", "1", 0, 1)
SPIKES = Ladder("amplitude of the stripes", "grey levels", 0, 60)
UNDERSAMPLING = Ladder("share of lines left out", "1", 0, 0.8)
DOSE = Ladder("noise of a ray in air", "1", 0, 0.12)

# Share of lines at the centre of k-space that undersampling keeps, as in fastMRI.
CENTRE = 0.08
# Attenuation of a ray along a side of a white image, in nepers: that of 20 cm of soft tissue.
OPACITY = 4.0


@task(family="generative", draw=draws(sigma=RICIAN, seed=draw_seed), ladder=RICIAN, extra=True)
def rician_denoising(sample: Sample, params: Params) -> Pair:
    """Remove the noise of MR magnitude images, which is Rician: it brightens the dark.

    Real and imaginary channel have Gaussian noise of the same deviation (Gudbjartsson and Patz,
    Magn Reson Med 34:910, 1995).
    """
    plane = thin(sample.image)
    rng = noise_generator(params["seed"])
    sigma = np.float32(params["sigma"])
    real = normals(rng, plane.shape)
    real *= sigma
    real += plane
    imaginary = normals(rng, plane.shape)
    imaginary *= sigma
    return like(to_uint8(magnitude(real, imaginary)), sample.image), sample.image


def _axis(rng: np.random.Generator) -> int:
    """Phase-encoding axis."""
    return int(rng.integers(2))


def _channels_first(plane: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, C] as float32 [C, H, W]."""
    if plane.ndim == 2:
        return plane.astype(np.float32)[None]
    return np.stack(cv2.split(plane)).astype(np.float32)


def _channels_last(planes: np.ndarray) -> np.ndarray:
    """Float [C, H, W] as uint8 [H, W] or [H, W, C]."""
    rounded = to_uint8(planes)
    return rounded[0] if len(rounded) == 1 else cv2.merge(list(rounded))


def _draw_gibbs(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    return {"kept": GIBBS.at(severity) ** 2}


@task(family="generative", draw=_draw_gibbs, ladder=GIBBS, extra=True)
def gibbs_removal(sample: Sample, params: Params) -> Pair:
    """Remove the ringing of a truncated k-space (Gibbs artefact), and regain its resolution.

    Frequencies above the kept share are zero along both axes, and the grid stays as it is: an MR
    image interpolated by zero filling (Wood and Henkelman, Magn Reson Med 2:517, 1985).
    """
    planes = _channels_first(thin(sample.image))
    for axis in (1, 2):
        size = planes.shape[axis]
        # Frequencies 0 to `highest` of size // 2; the window is separable, so axes come in turn.
        highest = max(1, round(params["kept"] * (size // 2)))
        if highest < size // 2:
            spectrum = np.fft.rfft(planes, axis=axis)
            kept = spectrum[:, : highest + 1] if axis == 1 else spectrum[..., : highest + 1]
            # The inverse fills up with zeros.
            planes = np.fft.irfft(kept, size, axis=axis)
    return like(_channels_last(np.abs(planes)), sample.image), sample.image


def weigh_lines(planes: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Magnitude image after every line of k-space has been multiplied by a real weight."""
    size = planes.shape[axis]
    half = size // 2 + 1
    shape = (1, half, 1) if axis == 1 else (1, 1, half)
    # Weights that are not symmetric make the image complex. Two real transforms, of the symmetric
    # and of the antisymmetric part, give its two parts at half the cost of complex ones.
    mirrored = np.roll(weights[::-1], 1)
    even = ((weights + mirrored) / 2)[:half].reshape(shape)
    odd = ((weights - mirrored) / 2)[:half].reshape(shape)
    spectrum = np.fft.rfft(planes, axis=axis)
    real = np.fft.irfft(spectrum * even, size, axis=axis)
    if not odd.any():
        return np.abs(real)
    imaginary = np.fft.irfft(spectrum * (odd * np.complex64(-1j)), size, axis=axis)
    return magnitude(real, imaginary)


@task(
    family="generative",
    draw=draws(
        modulation=GHOSTING,
        period=lambda rng: int(rng.integers(2, 7)),
        phase=between(-math.pi / 4, math.pi / 4),
        axis=_axis,
    ),
    ladder=GHOSTING,
    extra=True,
)
def ghosting_removal(sample: Sample, params: Params) -> Pair:
    """Remove ghosts along the phase-encoding direction, as of breathing or a pulsing vessel.

    A periodic change of the signal from line to line of k-space repeats the object at the field of
    view over the period; a period of two lines is the N/2 ghost of echo-planar imaging (Wood and
    Henkelman, Med Phys 12:143, 1985). The weight of the centre is 1, so that brightness stays.
    """
    planes = _channels_first(thin(sample.image))
    axis = 1 + params["axis"]
    size = planes.shape[axis]
    line = np.fft.fftfreq(size, 1 / size)
    turn = 2 * math.pi * line / params["period"] + params["phase"]
    weights = 1 + params["modulation"] * np.cos(turn)
    weights = (weights / weights[0]).astype(np.float32)
    ghosts = weigh_lines(planes, weights, axis)
    return like(_channels_last(ghosts), sample.image), sample.image


def _draw_spikes(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    """Places in k-space, at 0.1 to 0.9 of its half width in any direction, and phases."""
    height, width = sample.image.shape[:2]
    spikes = []
    for _ in range(int(rng.integers(1, 4))):
        radius, turn, phase = rng.random(3)
        radius, turn = 0.1 + 0.8 * radius, 2 * math.pi * turn
        row = round(radius * math.sin(turn) * (height // 2))
        column = round(radius * math.cos(turn) * (width // 2))
        spikes.append([row, column, float(2 * math.pi * phase)])
    return {"amplitude": SPIKES.at(severity), "spikes": spikes}


@task(family="generative", draw=_draw_spikes, ladder=SPIKES, extra=True)
def spike_removal(sample: Sample, params: Params) -> Pair:
    """Remove the stripes of spikes in k-space (herringbone artefact), as of arcing or loose coils.

    A spike at one point of k-space adds one complex wave to the image (Stadler et al., Eur Radiol
    17:1242, 2007), so it is added as such: what a transform there and back would give.
    """
    planes = _channels_first(thin(sample.image))
    height, width = planes.shape[1:]
    real = np.zeros((height, width), np.float32)
    imaginary = np.zeros((height, width), np.float32)
    amplitude = params["amplitude"] / math.sqrt(max(len(params["spikes"]), 1))
    for row, column, phase in params["spikes"]:
        along_y = amplitude * np.exp(1j * (2 * np.pi * row / height * np.arange(height) + phase))
        along_x = np.exp(1j * (2 * np.pi * column / width * np.arange(width)))
        y, x = along_y.astype(np.complex64), along_x.astype(np.complex64)
        real += np.multiply.outer(y.real, x.real) - np.multiply.outer(y.imag, x.imag)
        imaginary += np.multiply.outer(y.real, x.imag) + np.multiply.outer(y.imag, x.real)
    planes += real
    striped = magnitude(planes, np.broadcast_to(imaginary, planes.shape))
    return like(_channels_last(striped), sample.image), sample.image


@task(
    family="generative",
    draw=draws(left_out=UNDERSAMPLING, axis=_axis, seed=draw_seed),
    ladder=UNDERSAMPLING,
    extra=True,
)
def undersampled_mri(sample: Sample, params: Params) -> Pair:
    """Remove the aliasing of an MR scan sped up by leaving out lines of k-space.

    The centre is kept and random lines elsewhere, the rest is filled with zeros (Lustig et al.,
    Magn Reson Med 58:1182, 2007; the masks of fastMRI, Zbontar et al., arXiv 1811.08839). A faster
    scan has a part of the lines of a slower one.
    """
    planes = _channels_first(thin(sample.image))
    axis = 1 + params["axis"]
    size = planes.shape[axis]
    weights = line_mask(size, params["left_out"], params["seed"])
    if weights.all():
        return sample.image, sample.image
    aliased = weigh_lines(planes, weights, axis)
    return like(_channels_last(aliased), sample.image), sample.image


def line_mask(size: int, left_out: float, seed: int) -> np.ndarray:
    """Lines of k-space that an undersampled scan measures."""
    order = np.argsort(noise_generator(seed).random(size), kind="stable")
    # fftfreq is off by some last digits.
    frequency = np.abs(np.rint(np.fft.fftfreq(size, 1 / size)))
    centre = frequency <= max(1, CENTRE * size / 2)
    first = np.concatenate([np.flatnonzero(centre), order[~centre[order]]])
    lines = max(int(np.count_nonzero(centre)), round(size * (1 - left_out)))
    weights = np.zeros(size, np.float32)
    weights[first[:lines]] = 1
    return weights


@task(family="generative", draw=draws(noise=DOSE, seed=draw_seed), ladder=DOSE, extra=True)
def low_dose_ct(sample: Sample, params: Params) -> Pair:
    """Remove the streaky noise of a CT slice at low dose: few photons along opaque rays.

    The object is projected along all rays of a parallel scan, photons behind it are counted with
    Poisson noise, and the error of the logarithm is reconstructed by filtered back projection and
    added: as both are linear, this is the reconstruction of the noisy sinogram without the blur of
    projecting the image itself (Yu et al., J Comput Assist Tomogr 36:477, 2012). Colour pictures
    attenuate by their luma and have one noise in all channels.
    """
    if params["noise"] < 1e-5:
        return sample.image, sample.image
    plane = thin(sample.image)
    grey = plane if plane.ndim == 2 else cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    side = max(height, width)
    # A square with the image in the middle.
    top, left = (side - height) // 2, (side - width) // 2
    square = cv2.copyMakeBorder(
        grey, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=0
    )
    views = view_count(side)
    attenuation = project(square, views, detector_size(side)) * np.float32(OPACITY / 255)
    photons = np.float32(params["noise"] ** -2)
    expected = np.exp(-attenuation) * photons
    counted = np.maximum(poisson(noise_generator(params["seed"]), expected), 1)
    error = np.log(expected / counted)
    # From nepers a pixel to grey levels.
    field = back_project(error, side) * np.float32(side * 255 / OPACITY)
    field = np.ascontiguousarray(field[top : top + height, left : left + width])
    if plane.ndim == 3:
        field = cv2.merge([field] * plane.shape[2])
    return like(mix(plane, field, 1), sample.image), sample.image
