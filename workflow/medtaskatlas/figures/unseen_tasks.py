"""Where tasks fall that were held out of training: the family and the task of most neighbours."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures.frames import (
    WHERE,
    by_family,
    each_text,
    family_order,
    plain,
    read_frame,
    splits_of,
)
from medtaskatlas.figures.identification import whisker
from medtaskatlas.figures.style import (
    PAGE,
    blank_note,
    family_colour,
    panel_title,
    save,
    use_style,
)


def unseen_tasks(table: str | Path, svg: str | Path, png: str | Path, *, encoder: str) -> None:
    """Draw, for each task, how often its family is named and which known task it looks most like."""
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & rows["estimate"].notna()]
    tasks = rows[rows["level"] == "task"]
    splits = splits_of(tasks["split"])
    if not splits:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, f"no task was held out of a training of {encoder}")
        save(figure, svg, png)
        return
    order = by_family(dict(zip(tasks["name"], tasks["family"], strict=True)))
    figure, panels = plt.subplots(
        1, len(splits), figsize=(PAGE, 1.2 + 0.21 * len(order)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, split in zip(panels[0], splits, strict=True):
        here = tasks[tasks["split"] == split].set_index("name", drop=False)
        _draw(axes, here, order)
        panel_title(axes, WHERE[split].capitalize(), _counts(rows[rows["split"] == split]))
    families = dict(zip(tasks["name"], tasks["family"], strict=True))
    for label, task in zip(panels[0, 0].get_yticklabels(), order, strict=True):
        label.set_color(family_colour(families[task]))
    handles = [
        Line2D([], [], marker="o", ls="", ms=5, color=family_colour(family), label=family)
        for family in family_order(families.values())
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles),
        title="name: own family; mark: family of most neighbours",
    )  # fmt: skip
    save(figure, svg, png)


def _counts(rows: pd.DataFrame) -> str:
    """Tasks that were placed in their own family, and what each rests on."""
    placed = rows[rows["measure"] == "tasks_placed"]
    text = each_text(rows[rows["level"] == "task"], "a task")
    if placed.empty:
        return text
    row = placed.iloc[0]
    return f"{row['estimate']:.0f} of {row['n_tasks']} in their own family\n{text}"


def _draw(axes: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    """One panel: a mark a task, and beside it the task that it looks like."""
    for y, task in enumerate(order):
        if task not in rows.index:
            continue
        row = rows.loc[task].to_dict()
        whisker(axes, row, y, family_colour(row["placed_family"]), "o")
        axes.annotate(
            plain(row["nearest_task"]), (1.08, y), xycoords=("axes fraction", "data"),
            fontsize=6, va="center", color="#444444", annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(order)), [plain(task) for task in order])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.set_xlabel("family named right; right: nearest known task")
