"""Grid of tasks and datasets: which task was made where, and of how many pairs."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from medtaskatlas.figures import frames, panels, style


def task_grid(
    table: str | Path, datasets_table: str | Path, svg: str | Path, png: str | Path
) -> None:
    """Draw the task x dataset grid with the number of pairs in each cell."""
    style.use_style()
    cells = frames.read_frame(table)
    about = frames.read_frame(datasets_table).sort_values(["heldout", "modality", "dataset"])
    families = dict(zip(cells["task"], cells["family"], strict=True))
    tasks, kinds = frames.by_family(families), frames.family_order(families.values())
    figure, axes = plt.subplots(
        figsize=(2.0 + 0.42 * len(about), 1.8 + 0.2 * len(tasks)), layout="constrained"
    )
    pairs = cells.pivot(index="task", columns="dataset", values="n_pairs").fillna(0)
    n = pairs.reindex(index=tasks, columns=about["dataset"], fill_value=0).to_numpy(int)
    colours = [style.family_colour(kind) for kind in kinds]
    family = np.array([[1.0 + kinds.index(families[task])] for task in tasks])
    panels.heatmap(
        axes, np.where(n > 0, family, 0), ListedColormap([style.PALE, *colours]), top=len(kinds),
        texts=np.where(n > 0, n.astype(str), ""), gap=1.5,
    )  # fmt: skip
    panels.name_axis(axes, "y", tasks, families)
    panels.divide_families(axes, "y", tasks, families)
    _name_datasets(axes, about)
    for kind, colour in [*zip(kinds, colours, strict=True), ("no pairs", style.PALE)]:
        axes.scatter([], [], marker="s", s=30, color=colour, label=kind)
    figure.legend(loc="outside lower center", ncols=4, handletextpad=0.1)
    style.save(figure, svg, png)


def _name_datasets(axes: Axes, about: pd.DataFrame) -> None:
    """Names above the columns, with modality and groups; a line before those held out."""
    names = [
        f"{row['dataset']} ({frames.modality_name(row['modality'])}, {frames.groups_of(row)})"
        for row in about.to_dict("records")
    ]
    axes.xaxis.tick_top()
    axes.set_xticks(
        np.arange(len(names)) + 0.5, names, rotation=45, ha="left", rotation_mode="anchor"
    )
    axes.tick_params(axis="x", length=0)
    n_inside = int((~about["heldout"].astype(bool)).sum())
    if 0 < n_inside < len(about):
        axes.axvline(n_inside, color=style.DARK, lw=1.2)
        axes.text(
            n_inside + 0.08, -0.005, "held out of training >", transform=axes.get_xaxis_transform(),
            fontsize=7.5, va="top", ha="left",
        )  # fmt: skip
