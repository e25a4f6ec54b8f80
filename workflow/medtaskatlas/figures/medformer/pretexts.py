"""Gain of a target from a pretext over the distance of both in the atlas."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures import frames, panels, style

COLUMNS = 2
RISE = 7  # points that a name stands above its mark


def medformer_pretexts(
    table: str | Path, ranks_table: str | Path, svg: str | Path, png: str | Path, *, encoder: str
) -> None:
    """Draw a panel a target of a set and share of the labels, with its rank correlation."""
    style.use_style()
    rows, ranks = frames.read_frame(table), frames.read_frame(ranks_table)
    rows = rows[rows["primary"] & (rows["encoder"] == encoder)]
    rows = rows[rows["estimate"].notna() & rows["distance"].notna()]
    if rows.empty:
        style.save_note(f"{encoder} knows no pretext and target of an arm", svg, png)
        return
    keys = ["set", "target", "labels", "reference"]
    found = list(rows.groupby(keys, sort=False))
    columns = min(COLUMNS, len(found))
    lines = -(-len(found) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.6 + 3.4 * lines), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes in list(grid.flat)[len(found) :]:
        axes.set_axis_off()
    several = rows.groupby(["set", "target"])[["labels", "reference"]].nunique().max() > 1
    for axes, (key, here) in zip(grid.flat, found, strict=False):
        one, target, labels, reference = key
        title = f"{frames.plain(str(target))}, {frames.plain(str(one))}"
        title += f", {labels} % of the labels" * bool(several["labels"])
        title += f", against {reference}" * bool(several["reference"])
        own = ranks[(ranks[keys] == pd.Series(key, keys)).all(axis=1)]
        own = own[own["encoder"] == encoder]
        style.panel_title(axes, title, _rank(own))
        _draw(axes, here)
        axes.set_xlabel(f"distance in the space of {encoder}")
        axes.set_ylabel(f"gain, {frames.plain(here['score'].iloc[0])}")
    families = frames.family_order(rows["family"])
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ls="", ms=4, color=style.family_colour(f), label=f)
            for f in families
        ],
        loc="outside lower center", ncols=len(families), title="family of the pretext",
    )  # fmt: skip
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, (_, here) in zip(grid.flat, found, strict=False):
        # A little above the marks.
        points = axes.transData.transform(here[["distance", "estimate"]].to_numpy(float))
        points[:, 1] += RISE * figure.dpi / 72
        points = axes.transData.inverted().transform(points)
        texts = [frames.plain(name) for name in here["pretext"]]
        shades = [style.family_colour(family) for family in here["family"]]
        panels.label_points(axes, points, texts, shades, size=5.5)
    style.save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    """Points with their intervals, upright that of the gain."""
    axes.axhline(0, color=style.DARK, ls=":", lw=1.1, zorder=0)
    for row in rows.to_dict("records"):
        colour, x, y = style.family_colour(row["family"]), row["distance"], row["estimate"]
        if np.isfinite(row["ci_low"]):
            axes.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, lw=0.8, zorder=2)
        # Above names too.
        axes.plot(x, y, "o", ms=4, color=colour, mec="white", mew=0.5, zorder=7)
    axes.margins(0.12)


def _rank(rows: pd.DataFrame) -> str:
    """What a panel's ranks say: the correlation, its interval, p and number of pretexts."""
    if rows.empty or rows["estimate"].isna().all():
        return "no rank correlation"
    row = rows.iloc[0].to_dict()
    return (
        f"rank correlation {frames.interval(row)}\n"
        f"adjusted p = {row['p_adjusted']:.2g}, {row['n_pretexts']} pretexts"
    )
