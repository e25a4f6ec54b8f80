"""Input, truth and the prediction of every system, for a few test images chosen by hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from medtaskatlas.core.errors import DataError
from medtaskatlas.figures import frames, panels, style
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.multitask_examples import NO_CLASS, read_examples
from medtaskatlas.formats.parquet import remedy

IMAGES = 3  # a problem
SIDE, GAP, LINE, HEAD = 0.8, 0.05, 0.15, 0.5  # inches
CLASS_COLOURS = [
    mpl.colors.to_rgb(style.OKABE_ITO[name])
    for name in ("vermillion", "sky", "yellow", "green", "purple", "orange", "blue")
]


def multitask_pictures(
    example_paths: Iterable[str | Path], svg: str | Path, png: str | Path
) -> None:
    """Draw the first seed of every system on the same images."""
    style.use_style()
    problems = _by_problem(example_paths)
    if not problems:
        style.save_note("there are no examples", svg, png)
        return
    columns = 2 + max(map(len, problems.values()))
    side = min(SIDE, (style.LANDSCAPE - 0.2) / columns - GAP)
    blocks = [_Block(name, systems, side) for name, systems in problems.items()]
    axes = panels.sheet(columns * (side + GAP) + 0.2, sum(b.height for b in blocks) + 0.05)[1]
    y = 0.0
    for block in blocks:
        block.draw(axes, y)
        y += block.height
    style.save(axes.figure, svg, png)  # type: ignore[arg-type]


def _by_problem(paths: Iterable[str | Path]) -> dict[str, dict[str, ArrowFile]]:
    """First examples of every system, by problem and system; all of the same images."""
    found: dict[str, dict[str, ArrowFile]] = {}
    for path in paths:
        file = read_examples(path)
        systems = found.setdefault(file.meta["problem"], {})
        systems.setdefault(file.meta["system"], file)
        first = next(iter(systems.values()))
        for column in ("dataset", "image_id"):
            if not np.array_equal(file.numpy(column), first.numpy(column)):
                raise DataError(f"{path} shows other images than {first.path}", remedy(path))
    return found


class _Block:
    """Pictures of one problem."""

    def __init__(self, problem: str, systems: Mapping[str, ArrowFile], side: float) -> None:
        self.problem, self.systems, self.side = problem, systems, side
        self.first = next(iter(systems.values()))
        self.targets: dict[str, dict[str, Any]] = self.first.meta["targets"]
        self.pixels = [t for t in self.targets if self.first.numpy(f"truth.{t}").ndim > 2]
        self.words = [t for t in self.targets if t not in self.pixels]
        self.n = min(IMAGES, len(self.first))

    @property
    def height(self) -> float:
        """Inches."""
        pictures = max(1, len(self.pixels)) * (self.side + GAP)
        return HEAD + self.n * (pictures + len(self.words) * LINE + 2 * GAP)

    def draw(self, axes: Axes, top: float) -> None:
        """Draw from an upper edge on."""
        seeds = sorted({file.meta["seed"] for file in self.systems.values()})
        told = f"seed {seeds[0]}; images chosen by hash"
        axes.text(0.1, top + 0.16, frames.plain(self.problem), fontweight="bold", fontsize=9)
        axes.text(0.1, top + 0.29, told, fontsize=7, color=style.DARK)
        for column, name in enumerate(["input", "truth", *self.systems]):
            x = self._x(column) + self.side / 2
            shown = name.replace("_", "\n", 1)  # a column is too narrow for two words
            longest = max(shown.split("\n"), key=len)
            axes.text(
                x, top + HEAD - 0.04, shown, ha="center", va="bottom", linespacing=0.9,
                fontsize=self._font(longest),
            )  # fmt: skip
        y = top + HEAD
        for row in range(self.n):
            for target in self.pixels or [None]:
                self._pictures(axes, y, row, target)
                y += self.side + GAP
            for target in self.words:
                self._words(axes, y, row, target)
                y += LINE
            y += 2 * GAP

    def _font(self, text: str) -> float:
        """Points at which a text fits a column; letters are about two thirds as wide as high."""
        return min(6.5, 72 * (self.side + GAP) / (0.68 * max(1, len(text))))

    def _x(self, column: int) -> float:
        return 0.1 + column * (self.side + GAP)

    def _pictures(self, axes: Axes, y: float, row: int, target: str | None) -> None:
        """One row of pictures: of a target, or the image alone where none has pixels."""
        own = f"input.{target}"
        seen = _grey(self.first.numpy(own if own in self.first else "image")[row])
        panels.place(axes, seen, self._x(0), y, self.side, pixels=128)
        if target is None:
            return
        facts = self.targets[target]
        truth = self.first.numpy(f"truth.{target}")[row]
        shown = [truth, *(f.numpy(f"output.{target}")[row] for f in self.systems.values())]
        limits = _limits(facts, truth)
        for column, values in enumerate(shown, 1):
            if column == 1 and _absent(truth):
                x = self._x(column) + self.side / 2
                axes.text(x, y + self.side / 2, "none", ha="center", color=style.GREY)
                continue
            # Where there is no truth, nothing is asked.
            asked = values if truth.dtype == np.uint8 else np.where(np.isnan(truth), truth, values)
            picture = _picture(asked, seen, facts, limits)
            panels.place(axes, picture, self._x(column), y, self.side, pixels=128)
        axes.text(0.07, y + self.side / 2, target, rotation=90, ha="right", va="center", fontsize=6)

    def _words(self, axes: Axes, y: float, row: int, target: str) -> None:
        """One line of text: what is true, and what each system says."""
        facts = self.targets[target]
        truth = self.first.numpy(f"truth.{target}")[row].astype(float)
        axes.text(self._x(0) + self.side / 2, y + 0.1, target, ha="center", fontsize=6.5)
        said = [f.numpy(f"output.{target}")[row].astype(float) for f in self.systems.values()]
        for column, values in enumerate([truth, *said], 1):
            words = "none" if _absent(values) else verdict(facts, values)
            wrong = column > 1 and facts.get("classes") and words != verdict(facts, truth)
            colour = style.OKABE_ITO["vermillion"] if wrong else "black"
            x = self._x(column) + self.side / 2
            axes.text(x, y + 0.1, words, ha="center", fontsize=self._font(words), color=colour)


def verdict(facts: Mapping[str, Any], values: np.ndarray) -> str:
    """What numbers [C] of a target say in words: its class, its labels, or a number."""
    classes = facts.get("classes") or ()
    if facts["kind"] == "labels":
        named = [name for name, p in zip(classes, values, strict=True) if p > 0.5]
        return ", ".join(named) or "none"
    if classes:
        return str(classes[int(values.argmax())])
    return f"{values[0]:.3g} {facts.get('unit', '')}".strip()


def _absent(values: np.ndarray) -> bool:
    """Whether an image lacks the target."""
    if values.dtype == np.uint8:
        return bool((values == NO_CLASS).all())
    return bool(np.isnan(values).all())


def _limits(facts: Mapping[str, Any], truth: np.ndarray) -> tuple[float, float]:
    """Range of the colours of a map: that of the target, or of the truth."""
    low, high = facts.get("low"), facts.get("high")
    if low is not None and high is not None:
        return float(low), float(high)
    known = truth[np.isfinite(truth)].astype(float)
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _picture(
    values: np.ndarray, seen: np.ndarray, facts: Mapping[str, Any], limits: tuple[float, float]
) -> np.ndarray:
    """Answer of the layout pixels as uint8 [H, W, 3]."""
    if values.dtype == np.uint8:  # a mask over what the network sees
        colours = np.zeros((256, 3))
        colours[1:NO_CLASS] = np.resize(CLASS_COLOURS, (NO_CLASS - 1, 3))
        there = ((values > 0) & (values < NO_CLASS))[..., None]
        mixed = np.where(there, 0.45 * seen + 0.55 * 255 * colours[values], seen)
        return mixed.round().astype(np.uint8)
    values = values.astype(float)
    if facts["kind"] == "picture":
        return _grey((values.clip(0, 1) * 255).round().astype(np.uint8))
    low, high = limits
    shades = mpl.colormaps["viridis"](np.nan_to_num((values - low) / max(high - low, 1e-9)))
    shades[~np.isfinite(values)] = 1
    return (255 * shades[..., :3]).round().astype(np.uint8)


def _grey(image: np.ndarray) -> np.ndarray:
    """Picture uint8 [H, W, 3] of one with or without colours."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
