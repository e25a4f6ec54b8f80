"""How far an embedding moves as severity grows: a curve an encoder, a panel a task."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medtaskatlas.atlas.trajectories.tracks import RAW_PIXELS
from medtaskatlas.figures import frames, style
from medtaskatlas.figures.trajectories import FIRST

COLUMNS = 4
MOST = 4  # encoders: more bands cover one another
CURVES = ("displacement", "displacement_p10", "displacement_p90")


def severity_curves(
    table: str | Path,
    svg: str | Path,
    png: str | Path,
    *,
    encoders: Collection[str] = (),
) -> None:
    """Draw displacement against severity, on held-out datasets where there are any.

    Encoders measure distance in units of their own, so each curve is a share of the largest median
    that its encoder reaches in the panel.
    """
    style.use_style()
    rows = frames.read_frame(table)
    rows = rows[rows["measure"].isin(CURVES) & rows["seed"].isna() & (rows["scope"] == "task")]
    there = set(rows["split"])
    split = next((name for name in ("datasets", "groups", "regions") if name in there), "")
    rows = rows[rows["split"] == split]
    shown = choose_encoders(rows, encoders)
    rows = rows[rows["encoder"].isin(shown)]
    if rows.empty:
        style.save_note("no trajectory outside training", svg, png)
        return
    families = dict(zip(rows["task"], rows["family"], strict=True))
    tasks = [t for t in FIRST if t in families] + [
        t for t in frames.by_family(families) if t not in FIRST
    ]
    columns = min(COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(max(3.2, style.PAGE * columns / COLUMNS), 1.0 + 1.5 * lines),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    # A control is grey, and its line broken: it is no encoder.
    colours = style.encoder_colours([e for e in shown if e != RAW_PIXELS]) | {RAW_PIXELS: "#555555"}
    for axes, task in zip(grid.flat, tasks, strict=False):
        _draw(axes, rows[rows["task"] == task], shown, colours)
    for i, axes in enumerate(grid.flat):
        if i >= len(tasks):
            axes.set_axis_off()
        elif i + columns >= len(tasks):
            axes.tick_params(labelbottom=True)
        if i >= len(grid.flat) - columns:
            axes.set_xlabel("severity")
    figure.supylabel("relative displacement", fontsize=8)
    figure.suptitle(
        f"{frames.WHERE[split].capitalize()}: displacement as a share of each encoder's largest "
        "median", x=0.01, ha="left", fontsize=9, fontweight="bold",
    )  # fmt: skip
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colours[e], ls=_dashes(e), lw=1.6, label=frames.plain(e))
        for e in shown
    ]
    handles.append(Patch(color="#BBBBBB", lw=0, label="10 to 90 % of images (encoders)"))
    if not rows["task_trained"].all():
        handles.append(Line2D([], [], ls="", label="* task not trained on"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    style.save(figure, svg, png)


def choose_encoders(rows: pd.DataFrame, wanted: Collection[str] = ()) -> list[str]:
    """Encoders to draw."""
    roles = dict(zip(rows["encoder"], rows["role"], strict=True))
    if wanted:
        return [encoder for encoder in wanted if encoder in roles]
    control = [encoder for encoder in roles if encoder == RAW_PIXELS]
    ranked = sorted(roles.keys() - set(control), key=lambda e: (roles[e] == "baseline", e))
    trained = [encoder for encoder in ranked if roles[encoder] != "baseline"]
    # One place at least for what the trained ones must be better than.
    room = MOST - len(control)
    rest = [encoder for encoder in ranked if encoder not in trained]
    first = trained[: room - min(1, len(rest))]
    return [*first, *rest[: room - len(first)], *control]


def _draw(axes: Axes, rows: pd.DataFrame, shown: list[str], colours: dict[str, str]) -> None:
    """One task: a line and a band an encoder."""
    for encoder in shown:
        own = rows[rows["encoder"] == encoder]
        if own.empty:
            continue
        wide = own.pivot_table(index="severity", columns="measure", values="estimate")
        unit = wide["displacement"].max()
        if not unit > 0:
            continue
        low, high = wide["displacement_p10"] / unit, wide["displacement_p90"] / unit
        colour = colours[encoder]
        # Of pixels the spread is that of the images' contrast, and wider than the panel.
        if encoder != RAW_PIXELS:
            axes.fill_between(wide.index, low, high, color=colour, alpha=0.16, lw=0)
        axes.plot(
            wide.index, wide["displacement"] / unit, color=colour, lw=1.3, ls=_dashes(encoder)
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.6)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1, 1.5])
    axes.grid(axis="y", lw=0.4, color="#E2E2E2")
    axes.set_axisbelow(True)
    row = rows.sort_values("n_images").iloc[-1]
    held = "" if row["task_trained"] else "*"
    counts = (
        f"{frames.count(row['n_images'], 'image')}, {frames.count(row['n_datasets'], 'dataset')}"
    )
    style.panel_title(axes, frames.plain(row["task"]) + held, counts)
    axes.set_title(
        axes.get_title(loc="left"), fontsize=8, color=style.family_colour(row["family"]), pad=15
    )


def _dashes(encoder: str) -> str:
    """Style of an encoder's line."""
    return "--" if encoder == RAW_PIXELS else "-"
