"""The shortcut audit: what probes with restricted views tell of each task."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Patch, Rectangle

from medtaskatlas.figures import frames, panels, style

VIEWS = ("border", "histogram", "input_only", "output_only", "residue", "all", "shuffled")
_CHANCE = "chance"
_FRAME = style.OKABE_ITO["vermillion"]


def shortcuts(table: str | Path, svg: str | Path, png: str | Path) -> None:
    """Draw the probability that probes give to the true task, by task and view."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["level"] == "task") & rows["estimate"].notna()]
    splits = frames.splits_of(rows["split"], frames.SEEN)
    if not splits:
        style.save_note("no task was audited on held-out pairs", svg, png)
        return
    families = dict(zip(rows["name"], rows["family"], strict=True))
    tasks = frames.by_family(families)
    width = style.LANDSCAPE if len(splits) > 1 else style.PAGE
    figure, grid = plt.subplots(
        1, len(splits), figsize=(width, 1.9 + 0.2 * len(tasks)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, split in zip(grid[0], splits, strict=True):
        here = rows[rows["split"] == split]
        mesh = _draw(axes, here, tasks, families)
        style.panel_title(axes, frames.WHERE[split].capitalize(), frames.each_text(here, "a task"))
    panels.name_axis(grid[0, 0], "y", tasks, families)
    bar = figure.colorbar(
        mesh, ax=grid, label="probability given to the true task", shrink=0.6, pad=0.01
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
    style.save(figure, svg, png)


def _draw(
    axes: Axes, rows: pd.DataFrame, tasks: list[str], families: dict[str, str]
) -> ScalarMappable:
    """One panel: the views, and next to them chance; grey tasks have no pairs."""
    columns = [*(v for v in VIEWS if (rows["view"] == v).any()), _CHANCE]
    cells = rows.pivot(index="name", columns="view", values="estimate")
    # Nearly the same for all views.
    cells[_CHANCE] = rows.groupby("name")["chance"].median()
    cells = cells.reindex(index=tasks, columns=columns)
    texts = cells.map("{:.0%}".format).map(lambda text: text.rstrip("%"))
    for row in rows.to_dict("records"):
        texts.loc[row["name"], row["view"]] += _bracket(row)
        if row["flagged"] is True:
            x, y = columns.index(row["view"]) + 0.04, tasks.index(row["name"]) + 0.06
            axes.add_patch(Rectangle((x, y), 0.92, 0.88, fill=False, ec=_FRAME, lw=1.6, zorder=2))
    mesh = panels.heatmap(axes, cells.to_numpy(float), "Blues", texts=texts.to_numpy(), size=6)
    axes.set_xticks(
        np.arange(len(columns)) + 0.5, [frames.plain(c) for c in columns], rotation=35, ha="right"
    )
    axes.tick_params(axis="x", length=0)
    controls = sum(c in ("all", "shuffled") for c in columns)
    for x in {len(columns) - 1, len(columns) - 1 - controls}:
        axes.axvline(x, color=style.DARK, lw=0.8)
    panels.divide_families(axes, "y", tasks, families)
    axes.spines[:].set_visible(True)
    return mesh


def _bracket(row: Mapping[Hashable, Any]) -> str:
    """What the meaning explains, where the view is not expected to name the task."""
    if row["expected"] is not False:
        return ""
    explained = row["explained"]
    known = isinstance(explained, float) and np.isfinite(explained)
    return f" ({100 * explained:.0f})" if known else " (0)"
