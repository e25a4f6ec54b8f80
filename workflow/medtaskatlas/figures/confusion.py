"""Confusion matrices: which task is taken for which, on held-out groups and held-out datasets."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from medtaskatlas.figures.frames import WHERE, by_family, read_frame
from medtaskatlas.figures.matrix import divide_families, name_axis
from medtaskatlas.figures.style import LANDSCAPE, PAGE, blank_note, panel_title, save, use_style

SPLITS = ("groups", "datasets")


def confusion(table: str | Path, svg: str | Path, png: str | Path, *, encoder: str) -> None:
    """Draw the row-normalised confusion of one encoder, tasks in the order of their families."""
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & rows["seed"].isna()]
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    if not splits:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, f"no confusion of {encoder} on held-out pairs")
        save(figure, svg, png)
        return
    families = dict(zip(rows["true_task"], rows["true_family"], strict=True))
    families |= dict(zip(rows["predicted_task"], rows["predicted_family"], strict=True))
    tasks = by_family(families)
    side = max(2.6, 0.148 * len(tasks))
    width = min(LANDSCAPE + 0.5, side * len(splits) + 2.4)
    figure, panels = plt.subplots(
        1, len(splits), figsize=(width, side + 1.9), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for i, (axes, split) in enumerate(zip(panels[0], splits, strict=True)):
        image = _draw(axes, rows[rows["split"] == split], tasks, families)
        panel_title(axes, WHERE[split].capitalize(), _counts(rows[rows["split"] == split]))
        axes.set_xlabel("named task")
        if i == 0:
            axes.set_ylabel("true task")
            name_axis(axes, "y", tasks, families)
        else:
            axes.tick_params(left=False, labelleft=False)
    figure.colorbar(image, ax=panels, label="share of the true task's pairs", shrink=0.6, pad=0.01)
    save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame, tasks: list[str], families: dict[str, str]) -> AxesImage:
    """One matrix; grey rows have no pairs."""
    at = {task: i for i, task in enumerate(tasks)}
    rates = np.full((len(tasks), len(tasks)), np.nan)
    present = sorted({at[task] for task in rows["true_task"]})
    rates[present] = 0.0
    for true, named, rate in zip(
        rows["true_task"], rows["predicted_task"], rows["estimate"], strict=True
    ):
        rates[at[true], at[named]] = rate
    cmap = plt.get_cmap("Blues").with_extremes(bad="#E4E4E4")
    image = axes.imshow(
        np.ma.masked_invalid(rates), cmap=cmap, vmin=0, vmax=1, interpolation="none"
    )
    name_axis(axes, "x", tasks, families)
    divide_families(axes, "xy", tasks, families)
    axes.spines[:].set_visible(True)
    return image


def _counts(rows: pd.DataFrame) -> str:
    """Pairs behind a matrix: rows of a true task share their counts."""
    each = rows.drop_duplicates("true_task")
    pairs = int(each["n_pairs"].sum())
    groups = int(each["n_groups"].max())
    return f"{pairs:,} pairs; up to {groups} group{'' if groups == 1 else 's'} a task"
