"""How well an encoder separates failures from right pairs, by task and kind of failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from medtaskatlas.figures import frames, panels, style
from medtaskatlas.tasks.failure import FAILURES

ALL = "all"
# Measure to label and colours: of an area, white is no separation and orange the wrong way round.
MEASURES = {
    "separation_auc": ("failures against\nright pairs (AUC)", "PuOr"),
    "accepted_rate": ("share of failures\nnamed as the task", "Blues"),
}
_NO_NUMBER: dict[str, Any] = {"facecolor": "#E8E8E8", "edgecolor": "#B0B0B0", "hatch": "////"}


def failures(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    measure: str = "separation_auc",
) -> None:
    """Draw a measure, a key of :data:`MEASURES`, on held-out groups and held-out datasets."""
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["measure"] == measure) & rows["seed"].isna()]
    splits = frames.splits_of(rows["split"], frames.SEEN)
    if not splits:
        style.save_note(f"no failure of {encoder} on held-out pairs", svg, png)
        return
    own = rows[rows["task"] != ALL]
    families = dict(zip(own["task"], own["family"], strict=True))
    tasks = frames.by_family(families)
    known = [kind for kind in FAILURES if (rows["failure_kind"] == kind).any()]
    kinds = [*known, *sorted(set(rows["failure_kind"]) - {*known, ALL}), ALL]
    label, colours = MEASURES[measure]
    width = min(style.LANDSCAPE, 2.6 + 0.33 * len(kinds) * len(splits))
    figure, grid = plt.subplots(
        1, len(splits), figsize=(max(width, 4.2), 2.1 + 0.17 * (len(tasks) + 1)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, split in zip(grid[0], splits, strict=True):
        here = rows[rows["split"] == split]
        cells = here.pivot(index="task", columns="failure_kind", values="estimate")
        values = cells.reindex(index=[*tasks, ALL], columns=kinds).to_numpy(float)
        mesh = panels.heatmap(
            axes, values, colours, texts=np.vectorize(panels.short)(values), size=5.5
        )
        axes.patch.set(lw=0, **_NO_NUMBER)
        axes.set_xticks(np.arange(len(kinds)) + 0.5, [frames.plain(kind) for kind in kinds])
        axes.tick_params(axis="x", length=0, rotation=90)
        panels.divide_families(axes, "y", tasks, families)
        # Sums stand apart from what they sum up.
        axes.axvline(len(kinds) - 1, color="white", lw=2.5)
        axes.axhline(len(tasks), color="white", lw=2.5)
        everything = here[(here["task"] == ALL) & (here["failure_kind"] == ALL)]
        # On two lines, for the panels are narrower than the words.
        title = f"{encoder},\n{frames.WHERE[split]}"
        style.panel_title(axes, title, frames.count_text(everything))
    panels.name_axis(grid[0, 0], "y", [*tasks, ALL], families)
    figure.colorbar(mesh, ax=grid, label=label, shrink=0.7, pad=0.01)
    figure.legend(handles=[Patch(lw=0, label="no number", **_NO_NUMBER)], loc="outside lower right")
    style.save(figure, svg, png)
