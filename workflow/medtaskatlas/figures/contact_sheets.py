"""Contact sheets: images of every dataset with their annotation drawn over them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from medtaskatlas.figures import frames, panels, style
from medtaskatlas.formats.images import SPLITS, ImageSet

PER_DATASET = 10
SIDE = 0.98  # of a picture; all sizes in inches
STEP = SIDE + 0.06
HEAD = 0.62
BLOCK = HEAD + SIDE + 0.36
WIDTH = PER_DATASET * STEP + 0.2
ANNOTATION = {
    "ground_truth": "annotation: ground truth",
    "derived": "annotation: DERIVED by a classical method, not ground truth",
    "none": "no annotation",
}
# Seen on grey, on red fundus and on brown stain alike.
LINES = ("#00E5FF", "#FFE600", "#FF4DFF", "#7CFF4D", "#FF8C1A", "#FFFFFF")


def contact_sheets(
    image_paths: Sequence[str | Path],
    svg: str | Path,
    png: str | Path,
    *,
    heldout: Collection[str] = (),
) -> None:
    """Draw about ten images of every dataset, spread over its splits and groups."""
    style.use_style()
    figure, axes = panels.sheet(WIDTH, 0.05 + BLOCK * len(image_paths))
    for i, images in enumerate(map(ImageSet, image_paths)):
        _draw_dataset(axes, images, 0.05 + i * BLOCK, images.dataset in heldout)
    style.save(figure, svg, png)


def _draw_dataset(axes: Axes, images: ImageSet, y: float, heldout: bool) -> None:
    """One dataset: two lines of words and a row of pictures."""
    meta = images.meta
    groups = images.numpy("group_id")
    splits = images.numpy("split")
    axes.plot([0.1, WIDTH - 0.1], [y, y], color="#BBBBBB", lw=0.8)
    title = f"{images.dataset}   {frames.modality_name(meta['modality'])}, {meta['body_part']}"
    axes.text(0.1, y + 0.17, title, fontsize=11, fontweight="bold", va="center")
    counts = f"{frames.count(len(images), 'image')}, {frames.count(len(set(groups)), 'group')}"
    if heldout:
        counts += ", held out of training"
    axes.text(WIDTH - 0.1, y + 0.17, counts, fontsize=9.5, va="center", ha="right")
    kind = str(meta["annotation"])
    words = ANNOTATION.get(kind, kind)
    if meta.get("annotation_note"):
        words += f" ({meta['annotation_note']})"
    axes.text(
        0.1,
        y + 0.41,
        textwrap.shorten(words, 150, placeholder=" ...)"),
        fontsize=8.5,
        va="center",
        color=style.OKABE_ITO["vermillion"] if kind == "derived" else style.DARK,
    )
    for k, row in enumerate(spread_rows(splits, groups, PER_DATASET, _annotated(images))):
        x, top = 0.1 + k * STEP, y + HEAD
        panels.place(axes, images.images[row], x, top, SIDE)
        axes.add_collection(_outlines(images, row, x, top))
        axes.text(x, top + SIDE + 0.1, splits[row], fontsize=7.5, color=style.DARK, va="center")


def _annotated(images: ImageSet) -> np.ndarray:
    """Whether something is drawn over an image, bool [N]."""
    planes = images.masks if images.instances is None else images.instances
    return np.ones(len(images), bool) if planes is None else np.asarray(planes.any(axis=(1, 2)))


def spread_rows(
    splits: np.ndarray, groups: np.ndarray, n: int, first: np.ndarray | None = None
) -> list[int]:
    """At most n rows of as many splits and groups as possible; images of `first` before others."""
    names = [split for split in SPLITS if (splits == split).any()]
    order = []
    for s, split in enumerate(names):
        counts: Counter[int] = Counter()
        for turn, row in _in_turn(np.flatnonzero(splits == split), groups, first):
            # New groups first, and among those the splits take turns.
            order.append((turn, counts[turn], s, row))
            counts[turn] += 1
    chosen = [row for *_, row in sorted(order)[:n]]
    return sorted(chosen, key=lambda row: (names.index(str(splits[row])), row))


def _in_turn(
    rows: np.ndarray, groups: np.ndarray, first: np.ndarray | None
) -> list[tuple[int, int]]:
    """(how many of its group come before it, row), groups taking turns."""
    by_group: dict[str, list[int]] = {}
    for row in rows:
        by_group.setdefault(groups[row], []).append(int(row))
    order: list[tuple[int, int, int]] = []
    for g, members in enumerate(by_group.values()):
        # Neighbouring slices look alike, so the halves, quarters and so on of the group.
        later = [first is not None and not first[row] for row in members]
        spots = sorted(range(len(members)), key=lambda i: (later[i], _bit_reversed(i), i))
        order += [(turn, g, members[spot]) for turn, spot in enumerate(spots)]
    return [(turn, row) for turn, _, row in sorted(order)]


def _bit_reversed(i: int) -> float:
    """Van der Corput's number of i: 0, 1/2, 1/4, 3/4, ... are far apart early on."""
    return int(f"{i:b}"[::-1], 2) / (1 << i.bit_length()) if i else 0.0


def _outlines(images: ImageSet, row: int, x: float, y: float) -> LineCollection:
    """Outlines of the annotation of an image: objects where there are such, else classes; boxes."""
    sample = images.sample(row)
    plane = sample.mask if sample.instances is None else sample.instances
    scale = SIDE / sample.image.shape[0]
    lines, colours = [], []
    for number in [] if plane is None else np.unique(plane[plane > 0]).tolist():
        shape = (plane == number).astype(np.uint8)
        found, _ = cv2.findContours(shape, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for contour in found:
            points = (contour[:, 0, :] + 0.5) * scale + (x, y)
            lines.append(np.concatenate([points, points[:1]]))
            colours.append(LINES[(number - 1) % len(LINES)])
    for i, (left, top, right, bottom) in enumerate([] if sample.boxes is None else sample.boxes):
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        lines.append(np.array(corners) * scale + (x, y))
        colours.append(LINES[i % len(LINES)])
    return LineCollection(lines, colors=colours, linewidths=0.7, zorder=3)
