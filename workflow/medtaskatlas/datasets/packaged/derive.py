"""Classical annotations for datasets that have none; the catalogue calls them `derived`.

All work at native resolution. Filter responses are rounded before a threshold, so that the last
bit of a filter cannot move a border.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from medtaskatlas.datasets.packaged.recipes import Bone, Cells, Derive, Stains, Vessels

Annotation = tuple[np.ndarray, np.ndarray | None]


def derive(recipe: Derive, pixels: np.ndarray, values: np.ndarray) -> Annotation:
    """Mask, uint8 [H, W] class ids, and instances, uint16 [H, W], or None where there are none.

    `pixels` are uint8 [H, W] or [H, W, 3] as they will be seen, `values` [H, W] as measured (CT:
    HU).
    """
    methods: dict[type, Callable[[Any, np.ndarray, np.ndarray], Annotation]] = {
        Bone: bone,
        Vessels: vessels,
        Stains: stains,
        Cells: cells,
    }
    return methods[type(recipe)](recipe, pixels, values)


def bone(recipe: Bone, pixels: np.ndarray, values: np.ndarray) -> Annotation:
    """Bone in CT: values from a threshold in HU on within the body, without table and holder.

    The body is the largest component above -300 HU after an opening that parts it from the table,
    with its holes filled. Components of bone are instances.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    solid = ndimage.binary_opening(np.pad(values > -300, 8, mode="edge"), disk(3))
    parts, n = ndimage.label(solid)
    if n == 0:
        return np.zeros(values.shape, np.uint8), np.zeros(values.shape, np.uint16)
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    body = ndimage.binary_dilation(ndimage.binary_fill_holes(parts == largest), disk(3))[8:-8, 8:-8]
    instances = _numbered((values >= recipe.threshold_hu) & body, recipe.min_px)
    return (instances > 0).astype(np.uint8), instances


def vessels(recipe: Vessels, pixels: np.ndarray, values: np.ndarray) -> Annotation:
    """Vessels of the retina: the strongest dark ridges of the green channel.

    Sato et al., Medical Image Analysis 2(2), 1998; the threshold is a quantile of the response
    within the field of view, from which a rim is taken off.
    """
    from scipy import ndimage
    from skimage.filters import sato
    from skimage.morphology import disk

    green = pixels[..., 1] if pixels.ndim == 3 else pixels
    scale = max(pixels.shape[0] / 1000, 0.4)
    view = ndimage.binary_fill_holes(pixels.max(axis=-1) > 30 if pixels.ndim == 3 else pixels > 0)
    rim = int(np.ceil(8 * scale))
    view = ndimage.binary_erosion(view, disk(rim), border_value=1)
    sigmas = [s * scale for s in recipe.sigmas]
    ridges = np.round(sato(green.astype(np.float64) / 255, sigmas=sigmas, black_ridges=True), 6)
    strong = (ridges > np.quantile(ridges[view], recipe.quantile)) & view
    kept = _numbered(strong, int(recipe.min_share * green.size)) > 0
    return kept.astype(np.uint8), None


def stains(recipe: Stains, pixels: np.ndarray, values: np.ndarray) -> Annotation:
    """Nuclei (1, and instances) and DAB (2) in immunohistochemistry by colour deconvolution.

    Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23(4), 2001. Each stain is cut at Otsu's
    threshold; DAB goes before haematoxylin, since it hides what lies below it. Touching nuclei are
    parted by a watershed of the distance to their border.
    """
    from scipy import ndimage
    from skimage.color import rgb2hed
    from skimage.filters import threshold_otsu

    maps = rgb2hed(pixels)
    blue, brown = (np.round(ndimage.gaussian_filter(maps[..., i], recipe.sigma), 6) for i in (0, 2))
    positive = brown > threshold_otsu(brown)
    nuclei = (blue > threshold_otsu(blue)) & ~positive
    instances = _parted(ndimage.binary_fill_holes(nuclei) & ~positive, recipe.min_px)
    mask = np.where(instances > 0, 1, np.where(positive, 2, 0)).astype(np.uint8)
    return mask, instances


def cells(recipe: Cells, pixels: np.ndarray, values: np.ndarray) -> Annotation:
    """Bright cells: Otsu's threshold, holes filled, touching ones parted by watershed."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1)
    smooth = np.round(ndimage.gaussian_filter(grey.astype(np.float64), recipe.sigma), 6)
    bright = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    instances = _parted(bright, recipe.min_px)
    return (instances > 0).astype(np.uint8), instances


def _numbered(mask: np.ndarray, min_px: int) -> np.ndarray:
    """Components of at least `min_px` pixels, numbered from 1 without holes, uint16."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return _renumbered(parts, min_px)


def _renumbered(parts: np.ndarray, min_px: int) -> np.ndarray:
    """Objects of at least `min_px` pixels with new numbers, uint16."""
    sizes = np.bincount(parts.ravel())
    keep = sizes >= max(min_px, 1)
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0)
    return numbers[parts].astype(np.uint16)


def _parted(mask: np.ndarray, min_px: int) -> np.ndarray:
    """Touching round objects parted by a watershed from the peaks of the distance map, uint16."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    distance = np.round(ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0), 6)
    parts, _ = ndimage.label(mask)
    reach = max(int(np.sqrt(max(min_px, 1))), 2)
    peaks = peak_local_max(distance, min_distance=reach, labels=parts, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return _renumbered(watershed(-distance, seeds, mask=mask), min_px)
