"""Arrows from what to pre-train on to what gains by it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from medtaskatlas.figures import frames, style
from medtaskatlas.figures.transfer import parts

BEST = 3  # sources of a target
SIDE = 5.0  # inches of a panel


def transfer_graph(
    svg: str | Path,
    png: str | Path,
    *,
    functional: str | Path,
    table: str | Path | None = None,
    affinity: str | Path | None = None,
    task_distances: str | Path | None = None,
    encoder: str | None = None,
) -> None:
    """Draw an arrow from each of a target's three best sources whose gain's interval is above 0."""
    style.use_style()
    rows = parts.measured(table, affinity)
    rows = rows[rows["seed"].isna() & (rows["source_role"] == "task")]
    kept = edges(rows)
    if kept.empty:
        style.save_note("no gain of a source has an interval above 0", svg, png)
        return
    families = parts.families_of(rows)
    order, _ = parts.tree_order(sorted(families), functional, task_distances, encoder)
    protocols = parts.protocols_of(rows)
    figure, grid = plt.subplots(
        1, len(protocols), figsize=(SIDE * len(protocols), SIDE + 0.4), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, protocol in zip(grid[0], protocols, strict=True):
        own = kept[kept["protocol"] == protocol]
        _draw(axes, own, order, families)
        targets = rows[rows["protocol"] == protocol]["target"].nunique()
        told = f"{frames.count(len(own), 'arrow')} to {own['target'].nunique()} of "
        told += frames.count(targets, "target")
        style.panel_title(axes, parts.PROTOCOLS[protocol].capitalize(), told)
    figure.legend(
        handles=[
            Line2D([], [], color=style.family_colour(family), lw=2, label=family)
            for family in frames.family_order(families.values())
        ],
        loc="outside lower center", ncols=3, title="family of the source; wider: more gain",
    )  # fmt: skip
    style.save(figure, svg, png)


def edges(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the best sources of every target over all datasets, of gains that are above 0."""
    single = rows["dataset"].nunique() == 1
    rows = rows[((rows["dataset"] == "all") | single) & rows["estimate"].notna()]
    ranked = rows.sort_values("estimate", ascending=False, kind="stable")
    best = ranked.groupby(["protocol", "target"]).head(BEST)
    return best[best["ci_low"] > 0]


def _draw(axes: Axes, kept: pd.DataFrame, order: list[str], families: dict[str, str]) -> None:
    """Tasks on a circle in the order of the tree, and the arrows between them."""
    angle = {task: 2 * np.pi * i / len(order) for i, task in enumerate(order)}
    at = {task: (float(np.cos(a)), float(np.sin(a))) for task, a in angle.items()}
    top = kept["estimate"].max()
    for row in kept.sort_values("estimate").to_dict("records"):
        one, other = at[row["source"]], at[row["target"]]
        # Bent towards the middle, so that neighbours' arrows do not lie on the circle.
        turn = np.sign(one[0] * other[1] - one[1] * other[0]) or 1.0
        share = row["estimate"] / top
        axes.add_patch(
            FancyArrowPatch(
                (0.96 * one[0], 0.96 * one[1]), (0.96 * other[0], 0.96 * other[1]),
                connectionstyle=f"arc3,rad={-0.25 * turn}",
                arrowstyle="-|>", mutation_scale=4 + 5 * share, lw=0.4 + 1.6 * share,
                color=style.family_colour(families[row["source"]]), alpha=0.35 + 0.5 * share,
                shrinkA=1, shrinkB=2,
            )
        )  # fmt: skip
    for task, (x, y) in at.items():
        flipped, colour = x < -1e-9, style.family_colour(families[task])
        axes.plot(x, y, "o", ms=4, color=colour)
        axes.text(
            1.05 * x, 1.05 * y, frames.plain(task), color=colour, fontsize=6.5,
            rotation=np.degrees(angle[task]) + 180 * flipped, rotation_mode="anchor",
            ha="right" if flipped else "left", va="center",
        )  # fmt: skip
    axes.set(xlim=(-1.75, 1.75), ylim=(-1.75, 1.75), aspect="equal")
    axes.set_axis_off()
