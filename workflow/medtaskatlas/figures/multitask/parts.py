"""What the figures of multi-task systems share: colours, grids of problems, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medtaskatlas.figures import frames, panels, style

COLOURS = (
    *(style.OKABE_ITO[c] for c in ("blue", "vermillion", "green", "orange", "purple", "sky")),
    *("#882255", "#B8A800", "#332288", "#44AA99", "#661100", "#999933", "#6699CC", "#AA4499"),
)


def colours(systems: Iterable[str]) -> dict[str, str]:
    """Colour of each system of a run; single-task networks are grey."""
    names = sorted(set(systems))
    others = [name for name in names if name not in ("stl", "stl_wide")]
    found = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}
    return {"stl": style.GREY, "stl_wide": style.DARK, **found}


def counts(rows: pd.DataFrame) -> str:
    """What the numbers of a panel rest on: ``up to 120 images of 60 subjects``."""
    if rows.empty:
        return ""
    images = int(rows["n_images"].max())
    return f"{images:,} test images of {frames.count(rows['n_subjects'].max(), 'subject')}"


def marks(axes: Axes, rows: Iterable[Mapping[Any, Any]], places: Mapping[str, float]) -> None:
    """Estimates in percent with their intervals, in the rows of the systems."""
    for row in rows:
        shown = {c: 100 * row[c] for c in ("estimate", "ci_low", "ci_high")}
        panels.whisker(
            axes, shown, places[row["system"]] + row["shift"], row["colour"], row["mark"]
        )


def reach(rows: pd.DataFrame) -> float:
    """Half width of an axis of percent around 0 that holds all marks, and most of the intervals.

    A single wide interval would squeeze all others.
    """
    ends = 100 * rows[["ci_low", "ci_high"]].abs().max(axis=1)
    wide = np.nanquantile(ends, 0.9) if ends.notna().any() else 0.0
    return float(max(1.0, 1.1 * wide, 1.1 * 100 * rows["estimate"].abs().max()))


def handles(marked: Mapping[str, tuple[str, str]]) -> list[Line2D]:
    """Legend of marks: words to (mark, colour)."""
    return [
        Line2D([], [], marker=mark, ls="", color=colour, ms=5, label=words)
        for words, (mark, colour) in marked.items()
    ]


def name_systems(figure: Figure, systems: Iterable[str], colours: Mapping[str, str]) -> None:
    """Legend of the colours of systems below a figure."""
    there = set(systems)
    marked = {name: ("o", colour) for name, colour in colours.items() if name in there}
    figure.legend(handles=handles(marked), loc="outside lower center", ncols=6)
