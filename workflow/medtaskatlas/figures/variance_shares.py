"""What the variance of each embedding goes with: task, family, dataset, modality."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Text

from medtaskatlas.figures import frames, panels, style

FACTORS = {
    "task": "task",
    "family": "family\n(part of task)",
    "dataset": "dataset",
    "modality": "modality\n(part of dataset)",
    "interaction": "task × dataset",
}
# A number beside a bar needs room right of the longest possible one.
WIDEST = 1.32


def variance_shares(
    table: str | Path, svg: str | Path, png: str | Path, *, within: str = "crossed"
) -> None:
    """Draw omega-squared of every factor in every encoder, with intervals."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["measure"] == "omega_squared") & (rows["within"] == within)]
    rows = rows[rows["estimate"].notna() & rows["factor"].isin(list(FACTORS))]
    splits = frames.splits_of(rows["split"])
    if not splits:
        style.save_note("no crossed subset of tasks and datasets: no shares of variance", svg, png)
        return
    encoders = _ranked(rows, splits[0])
    colours = style.encoder_colours(encoders)
    height = 0.3 + len(splits) * (0.75 + 0.24 * len(encoders))
    figure, grid = plt.subplots(
        len(splits), len(FACTORS), figsize=(style.PAGE, height),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for i, split in enumerate(splits):
        here = rows[rows["split"] == split]
        style.panel_title(grid[i, 0], frames.WHERE[split].capitalize(), frames.count_text(here))
        # Title and counts are wider than the panel: they take no width, and the blank title of
        # the next panel keeps the height for them.
        for artist in grid[i, 0].get_children():
            if isinstance(artist, Text) and artist.get_text():
                artist.set_in_layout(False)
        grid[i, 1].set_title(" ", pad=15)
        for j, factor in enumerate(FACTORS):
            _draw(grid[i, j], here[here["factor"] == factor], encoders, colours)
            if i == len(splits) - 1:
                grid[i, j].set_xlabel(FACTORS[factor])
    figure.supxlabel("share of variance (ω², 95 % interval)", fontsize=8)
    style.save(figure, svg, png)


def _ranked(rows: pd.DataFrame, split: str) -> list[str]:
    """Encoders by the share of the task, largest first; those without one last."""
    task = rows[(rows["factor"] == "task") & (rows["split"] == split)]
    ranked = list(task.sort_values(["estimate", "encoder"], ascending=[False, True])["encoder"])
    return ranked + sorted(set(rows["encoder"]) - set(ranked))


def _draw(axes: Axes, rows: pd.DataFrame, encoders: list[str], colours: dict[str, str]) -> None:
    """Bars of one factor."""
    for row in rows.to_dict("records"):
        y, estimate = encoders.index(row["encoder"]), float(row["estimate"])
        axes.barh(y, estimate, height=0.7, color=colours[row["encoder"]], lw=0, zorder=2)
        end = max(estimate, 0.0)
        if np.isfinite(row["ci_low"]):
            axes.plot([row["ci_low"], row["ci_high"]], [y, y], color="#222222", lw=0.9, zorder=3)
            end = max(end, float(row["ci_high"]))
        # Small negative values mean none: minus zero would only puzzle.
        axes.text(end + 0.03, y, f"{estimate + 0.0:.2f}".replace("-0.00", "0.00"),
                  va="center", fontsize=6.5, color="#333333")  # fmt: skip
    if rows.empty:
        axes.text(0.5, 0.5, "not defined:\none level, or\none each", ha="center", va="center",
                  transform=axes.transAxes, fontsize=6.5, color="#777777")  # fmt: skip
    axes.axvline(0, color=style.DARK, lw=0.7)
    panels.name_rows(axes, encoders, -0.03, WIDEST)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
