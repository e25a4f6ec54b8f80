"""Label curves: the score of every arm over the share of the training labels."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from medtaskatlas.atlas.medformer.findings import score_name
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.figures import frames, style
from medtaskatlas.figures.medformer import parts

COLUMNS = 3
SPREAD = 1.25  # by which the marks of a share are spread, so that intervals can be told apart


def medformer_labels(
    scores: str | Path, labels: str | Path, svg: str | Path, png: str | Path, *, arms: parts.Arms
) -> None:
    """Draw the score of every arm with its interval, a panel a set and one of their mean."""
    style.use_style()
    sets, means = frames.read_frame(scores), frames.read_frame(labels)
    sets = sets[(sets["split"] == "test") & sets["seed"].isna()]
    means = means[(means["measure"] == "score") & (means["set"] == ALL)]
    rows = parts.main_rows(pd.concat([means[means.columns.intersection(sets.columns)], sets]))
    rows = rows[rows["arm"].isin(arms) & rows["estimate"].notna()]
    if rows["labels"].nunique() < 2:
        style.save_note("one share of the labels: there is no curve", svg, png)
        return
    # Arms of a single share are no curve; they are in the tables.
    several = rows.groupby("arm")["labels"].nunique()
    rows = rows[rows["arm"].isin(several[several > 1].index)]
    panels = list(rows.groupby(["set", "target"], sort=False))
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(style.PAGE, 0.7 + 2.3 * lines), squeeze=False, layout="constrained"
    )
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    colours = {arm: c for arm, c in parts.colours(arms).items() if arm in set(rows["arm"])}
    for axes, ((name, _), here) in zip(grid.flat, panels, strict=False):
        _draw(axes, here, colours, arms)
        title = "mean over sets" if name == ALL else frames.plain(str(name))
        style.panel_title(axes, title, parts.counts(here))
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ms=4, color=colour, ls=_style(arms, arm), label=arm)
            for arm, colour in colours.items()
        ],
        loc="outside lower center", ncols=5,
    )  # fmt: skip
    style.save(figure, svg, png)


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict[str, str], arms: parts.Arms) -> None:
    """One panel."""
    shares = sorted(rows["labels"].unique())
    shifts = np.geomspace(1 / SPREAD, SPREAD, len(colours)) if len(colours) > 1 else np.ones(1)
    for (arm, colour), shift in zip(colours.items(), shifts, strict=True):
        own = rows[rows["arm"] == arm].sort_values("labels")
        x = own["labels"].to_numpy(float) * shift
        axes.plot(x, own["estimate"], _style(arms, arm), color=colour, lw=0.9, alpha=0.8)
        axes.plot(x, own["estimate"], "o", color=colour, ms=3.5, mec="white", mew=0.4, zorder=3)
        axes.vlines(x, own["ci_low"], own["ci_high"], color=colour, lw=0.9, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:g} %" for share in shares])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labels (log scale)")
    axes.set_ylabel(score_name(rows["score"].iloc[0]))


def _style(arms: parts.Arms, arm: str) -> str:
    """Lines of baselines are broken."""
    return "-" if arms[arm]["model"] == "medformer" else "--"
