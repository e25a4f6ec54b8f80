"""Gallery: every task of a run at three severities on datasets of different modality."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from medtaskatlas.core.errors import TaskError
from medtaskatlas.figures.examples import Measures, draw_examples, effects
from medtaskatlas.figures.frames import family_order, plain
from medtaskatlas.figures.style import GREY, OKABE_ITO, family_colour, save, use_style
from medtaskatlas.figures.tiles import MAX_SIDE, sheet
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.tasks.preview import (
    PLACES,
    SEVERITIES,
    Candidates,
    Example,
    candidates,
    examples,
    most_useful,
)
from medtaskatlas.tasks.task import Task

# All sizes in inches.
SIZE = Measures(side=0.64, gap=0.11, between=0.28, font=7.5, pixels=MAX_SIDE)
LABEL = 2.35  # width of the words beside a row
EDGE = 0.1
ROW = SIZE.side + SIZE.caption + 0.12
HEAD = 0.55
WIDTH = 2 * EDGE + LABEL + SIZE.width(PLACES)
LEGEND = (
    "The arrow leads from input to output. Numbers are severities, from 0 (none) to 1 (strongest);"
    " the words beside a row say what they mean."
)


@dataclass(frozen=True)
class Row:
    """One task of the gallery."""

    task: Task  # the task
    shown: list[Example]  # its examples
    note: str = ""  # why there is none; empty where there are some


def gallery(
    tasks: Sequence[Task],
    image_paths: Sequence[str | Path],
    svg: str | Path,
    png: str | Path,
    *,
    seed: int,
) -> None:
    """Draw examples of every task, made anew from images of the run, family by family."""
    use_style()
    sets = most_useful(tasks, [candidates(ImageSet(path)) for path in image_paths])
    rows = [gallery_row(task, sets, seed) for task in tasks]
    families = family_order(task.family for task in tasks)
    figure, axes = sheet(WIDTH, 0.3 + len(families) * HEAD + len(rows) * ROW)
    axes.text(EDGE, 0.12, LEGEND, fontsize=7.5, color="#444444", va="center")
    y = 0.3
    for family in families:
        own = [row for row in rows if row.task.family == family]
        _draw_head(axes, family, y)
        for k, row in enumerate(own):
            _draw_row(axes, row, y + HEAD + k * ROW)
        y += HEAD + len(own) * ROW
    save(figure, svg, png)


def gallery_row(task: Task, sets: Sequence[Candidates], seed: int) -> Row:
    """Examples of a task, or the reason why there is none."""
    try:
        shown = examples(task, sets, seed=seed)
    except TaskError as error:
        logging.getLogger(__name__).warning("%s", error)
        return Row(task, [], f"FAILED: {error.problem}")
    if not shown:
        needs = ", ".join(sorted(task.needs))
        return Row(task, [], f"no image has what it needs: {needs}")
    return Row(task, shown)


def _draw_head(axes: Axes, family: str, y: float) -> None:
    """Heading of a family."""
    colour = family_colour(family)
    axes.text(EDGE, y + 0.25, family, fontsize=13, fontweight="bold", color=colour, va="center")
    axes.plot([EDGE, WIDTH - EDGE], [y + 0.42, y + 0.42], color=colour, lw=2)


def _draw_row(axes: Axes, row: Row, y: float) -> None:
    """Words of a task and its examples."""
    task = row.task
    axes.text(EDGE, y + 0.08, plain(task.name), fontsize=9.5, fontweight="bold", va="center")
    lines = textwrap.wrap(task.description, 40, max_lines=3, placeholder=" ...")
    style: dict[str, Any] = {"fontsize": 7, "va": "top", "linespacing": 1.15}
    axes.text(EDGE, y + 0.19, "\n".join(lines), color="#444444", **style)
    if task.ladder is not None:
        words = textwrap.fill(effects(task, SEVERITIES), 40)
        height = 0.19 + len(lines) * 0.125
        axes.text(EDGE, y + height, words, color=family_colour(task.family), **style)
    x = EDGE + LABEL
    if row.note:
        colour = OKABE_ITO["vermillion"] if row.note.startswith("FAILED") else GREY
        words = textwrap.fill(row.note, 130, max_lines=4, placeholder=" ...")
        axes.text(x, y + 0.1, words, fontsize=7.5, color=colour, va="top")
    draw_examples(axes, task, row.shown, (x, y), SIZE)
