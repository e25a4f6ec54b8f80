"""Where tasks fall that were held out of training: the family and the task of most neighbours."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures import frames, panels, style


def unseen_tasks(table: str | Path, svg: str | Path, png: str | Path, *, encoder: str) -> None:
    """Draw how often each task's family is named, and the known task that it looks most like."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & rows["estimate"].notna()]
    tasks = rows[rows["level"] == "task"]
    splits = frames.splits_of(tasks["split"])
    if not splits:
        style.save_note(f"no task was held out of a training of {encoder}", svg, png)
        return
    families = dict(zip(tasks["name"], tasks["family"], strict=True))
    order = frames.by_family(families)
    figure, grid = plt.subplots(
        1, len(splits), figsize=(style.PAGE, 1.2 + 0.21 * len(order)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, split in zip(grid[0], splits, strict=True):
        _draw(axes, tasks[tasks["split"] == split], order)
        style.panel_title(
            axes, frames.WHERE[split].capitalize(), _counts(rows[rows["split"] == split])
        )
    panels.colour_names(grid[0, 0].get_yticklabels(), order, families)
    handles = [
        Line2D([], [], marker="o", ls="", ms=5, color=style.family_colour(family), label=family)
        for family in frames.family_order(families.values())
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles),
        title="name: own family; mark: family of most neighbours",
    )  # fmt: skip
    style.save(figure, svg, png)


def _counts(rows: pd.DataFrame) -> str:
    """Tasks that were placed in their own family, and what each rests on."""
    placed = rows[rows["measure"] == "tasks_placed"]
    text = frames.each_text(rows[rows["level"] == "task"], "a task")
    if placed.empty:
        return text
    row = placed.iloc[0]
    return f"{row['estimate']:.0f} of {row['n_tasks']} in their own family\n{text}"


def _draw(axes: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    """One panel: a mark a task, and beside it the task that it looks like."""
    for row in rows.to_dict("records"):
        y = order.index(row["name"])
        panels.whisker(axes, row, y, style.family_colour(row["placed_family"]), "o")
        axes.annotate(
            frames.plain(row["nearest_task"]), (1.08, y), xycoords=("axes fraction", "data"),
            fontsize=6, va="center", color=style.DARK, annotation_clip=False,
        )  # fmt: skip
    panels.name_rows(axes, [frames.plain(task) for task in order], -0.02, 1.02)
    axes.set_xlabel("family named right; right: nearest known task")
