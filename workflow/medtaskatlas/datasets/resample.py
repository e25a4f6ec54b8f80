"""Volumes as isotropic cubes of one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medtaskatlas.datasets.resize import weights


def cube_spacing(shape: Sequence[int], spacing: Sequence[float], size: int) -> float:
    """Side of a voxel of the smallest cube of ``size`` voxels that holds a whole volume.

    Parameters
    ----------
    shape, spacing
        Voxels of the volume along each axis, and their sides.
    size
        Voxels of the cube along each axis.

    Returns
    -------
    float
        In the unit of ``spacing``.
    """
    return max(n * side for n, side in zip(shape, spacing, strict=True)) / size


def to_cube(voxels: np.ndarray, spacing: Sequence[float], size: int) -> np.ndarray:
    """A volume in the middle of an isotropic cube, filled up with its smallest value.

    Along each axis areas are averaged where voxels grow, so that nothing fine aliases, and values
    are interpolated linearly where they shrink.

    Parameters
    ----------
    voxels
        uint8 [D, H, W].
    spacing
        Sides of a voxel along D, H, W, in any one unit.
    size
        Voxels of the cube along each axis.

    Returns
    -------
    numpy.ndarray
        uint8 [size, size, size], rounded half up; the same bytes on every machine. A volume that is
        such a cube already comes back as it is.
    """
    spans = _spans(voxels.shape, spacing, size)
    if voxels.shape == (size,) * 3 and spans == [size] * 3:
        return voxels.copy()
    along_d, along_h, along_w = map(weights, voxels.shape, [size] * 3, spans)
    darkest = int(voxels.min())
    planes = [along_h @ (plane - float(darkest)) @ along_w.T for plane in voxels]
    values = np.tensordot(along_d, np.stack(planes), 1) + darkest
    # Rounded first, so that a last bit of a sum cannot tip a grey level.
    return np.floor(np.round(values, 6) + 0.5).astype(np.uint8)


def labels_to_cube(labels: np.ndarray, spacing: Sequence[float], size: int) -> np.ndarray:
    """Labels of a volume on the grid of :func:`to_cube`: the nearest one, 0 outside."""
    new, old = [], []
    for n, span in zip(labels.shape, _spans(labels.shape, spacing, size), strict=True):
        centre = (np.arange(size) + 0.5) * span / size + (n - span) / 2
        at = np.floor(np.round(centre, 6)).astype(np.int64)
        inside = (at >= 0) & (at < n)
        new.append(np.flatnonzero(inside))
        old.append(at[inside])
    cube = np.zeros((size,) * 3, labels.dtype)
    cube[np.ix_(*new)] = labels[np.ix_(*old)]
    return cube


def _spans(shape: Sequence[int], spacing: Sequence[float], size: int) -> list[float]:
    """Side of the cube in voxels of the volume, along each axis."""
    whole = cube_spacing(shape, spacing, size) * size
    return [whole / side for side in spacing]
