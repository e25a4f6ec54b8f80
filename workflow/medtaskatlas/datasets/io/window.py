"""From measured values to 256 grey levels: a ramp, and ways to choose its black and white."""

from __future__ import annotations

import numpy as np


def between(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Grey levels uint8 [...] of a linear ramp; what lies beyond black and white is clipped."""
    share = (values.astype(np.float64) - black) / max(white - black, 1e-9)
    # Rounded first, so that a last bit of the division cannot tip a grey level.
    levels = np.round(np.clip(share, 0, 1) * 255, 6)
    return np.floor(levels + 0.5).astype(np.uint8)


def centre_width(centre: float, width: float) -> tuple[float, float]:
    """Black and white of a DICOM window (PS3.3 C.11.2.1.2.1, linear); of CT in HU."""
    half = (max(width, 2) - 1) / 2
    return centre - 0.5 - half, centre - 0.5 + half


def percentiles(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Black and white at two percentiles, 0..100."""
    black, white = np.percentile(values, [low, high])
    return float(black), float(white)


def foreground(values: np.ndarray, white_percentile: float) -> tuple[float, float]:
    """Black and white of an MR volume, whose units mean nothing.

    Black is the smallest value; white is a percentile (0..100) of the foreground, the voxels above
    the mean, so that the amount of air around a head changes nothing.
    """
    inside = values[values > values.mean(dtype=np.float64)]
    white = float(np.percentile(inside, white_percentile)) if inside.size else float(values.max())
    return float(values.min()), white
