"""What task x task matrices share: labels in the colours of families, and lines between them."""

from __future__ import annotations

from matplotlib.axes import Axes

from medtaskatlas.figures.frames import plain
from medtaskatlas.figures.style import family_colour


def name_axis(axes: Axes, which: str, tasks: list[str], families: dict[str, str]) -> None:
    """Write the names of tasks at the cells of an axis, coloured by family."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(range(len(tasks)), [plain(task) for task in tasks])
    axis.set_tick_params(length=0, rotation=90 if which == "x" else 0)
    for label, task in zip(axis.get_ticklabels(), tasks, strict=True):
        label.set_color(family_colour(families[task]))


def divide_families(axes: Axes, which: str, tasks: list[str], families: dict[str, str]) -> None:
    """Draw lines between the families."""
    for i in range(1, len(tasks)):
        if families[tasks[i]] != families[tasks[i - 1]]:
            if "x" in which:
                axes.axvline(i - 0.5, color="#444444", lw=0.8)
            if "y" in which:
                axes.axhline(i - 0.5, color="#444444", lw=0.8)
