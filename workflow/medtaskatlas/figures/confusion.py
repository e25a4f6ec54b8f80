"""Confusion matrices of tasks on held-out groups and held-out datasets."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from medtaskatlas.figures import frames, panels, style


def confusion(table: str | Path, svg: str | Path, png: str | Path, *, encoder: str) -> None:
    """Draw the row-normalised confusion of one encoder, tasks in the order of their families."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & rows["seed"].isna()]
    splits = frames.splits_of(rows["split"], frames.SEEN)
    if not splits:
        style.save_note(f"no confusion of {encoder} on held-out pairs", svg, png)
        return
    families = dict(zip(rows["true_task"], rows["true_family"], strict=True))
    families |= dict(zip(rows["predicted_task"], rows["predicted_family"], strict=True))
    tasks = frames.by_family(families)
    side = max(2.6, 0.148 * len(tasks))
    width = min(style.LANDSCAPE + 0.5, side * len(splits) + 2.4)
    figure, grid = plt.subplots(
        1, len(splits), figsize=(width, side + 1.9), squeeze=False, layout="constrained"
    )
    for axes, split in zip(grid[0], splits, strict=True):
        here = rows[rows["split"] == split]
        mesh = panels.heatmap(axes, _rates(here, tasks), "Blues", square=True)
        panels.name_axis(axes, "x", tasks, families)
        panels.divide_families(axes, "xy", tasks, families)
        axes.spines[:].set_visible(True)
        style.panel_title(axes, frames.WHERE[split].capitalize(), _counts(here))
        axes.set_xlabel("named task")
    grid[0, 0].set_ylabel("true task")
    panels.name_axis(grid[0, 0], "y", tasks, families)
    figure.colorbar(mesh, ax=grid, label="share of the true task's pairs", shrink=0.6, pad=0.01)
    style.save(figure, svg, png)


def _rates(rows: pd.DataFrame, tasks: list[str]) -> np.ndarray:
    """Share of each true task's pairs by named task, [T, T]; nan in rows without pairs."""
    rates = rows.pivot(index="true_task", columns="predicted_task", values="estimate").fillna(0)
    return rates.reindex(columns=tasks, fill_value=0).reindex(tasks).to_numpy(float)


def _counts(rows: pd.DataFrame) -> str:
    """Pairs behind a matrix: rows of a true task share their counts."""
    each = rows.drop_duplicates("true_task")
    pairs = frames.count(each["n_pairs"].sum(), "pair")
    return f"{pairs}; up to {frames.most_groups(each)} a task"
