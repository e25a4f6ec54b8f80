"""Heatmaps of affinity: what a target gains when another one is trained beside it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from medtaskatlas.figures import frames, style
from medtaskatlas.figures.multitask import parts

COLUMNS = 3


def affinity(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the relative change of every ordered pair of targets, a panel a problem."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[rows["seed"].isna() & (rows["measure"] == "relative_change")]
    rows = rows[rows["estimate"].notna()]
    if rows.empty:
        style.save_note("no pairs of targets were trained", svg, png)
        return
    groups = list(dict.fromkeys(zip(rows["problem"], rows["system"], strict=True)))
    columns = min(COLUMNS, len(groups))
    lines = -(-len(groups) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.5 + 2.4 * lines), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    top = 100 * rows["estimate"].abs().max()
    for axes in list(grid.flat)[len(groups) :]:
        axes.set_axis_off()
    for axes, (problem, system) in zip(grid.flat, groups, strict=False):
        here = rows[(rows["problem"] == problem) & (rows["system"] == system)]
        names = sorted({*here["target"], *here["beside"]})
        values = 100 * here.pivot_table(index="target", columns="beside", values="estimate")
        values = values.reindex(index=names, columns=names)
        texts = here.assign(text=here.apply(_text, axis=1))
        texts = texts.pivot_table(index="target", columns="beside", values="text", aggfunc="first")
        axes.set_facecolor(style.PALE)
        sns.heatmap(
            values, ax=axes, cmap="RdBu", vmin=-top, vmax=top, mask=values.isna(), square=True,
            annot=texts.reindex(index=names, columns=names).fillna("").to_numpy(), fmt="",
            annot_kws={"fontsize": 6.5}, linewidths=0.4, cbar=False,
        )  # fmt: skip
        axes.set_xlabel("trained beside")
        axes.set_ylabel("target")
        several = rows[rows["problem"] == problem]["system"].nunique() > 1
        title = f"{frames.plain(problem)}, {system}" if several else frames.plain(problem)
        style.panel_title(axes, title, parts.counts(here))
    shade = plt.cm.ScalarMappable(plt.Normalize(-top, top), "RdBu")
    bar = figure.colorbar(shade, ax=grid, shrink=0.6)
    bar.set_label("change of the score of the target, %")
    style.save(figure, svg, png)


def _text(row: pd.Series) -> str:
    """The change in percent; a star where its interval leaves out 0."""
    sure = np.isfinite(row["ci_low"]) and row["ci_low"] * row["ci_high"] > 0
    return f"{100 * row['estimate']:+.1f}{'*' if sure else ''}"
