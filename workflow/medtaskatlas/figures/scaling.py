"""What more data buys: quality after the same steps, over training pairs and datasets."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from medtaskatlas.figures import frames, style

AXES = {"pairs": ("train_pairs", "training pairs"), "datasets": ("train_datasets", "datasets")}
COLOURS = {
    "groups": style.OKABE_ITO["blue"],
    "datasets": style.OKABE_ITO["vermillion"],
    "regions": style.OKABE_ITO["green"],
}
MARKS = {"groups": "o", "datasets": "s", "regions": "^"}


def scaling(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw balanced accuracy over the amount of training data."""
    style.use_style()
    rows = frames.read_frame(table)
    slopes = rows[rows["measure"] == "gain_per_doubling"]
    rows = rows[(rows["measure"] == "balanced_accuracy") & rows["estimate"].notna()]
    shown = [axis for axis in AXES if (rows["axis"] == axis).any()]
    if not shown:
        style.save_note("nothing was trained on less data", svg, png)
        return
    figure, grid = plt.subplots(
        1, len(shown), figsize=(style.PAGE, 2.9), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, axis in zip(grid[0], shown, strict=True):
        here = rows[rows["axis"].isin([axis, "all"])]
        _draw(axes, here, axis, slopes[slopes["axis"] == axis])
        steps = int(here["steps"].iloc[0])
        style.panel_title(
            axes, f"More {AXES[axis][1]}", f"{steps:,} steps each; {frames.count_text(here)}"
        )
    grid[0, 0].set_ylabel("named right (kNN, balanced)")
    style.save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame, axis: str, slopes: pd.DataFrame) -> None:
    """One panel: a line with its intervals for each query set."""
    column, name = AXES[axis]
    for split in frames.splits_of(rows["split"]):
        line = rows[rows["split"] == split].sort_values(column)
        x, y = line[column].to_numpy(float), line["estimate"].to_numpy(float)
        low = y - line["ci_low"].to_numpy(float, na_value=np.nan)
        high = line["ci_high"].to_numpy(float, na_value=np.nan) - y
        gain = slopes[slopes["split"] == split]["estimate"]
        told = f" ({100 * gain.iloc[0]:+.1f} points a doubling)" if gain.notna().any() else ""
        axes.errorbar(
            x, y, np.nan_to_num(np.stack([low, high]).clip(0)), color=COLOURS[split],
            marker=MARKS[split], ms=4, lw=1.3, capsize=2, elinewidth=0.8,
            label=f"{frames.WHERE[split]}{told}",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    ticks = sorted(set(rows[column].astype(int)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel(f"{name} (log scale)")
    axes.set_ylim(0, 1)
    axes.grid(axis="y", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")
