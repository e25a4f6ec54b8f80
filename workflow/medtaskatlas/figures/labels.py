"""Labels that do not cover one another: each takes the nearest place that is free."""

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
) -> None:
    """Write a text near each point so that no text lies on another, with a line to its point.

    Limits and size of the axes must be final.
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
    half = np.array([[box.width, box.height] for box in boxes]) / 2 + (5.0, 1.5)
    anchor = axes.transData.transform(points)
    frame = axes.get_window_extent(renderer)
    low, high = np.array([frame.x0, frame.y0]) + half, np.array([frame.x1, frame.y1]) - half
    centre = spread(anchor, half, low, high)
    pixels = figure.dpi / 72
    for artist, at, start in zip(drawn, centre, anchor, strict=True):
        artist.set_position(tuple((at - start) / pixels))
    inverse = axes.transData.inverted()
    for at, start, colour in zip(centre, anchor, colours, strict=True):
        if np.hypot(*(at - start)) > 9:
            line = inverse.transform(np.array([start, at]))
            axes.plot(line[:, 0], line[:, 1], color=colour, lw=0.7, zorder=5)


def spread(anchor: np.ndarray, half: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Centres of boxes that do not overlap, each as near to its anchor as those before it allow.

    Boxes in a crowd are placed first, since others have more choice. Where there is no free place,
    a box stays at its anchor.
    """
    centre = np.clip(anchor, low, high)
    reach = np.ptp(np.concatenate([low, high]), axis=0).max() if len(anchor) else 0.0
    crowd = np.hypot(*(anchor[:, None] - anchor[None]).transpose(2, 0, 1)).sum(axis=1)
    placed: list[int] = []
    for i in np.argsort(crowd, kind="stable"):
        # Places on a grid of a quarter of the box, by distance; half as dear sideways, since texts
        # are wide and a step to the side clears less.
        steps = [np.arange(-reach, reach + 1, max(size / 2, 1)) for size in half[i]]
        grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
        grid = np.concatenate([np.zeros((1, 2)), grid])
        grid = grid[np.argsort(np.hypot(0.5 * grid[:, 0], grid[:, 1]), kind="stable")]
        spots = centre[i] + grid
        inside = ((spots >= low[i]) & (spots <= high[i])).all(axis=-1)
        spots = spots[inside]
        apart = np.abs(spots[:, None] - centre[placed][None])
        free = ~(apart < half[i] + half[placed][None]).all(axis=-1).any(axis=1)
        if free.any():
            centre[i] = spots[np.argmax(free)]
        placed.append(int(i))
    return centre
