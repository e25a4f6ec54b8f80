"""The shortcut audit: what probes with restricted views tell of each task."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from medtaskatlas.figures.frames import WHERE, by_family, each_text, plain, read_frame
from medtaskatlas.figures.matrix import divide_families, name_axis
from medtaskatlas.figures.style import (
    LANDSCAPE,
    OKABE_ITO,
    PAGE,
    blank_note,
    panel_title,
    save,
    use_style,
)

SPLITS = ("groups", "datasets")
VIEWS = ("border", "histogram", "input_only", "output_only", "residue", "all", "shuffled")
_CHANCE = "chance"
# Above this the cell is dark, and its text white.
_DARK = 0.6
_FRAME = OKABE_ITO["vermillion"]


def shortcuts(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the probability that probes give to the true task, by task and view."""
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["level"] == "task") & rows["estimate"].notna()]
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    if not splits:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, "no task was audited on held-out pairs")
        save(figure, svg, png)
        return
    families = dict(zip(rows["name"], rows["family"], strict=True))
    tasks = by_family(families)
    width = LANDSCAPE if len(splits) > 1 else PAGE
    figure, panels = plt.subplots(
        1, len(splits), figsize=(width, 1.9 + 0.2 * len(tasks)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, split in zip(panels[0], splits, strict=True):
        here = rows[rows["split"] == split]
        image = _draw(axes, here, tasks, families)
        panel_title(axes, WHERE[split].capitalize(), each_text(here, "a task"))
    name_axis(panels[0, 0], "y", tasks, families)
    for axes in panels[0, 1:]:
        axes.tick_params(left=False, labelleft=False)
    bar = figure.colorbar(
        image, ax=panels, label="probability given to the true task", shrink=0.6, pad=0.01
    )
    chance = float(rows["chance"].median())
    bar.ax.axhline(chance, color="black", lw=1.2)
    bar.ax.annotate(
        "chance", (0, chance), xytext=(-3, 0), textcoords="offset points", fontsize=6.5, ha="right",
        va="center",
    )  # fmt: skip
    handles = [
        Patch(fill=False, edgecolor=_FRAME, lw=1.6, label="shortcut: beats chance and meaning"),
        Patch(fill=False, lw=0, label="in brackets: what the meaning explains, where not all"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame, tasks: list[str], families: dict[str, str]) -> AxesImage:
    """One panel: the views, and chance beside them; grey tasks have no pairs."""
    columns = [*(v for v in VIEWS if (rows["view"] == v).any()), _CHANCE]
    values = np.full((len(tasks), len(columns)), np.nan)
    at = {task: i for i, task in enumerate(tasks)}
    for row in rows.to_dict("records"):
        y, x = at[row["name"]], columns.index(row["view"])
        values[y, x] = row["estimate"]
        _write(axes, x, y, row["estimate"], _bracket(row))
        if row["flagged"] is True:
            axes.add_patch(
                Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, ec=_FRAME, lw=1.6)
            )
    # Nearly the same for all views.
    for task, chance in rows.groupby("name")["chance"].median().items():
        values[at[str(task)], -1] = chance
        _write(axes, len(columns) - 1, at[str(task)], chance, "")
    cmap = plt.get_cmap("Blues").with_extremes(bad="#E4E4E4")
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=cmap, vmin=0, vmax=1, aspect="auto",
        interpolation="none",
    )  # fmt: skip
    axes.set_xticks(range(len(columns)), [plain(c) for c in columns], rotation=35, ha="right")
    axes.tick_params(axis="x", length=0)
    axes.axvline(len(columns) - 1.5, color="#444444", lw=0.8)
    controls = sum(c in ("all", "shuffled") for c in columns)
    if controls:
        axes.axvline(len(columns) - 1.5 - controls, color="#444444", lw=0.8)
    divide_families(axes, "y", tasks, families)
    axes.spines[:].set_visible(True)
    return image


def _bracket(row: Mapping[Hashable, Any]) -> str:
    """What the meaning explains, where the view is not expected to name the task."""
    if row["expected"] is not False:
        return ""
    explained = row["explained"]
    known = isinstance(explained, float) and np.isfinite(explained)
    return f" ({100 * explained:.0f})" if known else " (0)"


def _write(axes: Axes, x: int, y: int, value: float, bracket: str) -> None:
    """Percentage in a cell."""
    axes.text(
        x, y, f"{100 * value:.0f}{bracket}", ha="center", va="center", fontsize=6,
        color="white" if value > _DARK else "#222222",
    )  # fmt: skip
