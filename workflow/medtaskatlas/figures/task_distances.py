"""Heatmap of the distances between tasks, with the tree that they make."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from medtaskatlas.atlas.distances import distance_matrix
from medtaskatlas.figures import frames, panels, style

METRICS = {
    "centroid_cosine": "1 − cosine\nof centroids",
    "energy": "energy\ndistance",
    "mmd": "maximum mean\ndiscrepancy",
}

TREE, NAMES, LEGEND = 0.9, 1.55, 1.0  # widths in inches


def task_distances(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    metric: str = "centroid_cosine",
) -> None:
    """Draw the task x task distances of one encoder."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["metric"] == metric)]
    rows = rows[rows["estimate"].notna() & rows["seed"].isna()]
    split = next(iter(frames.splits_of(rows["split"])), None)
    rows = rows[rows["split"] == split]
    distances = distance_matrix(rows)
    tasks, matrix = list(map(str, distances)), distances.to_numpy()
    if split is None or len(tasks) < 3:
        style.save_note(f"no distances between three or more tasks for {encoder}", svg, png)
        return
    families = dict(zip(rows["task_a"], rows["family_a"], strict=True))
    families |= dict(zip(rows["task_b"], rows["family_b"], strict=True))
    side = max(2.4, 0.155 * len(tasks))
    width, height = TREE + 0.26 + side + NAMES + LEGEND, side + 0.45
    figure = plt.figure(figsize=(width, height))

    def panel(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, y / height, w / width, h / height))

    tree, strip = panel(0.05, 0.02, TREE, side), panel(TREE + 0.07, 0.02, 0.14, side)
    heat = panel(TREE + 0.23, 0.02, side, side)
    order = _draw_tree(tree, matrix)
    names = [tasks[i] for i in order]
    mesh = panels.heatmap(
        heat, matrix[np.ix_(order, order)], "viridis_r", top=np.nanmax(matrix), gap=0
    )
    heat.yaxis.tick_right()
    panels.name_axis(heat, "y", names, families)
    panels.name_axis(heat, "x", names, families)
    style.panel_title(
        heat, f"{encoder}, {frames.WHERE[split]}", frames.each_text(rows, "a comparison")
    )
    for i, name in enumerate(names):
        strip.add_patch(Rectangle((0, i), 1, 1, color=style.family_colour(families[name]), lw=0))
    strip.set(xlim=(0, 1), ylim=(len(names), 0))
    strip.set_axis_off()
    # Beside the names of the rows, which need the space right of the heatmap.
    left, top = TREE + 0.26 + side + NAMES, side
    bar = panel(left, top - 1.2, 0.14, 1.1)
    figure.colorbar(mesh, cax=bar)
    bar.set_title(METRICS.get(metric, metric), fontsize=7.5, fontweight="normal", pad=5)
    _legend_families(panel(left, top - 2.3, 0.8, 0.8), families)
    style.save(figure, svg, png)


def average_linkage(matrix: np.ndarray) -> np.ndarray:
    """Tree of distances [T, T] as of scipy, its leaves ordered so that neighbours are near.

    A missing distance (nan) counts as far apart.
    """
    filled = np.where(np.isnan(matrix), np.nanmax(matrix), np.clip(matrix, 0, None))
    return linkage(squareform(filled, checks=False), "average", optimal_ordering=True)


def _draw_tree(axes: Axes, matrix: np.ndarray) -> list[int]:
    """Average-linkage tree on the left; the order of its leaves from top to bottom."""
    drawn = dendrogram(average_linkage(matrix), no_plot=True)
    for depth, at in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        axes.plot(depth, np.array(at) / 10 - 0.5, color="#555555", lw=0.8, clip_on=False)
    axes.set_ylim(len(matrix) - 0.5, -0.5)
    axes.set_xlim(max(map(max, drawn["dcoord"])) * 1.02, 0)
    axes.set_axis_off()
    return [int(i) for i in drawn["leaves"]]


def _legend_families(axes: Axes, families: dict[str, str]) -> None:
    """What the colours of the names mean."""
    axes.set_axis_off()
    for family in frames.family_order(families.values()):
        axes.scatter([], [], marker="s", s=30, color=style.family_colour(family), label=family)
    axes.legend(loc="center left", title="family (ours)", alignment="left", handletextpad=0.2)
