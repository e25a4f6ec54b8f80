"""Learning curves: the loss of every target over the steps of every system."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

from medtaskatlas.figures import frames, style
from medtaskatlas.figures.multitask import parts
from medtaskatlas.formats.multitask_training import read_history

POINTS = 60  # of a curve


def multitask_learning(
    history_paths: Iterable[str | Path], svg: str | Path, png: str | Path
) -> None:
    """Draw the unweighted training loss of each target, a mean over seeds and folds."""
    style.use_style()
    read = []
    for path in map(Path, history_paths):
        problem, system = path.parts[-4:-2]
        read.append(_smooth(read_history(path)).assign(problem=problem, system=system))
    rows = pd.concat(read) if read else pd.DataFrame()
    if rows.empty:
        style.save_note("nothing was trained", svg, png)
        return
    problems = {
        problem: list(dict.fromkeys(rows[rows["problem"] == problem]["target"]))
        for problem in dict.fromkeys(rows["problem"])
    }
    columns = max(map(len, problems.values()))
    figure, grid = plt.subplots(
        len(problems), columns, figsize=(style.PAGE, 0.7 + 1.8 * len(problems)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    colours = parts.colours(rows["system"])
    for line, (problem, targets) in zip(grid, problems.items(), strict=True):
        for axes in line[len(targets) :]:
            axes.set_axis_off()
        for axes, target in zip(line, targets, strict=False):
            here = rows[(rows["problem"] == problem) & (rows["target"] == target)]
            for system in dict.fromkeys(here["system"]):
                curve = here[here["system"] == system].groupby("step")["loss"].mean()
                axes.plot(curve.index, curve, color=colours[system], lw=1.0)
            axes.set_title(f"{frames.plain(problem)}: {target}")
            axes.set_xlabel("step")
            if (here["loss"] > 0).all():
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
        line[0].set_ylabel("training loss")
    parts.name_systems(figure, rows["system"], colours)
    style.save(figure, svg, png)


def _smooth(history: pd.DataFrame) -> pd.DataFrame:
    """Means of losses over spans of steps, by target; folds and equal steps are averaged."""
    last = history["step"].max()
    width = max(1, int(np.ceil((last + 1) / POINTS)))
    span = (history["step"] // width + 0.5) * width
    means = history.assign(step=span).groupby(["target", "step"], sort=False)["loss"].mean()
    return means.reset_index()
