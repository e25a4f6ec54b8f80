"""Kornia: float32 tensors [1, C, H, W] in 0 to 1; its functions, where there is one.

Its functions are quicker on a single image than its augmentation classes, so they are the harder
peer; classes stand for what draws random fields.
"""

from __future__ import annotations

from collections.abc import Callable
from math import radians, tan
from typing import Any

import kornia.augmentation as ka
import kornia.color as kc
import kornia.contrib as kx
import kornia.enhance as ke
import kornia.filters as kf
import kornia.geometry as kg
import numpy as np
import torch

from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.extras import jpeg_quality

from .way import (
    Build,
    Call,
    Item,
    Peer,
    Way,
    at_side,
    centres,
    either_way,
    in_turn,
    motion_length,
    odd,
    planes,
    steady,
)

CUBIC = {"mode": "bicubic", "padding_mode": "reflection"}


def item(sample: Sample) -> Item:
    """Batches of one."""
    image = planes(sample.image).transpose(2, 0, 1).astype(np.float32)[None] / 255
    points = centres(sample.instances)[:, ::-1].copy()
    return Item(
        torch.from_numpy(image),
        torch.from_numpy(sample.mask[None, None].astype(np.float32)),
        points=torch.from_numpy(points),
    )


def pixels(result: Any) -> np.ndarray:
    """Channels last, in grey levels."""
    return 255 * result[0].numpy().transpose(1, 2, 0)


def _on_image(make: Callable[[float, int], Any]) -> Build:
    """Build an augmentation once and call it on the image."""

    def build(effect: float, side: int) -> Call:
        augmentation = make(effect, side)
        return lambda item: augmentation(item.image)

    return build


def _noise(e: float, side: int) -> Any:
    return ka.RandomGaussianNoise(std=e / 255, p=1)


def _blur(e: float, side: int) -> Call:
    sigma = at_side(e, side)
    size = odd(6 * sigma + 1)
    return lambda item: kf.gaussian_blur2d(item.image, size, (sigma, sigma))


def _motion(e: float, side: int) -> Call:
    length = odd(motion_length(e, side))
    return lambda item: kf.motion_blur(item.image, length, 40.0, 0.0)


def _resize(enlarge: str) -> Build:
    def build(e: float, side: int) -> Call:
        small = round(side / e)

        def call(item: Item) -> Any:
            coarse = kg.resize(item.image, (small, small), "area")
            return kg.resize(coarse, (side, side), enlarge)

        return call

    return build


def _rotate(e: float, side: int) -> Call:
    angle = torch.tensor([e])
    return lambda item: kg.rotate(item.image, angle, **CUBIC)


def _translate(e: float, side: int) -> Call:
    shift = torch.full((1, 2), e * side / 2**0.5)
    return lambda item: kg.translate(item.image, shift, **CUBIC)


def _scale(e: float, side: int) -> Call:
    factor = torch.full((1, 2), 2**e)
    return lambda item: kg.scale(item.image, factor, **CUBIC)


def _shear(e: float, side: int) -> Call:
    slope = torch.tensor([[tan(radians(e)), 0.0]])
    return lambda item: kg.shear(item.image, slope, **CUBIC)


def _elastic(e: float, side: int) -> Call:
    sigma = side / 12
    size = odd(6 * sigma + 1)
    # Its displacements are shares of the image, uniform before they are smoothed.
    alpha = 2 * at_side(e, side) / side * 2 * sigma * (3 * np.pi / 2) ** 0.5

    def call(item: Item) -> Any:
        noise = 2 * torch.rand(1, 2, side, side) - 1
        return kg.transform.elastic_transform2d(
            item.image, noise, (size, size), (sigma, sigma), (alpha, alpha), **CUBIC
        )

    return call


def _unsharp(e: float, side: int) -> Call:
    sigma = at_side(1.1, side)
    size = odd(7 * sigma)
    return lambda item: kf.unsharp_mask(item.image, size, (sigma, sigma))


_HOT = kc.ApplyColorMap(kc.ColorMap("hot", 256))


def _pseudocolour(item: Item) -> Any:
    grey = item.image if item.image.shape[1] == 1 else kc.rgb_to_grayscale(item.image)
    return _HOT(grey)


def _jpeg(e: float, side: int) -> Call:
    quality = torch.tensor([float(jpeg_quality(e))])
    return lambda item: ke.jpeg_codec_differentiable(item.image.expand(-1, 3, -1, -1), quality)


def _heatmap(e: float, side: int) -> Call:
    width = 2.0 * side / 64

    def call(item: Item) -> Any:
        std = torch.full_like(item.points, width)
        bumps = kg.subpix.render_gaussian2d(item.points, std, (side, side), False)
        return bumps.amax(dim=0, keepdim=True)[None]

    return call


WAYS = {
    "distance_map": (
        Way(
            "contrib.distance_transform",
            steady(lambda i: kx.distance_transform(1 - i.mask.clamp(max=1))),
            "an approximation",
        ),
    ),
    "centroid_heatmap": (Way("render_gaussian2d", _heatmap),),
    "denoising_gaussian": (Way("RandomGaussianNoise", _on_image(_noise)),),
    "noise_addition": (Way("RandomGaussianNoise", _on_image(_noise)),),
    "impulse_removal": (
        Way(
            "RandomSaltAndPepperNoise",
            _on_image(lambda e, side: ka.RandomSaltAndPepperNoise((e, e), (0.5, 0.5), p=1)),
        ),
    ),
    "deblurring": (Way("gaussian_blur2d", _blur),),
    "motion_deblurring": (Way("motion_blur", _motion, "no angle between pixels"),),
    "super_resolution": (Way("resize, twice", in_turn(_resize("bilinear"), _resize("bicubic"))),),
    "inpainting": (
        Way(
            "RandomErasing",
            _on_image(lambda e, side: ka.RandomErasing((e, e), value=0.5, p=1)),
            "one rectangle, a constant grey",
        ),
    ),
    "colorization": (
        Way("rgb_to_grayscale", steady(lambda i: kc.rgb_to_grayscale(i.image)), "one channel"),
    ),
    "rotation": (Way("rotate", _rotate),),
    "horizontal_flip": (Way("hflip", steady(lambda i: kg.hflip(i.image))),),
    "vertical_flip": (Way("vflip", steady(lambda i: kg.vflip(i.image))),),
    "translation": (Way("translate", _translate),),
    "scaling": (Way("scale", either_way(_scale)),),
    "shear": (Way("shear", _shear),),
    "elastic_deformation": (Way("elastic_transform2d", _elastic),),
    "brightness": (
        Way("adjust_brightness", lambda e, side: lambda i: ke.adjust_brightness(i.image, e / 255)),
    ),
    "contrast_gamma": (
        Way("adjust_gamma", lambda e, side: lambda i: ke.adjust_gamma(i.image, 2**e)),
    ),
    "inversion": (Way("invert", steady(lambda i: ke.invert(i.image))),),
    "jpeg_artifact_removal": (Way("jpeg_codec_differentiable", _jpeg),),
    "sharpening": (
        Way("unsharp_mask", _unsharp, "amount 1"),
        Way("sharpness", steady(lambda i: ke.sharpness(i.image, 2.0)), "3 x 3", simpler=True),
    ),
    "pseudocolour": (Way("ApplyColorMap", steady(_pseudocolour), "three channels always"),),
    "edges": (Way("sobel", steady(lambda i: kf.sobel(i.image))),),
    "histogram_equalisation": (Way("equalize", steady(lambda i: ke.equalize(i.image))),),
}

PEER = Peer("kornia", "kornia", item, pixels, WAYS)
