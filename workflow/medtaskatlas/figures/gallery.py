"""Gallery: pairs of every task on datasets of different modality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from medtaskatlas.figures.frames import family_order, modality_name, plain
from medtaskatlas.figures.style import GREY, family_colour, save, use_style
from medtaskatlas.figures.tiles import place, sheet
from medtaskatlas.imageset import ImageSet
from medtaskatlas.pairset import PairSet

EXAMPLES = 3
EXPLANATION = "input | output on up to three datasets; numbers are severities"
SIDE = 0.56  # of a picture; all sizes in inches
GAP = 0.03  # between input and output
PAIR = 2 * SIDE + GAP + 0.12
ROW = SIDE + 0.50
COLUMN = EXAMPLES * PAIR + 0.22
HEAD = 0.62


@dataclass(frozen=True)
class Example:
    """One pair of the gallery.

    Attributes
    ----------
    source, result
        uint8 [H, W, 3], input and output.
    caption
        Modality and severity.
    """

    source: np.ndarray
    result: np.ndarray
    caption: str


def gallery(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    svg: str | Path,
    png: str | Path,
) -> None:
    """Draw pairs of every task, a column a family.

    Parameters
    ----------
    pair_paths
        Pair files of all cells, tasks in the order in which they are drawn.
    image_paths
        Images files of their datasets.
    svg, png
        The files to make.

    Raises
    ------
    DataError
        If a file is damaged, or pairs and images do not belong together.
    """
    use_style()
    images = {found.dataset: found for found in map(ImageSet, image_paths)}
    chosen = _examples(pair_paths, images)
    families = family_order(chosen)
    tallest = max((len(tasks) for tasks in chosen.values()), default=1)
    figure, axes = sheet(max(1, len(families)) * COLUMN + 0.1, HEAD + tallest * ROW)
    for i, family in enumerate(families):
        x = 0.1 + i * COLUMN
        colour = family_colour(family)
        axes.text(x, 0.20, family, fontsize=13, fontweight="bold", color=colour, va="center")
        axes.text(x, 0.40, EXPLANATION, fontsize=7.5, color="#555555", va="center")
        axes.plot([x, x + COLUMN - 0.3], [0.52, 0.52], color=colour, lw=2)
        for j, (task, examples) in enumerate(chosen[family].items()):
            _draw_task(axes, task, examples, x, HEAD + j * ROW)
    save(figure, svg, png)


def _draw_task(axes: Axes, task: str, examples: list[Example], x: float, y: float) -> None:
    """One task: its name, and below it the pairs."""
    axes.text(x, y + 0.12, plain(task), fontsize=9.5, fontweight="bold", va="center")
    if not examples:
        axes.text(x, y + 0.4, "no pairs in this run", fontsize=7.5, color=GREY, va="center")
    for k, example in enumerate(examples):
        left, top = x + k * PAIR, y + 0.21
        place(axes, example.source, left, top, SIDE)
        place(axes, example.result, left + SIDE + GAP, top, SIDE)
        axes.text(
            left, top + SIDE + 0.075, example.caption, fontsize=7, color="#333333", va="center"
        )


def _examples(
    pair_paths: Sequence[str | Path], images: dict[str, ImageSet]
) -> dict[str, dict[str, list[Example]]]:
    """Pairs to show: family to task to examples."""
    cells: dict[tuple[str, str], list[PairSet]] = {}
    for path in pair_paths:
        found = PairSet(path, images[Path(path).stem])
        # A task that can do nothing on a dataset has a file without rows, and no family in it.
        family = found.column("family")[0].as_py() if len(found) else ""
        task = str(found.meta["task"])
        key = next((k for k in cells if k[1] == task and (k[0] or not family)), (family, task))
        cells.setdefault(key, []).append(found)
    chosen: dict[str, dict[str, list[Example]]] = {}
    for (family, task), sets in cells.items():
        if family:
            chosen.setdefault(family, {})[task] = [
                _example(found)
                for found in _varied([s for s in sets if len(s)], len(chosen.get(family, {})))
            ]
    return chosen


def _varied(sets: list[PairSet], start: int) -> list[PairSet]:
    """Up to three pair files, of different modality as far as there are such."""
    modalities = sorted({str(found.images.meta["modality"]) for found in sets})
    # Each task begins with another modality, so that the gallery shows all datasets.
    first = [modalities[(start + i) % len(modalities)] for i in range(len(modalities))]
    turn: Counter[str] = Counter()
    keyed = []
    for i in range(len(sets)):
        found = sets[(start + i) % len(sets)]
        modality = str(found.images.meta["modality"])
        # In turn through the modalities: one dataset of each, then the second of each.
        keyed.append((turn[modality], first.index(modality), i, found))
        turn[modality] += 1
    return [key[-1] for key in sorted(keyed, key=lambda key: key[:3])[:EXAMPLES]]


def _example(pairs: PairSet) -> Example:
    """The most telling pair of a file: an image with much to see, at a severity plain to see."""
    severities = [value.as_py() for value in pairs.column("severity")]
    # Near 0.75: plain to see, and not the worst case.
    off = np.array([0.0 if value is None else abs(value - 0.75) for value in severities])
    rows = np.argsort(off, kind="stable")[: max(1, min(len(off), 25))]
    grey = pairs.images.images[pairs.image_row[rows]].mean(axis=-1)
    # Structure and contrast, without tiles that are mostly empty.
    detail = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) * (grey > 16).mean(axis=(1, 2))
    row = int(rows[np.argmax(detail * grey.std(axis=(1, 2)))])
    modality = modality_name(str(pairs.images.meta["modality"]))
    severity = severities[row]
    caption = modality if severity is None else f"{modality} · {severity:.2f}"
    return Example(pairs.side("input", row), pairs.side("output", row), caption)
