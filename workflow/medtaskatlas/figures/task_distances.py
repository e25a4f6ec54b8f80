"""Heatmap of the distances between tasks, with the tree that they make."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from medtaskatlas.figures.frames import WHERE, each_text, family_order, read_frame, splits_of
from medtaskatlas.figures.matrix import name_axis
from medtaskatlas.figures.style import PAGE, blank_note, family_colour, save, use_style

METRICS = {
    "centroid_cosine": "1 − cosine of task centroids",
    "energy": "energy distance",
}


def task_distances(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    metric: str = "centroid_cosine",
) -> None:
    """Draw the task x task distances of one encoder.

    Parameters
    ----------
    table
        results/<run>/tables/task_distances.parquet.
    svg, png
        The files to make.
    encoder
        Name of the encoder.
    metric
        A value of the table's column ``metric``.
    """
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["metric"] == metric)]
    rows = rows[rows["estimate"].notna() & rows["seed"].isna()]
    split = next(iter(splits_of(rows["split"])), None)
    rows = rows[rows["split"] == split]
    tasks, matrix = square(rows)
    if split is None or len(tasks) < 3:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, f"no distances between three or more tasks for {encoder}")
        save(figure, svg, png)
        return
    families = dict(zip(rows["task_a"], rows["family_a"], strict=True))
    families |= dict(zip(rows["task_b"], rows["family_b"], strict=True))
    side = max(2.4, 0.155 * len(tasks))
    figure = plt.figure(figsize=(side + 2.6, side + 0.4))
    grid = figure.add_gridspec(
        1, 4, width_ratios=[0.9, 0.14, side, 0.14], wspace=0.02, left=0.01, right=0.72,
        bottom=0.01, top=0.94,
    )  # fmt: skip
    tree, strip, heat, bar = (figure.add_subplot(grid[0, i]) for i in range(4))
    order = _draw_tree(tree, matrix)
    names = [tasks[i] for i in order]
    colours = plt.get_cmap("viridis_r")
    shown = np.ma.masked_invalid(matrix[np.ix_(order, order)])
    image = heat.imshow(shown, cmap=colours, vmin=0, aspect="auto", interpolation="none")
    heat.yaxis.tick_right()
    name_axis(heat, "y", names, families)
    name_axis(heat, "x", names, families)
    heat.spines[:].set_visible(False)
    heat.set_title(f"{encoder}, {WHERE[split]}: {each_text(rows, 'a comparison')}", pad=6)
    _draw_strip(strip, names, families)
    bar.set_axis_off()
    # Beside the names, below the tree's reach: the names need the space right of the heatmap.
    legend = figure.add_axes((0.955, 0.60, 0.02, 0.3))
    figure.colorbar(image, cax=legend, label=f"{METRICS.get(metric, metric)}\n(dark = far apart)")
    _legend_families(figure.add_axes((0.90, 0.30, 0.1, 0.2)), families)
    save(figure, svg, png)


def square(rows: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Symmetric matrix of a long table of distances.

    Parameters
    ----------
    rows
        Columns ``task_a``, ``task_b``, ``estimate``; each pair of tasks once.

    Returns
    -------
    tuple
        Names of the tasks in alphabetical order, and float [T, T] with zeros on the diagonal and
        nan where a pair of tasks is missing.
    """
    tasks = sorted({*rows["task_a"], *rows["task_b"]})
    at = {task: i for i, task in enumerate(tasks)}
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    np.fill_diagonal(matrix, 0.0)
    for a, b, value in zip(rows["task_a"], rows["task_b"], rows["estimate"], strict=True):
        matrix[at[a], at[b]] = matrix[at[b], at[a]] = value
    return tasks, matrix


def _draw_tree(axes: Axes, matrix: np.ndarray) -> list[int]:
    """Average-linkage tree on the left; the order of its leaves from top to bottom."""
    # A pair without a distance counts as far apart: in the tree only.
    filled = np.where(np.isnan(matrix), np.nanmax(matrix), np.clip(matrix, 0, None))
    joined = linkage(squareform(filled, checks=False), "average", optimal_ordering=True)
    drawn = dendrogram(joined, no_plot=True)
    for depth, at in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        axes.plot(depth, np.array(at) / 10 - 0.5, color="#555555", lw=0.8, clip_on=False)
    axes.set_ylim(len(matrix) - 0.5, -0.5)
    axes.set_xlim(max(map(max, drawn["dcoord"])) * 1.02, 0)
    axes.set_axis_off()
    return [int(i) for i in drawn["leaves"]]


def _draw_strip(axes: Axes, names: list[str], families: dict[str, str]) -> None:
    """Colours of the families between tree and heatmap."""
    for i, name in enumerate(names):
        axes.add_patch(Rectangle((0, i - 0.5), 1, 1, color=family_colour(families[name]), lw=0))
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    axes.set_axis_off()


def _legend_families(axes: Axes, families: dict[str, str]) -> None:
    """What the colours of the names mean."""
    axes.set_axis_off()
    for family in family_order(families.values()):
        axes.scatter([], [], marker="s", s=30, color=family_colour(family), label=family)
    axes.legend(loc="center left", title="family (ours)", alignment="left", handletextpad=0.2)
