"""Which tasks are named right: the trained encoder beside a baseline, task by task."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medtaskatlas.figures.frames import WHERE, by_family, each_text, plain, read_frame
from medtaskatlas.figures.identification import whisker
from medtaskatlas.figures.style import (
    GREY,
    PAGE,
    blank_note,
    encoder_colours,
    family_colour,
    panel_title,
    save,
    use_style,
)

SPLITS = ("groups", "datasets")


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
    use_style()
    rows = read_frame(table)
    keep = (rows["level"] == "task") & (rows["method"] == "knn") & rows["seed"].isna()
    keep &= (rows["measure"] == "balanced_accuracy") & (rows["task_subset"] == "all")
    keep &= rows["encoder"].isin([encoder, baseline]) & rows["estimate"].notna()
    rows = rows[keep]
    about = read_frame(tasks_table)
    families = dict(zip(about["task"], about["family"], strict=True))
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    if not splits:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, "no task was identified on held-out pairs")
        save(figure, svg, png)
        return
    shown = {task: families.get(task, "") for task in rows["name"]}
    tasks = _ranked(rows[(rows["split"] == splits[0]) & (rows["encoder"] == encoder)], shown)
    figure, panels = plt.subplots(
        1, len(splits), figsize=(PAGE, 1.2 + 0.21 * len(tasks)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    encoders = [name for name in (baseline, encoder) if name is not None]
    colours = encoder_colours(encoders)
    for axes, split in zip(panels[0], splits, strict=True):
        _draw(axes, rows[rows["split"] == split], tasks, colours, families=shown)
        here = rows[rows["split"] == split]
        panel_title(axes, WHERE[split].capitalize(), each_text(here, "a task"))
    for label, task in zip(panels[0, 0].get_yticklabels(), tasks, strict=True):
        label.set_color(family_colour(shown[task]))
    handles = [
        Line2D([], [], marker="o", ls="-", lw=1.3, ms=5, color=colours[name], label=name)
        for name in reversed(encoders)
    ]
    handles += [
        Line2D([], [], marker="s", ls="", ms=5, color=family_colour(family), label=family)
        for family in dict.fromkeys(shown[task] for task in tasks)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    save(figure, svg, png)


def _ranked(rows: pd.DataFrame, families: dict[str, str]) -> list[str]:
    """Tasks by family, and within it from the best named to the worst."""
    estimate = dict(zip(rows["name"], rows["estimate"], strict=True))
    place = {task: i for i, task in enumerate(by_family(families))}
    first = {family: min(place[t] for t in place if families[t] == family) for family in
             set(families.values())}  # fmt: skip
    return sorted(families, key=lambda t: (first[families[t]], -estimate.get(t, -1.0), place[t]))


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    tasks: list[str],
    colours: dict[str, str],
    *,
    families: dict[str, str],
) -> None:
    """One panel; a grey line joins the two marks of a task."""
    encoders = list(colours)
    for y, task in enumerate(tasks):
        here = rows[rows["name"] == task].set_index("encoder", drop=False)
        if here.empty:
            axes.text(0.01, y, "no pairs", fontsize=6.5, color=GREY, va="center")
            continue
        axes.plot(here["estimate"], np.full(len(here), y), color="#BBBBBB", lw=2.2, zorder=1)
        for k, name in enumerate(encoders):
            if name in here.index:
                # Apart by a hair, so that two intervals can be told apart.
                row = here.loc[name].to_dict()
                whisker(axes, row, y + (0.13 if k == 0 and len(encoders) > 1 else -0.13),
                        colours[name], "o")  # fmt: skip
    for i in range(1, len(tasks)):
        if families[tasks[i]] != families[tasks[i - 1]]:
            axes.axhline(i - 0.5, color="#444444", lw=0.8)
    axes.set_yticks(range(len(tasks)), [plain(task) for task in tasks])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(tasks) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)
    axes.set_xlabel("named right (balanced over datasets)")
