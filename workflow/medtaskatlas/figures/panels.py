"""What several figures draw: heatmaps, rows, marks with intervals, labels, small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from seaborn.utils import relative_luminance

from medtaskatlas.figures.frames import plain
from medtaskatlas.figures.style import DARK, PALE, family_colour

# Larger pictures would make an SVG of many megabytes and look the same on a page.
MAX_SIDE = 64


def heatmap(
    axes: Axes,
    values: np.ndarray,
    colours: str | Colormap,
    *,
    top: float = 1.0,
    texts: np.ndarray | None = None,
    square: bool = False,
    gap: float = 0.4,
    size: float = 6.5,
) -> ScalarMappable:
    """Cells of values 0 to `top`, the first one over 0 to 1 of both axes; nan shows the background.

    `texts` are written into the cells that have a value; `gap` is the width of the white lines
    between cells, `size` that of the texts, both in points.
    """
    axes.set_facecolor(PALE)
    sns.heatmap(
        values, ax=axes, mask=np.isnan(values), cmap=colours, vmin=0, vmax=top, annot=texts, fmt="",
        annot_kws={"fontsize": size}, square=square, linewidths=gap, cbar=False,
        xticklabels=False, yticklabels=False, rasterized=gap == 0,
    )  # fmt: skip
    mesh = axes.collections[0]
    # Seaborn itself writes white up to a luminance of .408, which is faint on pale cells.
    for text, shade in zip(
        axes.texts, mesh.get_facecolor()[~np.isnan(values).ravel()], strict=False
    ):
        text.set_color("black" if relative_luminance(shade) > 0.3 else "white")
    return mesh


def short(value: float) -> str:
    """A number for a cell, without a leading zero: ``.31``."""
    text = f"{value:.2f}".replace("1.00", "1")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def name_axis(axes: Axes, which: str, tasks: list[str], families: Mapping[str, str]) -> None:
    """Write the names of tasks at the cells of a heatmap's x or y axis, coloured by family."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(np.arange(len(tasks)) + 0.5, [plain(task) for task in tasks])
    axis.set_tick_params(length=0, rotation=90 if which == "x" else 0)
    colour_names(axis.get_ticklabels(), tasks, families)


def colour_names(labels: Sequence[Any], tasks: list[str], families: Mapping[str, str]) -> None:
    """Give the names of tasks the colours of their families."""
    for label, task in zip(labels, tasks, strict=True):
        label.set_color(family_colour(families.get(task, "")))


def divide_families(
    axes: Axes, which: str, tasks: list[str], families: Mapping[str, str], first: float = 0.0
) -> None:
    """Draw lines between families along x, y or xy; `first` is where the first cell begins."""
    for i in range(1, len(tasks)):
        if families[tasks[i]] != families[tasks[i - 1]]:
            if "x" in which:
                axes.axvline(first + i, color=DARK, lw=0.8)
            if "y" in which:
                axes.axhline(first + i, color=DARK, lw=0.8)


def name_rows(axes: Axes, names: Sequence[str], low: float = 0.0, high: float = 1.0) -> None:
    """Rows 0, 1, ... from above, each with its name, over an x axis with a grid."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(low, high)
    axes.grid(axis="x", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)


def whisker(axes: Axes, row: Mapping[Any, Any], y: float, colour: str, marker: str) -> None:
    """A mark with its 95 % interval; without a line where there is no interval."""
    if np.isfinite(row["ci_low"]):
        axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=1.3, zorder=2)
    axes.plot(
        [row["estimate"]], [y], marker, ms=5, color=colour, mec="white", mew=0.5, zorder=3,
        clip_on=False,
    )  # fmt: skip


def label_points(
    axes: Axes, points: np.ndarray, texts: list[str], colours: list[str], *, size: float = 7.5
) -> None:
    """Write a text near each point [K, 2], none on another, with a line to its point.

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

    All are [K, 2]: anchors, half sizes of the boxes, bounds of the centres. Boxes in a crowd are
    placed first, since others have more choice. Where there is no free place, a box stays at its
    anchor.
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


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one frameless panel measured in inches from its upper left corner."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def place(
    axes: Axes, image: np.ndarray, x: float, y: float, side: float, *, pixels: int = MAX_SIDE
) -> None:
    """Put a picture, uint8 [H, W, 3], on a sheet, with at most so many pixels a side."""
    longest = max(image.shape[:2])
    if longest > pixels:
        size = tuple(max(1, round(n * pixels / longest)) for n in image.shape[1::-1])
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    # Rows of the picture run downwards, and so do the inches of the sheet.
    extent = (x, x + side, y + side, y)
    axes.imshow(image, extent=extent, interpolation="none", aspect="auto", zorder=2)
