"""Labels that do not cover one another: a simple adjustment by repulsion."""

from __future__ import annotations

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes


def label_points(
    axes: Axes,
    points: np.ndarray,
    texts: list[str],
    colours: list[str],
    *,
    size: float = 7.5,
    rounds: int = 600,
) -> None:
    """Write a text near each point so that no text lies on another, with a line to its point.

    Limits and size of the axes must be final.

    Parameters
    ----------
    axes
        The axes.
    points
        float [K, 2], data coordinates.
    texts, colours
        K texts and their colours.
    size
        Font size, points.
    rounds
        Steps of the adjustment at most.
    """
    outline = [effects.withStroke(linewidth=2.2, foreground="white")]
    drawn = [
        axes.annotate(
            text, point, xytext=(0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=size, fontweight="bold", color=colour, path_effects=outline, zorder=6,
        )
        for text, point, colour in zip(texts, points, colours, strict=True)
    ]  # fmt: skip
    if not drawn:
        return
    figure = axes.figure
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [artist.get_window_extent(renderer) for artist in drawn]
    half = np.array([[box.width, box.height] for box in boxes]) / 2 + 2.0
    anchor = axes.transData.transform(points)
    frame = axes.get_window_extent(renderer)
    low, high = np.array([frame.x0, frame.y0]) + half, np.array([frame.x1, frame.y1]) - half
    centre = spread(anchor, half, low, high, rounds)
    pixels = figure.dpi / 72
    for artist, at, start in zip(drawn, centre, anchor, strict=True):
        artist.set_position(tuple((at - start) / pixels))
    inverse = axes.transData.inverted()
    for at, start, colour in zip(centre, anchor, colours, strict=True):
        if np.hypot(*(at - start)) > 9:
            line = inverse.transform(np.array([start, at]))
            axes.plot(line[:, 0], line[:, 1], color=colour, lw=0.7, zorder=5)


def spread(
    anchor: np.ndarray, half: np.ndarray, low: np.ndarray, high: np.ndarray, rounds: int = 600
) -> np.ndarray:
    """Centres of boxes that overlap no more, as near to their anchors as that allows.

    Parameters
    ----------
    anchor
        float [K, 2], where boxes want to be.
    half
        float [K, 2], half widths and heights.
    low, high
        float [K, 2], bounds of the centres.
    rounds
        Steps at most.

    Returns
    -------
    numpy.ndarray
        float [K, 2].
    """
    # Points at one place would push each other nowhere.
    nudge = np.stack([np.cos(np.arange(len(anchor))), np.sin(np.arange(len(anchor)))], axis=1)
    centre = anchor + 0.5 * nudge
    for step in range(rounds):
        apart = centre[:, None] - centre[None]
        overlap = half[:, None] + half[None] - np.abs(apart)
        hit = (overlap > 0).all(axis=-1) & ~np.eye(len(anchor), dtype=bool)
        if not hit.any() and step > 0:
            break
        # Along the axis on which less has to be moved; texts are wide, so mostly up and down.
        along = np.argmin(overlap, axis=-1)
        push = np.zeros_like(apart)
        for axis in (0, 1):
            chosen = hit & (along == axis)
            sign = np.where(apart[..., axis] >= 0, 1.0, -1.0)
            sign = np.where(apart[..., axis] == 0, np.sign(np.subtract.outer(
                np.arange(len(anchor)), np.arange(len(anchor)))), sign)  # fmt: skip
            push[..., axis] = np.where(chosen, sign * (overlap[..., axis] / 2 + 0.3), 0)
        centre = np.clip(centre + 0.6 * push.sum(axis=1), low, high)
    return centre
