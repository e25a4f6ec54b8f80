"""What systems cost and what they gain, both against single-task networks."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from medtaskatlas.figures import frames, style
from medtaskatlas.figures.multitask import parts

COLUMNS = 3
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
SECONDS = {"gpu_seconds": "GPU seconds", "cpu_seconds": "CPU seconds"}


def multitask_cost(
    cost_table: str | Path, gains_table: str | Path, svg: str | Path, png: str | Path
) -> None:
    """Draw delta-m over the time of training, a panel a problem."""
    style.use_style()
    costs, gains = frames.read_frame(cost_table), frames.read_frame(gains_table)
    costs = costs[costs["seed"].isna() & (costs["part"] == "training")]
    costs = costs[costs["relative_to_stl"].notna()]
    gains = gains[(gains["measure"] == "delta_m") & (gains["reference_kind"] == "stl")]
    gains = gains[gains["estimate"].notna() & (gains["scope"] == "problem")]
    # Where jobs had a GPU, its time is what is short.
    measure = next((m for m in SECONDS if (costs["measure"] == m).any()), "cpu_seconds")
    times = costs[costs["measure"] == measure][["problem", "system", "relative_to_stl"]]
    rows = gains.merge(times, on=["problem", "system"])
    if rows.empty:
        style.save_note("no cost and gain against single-task networks", svg, png)
        return
    problems = list(dict.fromkeys(rows["problem"]))
    columns = min(COLUMNS, len(problems))
    lines = -(-len(problems) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.3 + 2.5 * lines), squeeze=False,
        sharex=True, layout="constrained",
    )  # fmt: skip
    colours = parts.colours(rows["system"])
    low, high = rows["relative_to_stl"].min() / 1.5, rows["relative_to_stl"].max() * 1.5
    for axes, problem in zip(grid.flat, problems, strict=False):
        here = rows[rows["problem"] == problem]
        axes.set_xscale("log")
        axes.set_xlim(min(low, 0.8), max(high, 1.25))
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.set_xlim(min(low, 0.8), max(high, 1.25))
        axes.xaxis.set_minor_formatter(NullFormatter())
        style.panel_title(axes, frames.plain(problem), parts.counts(here))
        axes.set_xlabel(f"{SECONDS[measure]}, times those of\nsingle-task networks (log scale)")
    for axes in list(grid.flat)[len(problems) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("delta-m, %")
    for axes, problem in zip(grid.flat, problems, strict=False):
        _draw(axes, rows[rows["problem"] == problem], colours)
    parts.name_systems(figure, rows["system"], colours)
    style.save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict[str, str]) -> None:
    """One panel: a mark with its interval for each system; single-task networks at (1, 0)."""
    axes.axhline(0, color=style.DARK, ls=":", lw=1.0, zorder=0)
    axes.axvline(1, color=style.DARK, ls=":", lw=1.0, zorder=0)
    for row in rows.to_dict("records"):
        x, colour = row["relative_to_stl"], colours[row["system"]]
        if pd.notna(row["ci_low"]):
            axes.plot([x, x], [100 * row["ci_low"], 100 * row["ci_high"]], color=colour, lw=1.2)
        axes.plot([x], [100 * row["estimate"]], "o", color=colour, ms=5, mec="white", mew=0.5)
