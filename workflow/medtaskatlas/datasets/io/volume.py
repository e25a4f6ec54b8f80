"""Slices of any volume: levels, planes, content, square pixels, labels on the same grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL
from medtaskatlas.datasets.io.tiles import lacking
from medtaskatlas.datasets.recipes import Content

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


def beyond(most: int) -> str:
    """Reason of slices that are left out because there are enough.

    Parameters
    ----------
    most
        The key `slices`.

    Returns
    -------
    str
        The same for all of them, so that they are counted together.
    """
    return f"has content, but is not among the {most} slices taken of a volume (key `slices`)"


def levels(
    values: np.ndarray,
    modality: str,
    body_part: str,
    *,
    flat: bool = False,
    window: tuple[float, float] | None = None,
    percentiles: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Values that become black and white.

    Parameters
    ----------
    values
        A volume or picture, finite.
    modality, body_part
        What it shows.
    flat
        Whether it is a picture; those of 8 bits are taken as they are.
    window
        Centre and width, instead of all rules.
    percentiles
        Percentiles of the values, instead of all rules.

    Returns
    -------
    black, white : float
        CT in HU: a window by body part. MR: from the smallest value to the 99.5th percentile of
        the foreground (:func:`~medtaskatlas.datasets.io.window.foreground`). 8 bits: as they
        are. PET and NM: percentiles 1 and 99.5. All others: percentiles 0.5 and 99.5.
    """
    if window is not None:
        return _window(*window)
    if percentiles is None:
        if flat and values.dtype == np.uint8:
            return 0, 255
        if modality == "CT" and values.min() < _HU_BELOW:
            part = body_part.lower()
            fits = (hu for words, hu in _CT if not words or any(word in part for word in words))
            return _window(*next(fits))
        if modality == "MR":
            inside = values[values > values.mean(dtype=np.float64)]
            top = float(np.percentile(inside, 99.5)) if inside.size else float(values.max())
            return float(values.min()), top
        if values.dtype == np.uint8:
            return 0, 255
        percentiles = _TRACER if modality in ("PET", "NM") else _ROBUST
    black, white = (float(v) for v in np.percentile(values, percentiles))
    # A few bright spots on nothing have no width between the percentiles.
    return (black, white) if white > black else (float(values.min()), float(values.max()))


def finite(values: np.ndarray, path: Path) -> tuple[np.ndarray, int]:
    """Values without NaN and infinity: a few become the smallest value.

    Parameters
    ----------
    values
        A volume or picture.
    path
        Where it comes from.

    Returns
    -------
    values, count
        And how many there were.

    Raises
    ------
    DataError
        If they are 1 % or more.
    """
    if values.dtype.kind != "f":
        return values, 0
    good = np.isfinite(values)
    bad = int(good.size - np.count_nonzero(good))
    if not bad:
        return values, 0
    if bad >= 0.01 * good.size:
        raise DataError(
            f"{path}: {bad / good.size:.1%} of its values are NaN or infinite",
            "mend the file, or leave it out on purpose: `exclude` in dataset.yaml",
        )
    return np.where(good, values, values[good].min()), bad


def canonical(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A volume with its axes towards right, front and top, by flips and swaps alone.

    Parameters
    ----------
    values, affine
        [I, J, K] and the way to RAS+ millimetres.

    Returns
    -------
    values, affine : numpy.ndarray
        [X, Y, Z] and its affine.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(affine)
    return apply_orientation(values, turn), affine @ inv_ornt_aff(turn, values.shape)


def spacings(affine: np.ndarray) -> tuple[float, float, float]:
    """Sides of a voxel.

    Parameters
    ----------
    affine
        To millimetres, [4, 4].

    Returns
    -------
    tuple of float
        Along x, y and z, mm.
    """
    x, y, z = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).round(4)
    return float(x), float(y), float(z)


def plane_of(
    choice: Literal["axial", "coronal", "sagittal", "thickest"], mm: Sequence[float]
) -> str:
    """Plane of the slices.

    Parameters
    ----------
    choice
        A plane, or thickest.
    mm
        Sides of a voxel along x, y and z.

    Returns
    -------
    str
        Thickest: across the axis with the coarsest spacing, since such volumes were acquired
        slice by slice; axial, unless another spacing is coarser than the axial one by a tenth.
    """
    if choice != "thickest":
        return choice
    coarsest = max(AXES, key=lambda plane: mm[AXES[plane]])
    return coarsest if mm[AXES[coarsest]] > 1.1 * mm[AXES["axial"]] else "axial"


def square(plane: np.ndarray, row_mm: float, column_mm: float) -> np.ndarray:
    """A slice with square pixels: the coarser side is brought to the spacing of the finer one.

    Parameters
    ----------
    plane
        [H, W]; uint8 pixels are interpolated in whole numbers, so that all machines agree.
    row_mm, column_mm
        Distance of its rows, and of its columns.

    Returns
    -------
    numpy.ndarray
        [H, W] as it is, where the two differ by at most 1 %.
    """
    return _stretched(plane, row_mm, column_mm, _linear)


def square_labels(plane: np.ndarray, row_mm: float, column_mm: float) -> np.ndarray:
    """Labels on the pixels of :func:`square`: the nearest one.

    Parameters
    ----------
    plane
        Integers [H, W].
    row_mm, column_mm
        Distance of its rows, and of its columns.

    Returns
    -------
    numpy.ndarray
        Integers [H, W].
    """
    return _stretched(plane, row_mm, column_mm, _nearest)


def choose(
    count: int, pixels_of: Callable[[int], np.ndarray], content: Content, most: int
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Slices with content, evenly spread; masks have no say, so that empty ones stay honest.

    Parameters
    ----------
    count
        Number of slices.
    pixels_of
        Makes uint8 [H, W] or [H, W, 3] of a slice.
    content
        When a slice holds too little.
    most
        How many to take.

    Yields
    ------
    int, numpy.ndarray or str
        Every slice: its pixels, or why it is left out.
    """
    reasons = [poor(pixels_of(index), content) for index in range(count)]
    full = [index for index, reason in enumerate(reasons) if reason is None]
    n = min(most, len(full))
    taken = {full[(2 * i + 1) * len(full) // (2 * n)] for i in range(n)}
    for index, reason in enumerate(reasons):
        if reason is not None:
            yield index, reason
        elif index not in taken:
            yield index, beyond(most)
        else:
            yield index, pixels_of(index)


def poor(pixels: np.ndarray, content: Content) -> str | None:
    """Why a picture shows nothing.

    Parameters
    ----------
    pixels
        uint8 [H, W] or [H, W, 3].
    content
        When it holds too little.

    Returns
    -------
    str or None
        The reason: too small, constant, or lacking by the rule.
    """
    if min(pixels.shape[:2]) < SMALLEST:
        return TOO_SMALL
    # The middle row tells most pictures at once.
    if all((part == pixels[0, 0]).all() for part in (pixels[len(pixels) // 2], pixels)):
        return "constant: all pixels are the same"
    if content == Content():
        return None
    return lacking(pixels, content)


def _window(centre: float, width: float) -> tuple[float, float]:
    """Black and white of a DICOM window (PS3.3 C.11.2.1.2.1, linear)."""
    half = (max(width, 2) - 1) / 2
    return centre - 0.5 - half, centre - 0.5 + half


def _stretched(
    plane: np.ndarray,
    row_mm: float,
    column_mm: float,
    along: Callable[[np.ndarray, int], np.ndarray],
) -> np.ndarray:
    """A plane with its coarser side stretched."""
    fine = min(row_mm, column_mm)
    if not fine > 0 or max(row_mm, column_mm) <= 1.01 * fine:
        return plane
    if row_mm > column_mm:
        return along(plane, round(plane.shape[0] * row_mm / fine))
    return np.ascontiguousarray(along(plane.T, round(plane.shape[1] * column_mm / fine)).T)


def _linear(plane: np.ndarray, size: int) -> np.ndarray:
    """Rows brought to another number, bilinear with aligned areas, rounded half up."""
    side = plane.shape[0]
    centre = np.clip((2 * np.arange(size) + 1) * side - size, 0, 2 * size * (side - 1))
    upper, part = np.divmod(centre, 2 * size)
    lower = np.minimum(upper + 1, side - 1)
    part = part[:, None]
    sums = (2 * size - part) * plane[upper].astype(np.int64) + part * plane[lower]
    return ((sums + size) // (2 * size)).astype(plane.dtype)


def _nearest(plane: np.ndarray, size: int) -> np.ndarray:
    """Rows brought to another number, each the nearest one."""
    at = ((2 * np.arange(size) + 1) * plane.shape[0]) // (2 * size)
    return np.ascontiguousarray(plane[at])
