"""Small pictures on a figure whose coordinates are inches."""

from __future__ import annotations

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Larger pictures would make an SVG of many megabytes and look the same on a page.
MAX_SIDE = 64


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one frameless panel measured in inches from its upper left corner."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def place(axes: Axes, image: np.ndarray, x: float, y: float, side: float) -> None:
    """Put a picture on a sheet."""
    longest = max(image.shape[:2])
    if longest > MAX_SIDE:
        size = tuple(max(1, round(n * MAX_SIDE / longest)) for n in image.shape[1::-1])
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    axes.imshow(
        np.asarray(image),
        # Rows of the picture run downwards, and so do the inches of the sheet.
        extent=(x, x + side, y + side, y),
        interpolation="none",
        aspect="auto",
        zorder=2,
    )
