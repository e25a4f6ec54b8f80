"""Which tasks are named right: the trained encoder beside a baseline, task by task."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures import frames, panels, style


def identification_by_task(
    table: str | Path,
    tasks_table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    baseline: str | None,
) -> None:
    """Draw the share of pairs of every task that kNN names right, for an encoder and a baseline."""
    style.use_style()
    rows = frames.read_frame(table)
    keep = (rows["level"] == "task") & (rows["method"] == "knn") & rows["seed"].isna()
    keep &= (rows["measure"] == "balanced_accuracy") & (rows["task_subset"] == "all")
    keep &= rows["encoder"].isin([encoder, baseline]) & rows["estimate"].notna()
    rows = rows[keep]
    about = frames.read_frame(tasks_table)
    families = dict(zip(about["task"], about["family"], strict=True))
    splits = frames.splits_of(rows["split"], frames.SEEN)
    if not splits:
        style.save_note("no task was identified on held-out pairs", svg, png)
        return
    shown = {task: families.get(task, "") for task in rows["name"]}
    tasks = _ranked(rows[(rows["split"] == splits[0]) & (rows["encoder"] == encoder)], shown)
    figure, grid = plt.subplots(
        1, len(splits), figsize=(style.PAGE, 1.2 + 0.21 * len(tasks)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    encoders = [name for name in (baseline, encoder) if name is not None]
    colours = style.encoder_colours(encoders)
    for axes, split in zip(grid[0], splits, strict=True):
        here = rows[rows["split"] == split]
        _draw(axes, here, tasks, colours)
        panels.divide_families(axes, "y", tasks, shown, first=-0.5)
        style.panel_title(axes, frames.WHERE[split].capitalize(), frames.each_text(here, "a task"))
    panels.colour_names(grid[0, 0].get_yticklabels(), tasks, shown)
    handles = [
        Line2D([], [], marker="o", ls="-", lw=1.3, ms=5, color=colours[name], label=name)
        for name in reversed(encoders)
    ]
    handles += [
        Line2D([], [], marker="s", ls="", ms=5, color=style.family_colour(family), label=family)
        for family in dict.fromkeys(shown[task] for task in tasks)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    style.save(figure, svg, png)


def _ranked(rows: pd.DataFrame, families: dict[str, str]) -> list[str]:
    """Tasks by family, and within it from the best named to the worst."""
    estimate = dict(zip(rows["name"], rows["estimate"], strict=True))
    order = frames.family_order(families.values())
    return sorted(families, key=lambda t: (order.index(families[t]), -estimate.get(t, -1.0), t))


def _draw(axes: Axes, rows: pd.DataFrame, tasks: list[str], colours: dict[str, str]) -> None:
    """One panel; a grey line joins the two marks of a task."""
    # Apart by a hair, so that two intervals can be told apart.
    apart = dict(zip(colours, (0.13, -0.13) if len(colours) > 1 else (-0.13,), strict=True))
    for y, task in enumerate(tasks):
        here = rows[rows["name"] == task]
        if here.empty:
            axes.text(0.01, y, "no pairs", fontsize=6.5, color=style.GREY, va="center")
        axes.plot(here["estimate"], np.full(len(here), y), color="#BBBBBB", lw=2.2, zorder=1)
        for row in here.to_dict("records"):
            name = row["encoder"]
            panels.whisker(axes, row, y + apart[name], colours[name], "o")
    panels.name_rows(axes, [frames.plain(task) for task in tasks])
    axes.set_xlabel("named right (balanced over datasets)")
