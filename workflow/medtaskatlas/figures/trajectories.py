"""Trajectories of single images in an embedding, each task in its own plane: a picture only."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection

from medtaskatlas.atlas.embeddings import EmbeddingSet, load_set
from medtaskatlas.atlas.trajectories.tracks import Trajectories
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.figures import frames, style

# The movements that everyone knows come first.
FIRST = ("rotation", "brightness", "noise_addition")
MOST = 6
COLOURS = "viridis"


def trajectories(
    main: str | Path,
    trajectory: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    tasks: Collection[str] = (),
) -> None:
    """Draw the trajectories of up to six tasks, on held-out datasets where there are any.

    The plane of a panel is that of the first two principal components of its trajectories.
    """
    style.use_style()
    loaded = load_set(main, trajectory)
    there = set(loaded.frame["query_set"])
    split = next((name for name in ("datasets", "groups", "regions") if name in there), "")
    chosen = choose_tasks(loaded.frame[loaded.frame["query_set"] == split], tasks)
    if not chosen:
        style.save_note(f"no trajectory of {encoder} outside training", svg, png)
        return
    columns = min(3, len(chosen))
    lines = -(-len(chosen) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.5 + lines * 7.6 / columns * 0.95), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, task in zip(grid.flat, chosen, strict=False):
        _draw(axes, loaded, split, task)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=grid, orientation="horizontal", shrink=0.4, aspect=30,
        pad=0.03, label="severity (thin: one image; thick: mean over images)",
    )  # fmt: skip
    bar.outline.set_visible(False)
    figure.suptitle(
        f"{encoder}, {frames.WHERE[split]}", x=0.01, ha="left", fontsize=9, fontweight="bold"
    )
    style.save(figure, svg, png)


def choose_tasks(pairs: pd.DataFrame, wanted: Collection[str] = ()) -> list[str]:
    """Tasks to draw, at most six."""
    families = dict(zip(pairs["task"], pairs["family"], strict=True))
    order = frames.family_order(families.values())
    # A task of each family in turn, so that no family is shown alone.
    turns: dict[str, int] = {}
    rest = []
    for task in sorted(families):
        turns[families[task]] = turns.get(families[task], 0) + 1
        rest.append((turns[families[task]], order.index(families[task]), task))
    ranked = list(wanted) or [*FIRST, *(t for *_, t in sorted(rest) if t not in FIRST)]
    return [task for task in ranked if task in families][:MOST]


def plane(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Trajectories [n, L, D] in the plane of their first two principal components.

    Returns their spots [n, L, 2], turned so that the mean trajectory ends to the right of where it
    begins and bends upwards, the mean [L, 2], and the share of variance that the plane holds.
    """
    flat = paths.reshape(-1, paths.shape[-1]).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    _, size, axes = np.linalg.svd(flat, full_matrices=False)
    two = np.zeros((2, flat.shape[1]))
    two[: len(axes[:2])] = axes[:2]
    spots = (flat @ two.T).reshape(*paths.shape[:2], 2)
    mean = spots.mean(axis=0)
    middle = mean[len(mean) // 2, 1] - (mean[0, 1] + mean[-1, 1]) / 2
    sign = np.where([mean[-1, 0] < mean[0, 0], middle < 0], -1.0, 1.0)
    total = float((size**2).sum())
    share = float((size[:2] ** 2).sum()) / total if total > 0 else float("nan")
    return spots * sign, mean * sign, share


def _draw(axes: Axes, loaded: EmbeddingSet, split: str, task: str) -> None:
    """One task."""
    own = (loaded.frame["query_set"] == split) & (loaded.frame["task"] == task)
    pairs = loaded.frame[own].reset_index(drop=True)
    vectors = l2_normalize(loaded.vectors[own.to_numpy()])
    found = Trajectories.of(pairs)
    # Of one number of levels, so that they have a mean.
    batches = list(found.batches())
    if not batches:
        style.panel_title(axes, frames.plain(task), "")
        style.blank_note(axes, "fewer than three levels of severity")
        return
    levels = found.frame["n_levels"].to_numpy()
    most = np.bincount(levels[np.concatenate(batches)]).argmax()
    chosen = np.flatnonzero(found.frame["reason"].isna() & (levels == most))
    spots, mean, share = plane(vectors[found.rows[chosen, :most]])
    severity = found.severity[chosen, :most]
    for path, where in zip(spots, severity, strict=True):
        _line(axes, path, where, lw=0.7, alpha=0.5)
    axes.plot(*mean.T, color="white", lw=4.6, solid_capstyle="round", zorder=3)
    _line(axes, mean, severity.mean(axis=0), lw=2.8, alpha=1.0, zorder=4)
    axes.plot(*mean[0], "o", ms=5, color="white", mec="black", mew=0.9, zorder=5)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    axes.autoscale_view()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")
    datasets = found.frame["dataset"].iloc[chosen].nunique()
    text = f"{frames.count(len(chosen), 'image')}, {frames.count(datasets, 'dataset')}"
    held = "" if found.frame["known"].iloc[chosen[0]] else " (not trained on)"
    style.panel_title(axes, frames.plain(task) + held, f"{text}; plane holds {share:.0%}")


def _line(axes: Axes, path: np.ndarray, severity: np.ndarray, **look: float) -> None:
    """A trajectory, each step in the colour of its severity."""
    steps = LineCollection(
        list(np.stack([path[:-1], path[1:]], axis=1)), cmap=COLOURS, norm=plt.Normalize(0, 1),
        capstyle="round", **look,
    )  # fmt: skip
    steps.set_array((severity[:-1] + severity[1:]) / 2)
    axes.add_collection(steps)
