"""Slices of any volume: grey range, planes, content, square pixels, labels on the same grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import Content
from medtaskatlas.datasets.io import window as ramps
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
# A slice that is nearly all black or white, or nearly flat, shows nothing of the body.
CONTENT = Content(min_std=4, max_extreme=0.98)
# Windows (centre, width) in HU by words of the body part; the last one is for all others.
_CT = (
    (("brain", "head"), (40, 80)),
    (("chest", "lung", "thorax"), (-600, 1500)),
    ((), (40, 400)),
)
# Air is about -1000 HU. Values that never come near it are not in HU, whatever the modality says.
_HU_BELOW = -200
_ROBUST = (0.5, 99.5)
_TRACER = (1.0, 99.5)
Grid = tuple[np.ndarray, np.ndarray]  # values [X, Y, Z] and affine [4, 4] to RAS+ millimetres


def beyond(most: int) -> str:
    """Reason of the slices beyond the key `slices`, the same for all, so that it is one count."""
    return f"has content, but is not among the {most} slices taken of a volume (key `slices`)"


def grey_range(
    values: np.ndarray,
    modality: str,
    body_part: str,
    *,
    flat: bool = False,
    window: tuple[float, float] | None = None,
    percentiles: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Values of a volume or `flat` picture, finite, that become black and white.

    A `window` (centre, width) or `percentiles` go before all rules. CT in HU: a window by body
    part. MR: :func:`~medtaskatlas.datasets.io.window.foreground` at 99.5. 8 bits: as they are. PET
    and NM: percentiles 1 and 99.5. All others: percentiles 0.5 and 99.5.
    """
    if window is not None:
        return ramps.centre_width(*window)
    if percentiles is None:
        if flat and values.dtype == np.uint8:
            return 0, 255
        if modality == "CT" and values.min() < _HU_BELOW:
            part = body_part.lower()
            fits = (hu for words, hu in _CT if not words or any(word in part for word in words))
            return ramps.centre_width(*next(fits))
        if modality == "MR":
            return ramps.foreground(values, 99.5)
        if values.dtype == np.uint8:
            return 0, 255
        percentiles = _TRACER if modality in ("PET", "NM") else _ROBUST
    black, white = ramps.percentiles(values, *percentiles)
    # A few bright spots on nothing have no width between the percentiles.
    return (black, white) if white > black else (float(values.min()), float(values.max()))


def finite(values: np.ndarray, path: Path) -> tuple[np.ndarray, int]:
    """Values without NaN and infinity, which become the smallest value, and how many there were.

    Tools such as SPM write NaN outside of their mask, so any share but all of them may be.
    """
    if values.dtype.kind != "f":
        return values, 0
    good = np.isfinite(values)
    bad = int(good.size - np.count_nonzero(good))
    if not bad:
        return values, 0
    if bad == good.size:
        raise DataError(
            f"{path}: all of its values are NaN or infinite",
            "replace the file, or leave it out on purpose: `exclude` in dataset.yaml",
        )
    return np.where(good, values, values[good].min()), bad


def canonical(values: np.ndarray, affine: np.ndarray) -> Grid:
    """A volume with its axes towards right, front and top, by flips and swaps alone."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(affine)
    return apply_orientation(values, turn), affine @ inv_ornt_aff(turn, values.shape)


def spacings(affine: np.ndarray) -> tuple[float, float, float]:
    """Sides of a voxel along x, y and z, mm."""
    x, y, z = (rounded(side, 4) for side in np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    return x, y, z


def rounded(mm: float, digits: int) -> float:
    """A length with so many digits after the point, and at least four that are not zero."""
    if not (math.isfinite(mm) and mm > 0):
        return float(mm)
    return round(float(mm), max(digits, 3 - math.floor(math.log10(mm))))


def furthest(shape: Sequence[int], one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance between the corners of two grids of one shape, in the affines' unit."""
    ends = np.array(list(itertools.product((0, 1), repeat=3))) * (np.array(shape) - 1)
    corners = np.column_stack([ends, np.ones(len(ends))])
    return float(np.linalg.norm(((one - other) @ corners.T)[:3], axis=0).max())


def with_thickness(affine: np.ndarray, shape: Sequence[int], path: Path) -> np.ndarray:
    """An affine whose axes span space.

    A single slice without thickness gets the coarser side of its pixels; all else is an error.
    """
    sides = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    flat = [axis for axis in range(3) if sides[axis] == 0]
    if len(flat) == 1 and shape[flat[0]] == 1:
        affine, axis = affine.copy(), flat[0]
        normal = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
        length = np.sqrt((normal**2).sum())
        affine[:3, axis] = normal * (sides.max() / length) if length else 0
        sides[axis] = sides.max()
    # Relative to its sides: voxels of nanometres have a volume of next to nothing.
    unit = affine[:3, :3] / np.where(sides > 0, sides, 1)
    if not np.isfinite(affine).all() or abs(np.linalg.det(unit)) < 1e-6:
        raise DataError(
            f"{path}: its axes span no space (sides of a voxel: "
            f"{' x '.join(f'{side:g}' for side in sides)} mm)",
            "mend its header (NIfTI: sform and pixdim, NRRD: space directions), or leave it out "
            "on purpose: `exclude` in dataset.yaml",
        )
    return affine


def plane_of(
    choice: Literal["axial", "coronal", "sagittal", "thickest"],
    mm: Sequence[float],
    shape: Sequence[int],
) -> str:
    """Plane of the slices of a volume of `shape` whose voxels are `mm` along x, y and z.

    Thickest: that of a single slice; else across the axis with the coarsest spacing, since such
    volumes were acquired slice by slice; axial, unless another spacing is coarser than the axial
    one by a tenth.
    """
    if choice != "thickest":
        return choice
    if single := [plane for plane in AXES if shape[AXES[plane]] == 1]:
        return single[-1]
    coarsest = max(AXES, key=lambda plane: mm[AXES[plane]])
    return coarsest if mm[AXES[coarsest]] > 1.1 * mm[AXES["axial"]] else "axial"


def display(values: np.ndarray, axis: str, index: int) -> np.ndarray:
    """One slice [H, W] of a volume [X, Y, Z] in RAS+ as radiologists look at it.

    Axial and coronal slices have the patient's right on the left of the picture, sagittal ones
    the front on the left; front (axial) or head (others) is at the top.
    """
    plane = np.moveaxis(values, AXES[axis], 0)[index]
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def from_display(slices: np.ndarray, axis: str) -> np.ndarray:
    """Volume [X, Y, Z, ...] of all its slices [N, H, W, ...] as :func:`display` shows them."""
    return np.moveaxis(slices.swapaxes(1, 2)[:, ::-1, ::-1], 0, AXES[axis])


def resample_nearest(labels: Grid, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Labels on another grid: the label at the nearest voxel centre, 0 outside."""
    values, own = labels
    to_own = np.linalg.inv(own) @ affine
    out = np.zeros(shape, values.dtype)
    y, z = np.indices(shape[1:], dtype=np.float64).reshape(2, -1)
    in_plane = to_own[:3, 1, None] * y + to_own[:3, 2, None] * z + to_own[:3, 3, None]
    for x in range(shape[0]):  # plane by plane: indices of a whole volume take half a gigabyte
        # Rounded before flooring: half-way points must not depend on the last bit of the inverse.
        place = np.round(in_plane + to_own[:3, 0, None] * x, 6)
        where = np.floor(place + 0.5).astype(np.int64)
        inside = np.all((where >= 0) & (where < np.array(values.shape)[:, None]), axis=0)
        out[x].reshape(-1)[inside] = values[tuple(where[:, inside])]
    return out


def square(
    plane: np.ndarray, row_mm: float, column_mm: float, *, labels: bool = False
) -> np.ndarray:
    """A slice or picture with square pixels: its coarser side is brought to the finer spacing.

    It stays as it is where the distances of its rows and columns differ by at most 1 %. uint8
    pixels, [H, W] or [H, W, 3], are interpolated in whole numbers, so that all machines agree;
    floating-point numbers are not rounded, labels are the nearest.
    """
    along = _nearest if labels else _linear
    fine = min(row_mm, column_mm)
    if not fine > 0 or max(row_mm, column_mm) <= 1.01 * fine:
        return plane
    if plane.ndim == 3:
        channels = np.moveaxis(plane, -1, 0)
        return np.stack([square(channel, row_mm, column_mm) for channel in channels], axis=-1)
    if row_mm > column_mm:
        return along(plane, round(plane.shape[0] * row_mm / fine))
    return np.ascontiguousarray(along(plane.T, round(plane.shape[1] * column_mm / fine)).T)


def square_map(
    values: np.ndarray, valid: np.ndarray, row_mm: float, column_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Map of a quantity, float32 and bool [H, W], with square pixels: linear among what counts."""
    share = square(valid.astype(np.float32), row_mm, column_mm)
    total = square(np.where(valid, values, np.float32(0)), row_mm, column_mm)
    counts = square(valid, row_mm, column_mm, labels=True)
    return np.divide(total, share, out=np.zeros_like(total), where=counts), counts


def spread(reasons: Sequence[str | None], most: int) -> set[int]:
    """At most so many slices, evenly spread over those that no reason leaves out."""
    full = [index for index, reason in enumerate(reasons) if reason is None]
    n = min(most, len(full))
    return {full[(2 * i + 1) * len(full) // (2 * n)] for i in range(n)}


def choose(
    count: int, pixels_of: Callable[[int], np.ndarray], content: Content, most: int
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Every slice: its pixels, or why it is left out; masks have no say, so empty ones stay."""
    reasons = [poor(pixels_of(index), content) for index in range(count)]
    taken = spread(reasons, most)
    for index, reason in enumerate(reasons):
        yield index, pixels_of(index) if index in taken else reason or beyond(most)


def poor(pixels: np.ndarray, content: Content) -> str | None:
    """Why a picture, uint8 [H, W] or [H, W, 3], shows nothing: too small, constant or lacking."""
    if min(pixels.shape[:2]) < SMALLEST:
        return TOO_SMALL
    # The middle row tells most pictures at once.
    if all((part == pixels[0, 0]).all() for part in (pixels[len(pixels) // 2], pixels)):
        return "constant: all pixels are the same"
    if content == Content():
        return None
    return lacking(pixels, content)


def lacking(pixels: np.ndarray, content: Content) -> str | None:
    """Why a cut-out, uint8 [H, W] or [H, W, 3], holds too little by the written rule."""
    grey = pixels.astype(np.int64).sum(axis=-1) // 3 if pixels.ndim == 3 else pixels
    extreme = float(((grey <= 8) | (grey >= 247)).mean())
    if extreme > content.max_extreme:
        return f"more than {content.max_extreme:.0%} of it black or white"
    if float(np.round(grey.std(dtype=np.float64), 6)) < content.min_std:
        return f"flat: standard deviation below {content.min_std:g}"
    return None


def _linear(plane: np.ndarray, size: int) -> np.ndarray:
    """Rows brought to another number, bilinear with aligned areas, rounded half up."""
    side = plane.shape[0]
    centre = np.clip((2 * np.arange(size) + 1) * side - size, 0, 2 * size * (side - 1))
    upper, part = np.divmod(centre, 2 * size)
    lower = np.minimum(upper + 1, side - 1)
    part = part[:, None]
    if plane.dtype.kind == "f":
        share = (part / (2 * size)).astype(plane.dtype)
        return (1 - share) * plane[upper] + share * plane[lower]
    sums = (2 * size - part) * plane[upper].astype(np.int64) + part * plane[lower]
    return ((sums + size) // (2 * size)).astype(plane.dtype)


def _nearest(plane: np.ndarray, size: int) -> np.ndarray:
    """Rows brought to another number, each the nearest one."""
    at = ((2 * np.arange(size) + 1) * plane.shape[0]) // (2 * size)
    return np.ascontiguousarray(plane[at])
