"""Albumentations: uint8 arrays [H, W] or [H, W, 3], each transform called by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import albumentations as A
import cv2
import numpy as np

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.extras import jpeg_quality

from .way import Build, Item, Peer, Way, at_side, either_way, in_turn, motion_length, odd, planes

# As ours; its cubic kernel is quicker and blurs more.
LANCZOS = {"interpolation": cv2.INTER_LANCZOS4, "border_mode": cv2.BORDER_REFLECT_101}
CUBIC = {**LANCZOS, "interpolation": cv2.INTER_CUBIC}
ENLARGE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def item(sample: Sample) -> Item:
    """As it is."""
    return Item(sample.image, sample.mask, sample.instances)


def pixels(result: Any) -> np.ndarray:
    """As it is."""
    return planes(result).astype(np.float32)


def _on_image(make: Callable[[float, int], Any]) -> Build:
    """Build a transform once and call it on the image."""

    def build(effect: float, side: int) -> Callable[[Item], Any]:
        transform = make(effect, side)
        return lambda item: transform(image=item.image)["image"]

    return build


def _noise(e: float, side: int) -> Any:
    return A.GaussNoise((e / 255, e / 255), p=1)


def _speckle(e: float, side: int) -> Any:
    # Of the diffuse part of an echo half varies its length. A uniform factor of this half width
    # has that variation, as far as it stays positive.
    half = min(1.0, 3**0.5 * e / 2**0.5)
    return A.MultiplicativeNoise((1 - half, 1 + half), per_channel=True, elementwise=True, p=1)


def _blur(e: float, side: int) -> Any:
    sigma = at_side(e, side)
    return A.GaussianBlur(0, (sigma, sigma), p=1)


def _motion(e: float, side: int) -> Any:
    length = odd(motion_length(e, side))
    return A.MotionBlur((length, length), allow_shifted=False, direction_range=(0, 0), p=1)


def _downscale(enlarge: int) -> Build:
    pair = {"downscale": cv2.INTER_AREA, "upscale": enlarge}
    return _on_image(lambda e, side: A.Downscale((1 / e, 1 / e), pair, p=1))


def _holes(e: float, side: int) -> Any:
    return A.CoarseDropout((5, 5), (0.1, 0.4), (0.1, 0.4), fill=128, p=1)


def _elastic(approximate: bool, **kernel: Any) -> Build:
    def make(e: float, side: int) -> Any:
        sigma = side / 12
        # Smoothing leaves about 1 / (2 sigma sqrt(pi)) of the standard deviation, which before that
        # is about a quarter of the extreme, to which the noise is scaled.
        alpha = at_side(e, side) / 2**0.5 * 2 * sigma * np.pi**0.5 * 4
        return A.ElasticTransform(alpha, sigma, approximate=approximate, p=1, **kernel)

    return _on_image(make)


def _grid_elastic(e: float, side: int) -> Any:
    size = max(1, round(at_side(e, side)))
    return A.GridElasticDeform((5, 5), size, interpolation=cv2.INTER_LANCZOS4, p=1)


def _affine(**options: Callable[[float], Any]) -> tuple[Way, ...]:
    """``Affine`` with options that follow from the effect, by our kernel and by a cubic one."""

    def build(**kernel: Any) -> Build:
        return _on_image(
            lambda e, side: A.Affine(p=1, **{k: of(e) for k, of in options.items()}, **kernel)
        )

    both = (build(**LANCZOS), build(**CUBIC))
    if "scale" in options:
        both = (either_way(both[0]), either_way(both[1]))
    return (
        Way("Affine", both[0]),
        Way("Affine, cubic", both[1], "a kernel of half the reach", simpler=True),
    )


def _unsharp(e: float, side: int) -> Any:
    sigma = at_side(1.1, side)
    return A.UnsharpMask((odd(6 * sigma),) * 2, (sigma, sigma), (1.0, 1.0), 0, p=1)


def _brightness(e: float, side: int) -> Any:
    return A.RandomBrightnessContrast((e / 255, e / 255), (0, 0), p=1)


WAYS = {
    "denoising_gaussian": (Way("GaussNoise", _on_image(_noise)),),
    "noise_addition": (Way("GaussNoise", _on_image(_noise)),),
    "denoising_poisson": (
        Way(
            "ShotNoise",
            _on_image(lambda e, side: A.ShotNoise((e**2, e**2), p=1)),
            "in linear light",
        ),
    ),
    "despeckling": (
        Way("MultiplicativeNoise", _on_image(_speckle), "uniform, no grain", simpler=True),
    ),
    "impulse_removal": (
        Way(
            "SaltAndPepper",
            _on_image(lambda e, side: A.SaltAndPepper((e, e), (0.5, 0.5), p=1)),
        ),
    ),
    "deblurring": (Way("GaussianBlur", _on_image(_blur)),),
    "motion_deblurring": (Way("MotionBlur", _on_image(_motion), "whole pixels"),),
    "super_resolution": (Way("Downscale", in_turn(*(_downscale(kernel) for kernel in ENLARGE))),),
    "inpainting": (Way("CoarseDropout", _on_image(_holes), "rectangles, a constant grey"),),
    "colorization": (Way("ToGray", _on_image(lambda e, side: A.ToGray(p=1))),),
    "bias_field_correction": (
        Way(
            "Illumination",
            _on_image(lambda e, side: A.Illumination("gaussian", (0.2, 0.2), p=1)),
            "one Gaussian, no polynomial",
            simpler=True,
        ),
    ),
    "rotation": (
        Way("Rotate", _on_image(lambda e, side: A.Rotate((e, e), p=1, **LANCZOS))),
        *_affine(rotate=lambda e: (e, e)),
    ),
    "horizontal_flip": (Way("HorizontalFlip", _on_image(lambda e, side: A.HorizontalFlip(p=1))),),
    "vertical_flip": (Way("VerticalFlip", _on_image(lambda e, side: A.VerticalFlip(p=1))),),
    "translation": _affine(translate_percent=lambda e: e / 2**0.5),
    "scaling": _affine(scale=lambda e: (2**e, 2**e)),
    "shear": _affine(shear=lambda e: {"x": (e, e), "y": 0}),
    "elastic_deformation": (
        Way("ElasticTransform", _elastic(False, **LANCZOS)),
        Way("ElasticTransform, approximate", _elastic(True, **LANCZOS), "17 px of smoothing"),
        Way("GridElasticDeform", _on_image(_grid_elastic), "a perspective a cell, not smooth"),
        Way(
            "ElasticTransform, approximate, cubic",
            _elastic(True, **CUBIC),
            "a kernel of half the reach",
            simpler=True,
        ),
    ),
    "brightness": (Way("RandomBrightnessContrast", _on_image(_brightness)),),
    "contrast_gamma": (
        Way(
            "RandomGamma",
            _on_image(lambda e, side: A.RandomGamma((100 * 2**e, 100 * 2**e), p=1)),
        ),
    ),
    "inversion": (Way("InvertImg", _on_image(lambda e, side: A.InvertImg(p=1))),),
    "jpeg_artifact_removal": (
        Way(
            "ImageCompression",
            _on_image(lambda e, side: A.ImageCompression("jpeg", (jpeg_quality(e),) * 2, p=1)),
            "takes RGB for BGR",
        ),
    ),
    "sharpening": (
        Way(
            "UnsharpMask",
            _on_image(_unsharp),
            "amount 1",
        ),
        Way(
            "Sharpen",
            _on_image(lambda e, side: A.Sharpen((0.5, 0.5), (1, 1), p=1)),
            "3 x 3",
            simpler=True,
        ),
    ),
    "histogram_equalisation": (Way("Equalize", _on_image(lambda e, side: A.Equalize(p=1))),),
}

PEER = Peer("albumentations", "albumentations", item, pixels, WAYS)
