"""Which ways of going wrong an encoder tells from the right way: a map of tasks and failures."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle

from medtaskatlas.figures.frames import WHERE, by_family, count_text, plain, read_frame
from medtaskatlas.figures.matrix import divide_families, name_axis
from medtaskatlas.figures.style import LANDSCAPE, PAGE, blank_note, panel_title, save, use_style
from medtaskatlas.tasks.failure import FAILURES

SPLITS = ("groups", "datasets")
ALL = "all"
# Measure to label and colours: of an area, white is no separation and orange the wrong way round.
LOOKS = {
    "separation_auc": ("failures against\nright pairs (AUC)", "PuOr"),
    "accepted_rate": ("share of failures\nnamed as the task", "Blues"),
}
NOTHING = "#E8E8E8"


def failures(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoder: str,
    measure: str = "separation_auc",
) -> None:
    """Draw tasks against kinds of failure, on held-out groups and held-out datasets."""
    use_style()
    rows = read_frame(table)
    rows = rows[(rows["encoder"] == encoder) & (rows["measure"] == measure) & rows["seed"].isna()]
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    if not splits:
        figure, axes = plt.subplots(figsize=(PAGE, 2))
        blank_note(axes, f"no failure of {encoder} on held-out pairs")
        save(figure, svg, png)
        return
    own = rows[rows["task"] != ALL]
    families = dict(zip(own["task"], own["family"], strict=True))
    tasks = by_family(families)
    known = [kind for kind in FAILURES if (rows["failure_kind"] == kind).any()]
    kinds = [*known, *sorted(set(rows["failure_kind"]) - {*known, ALL}), ALL]
    label, colours = LOOKS[measure]
    width = min(LANDSCAPE, 2.6 + 0.33 * len(kinds) * len(splits))
    figure, panels = plt.subplots(
        1, len(splits), figsize=(max(width, 4.2), 2.1 + 0.17 * (len(tasks) + 1)), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for i, (axes, split) in enumerate(zip(panels[0], splits, strict=True)):
        here = rows[rows["split"] == split]
        image = _draw(axes, here, tasks, kinds, colours)
        divide_families(axes, "y", tasks, families)
        everything = here[(here["task"] == ALL) & (here["failure_kind"] == ALL)]
        panel_title(axes, f"{encoder}, {WHERE[split]}", count_text(everything))
        if i == 0:
            name_axis(axes, "y", [*tasks, ALL], {**families, ALL: ""})
        else:
            axes.tick_params(left=False, labelleft=False)
    figure.colorbar(image, ax=panels, label=label, shrink=0.7, pad=0.01)
    none = Patch(facecolor=NOTHING, edgecolor="#999999", hatch="////", lw=0, label="no number")
    figure.legend(handles=[none], loc="outside lower right")
    save(figure, svg, png)


def _draw(
    axes: Axes, rows: pd.DataFrame, tasks: list[str], kinds: list[str], colours: str
) -> AxesImage:
    """One map; hatched cells have no number."""
    at = {task: i for i, task in enumerate([*tasks, ALL])}
    values = np.full((len(at), len(kinds)), np.nan)
    for task, kind, value in zip(rows["task"], rows["failure_kind"], rows["estimate"], strict=True):
        values[at[task], kinds.index(kind)] = value
    cmap = plt.get_cmap(colours).with_extremes(bad=NOTHING)
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=cmap, vmin=0, vmax=1, aspect="auto",
        interpolation="none",
    )  # fmt: skip
    for (y, x), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="////", ec="#B0B0B0", lw=0)
            )
            continue
        red, green, blue, _ = cmap(value)
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = f"{value:.2f}".replace("0.", ".", 1) if value < 0.995 else "1"
        axes.text(
            x, y, text, ha="center", va="center", fontsize=5.5, color="white" if dark else "black"
        )
    axes.set_xticks(range(len(kinds)), [plain(kind) for kind in kinds])
    axes.tick_params(axis="x", length=0, rotation=90)
    # Sums stand apart from what they sum up.
    axes.axvline(len(kinds) - 1.5, color="white", lw=2.5)
    axes.axhline(len(tasks) - 0.5, color="white", lw=2.5)
    axes.spines[:].set_visible(False)
    return image
