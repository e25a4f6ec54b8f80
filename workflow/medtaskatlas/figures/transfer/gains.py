"""Heatmaps of what targets gain from sources, in the order of the atlas' tree."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from medtaskatlas.figures import frames, panels, style
from medtaskatlas.figures.transfer import parts

CELL = 0.135  # inches
NAMES = 1.7
GAP = 0.3
HEAD = 0.42
CONTROLS = {"untrained": "untrained", "shuffled": "shuffled outputs"}


def transfer_gains(
    svg: str | Path,
    png: str | Path,
    *,
    functional: str | Path,
    table: str | Path | None = None,
    affinity: str | Path | None = None,
    task_distances: str | Path | None = None,
    encoder: str | None = None,
) -> None:
    """Draw sources by targets: the mean over datasets with names, and every dataset next to it.

    Controls stand below the sources; frames show a task as its own source.
    """
    style.use_style()
    rows = parts.measured(table, affinity)
    rows = rows[rows["seed"].isna() & rows["estimate"].notna()]
    if rows.empty:
        style.save_note("no gain was measured", svg, png)
        return
    families = parts.families_of(rows)
    order, tree = parts.tree_order(sorted(families), functional, task_distances, encoder)
    controls = [role for role in CONTROLS if (rows["source_role"] == role).any()]
    top = float(rows["estimate"].abs().max())
    width = len(order) * CELL
    height = (len(order) + len(controls) + 0.6 * bool(controls)) * CELL
    columns = max(1, int((style.LANDSCAPE - NAMES) // (width + GAP)))
    lines: list[list[tuple[str, str]]] = []
    for protocol in parts.protocols_of(rows):
        found = [(protocol, name) for name in _panels(rows[rows["protocol"] == protocol])]
        lines += [found[i : i + columns] for i in range(0, len(found), columns)]
    wide = NAMES + max(map(len, lines)) * (width + GAP) + 0.4
    high = len(lines) * (height + HEAD) + NAMES
    figure = plt.figure(figsize=(wide, high))
    for i, line in enumerate(lines):
        for j, (protocol, dataset) in enumerate(line):
            x, y = NAMES + j * (width + GAP), high - (i + 1) * (height + HEAD)
            axes = figure.add_axes((x / wide, y / high, width / wide, height / high))
            here = rows[(rows["protocol"] == protocol) & (rows["dataset"] == dataset)]
            _draw(axes, here, order, controls, top)
            where = "mean over datasets" if dataset == "all" else frames.plain(dataset)
            if dataset != "all" and not here["dataset_trained"].fillna(True).all():
                where += ", held out"
            subjects = frames.count(here["n_subjects"].max(), "subject")
            title = parts.PROTOCOLS[protocol].capitalize()
            style.panel_title(axes, title, f"{where}; {subjects}")
            axes.set(xticks=[], yticks=[])
            if j == 0:
                _name(axes, order, controls, families)
                axes.set_ylabel("source")
            if i == len(lines) - 1 or j >= len(lines[i + 1]):
                panels.name_axis(axes, "x", order, families)
                axes.set_xlabel("target")
    box = (1 - 0.35 / wide, 1 - (HEAD + 1.5) / high, 0.12 / wide, 1.5 / high)
    bar = figure.add_axes(box)
    figure.colorbar(ScalarMappable(Normalize(-top, top), "RdBu"), cax=bar)
    bar.set_title("gain", fontsize=7.5, fontweight="normal", pad=5)
    figure.text(0.05 / wide, 0.05 / high, f"order: tree of the {tree}", fontsize=7)
    style.save(figure, svg, png)


def _panels(rows: pd.DataFrame) -> list[str]:
    """Datasets of a protocol, their mean first."""
    there = set(rows["dataset"])
    return [*(["all"] if "all" in there else []), *sorted(there - {"all"})]


def _draw(
    axes: Axes, rows: pd.DataFrame, order: list[str], controls: list[str], top: float
) -> None:
    """One panel; what was not measured is grey."""
    names = rows["source"].where(~rows["source_role"].isin(controls), rows["source_role"])
    table = rows.assign(source=names).pivot_table(
        index="source", columns="target", values="estimate", dropna=False
    )
    values = table.reindex(index=[*order, *controls], columns=order).to_numpy(float)
    n = len(order)
    # A gap between tasks and controls.
    below = n + 0.6 + np.arange(len(controls) + 1)
    axes.set_facecolor(style.PALE)
    edges, shades = np.arange(n + 1), Normalize(-top, top)
    axes.pcolormesh(edges, edges, values[:n], cmap="RdBu", norm=shades)
    if controls:
        axes.add_patch(Rectangle((0, n), n, 0.6, color="white", lw=0))
        axes.pcolormesh(edges, below, values[n:], cmap="RdBu", norm=shades)
    for i, task in enumerate(order):
        if ((rows["target"] == task) & (rows["source_role"] == "itself")).any():
            axes.add_patch(Rectangle((i, i), 1, 1, fill=False, ec="black", lw=0.6))
    axes.set_xlim(0, n)
    axes.set_ylim(below[-1] if controls else n, 0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name(axes: Axes, order: list[str], controls: list[str], families: dict[str, str]) -> None:
    """Names of sources, coloured by family, and of controls."""
    n = len(order)
    places = [*(np.arange(n) + 0.5), *(n + 1.1 + np.arange(len(controls)))]
    axes.set_yticks(
        places, [*map(frames.plain, order), *(CONTROLS[control] for control in controls)]
    )
    axes.tick_params(axis="y", length=0)
    panels.colour_names(axes.get_yticklabels()[:n], order, families)
