"""From measured values to 256 grey levels."""

from __future__ import annotations

import numpy as np


def between(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Grey levels of a linear ramp.

    Parameters
    ----------
    values
        Numbers [...].
    black, white
        Values that become 0 and 255; what lies beyond is clipped.

    Returns
    -------
    numpy.ndarray
        uint8 [...].
    """
    share = (values.astype(np.float64) - black) / max(white - black, 1e-9)
    # Rounded first, so that a last bit of the division cannot tip a grey level.
    levels = np.round(np.clip(share, 0, 1) * 255, 6)
    return np.floor(levels + 0.5).astype(np.uint8)


def centre_width(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Grey levels of a DICOM window (PS3.3 C.11.2.1.2.1, linear).

    Parameters
    ----------
    values
        Numbers [...] after the modality LUT; HU for CT.
    centre, width
        The window.

    Returns
    -------
    numpy.ndarray
        uint8 [...].
    """
    half = (max(width, 2) - 1) / 2
    return between(values, centre - 0.5 - half, centre - 0.5 + half)


def percentiles(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey levels between two percentiles of the values.

    Parameters
    ----------
    values
        Numbers [...].
    low, high
        Percentiles, 0..100.

    Returns
    -------
    numpy.ndarray
        uint8 [...].
    """
    black, white = np.percentile(values, [low, high])
    return between(values, float(black), float(white))


def foreground(values: np.ndarray, white_percentile: float) -> np.ndarray:
    """Grey levels of an MR volume, whose units mean nothing.

    Black is the smallest value; white is a percentile of the foreground, the voxels above the
    mean, so that the amount of air around a head changes nothing.

    Parameters
    ----------
    values
        Numbers [...].
    white_percentile
        Percentile of the foreground that becomes white.

    Returns
    -------
    numpy.ndarray
        uint8 [...].
    """
    inside = values[values > values.mean(dtype=np.float64)]
    if inside.size == 0:
        return np.zeros(values.shape, np.uint8)
    return between(values, float(values.min()), float(np.percentile(inside, white_percentile)))
