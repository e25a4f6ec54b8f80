"""How well each encoder names tasks that it has never seen a pair of: all encoders, all methods."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures import frames, panels, style

MEASURES = {
    "balanced_accuracy": "task named right\n(balanced accuracy)",
    "family_balanced_accuracy": "family named right\n(balanced accuracy)",
}
METHODS = {
    "knn": ("o", "nearest pairs (kNN)"),
    "linear": ("s", "linear probe"),
    "boosted": ("^", "boosted trees"),
}


def identification(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the balanced accuracy of every encoder and method, with intervals and chance."""
    style.use_style()
    rows = overall(frames.read_frame(table))
    splits = frames.splits_of(rows["split"], frames.SEEN)
    if not splits:
        style.save_note("no identification on held-out pairs", svg, png)
        return
    # Best encoder on top: by kNN on the first query set.
    ranked = rows[(rows["measure"] == "balanced_accuracy") & (rows["split"] == splits[0])]
    encoders = list(ranked.groupby("encoder")["estimate"].max().sort_values(ascending=False).index)
    encoders += sorted(set(rows["encoder"]) - set(encoders))
    colours = style.encoder_colours(encoders)
    figure, grid = plt.subplots(
        len(MEASURES), len(splits), figsize=(style.PAGE, 1.3 + 2 * (0.35 + 0.40 * len(encoders))),
        sharex="row", sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for i, (measure, words) in enumerate(MEASURES.items()):
        for j, split in enumerate(splits):
            here = rows[(rows["measure"] == measure) & (rows["split"] == split)]
            _draw(grid[i, j], here, encoders, colours)
            grid[i, j].set_xlabel(words)
            if i == 0:
                # Two panels hold their titles on one line; three have to wrap them.
                wide = style.PAGE / len(splits)
                title, counts = (
                    textwrap.fill(text, int(characters * wide))
                    for text, characters in (
                        (frames.WHERE[split].capitalize(), 10),
                        (frames.count_text(here), 15),
                    )
                )
                style.panel_title(grid[i, j], title, counts)
    there = set(rows["method"])
    handles = [
        Line2D([], [], marker=marker, ls="-", color="#555555", ms=5, lw=1.3, label=words)
        for method, (marker, words) in METHODS.items()
        if method in there
    ]
    handles.append(Line2D([], [], ls=":", color=style.DARK, lw=1.1, label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    style.save(figure, svg, png)


def overall(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows over all tasks, all seeds."""
    keep = (rows["level"] == "overall") & (rows["task_subset"] == "all") & rows["seed"].isna()
    return rows[keep & rows["estimate"].notna()]


def _draw(axes: Axes, rows: pd.DataFrame, encoders: list[str], colours: dict[str, str]) -> None:
    """One panel: a line an encoder, its methods below one another."""
    offsets = dict(zip(METHODS, (-0.22, 0.0, 0.22), strict=True))
    for row in rows.to_dict("records"):
        y = encoders.index(row["encoder"]) + offsets[row["method"]]
        panels.whisker(axes, row, y, colours[row["encoder"]], METHODS[row["method"]][0])
    if rows["chance"].notna().any():
        axes.axvline(float(rows["chance"].mean()), color=style.DARK, ls=":", lw=1.1, zorder=0)
    panels.name_rows(axes, encoders)
