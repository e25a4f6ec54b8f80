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
from medtaskatlas.figures.frames import family_order, modality_name, plain
from medtaskatlas.figures.panels import MAX_SIDE, place, sheet
from medtaskatlas.figures.style import DARK, GREY, OKABE_ITO, family_colour, save, use_style
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.tasks.bank import load_bank
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

SLOTS = 4  # of a dataset: an image and three severities, or two pairs


@dataclass(frozen=True)
class Measures:
    """Sizes of a row, inches."""

    side: float  # of a picture
    gap: float  # between two pictures; the arrow from input to output fits into it
    between: float  # between two datasets
    font: float  # size of captions, points
    pixels: int  # longest side that a picture is stored with

    def left(self, slot: int) -> float:
        """Left edge of a slot."""
        return slot * (self.side + self.gap) + slot // SLOTS * (self.between - self.gap)

    def width(self, places: int) -> float:
        """Width of a row."""
        return self.left(places * SLOTS - 1) + self.side

    @property
    def caption(self) -> float:
        """Height of the line of captions below the pictures, inches."""
        return 1.9 * self.font / 72


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

    task: Task
    shown: list[Example]
    note: str = ""  # why no example is shown


def gallery(
    image_paths: Sequence[str | Path],
    svg: str | Path,
    png: str | Path,
    *,
    tasks: Sequence[str],
    seed: int,
    tasks_dir: str | Path | None = None,
) -> None:
    """Draw examples of every task, made anew from images of the run, family by family."""
    use_style()
    bank = load_bank(tasks_dir)
    chosen = [bank[name] for name in tasks]
    sets = most_useful(chosen, [candidates(ImageSet(path)) for path in image_paths])
    rows = [gallery_row(task, sets, seed) for task in chosen]
    families = family_order(task.family for task in chosen)
    figure, axes = sheet(WIDTH, 0.3 + len(families) * HEAD + len(rows) * ROW)
    axes.text(EDGE, 0.12, LEGEND, fontsize=7.5, color=DARK, va="center")
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
    axes.text(EDGE, y + 0.19, "\n".join(lines), color=DARK, **style)
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


def effects(task: Task, severities: Sequence[float]) -> str:
    """What severities of a task mean: ``standard deviation 15, 36, 60 (grey levels)``."""
    assert task.ladder is not None
    values = ", ".join(f"{task.ladder.at(severity):.3g}" for severity in severities)
    unit = "" if task.ladder.unit == "1" else f" ({task.ladder.unit})"
    return f"{task.ladder.effect} {values}{unit}"


def draw_examples(
    axes: Axes, task: Task, shown: Sequence[Example], corner: tuple[float, float], size: Measures
) -> None:
    """Draw the examples of a task on a sheet.

    The image itself is drawn once: it is the input or the output at every severity.
    """
    x, y = corner
    slot = 0
    for example in shown:
        made_first = task.stored_side == "input"
        image = example.pairs[0][1 if made_first else 0]
        made = [pair[0 if made_first else 1] for pair in example.pairs]
        words = ["" if s is None else f"{s:g}" for s in example.severities]
        tiles = [*zip(made, words, strict=True)]
        tiles.insert(len(made) if made_first else 0, (image, modality_name(example.modality)))
        arrow = slot + (len(made) if made_first else 1)
        for picture, word in tiles:
            left = x + size.left(slot)
            place(axes, picture, left, y, size.side, pixels=size.pixels)
            middle = left + size.side / 2, y + size.side + 0.55 * size.caption
            axes.text(*middle, word, fontsize=size.font, color="#333333", ha="center", va="center")
            slot += 1
        tip = x + size.left(arrow) - size.gap / 2, y + size.side / 2
        axes.plot(*tip, marker=">", markersize=size.gap * 40, color="#777777", markeredgewidth=0)
