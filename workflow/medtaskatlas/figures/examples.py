"""A row of examples of one task: what is the image once, what is made of it beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes

from medtaskatlas.figures.frames import modality_name
from medtaskatlas.tasks.preview import Example
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


def effects(task: Task, severities: Sequence[float]) -> str:
    """What severities of a task mean."""
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
        named = (image, modality_name(example.modality))
        tiles = [*tiles, named] if made_first else [named, *tiles]
        arrow = slot + (len(made) if made_first else 1)
        for picture, word in tiles:
            left = x + size.left(slot)
            _put(axes, picture, left, y, size)
            middle = left + size.side / 2, y + size.side + 0.55 * size.caption
            axes.text(*middle, word, fontsize=size.font, color="#333333", ha="center", va="center")
            slot += 1
        tip = x + size.left(arrow) - size.gap / 2, y + size.side / 2
        axes.plot(*tip, marker=">", markersize=size.gap * 40, color="#777777", markeredgewidth=0)


def _put(axes: Axes, picture: np.ndarray, x: float, y: float, size: Measures) -> None:
    """One picture, pixel by pixel."""
    scale = size.pixels / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    # Rows of the picture run downwards, and so do the inches of the sheet.
    extent = (x, x + size.side, y + size.side, y)
    axes.imshow(picture, extent=extent, interpolation="none", aspect="auto", zorder=2)
