"""scikit-image: uint8 arrays [H, W] or [H, W, 3]; its functions give floats in 0 to 1."""

from __future__ import annotations

from collections.abc import Callable
from math import radians
from typing import Any

import numpy as np
from skimage import (
    color,
    draw,
    exposure,
    filters,
    measure,
    morphology,
    segmentation,
    transform,
    util,
)

from medtaskatlas.formats.images import Sample

from .way import Build, Call, Item, Peer, Way, at_side, either_way, in_turn, planes, steady

CUBIC = {"order": 3, "mode": "reflect"}


def item(sample: Sample) -> Item:
    """As it is."""
    return Item(sample.image, sample.mask, sample.instances)


def pixels(result: Any) -> np.ndarray:
    """In grey levels."""
    return planes(util.img_as_float32(np.asarray(result))) * 255


def _axis(image: np.ndarray) -> int | None:
    # Not -1, which unsharp_mask takes for the rows.
    return None if image.ndim == 2 else 2


def _random_noise(mode: str, **of: Callable[[float], float]) -> Build:
    """``random_noise`` with options that follow from the effect."""

    def build(e: float, side: int) -> Call:
        options = {name: value(e) for name, value in of.items()}
        return lambda i: util.random_noise(i.image, mode, **options)

    return build


def _blur(e: float, side: int) -> Call:
    sigma = at_side(e, side)
    return lambda i: filters.gaussian(i.image, sigma, truncate=3, channel_axis=_axis(i.image))


def _resize(order: int) -> Build:
    def build(e: float, side: int) -> Call:
        small = round(side / e)

        def call(i: Item) -> Any:
            coarse = transform.resize(i.image, (small, small))
            return transform.resize(coarse, (side, side), order)

        return call

    return build


def _warp(make: Callable[[float, int], Any]) -> Build:
    """``warp`` by an affine map that is made anew for every image, as it is drawn anew."""

    def build(e: float, side: int) -> Call:
        return lambda i: transform.warp(i.image, make(e, side), **CUBIC)

    return build


def _zoom(e: float, side: int) -> Any:
    centre = np.array([(side - 1) / 2] * 2)
    step = 2**-e
    return transform.AffineTransform(scale=step, translation=centre * (1 - step))


def _shift(e: float, side: int) -> Any:
    return transform.AffineTransform(translation=(e * side / 2**0.5,) * 2)


def _shear(e: float, side: int) -> Any:
    return transform.AffineTransform(shear=radians(e))


def _boxes(i: Item) -> Any:
    drawn = np.zeros(i.instances.shape, np.uint8)
    for region in measure.regionprops(i.instances):
        y0, x0, y1, x1 = region.bbox
        outline = draw.rectangle_perimeter((y0, x0), (y1 - 1, x1 - 1), shape=drawn.shape)
        drawn[outline] = 255
    return drawn


def _low_dose(e: float, side: int) -> Call:
    """Counts of parallel rays, and filtered back-projection; as many views as ours takes."""
    views, nepers = 4 * max(8, min(24, side // 4)), 4 / side
    angles = np.linspace(0, 180, views, endpoint=False)
    rng = np.random.default_rng()

    def call(i: Item) -> Any:
        grey = color.rgb2gray(i.image) if i.image.ndim == 3 else i.image / 255
        lines = transform.radon(grey, angles, circle=False) * nepers
        counts = np.maximum(rng.poisson(np.exp(-lines) / e**2), 1)
        noisy = -np.log(counts * e**2) / nepers
        return np.clip(transform.iradon(noisy, angles, side, "hann", circle=False), 0, 1)

    return call


WAYS = {
    "multiclass_segmentation": (
        Way("label2rgb", steady(lambda i: color.label2rgb(i.mask, bg_label=0))),
    ),
    "instance_segmentation": (
        Way("label2rgb", steady(lambda i: color.label2rgb(i.instances, bg_label=0))),
    ),
    "detection": (Way("regionprops, rectangle_perimeter", steady(_boxes)),),
    "boundary": (Way("find_boundaries", steady(lambda i: segmentation.find_boundaries(i.mask))),),
    "skeleton": (Way("skeletonize", steady(lambda i: morphology.skeletonize(i.mask > 0))),),
    "denoising_gaussian": (
        Way("random_noise", _random_noise("gaussian", var=lambda e: (e / 255) ** 2)),
    ),
    "noise_addition": (
        Way("random_noise", _random_noise("gaussian", var=lambda e: (e / 255) ** 2)),
    ),
    "denoising_poisson": (
        Way("random_noise", _random_noise("poisson"), "256 photons at white, not settable"),
    ),
    "despeckling": (
        Way(
            "random_noise",
            _random_noise("speckle", var=lambda e: e**2 / 2),
            "normal, no grain",
            simpler=True,
        ),
    ),
    "impulse_removal": (Way("random_noise", _random_noise("s&p", amount=lambda e: e)),),
    "deblurring": (Way("gaussian", _blur),),
    "super_resolution": (Way("resize, twice", in_turn(_resize(1), _resize(3), _resize(5))),),
    "colorization": (Way("rgb2gray", steady(lambda i: color.rgb2gray(i.image)), "one channel"),),
    "rotation": (Way("rotate", lambda e, side: lambda i: transform.rotate(i.image, e, **CUBIC)),),
    "translation": (Way("warp", _warp(_shift)),),
    "scaling": (Way("warp", either_way(_warp(_zoom))),),
    "shear": (Way("warp", _warp(_shear)),),
    "contrast_gamma": (
        Way("adjust_gamma", lambda e, side: lambda i: exposure.adjust_gamma(i.image, 2**e)),
    ),
    "inversion": (Way("invert", steady(lambda i: util.invert(i.image))),),
    "low_dose_ct": (Way("radon, iradon", _low_dose, "blurs the image too, one channel"),),
    "sharpening": (
        Way(
            "unsharp_mask",
            lambda e, side: (
                lambda i: filters.unsharp_mask(
                    i.image, at_side(1.1, side), e, channel_axis=_axis(i.image)
                )
            ),
        ),
    ),
    "edges": (Way("sobel", steady(lambda i: filters.sobel(i.image))),),
    "histogram_equalisation": (
        Way("equalize_hist", steady(lambda i: exposure.equalize_hist(i.image))),
    ),
}

PEER = Peer("scikit-image", "scikit-image", item, pixels, WAYS)
