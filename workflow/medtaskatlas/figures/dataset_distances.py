"""Heatmap of the distances between datasets, grouped by modality."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from medtaskatlas.figures import frames, panels, style

METRICS = {"centroid_cosine": "1 − cosine\nof centroids", "energy": "energy\ndistance"}
MAX_NUMBERS = 13  # datasets: with more, numbers do not fit into the cells


def dataset_distances(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    metric: str = "centroid_cosine",
) -> None:
    """Draw the dataset x dataset distances of one encoder, a panel a query set."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["metric"] == metric)]
    pairs = rows[rows["level"] == "pair"]
    splits = frames.splits_of(pairs.loc[pairs["estimate"].notna(), "split"])
    if not splits:
        style.save_note(f"no distances between two or more datasets for {encoder}", svg, png)
        return
    top = float(pairs["estimate"].max()) or 1.0
    sides = []
    for split in splits:
        chosen = pairs[pairs["split"] == split]
        sides.append(len({*chosen["dataset_a"], *chosen["dataset_b"]}))
    # Under each other, cells of one size: names on the left need their width in every panel.
    cell = min(0.42, 4.6 / max(sides))
    names, below, above = 1.75, 0.5, 0.5
    heights = [above + cell * n + below for n in sides]
    height = sum(heights)
    figure = plt.figure(figsize=(style.PAGE, height))
    offset = height
    for split, n, size in zip(splits, sides, heights, strict=True):
        offset -= size
        box = (names, offset + below, cell * n, cell * n)
        axes = figure.add_axes(_share(box, height))
        mesh = _panel(axes, rows[rows["split"] == split], top, cell)
        known = pairs[(pairs["split"] == split) & pairs["estimate"].notna()]
        style.panel_title(
            axes, f"{encoder}, {frames.WHERE[split]}", frames.each_text(known, "a pair")
        )
    first = names + cell * max(sides) + 0.3
    bar = figure.add_axes(_share((first, height - above - 1.45, 0.14, 1.1), height))
    figure.colorbar(mesh, cax=bar)
    bar.set_title(METRICS.get(metric, metric), fontsize=7.5, fontweight="normal", pad=5)
    _legend(figure.add_axes(_share((first - 0.1, height - above - 3.3, 1.2, 1.6), height)), pairs)
    style.save(figure, svg, png)


def _share(box: tuple[float, float, float, float], height: float) -> tuple[float, ...]:
    """A box in inches as shares of the page."""
    x, y, w, h = box
    return x / style.PAGE, y / height, w / style.PAGE, h / height


def _panel(axes: Axes, rows: pd.DataFrame, top: float, cell: float) -> ScalarMappable:
    """One heatmap with its names and the sentence below it."""
    pairs = rows[rows["level"] == "pair"]
    modality = dict(zip(pairs["dataset_a"], pairs["modality_a"], strict=True))
    modality |= dict(zip(pairs["dataset_b"], pairs["modality_b"], strict=True))
    datasets = sorted(modality, key=lambda name: (modality[name], name))
    colours = [style.MODALITY_COLOURS.get(modality[name], style.GREY) for name in datasets]
    at = {name: i for i, name in enumerate(datasets)}
    matrix = np.full((len(datasets),) * 2, np.nan)
    np.fill_diagonal(matrix, 0)
    for a, b, value in zip(pairs["dataset_a"], pairs["dataset_b"], pairs["estimate"], strict=True):
        matrix[at[a], at[b]] = matrix[at[b], at[a]] = value
    texts = np.where(np.eye(len(datasets), dtype=bool), "", np.vectorize(panels.short)(matrix))
    mesh = panels.heatmap(
        axes, matrix, "viridis_r", top=top, texts=texts if len(datasets) <= MAX_NUMBERS else None
    )
    axes.set_yticks(np.arange(len(datasets)) + 0.5, [frames.plain(name) for name in datasets])
    axes.tick_params(axis="y", length=0, pad=13)
    wide = 0.09 / cell  # of the strips, in cells
    for i, (label, colour) in enumerate(zip(axes.get_yticklabels(), colours, strict=True)):
        label.set_color(colour)
        beside, below = (-0.1 - wide, i), (i, len(datasets) + 0.1)
        for corner, w, h in ((beside, wide, 1), (below, 1, wide)):
            axes.add_patch(Rectangle(corner, w, h, color=colour, lw=0, clip_on=False))
        if i and modality[datasets[i]] != modality[datasets[i - 1]]:
            axes.axhline(i, color="white", lw=1.6)
            axes.axvline(i, color="white", lw=1.6)
    axes.annotate(
        _sentence(rows), (0, 0), xytext=(0, -15), xycoords="axes fraction",
        textcoords="offset points", va="top", fontsize=7.5, color=style.DARK,
    )  # fmt: skip
    return mesh


def _sentence(rows: pd.DataFrame) -> str:
    """Whether datasets of one modality are nearer, in words."""
    by = rows[rows["level"] != "pair"].set_index("level")
    if "modality_difference" not in by.index:
        return ""
    test = by.loc["modality_difference"]
    if pd.isna(test["estimate"]):
        return str(test["note"]).removeprefix("undefined: ")
    one, two = by.loc["one_modality", "estimate"], by.loc["two_modalities", "estimate"]
    return (
        f"mean {one:.2g} within a modality, {two:.2g} between two; permutation p = {test['p']:.2g}"
    )


def _legend(axes: Axes, pairs: pd.DataFrame) -> None:
    """What the colours of the names mean."""
    axes.set_axis_off()
    for modality in sorted({*pairs["modality_a"], *pairs["modality_b"]}):
        colour = style.MODALITY_COLOURS.get(modality, style.GREY)
        axes.scatter([], [], marker="s", s=30, color=colour, label=frames.modality_name(modality))
    axes.legend(loc="upper left", title="modality", alignment="left", handletextpad=0.2)
