"""Grid of tasks and datasets: which task was made where, and of how many pairs."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from medtaskatlas.figures.frames import by_family, modality_name, read_frame
from medtaskatlas.figures.matrix import divide_families, name_axis
from medtaskatlas.figures.style import PALE, family_colour, save, use_style


def task_grid(
    table: str | Path, datasets_table: str | Path, svg: str | Path, png: str | Path
) -> None:
    """Draw the task x dataset grid with the number of pairs in each cell."""
    use_style()
    cells = read_frame(table)
    about = read_frame(datasets_table).sort_values(["heldout", "modality", "dataset"])
    families = dict(zip(cells["task"], cells["family"], strict=True))
    tasks = by_family(families)
    datasets = list(about["dataset"])
    figure, axes = plt.subplots(
        figsize=(2.0 + 0.42 * len(datasets), 1.8 + 0.2 * len(tasks)), layout="constrained"
    )
    _draw_cells(axes, cells, tasks, datasets)
    name_axis(axes, "y", tasks, families)
    divide_families(axes, "y", tasks, families)
    _name_datasets(axes, about)
    axes.set(xlim=(-0.5, len(datasets) - 0.5), ylim=(len(tasks) - 0.5, -0.5))
    axes.spines[:].set_visible(False)
    for family in dict.fromkeys(families[task] for task in tasks):
        axes.scatter([], [], marker="s", s=30, color=family_colour(family), label=family)
    axes.scatter([], [], marker="s", s=30, color=PALE, label="no pairs")
    figure.legend(loc="outside lower center", ncols=4, handletextpad=0.1)
    save(figure, svg, png)


def _draw_cells(axes: Axes, cells: pd.DataFrame, tasks: list[str], datasets: list[str]) -> None:
    """Coloured cells with the number of pairs; pale ones where there are none."""
    for cell in cells.to_dict("records"):
        if cell["dataset"] not in datasets:
            continue
        x, y = datasets.index(cell["dataset"]), tasks.index(cell["task"])
        n = int(cell["n_pairs"])
        colour = family_colour(cell["family"]) if n else PALE
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, color=colour, lw=0))
        if n:
            axes.text(x, y + 0.03, f"{n}", ha="center", va="center", fontsize=6.5, color="white")


def _name_datasets(axes: Axes, about: pd.DataFrame) -> None:
    """Names above the columns, with modality and groups; a line before those held out."""
    names = [
        f"{row['dataset']} ({modality_name(row['modality'])}, {int(row['n_groups'])} "
        f"group{'' if row['n_groups'] == 1 else 's'})"
        for row in about.to_dict("records")
    ]
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    n_inside = int((~about["heldout"].astype(bool)).sum())
    if 0 < n_inside < len(about):
        axes.axvline(n_inside - 0.5, color="#444444", lw=1.2)
        axes.text(
            n_inside - 0.42, -0.005, "held out of training >", transform=axes.get_xaxis_transform(),
            fontsize=7.5, va="top", ha="left",
        )  # fmt: skip
