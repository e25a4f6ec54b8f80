"""MONAI: float32 tensors [C, H, W] of grey levels 0 to 255."""

from __future__ import annotations

from collections.abc import Callable
from math import log, radians, tan
from typing import Any

import monai.transforms as mt
import numpy as np
import torch
from monai.apps.reconstruction.transforms.array import RandomKspaceMask
from monai.data.fft_utils import fftn_centered

from medtaskatlas.formats.images import Sample

from .way import Build, Item, Peer, Way, at_side, centres, either_way, in_turn, planes, steady


def item(sample: Sample) -> Item:
    """Channels first, as MONAI's loaders give them."""
    return Item(
        torch.from_numpy(planes(sample.image).transpose(2, 0, 1).astype(np.float32)),
        torch.from_numpy(sample.mask[None].astype(np.int64)),
        torch.from_numpy(sample.instances[None].astype(np.int64)),
        torch.from_numpy(centres(sample.instances)),
    )


def pixels(result: Any) -> np.ndarray:
    """Channels last."""
    return np.asarray(result, np.float32).transpose(1, 2, 0)


def _on_image(make: Callable[[float, int], Any]) -> Build:
    """Build a transform once and call it on the image."""

    def build(effect: float, side: int) -> Callable[[Item], Any]:
        transform = make(effect, side)
        return lambda item: transform(item.image)

    return build


def _blur(e: float, side: int) -> Any:
    sigma = (at_side(e, side), at_side(e, side))
    return mt.RandGaussianSmooth(sigma, sigma, prob=1)


def _coarse(e: float, side: int) -> Any:
    return mt.RandCoarseDropout(
        5, (side // 10,) * 2, fill_value=128, max_spatial_size=(2 * side // 5,) * 2, prob=1
    )


def _low_resolution(enlarge: str) -> Build:
    return _on_image(
        lambda e, side: mt.RandSimulateLowResolution(
            1, downsample_mode="area", upsample_mode=enlarge, zoom_range=(1 / e, 1 / e)
        )
    )


def _affine(**ranges: Any) -> Any:
    return mt.RandAffine(prob=1, mode="bicubic", padding_mode="reflection", **ranges)


def _rotate(e: float, side: int) -> Any:
    angle = (radians(e), radians(e))
    return mt.RandRotate(angle, prob=1, mode="bicubic", padding_mode="reflection")


def _translate(e: float, side: int) -> Any:
    shift = e * side / 2**0.5
    return _affine(translate_range=((shift, shift), (shift, shift)))


def _zoom(e: float, side: int) -> Any:
    return mt.RandZoom(1, 2**e, 2**e, mode="bicubic", padding_mode="reflect")


def _zoom_by_affine(e: float, side: int) -> Any:
    step = 2**-e - 1
    return _affine(scale_range=((step, step), (step, step)))


def _shear(e: float, side: int) -> Any:
    slope = tan(radians(e))
    return _affine(shear_range=((slope, slope), (0.0, 0.0)))


def _elastic(e: float, side: int) -> Any:
    size = at_side(e, side)
    return mt.Rand2DElastic((side / 5, side / 5), (size, size), prob=1, mode="bicubic")


def _spike(e: float, side: int) -> Any:
    # The logarithm of what makes a wave of this amplitude after the inverse transform.
    size = log(e * side * side)
    return mt.RandKSpaceSpikeNoise(1, (size, size), channel_wise=False)


def _undersample(e: float, side: int) -> Callable[[Item], Any]:
    # The effect is the share of lines left out.
    mask = RandomKspaceMask([0.08], [1 / (1 - e)])

    def call(item: Item) -> Any:
        # One coil, and a real object.
        real = item.image[:, None]
        return mask(fftn_centered(torch.stack([real, torch.zeros_like(real)], dim=-1), 2))[1]

    return call


def _outside(e: float, side: int) -> Any:
    inner = (round(side * (1 - e) ** 0.5),) * 2
    return mt.RandCoarseDropout(1, inner, dropout_holes=False, fill_value=128, prob=1)


def _heatmap(e: float, side: int) -> Callable[[Item], Any]:
    draw = mt.GenerateHeatmap(2.0 * side / 64, (side, side))
    return lambda item: draw(item.points).amax(dim=0, keepdim=True)


def _sobel(item: Item) -> Any:
    down, across = _SOBEL(item.image).chunk(2)
    return torch.hypot(down, across)


_CONTOUR, _DISTANCE = mt.LabelToContour(), mt.DistanceTransformEDT()
_MASK, _ISOLATE = mt.LabelToMask([1, 2]), mt.MaskIntensity()
_SOBEL, _EQUALISE = mt.SobelGradients(), mt.HistogramNormalize()


def _gaussian(e: float, side: int) -> Any:
    return mt.RandGaussianNoise(1, 0.0, e, sample_std=False)


WAYS = {
    "segmentation": (Way("LabelToMask", steady(lambda i: _MASK(i.mask))),),
    "boundary": (Way("LabelToContour", steady(lambda i: _CONTOUR(i.mask.float()))),),
    "distance_map": (
        Way("DistanceTransformEDT", steady(lambda i: _DISTANCE(i.mask > 0)), "not scaled to grey"),
    ),
    "centroid_heatmap": (Way("GenerateHeatmap", _heatmap),),
    "object_isolation": (Way("MaskIntensity", steady(lambda i: _ISOLATE(i.image, i.mask))),),
    "denoising_gaussian": (Way("RandGaussianNoise", _on_image(_gaussian)),),
    "noise_addition": (Way("RandGaussianNoise", _on_image(_gaussian)),),
    "deblurring": (Way("RandGaussianSmooth", _on_image(_blur), "zeros beyond the border"),),
    "super_resolution": (
        Way(
            "RandSimulateLowResolution",
            in_turn(_low_resolution("bilinear"), _low_resolution("bicubic")),
        ),
    ),
    "inpainting": (Way("RandCoarseDropout", _on_image(_coarse), "rectangles, a constant grey"),),
    "bias_field_correction": (
        Way(
            "RandBiasField",
            _on_image(lambda e, side: mt.RandBiasField(3, (e / 4, e / 4), prob=1)),
            "Legendre polynomials",
        ),
    ),
    "rotation": (Way("RandRotate", _on_image(_rotate)),),
    "horizontal_flip": (
        Way("RandFlip", _on_image(lambda e, side: mt.RandFlip(1, spatial_axis=1))),
    ),
    "vertical_flip": (Way("RandFlip", _on_image(lambda e, side: mt.RandFlip(1, spatial_axis=0))),),
    "translation": (Way("RandAffine", _on_image(_translate)),),
    "scaling": (
        Way("RandZoom", either_way(_on_image(_zoom))),
        Way("RandAffine", either_way(_on_image(_zoom_by_affine))),
    ),
    "shear": (Way("RandAffine", _on_image(_shear)),),
    "elastic_deformation": (Way("Rand2DElastic", _on_image(_elastic)),),
    "brightness": (
        Way(
            "RandShiftIntensity",
            _on_image(lambda e, side: mt.RandShiftIntensity((e, e), prob=1)),
            "does not clip",
        ),
    ),
    "contrast_gamma": (
        Way(
            "RandAdjustContrast",
            _on_image(lambda e, side: mt.RandAdjustContrast(1, (2**e, 2**e))),
            "relative to the image's own range",
        ),
    ),
    "rician_denoising": (
        Way(
            "RandRicianNoise",
            _on_image(lambda e, side: mt.RandRicianNoise(1, 0.0, e, sample_std=False)),
        ),
    ),
    "gibbs_removal": (
        Way(
            "RandGibbsNoise", _on_image(lambda e, side: mt.RandGibbsNoise(1, (1 - e**2, 1 - e**2)))
        ),
    ),
    "undersampled_mri": (Way("RandomKspaceMask", _undersample, "two full transforms"),),
    "spike_removal": (
        Way(
            "RandKSpaceSpikeNoise",
            _on_image(_spike),
            "one spike",
        ),
    ),
    "outpainting": (Way("RandCoarseDropout", _on_image(_outside), "a constant grey"),),
    "sharpening": (
        Way(
            "RandGaussianSharpen",
            _on_image(lambda e, side: mt.RandGaussianSharpen(alpha=(e, e), prob=1)),
            "two blurs",
        ),
    ),
    "edges": (Way("SobelGradients", steady(_sobel)),),
    "histogram_equalisation": (
        Way("HistogramNormalize", steady(lambda i: _EQUALISE(i.image)), "one histogram"),
    ),
}

PEER = Peer("MONAI", "monai", item, pixels, WAYS)
