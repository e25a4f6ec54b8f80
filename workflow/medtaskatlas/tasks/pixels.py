"""Pixel operations that tasks share: grey kept grey, borders filled alike, noise from a seed."""

from __future__ import annotations

import cv2
import numpy as np

# Lengths of effects (blur widths, shifts) are stated for images of this side and scale with it.
REFERENCE_SIDE = 64

# One look-up a pair; eight colours of Okabe and Ito (2008), readable with colour-blindness.
PALETTE = np.array(
    [
        [0, 0, 0],
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
        [255, 255, 255],
    ],
    np.uint8,
)


def scale_of(image: np.ndarray) -> float:
    """How much larger an image is than the side that effects are stated for.

    Parameters
    ----------
    image
        [H, W] or [H, W, C].

    Returns
    -------
    float
        Mean side over :data:`REFERENCE_SIDE`.
    """
    return (image.shape[0] + image.shape[1]) / (2 * REFERENCE_SIDE)


def thin(image: np.ndarray) -> np.ndarray:
    """Image without repeated channels: noise on a grey picture must be grey too.

    Parameters
    ----------
    image
        uint8 [H, W], [H, W, 1] or [H, W, 3].

    Returns
    -------
    numpy.ndarray
        [H, W] where the picture is grey, else the image itself.
    """
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[..., 0]
    grey = np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(
        image[..., 0], image[..., 2]
    )
    return np.ascontiguousarray(image[..., 0]) if grey else image


def like(pixels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Pixels in the shape of an image.

    Parameters
    ----------
    pixels
        uint8 [H, W] or of the image's own shape.
    image
        The image that gives the shape.

    Returns
    -------
    numpy.ndarray
        uint8 of the image's shape; a grey plane is repeated over the channels.
    """
    if pixels.shape == image.shape:
        return pixels
    if image.shape[2] == 1:
        return pixels[..., None]
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to the nearest grey level, clipped to 0..255.

    Parameters
    ----------
    values
        Float array in grey levels.

    Returns
    -------
    numpy.ndarray
        uint8 of the same shape.
    """
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noise_generator(seed: int) -> np.random.Generator:
    """Generator for a noise field whose seed is a parameter of the pair.

    SFC64 fills an array of normals about a third faster than PCG64.

    Parameters
    ----------
    seed
        A drawn 32-bit integer.

    Returns
    -------
    numpy.random.Generator
        The generator.
    """
    return np.random.Generator(np.random.SFC64(seed))


def draw_seed(rng: np.random.Generator) -> int:
    """Draw the seed of a noise field.

    Parameters
    ----------
    rng
        The pair's generator.

    Returns
    -------
    int
        32 bits, so that JSON keeps it exactly.
    """
    return int(rng.integers(2**32))


def warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Affine map of an image about its centre.

    Cubic interpolation, so that the loss of sharpness gives little away; borders are filled by
    reflection, so that padding does not mark the task.

    Parameters
    ----------
    image
        uint8 [H, W, C].
    matrix
        float [2, 3]: maps output to input positions, in pixels from the centre (x, y).

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, C].
    """
    height, width = image.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    full = np.empty((2, 3))
    full[:, :2] = matrix[:, :2]
    full[:, 2] = matrix[:, 2] + centre - matrix[:, :2] @ centre
    plane = thin(image)
    moved = cv2.warpAffine(
        plane,
        full,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return like(moved, image)
