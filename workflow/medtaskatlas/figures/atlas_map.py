"""Map of an embedding space in two dimensions: a picture, from which no number is taken."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medtaskatlas.atlas.embeddings import load_embedding
from medtaskatlas.core.seeds import generator
from medtaskatlas.figures import frames, panels, style
from medtaskatlas.figures.projection import balanced, medoid, project
from medtaskatlas.pairs.roles import QUERY_SETS

MAX_POINTS = 2000


def atlas_map(
    embeddings: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    heldout_datasets: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Draw held-out pairs, coloured by family and by modality."""
    style.use_style()
    shown = load_embedding(embeddings, wanted=_heldout)
    frame, vectors = shown.frame, shown.vectors
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 6.1), width_ratios=[1.5, 1], layout="constrained"
    )
    if len(frame) < 10:
        for axes in (left, right):
            style.blank_note(axes, "too few held-out pairs for a map")
        style.save(figure, svg, png)
        return
    rows = balanced(frame, MAX_POINTS, seed)
    frame, spots = frame.iloc[rows].reset_index(drop=True), project(vectors[rows], seed)
    for axes in (left, right):
        axes.set_box_aspect(1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        margin = 0.03 * np.ptp(spots, axis=0)
        axes.set_xlim(spots[:, 0].min() - margin[0], spots[:, 0].max() + margin[0])
        axes.set_ylim(spots[:, 1].min() - margin[1], spots[:, 1].max() + margin[1])
    left.set_title(f"By family and task ({encoder}, held-out pairs)")
    right.set_title("By modality")
    _draw_families(left, frame, spots)
    _draw_modalities(right, frame, spots, set(heldout_datasets))
    figure.canvas.draw()  # the layout is final only now, and labels need the final scale
    figure.set_layout_engine("none")
    _label_tasks(left, frame, spots)
    style.save(figure, svg, png)


def _heldout(frame: pd.DataFrame) -> np.ndarray:
    """Rows of the pairs that no encoder saw in training."""
    return np.flatnonzero(frame["role"].isin(QUERY_SETS))


def dot_size(n: int) -> float:
    """Area of a dot, so that many do not hide each other and few can be seen."""
    return float(np.clip(17000 / max(n, 1), 7, 30))


def _draw_families(axes: Axes, frame: pd.DataFrame, spots: np.ndarray) -> None:
    """Dots by family, drawn in a mixed order so that no family covers another."""
    order = generator(0, "drawing order").permutation(len(frame))
    colours = frame["family"].map(style.family_colour).to_numpy()
    x, y = spots[order].T
    axes.scatter(x, y, s=dot_size(len(x)), c=colours[order], lw=0, alpha=0.55, rasterized=True)
    for family in frames.family_order(frame["family"]):
        axes.scatter([], [], s=28, color=style.family_colour(family), label=family)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, handletextpad=0.1)


def _label_tasks(axes: Axes, frame: pd.DataFrame, spots: np.ndarray) -> None:
    """Name every task at its most central pair."""
    family = dict(zip(frame["task"], frame["family"], strict=True))
    tasks = frames.by_family(family)
    own = [spots[(frame["task"] == task).to_numpy()] for task in tasks]
    anchors = np.array([points[medoid(points)] for points in own])
    colours = [style.family_colour(family[task]) for task in tasks]
    panels.label_points(axes, anchors, [frames.plain(task) for task in tasks], colours)


def _draw_modalities(axes: Axes, frame: pd.DataFrame, spots: np.ndarray, heldout: set[str]) -> None:
    """Dots by modality; crosses for datasets kept out of training."""
    outside = frame["dataset"].isin(heldout).to_numpy()
    size = dot_size(len(frame))
    for modality in sorted(set(frame["modality"])):
        colour = style.MODALITY_COLOURS.get(modality, style.GREY)
        own = (frame["modality"] == modality).to_numpy()
        for rows, look in (
            (own & ~outside, {"s": 0.7 * size, "lw": 0, "alpha": 0.55}),
            (own & outside, {"s": size, "lw": 0.6, "alpha": 0.7, "marker": "x"}),
        ):
            x, y = spots[rows].T
            axes.scatter(x, y, color=colour, rasterized=True, **look)
        axes.scatter([], [], s=28, color=colour, label=frames.modality_name(modality))
    if outside.any():
        axes.scatter([], [], s=22, color="black", marker="x", lw=0.9, label="held-out dataset")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, handletextpad=0.1)
