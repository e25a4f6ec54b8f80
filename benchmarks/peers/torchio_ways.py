"""TorchIO: images of float32 tensors [C, H, W, 1] in 0 to 1, as its gamma needs them."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import torch
import torchio as tio

from medtaskatlas.formats.images import Sample

from .way import Build, Item, Peer, Way, at_side, either_way, planes, steady


def item(sample: Sample) -> Item:
    """Volumes of one slice."""
    image = planes(sample.image).transpose(2, 0, 1).astype(np.float32)[..., None] / 255
    mask = tio.LabelMap(tensor=torch.from_numpy(sample.mask[None, ..., None]))
    scalar = tio.ScalarImage(tensor=torch.from_numpy(image))
    # Masking needs both in one subject.
    return Item(scalar, mask, tio.Subject(image=scalar, mask=mask))


def pixels(result: Any) -> np.ndarray:
    """Channels last, without the third axis, in grey levels."""
    image = result["image"] if isinstance(result, tio.Subject) else result
    return 255 * image.data.numpy()[..., 0].transpose(1, 2, 0).astype(np.float32)


def _on_image(make: Callable[[float, int], Any]) -> Build:
    """Build a transform once and call it on the image."""

    def build(effect: float, side: int) -> Callable[[Item], Any]:
        transform = make(effect, side)
        return lambda item: transform(item.image)

    return build


def _affine(**ranges: Any) -> Any:
    options = {"scales": 0, "degrees": 0, "translation": 0, **ranges}
    return tio.RandomAffine(image_interpolation="bspline", **options)


def _blur(e: float, side: int) -> Any:
    sigma = at_side(e, side)
    return tio.RandomBlur((sigma, sigma, sigma, sigma, 0, 0))


def _noise(e: float, side: int) -> Any:
    return tio.RandomNoise(0, (e / 255, e / 255))


def _rotate(e: float, side: int) -> Any:
    return _affine(degrees=(0, 0, 0, 0, e, e))


def _translate(e: float, side: int) -> Any:
    shift = e * side / 2**0.5
    return _affine(translation=(shift, shift, shift, shift, 0, 0))


def _scale(e: float, side: int) -> Any:
    return _affine(scales=(2**e, 2**e, 2**e, 2**e, 1, 1))


def _gamma(e: float, side: int) -> Any:
    return tio.RandomGamma((e * log(2), e * log(2)))


def _elastic(e: float, side: int) -> Any:
    most = 2 * at_side(e, side)
    return tio.RandomElasticDeformation(
        (7, 7, 4), (most, most, 0), locked_borders=0, image_interpolation="bspline"
    )


def _spike(e: float, side: int) -> Any:
    # Relative to the centre of k-space, that is, to a mean of about 125.
    return tio.RandomSpike((1, 3), (e / 125, e / 125))


BORDER = "borders of one value"
_CONTOUR, _MASK = tio.Contour(), tio.Mask("mask")

WAYS = {
    "boundary": (Way("Contour", steady(lambda i: _CONTOUR(i.mask))),),
    "object_isolation": (Way("Mask", steady(lambda i: _MASK(i.instances))),),
    "denoising_gaussian": (Way("RandomNoise", _on_image(_noise)),),
    "noise_addition": (Way("RandomNoise", _on_image(_noise)),),
    "deblurring": (Way("RandomBlur", _on_image(_blur)),),
    "super_resolution": (
        Way(
            "RandomAnisotropy",
            _on_image(lambda e, side: tio.RandomAnisotropy(0, (e, e))),
            "along one axis only",
        ),
    ),
    "bias_field_correction": (
        Way("RandomBiasField", _on_image(lambda e, side: tio.RandomBiasField(e / 2, 3))),
    ),
    "rotation": (Way("RandomAffine", _on_image(_rotate), BORDER),),
    "horizontal_flip": (
        Way("RandomFlip", _on_image(lambda e, side: tio.RandomFlip(1, flip_probability=1))),
    ),
    "vertical_flip": (
        Way("RandomFlip", _on_image(lambda e, side: tio.RandomFlip(0, flip_probability=1))),
    ),
    "translation": (Way("RandomAffine", _on_image(_translate), BORDER),),
    "scaling": (Way("RandomAffine", either_way(_on_image(_scale)), BORDER),),
    "elastic_deformation": (Way("RandomElasticDeformation", _on_image(_elastic)),),
    "contrast_gamma": (
        Way("RandomGamma", _on_image(lambda e, side: tio.RandomGamma((e * log(2), e * log(2))))),
    ),
    "ghosting_removal": (
        Way(
            "RandomGhosting",
            _on_image(lambda e, side: tio.RandomGhosting((4, 4), (0, 1), (e, e))),
        ),
    ),
    "spike_removal": (Way("RandomSpike", _on_image(_spike)),),
}

PEER = Peer("TorchIO", "torchio", item, pixels, WAYS)
