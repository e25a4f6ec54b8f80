"""What the figures of Medformer share: the score, colours of arms, rows of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medtaskatlas.atlas.medformer.duplicates import KEPT
from medtaskatlas.atlas.medformer.findings import main_score
from medtaskatlas.figures import frames, panels
from medtaskatlas.figures.multitask.parts import COLOURS

Arms = Mapping[str, Mapping[str, Any]]
IMAGES = 3  # of a set
# Inches of a sheet of pictures: the sides of a picture and its edges, between two images, of a line
# of text, of the names of sets and of the heads.
SIDE, GAP, APART, LINE, NAMES, HEAD = 0.72, 0.03, 0.12, 0.13, 0.32, 0.32


def main_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of all test images and one score a target: the area under the curve if there is one."""
    if "duplicates" in rows:
        rows = rows[rows["duplicates"].fillna(KEPT) == KEPT]
    of = {target: main_score(list(own["score"])) for target, own in rows.groupby("target")}
    return rows[rows["score"] == rows["target"].map(of)]


def colours(arms: Arms) -> dict[str, str]:
    """Colour of each arm; baselines are grey."""
    own = [name for name, arm in arms.items() if arm["model"] == "medformer"]
    greys = [name for name in arms if name not in own]
    shades = np.linspace(0.35, 0.75, max(1, len(greys)))
    found = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(own)}
    return found | {name: str(round(shade, 2)) for name, shade in zip(greys, shades, strict=False)}


class Shown(NamedTuple):
    """An image of a set: pictures uint8 [H, W, 3] beside each other, and the words below each."""

    pictures: Sequence[np.ndarray]
    words: Sequence[str] = ()


def sheet(sets: Mapping[str, Sequence[Shown]], heads: Sequence[str]) -> Figure:
    """Images of sets, a row a set and a column a picture of an image, with names and heads."""
    n = max(len(images) for images in sets.values())
    lines = max(len(image.words) > 0 for images in sets.values() for image in images)
    step, row = SIDE + GAP, SIDE + GAP + LINE * lines + 0.05
    block = len(heads) * step + APART
    figure, axes = panels.sheet(NAMES + n * block, HEAD + len(sets) * row)
    for i in range(n):
        for k, head in enumerate(heads):
            x = NAMES + i * block + k * step + SIDE / 2
            axes.text(
                x, HEAD - 0.05, head.replace("_", "\n", 1), ha="center", va="bottom", fontsize=6.5,
                linespacing=0.9,
            )  # fmt: skip
    for line, (name, images) in enumerate(sets.items()):
        y = HEAD + line * row
        axes.text(
            NAMES - 0.08, y + SIDE / 2, frames.plain(name), rotation=90, ha="right", va="center",
            fontsize=6.5,
        )  # fmt: skip
        for i, image in enumerate(images):
            _place(axes, image, NAMES + i * block, y, step)
    return figure


def _place(axes: Axes, image: Shown, x: float, y: float, step: float) -> None:
    """Pictures of an image beside each other."""
    for k, picture in enumerate(image.pictures):
        panels.place(axes, picture, x + k * step, y, SIDE, pixels=128)
    for k, words in enumerate(image.words):
        at = x + k * step + SIDE / 2
        axes.text(at, y + SIDE + LINE - 0.02, words, ha="center", fontsize=_size(words))


def _size(words: str) -> float:
    """Points at which words fit a picture; letters are about two thirds as wide as high."""
    return min(6.5, 72 * SIDE / (0.62 * max(1, len(words))))


def counts(rows: pd.DataFrame) -> str:
    """What the numbers of a panel rest on."""
    row = rows.sort_values("n_images").iloc[-1]
    return f"{int(row['n_images']):,} images, {frames.count(row['n_subjects'], 'subject')}"
