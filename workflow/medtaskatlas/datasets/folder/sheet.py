"""Contact sheet of a dataset: its images with the annotation drawn over, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtaskatlas.core.files import atomic_write
from medtaskatlas.datasets.io.frame import Frame

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

_MOST = 24  # images on a sheet
_COLUMNS = 6
_SIDE = 240  # pixels of an image on the sheet
_TEXT = 16  # height of a line
_EDGE = 6
# Okabe and Ito's colours, which colour-blind people can tell apart; without black.
_COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0)]
_COLOURS += [(0, 114, 178), (204, 121, 167)]


@dataclass(frozen=True)
class _Tile:
    """A picture as it is shown, with two lines of text."""

    annotated: int  # pixels
    pixels: np.ndarray  # [H, W, 3]
    lines: tuple[str, str]


@dataclass
class Sheet:
    """Images evenly spread over all that it is shown; of a volume the slice with most annotation.

    `classes` names the ids of masks; `labels` the labels.
    """

    classes: Mapping[int, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    tiles: dict[str, _Tile] = field(default_factory=dict)
    shown: int = 0  # images and volumes so far
    every: int = 1  # of these, one in so many is kept
    last: str = ""

    def take(self, frame: Frame) -> None:
        """Keep a frame if it is its turn."""
        name = frame.volume_id or frame.image_id
        if name != self.last:
            self.last, turn = name, self.shown % self.every == 0
            self.shown += 1
            if not turn:
                return
            if len(self.tiles) == 2 * _MOST:
                self.tiles = dict(list(self.tiles.items())[::2])
                self.every *= 2
                if (self.shown - 1) % self.every:
                    return
        elif name not in self.tiles:
            return
        annotated = _annotated(frame)
        if name not in self.tiles or annotated > self.tiles[name].annotated:
            label = "" if frame.label is None else f"label {self._label(frame.label)}"
            facts = "  ".join(filter(None, (label, frame.split)))
            self.tiles[name] = _Tile(annotated, _drawn(frame), (frame.image_id, facts))

    def write(self, path: Path) -> int:
        """Write the sheet as a PNG file; the number of images on it, with none no file."""
        from PIL import Image, ImageDraw

        tiles = list(self.tiles.values())
        if not tiles:
            return 0
        if len(tiles) > _MOST:
            tiles = [tiles[i * len(tiles) // _MOST] for i in range(_MOST)]
        columns = min(_COLUMNS, len(tiles))
        rows = -(-len(tiles) // columns)
        step = _SIDE + _EDGE
        height = _EDGE + rows * (step + 2 * _TEXT) + _TEXT
        sheet = Image.new("RGB", (max(columns * step + _EDGE, 3 * step), height), (24, 24, 24))
        draw = ImageDraw.Draw(sheet)
        draw.font = _font()
        for i, tile in enumerate(tiles):
            x, y = _EDGE + i % columns * step, _EDGE + i // columns * (step + 2 * _TEXT)
            drawn = Image.fromarray(tile.pixels)
            sheet.paste(drawn, (x + (_SIDE - drawn.width) // 2, y + (_SIDE - drawn.height) // 2))
            for line, text in enumerate(tile.lines):
                draw.text((x, y + _SIDE + line * _TEXT), _shortened(text), (220, 220, 220))
        self._legend(draw, height - _TEXT)
        with atomic_write(path) as part:
            sheet.save(part, "PNG")
        return len(tiles)

    def _label(self, number: int) -> str:
        """Name of a label."""
        return self.labels[number] if number < len(self.labels) else str(number)

    def _legend(self, draw: ImageDraw.ImageDraw, y: int) -> None:
        """Colours of the classes."""
        x = _EDGE
        for number, name in self.classes.items():
            draw.rectangle((x, y + 2, x + 9, y + 11), fill=_colour(number))
            draw.text((x + 14, y), _shortened(name), (220, 220, 220))
            x += 30 + int(draw.textlength(_shortened(name)))


def _annotated(frame: Frame) -> int:
    """How much annotation a frame has."""
    planes = [plane for plane in (frame.mask, frame.instances) if plane is not None]
    planes += [valid & (values != 0) for values, valid in frame.maps.values()]
    return sum(int(np.count_nonzero(plane)) for plane in planes)


def _drawn(frame: Frame) -> np.ndarray:
    """Picture [H, W, 3] as it is shown, with outlines of masks, objects and boxes, maps tinted."""
    import cv2

    height, width = frame.pixels.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(frame.pixels, size, interpolation=how)
    if shown.ndim == 2:
        shown = cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB)
    for values, valid in list(frame.maps.values())[:1]:
        shown = _tinted(shown, np.where(valid, values, 0))
    plane = frame.mask if frame.instances is None else frame.instances
    if plane is not None:
        small = cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)
        for number in np.unique(small[small > 0])[:1000]:
            inside = (small == number).astype(np.uint8)
            found = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
            cv2.drawContours(shown, found, -1, _colour(int(number)), 2)
    for box in frame.boxes if frame.boxes is not None else ():
        x0, y0, x1, y1 = (round(float(corner) * scale) for corner in box)
        cv2.rectangle(shown, (x0, y0), (x1, y1), (255, 255, 255), 2)
    return np.ascontiguousarray(shown)


def _tinted(shown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Picture under the colours of a map, where it is not 0."""
    import cv2

    low, high = float(values.min()), float(values.max())
    grey = ((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    size = (shown.shape[1], shown.shape[0])
    colours = cv2.applyColorMap(cv2.resize(grey, size), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    there = cv2.resize((values != 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    mixed = cv2.addWeighted(shown, 0.5, np.ascontiguousarray(colours), 0.5, 0)
    return np.where(there[..., None] > 0, mixed, shown)


def _font() -> ImageFont.FreeTypeFont:
    """A font with the letters of most languages; Pillow's own has ASCII alone."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 10)


def _colour(number: int) -> tuple[int, int, int]:
    """Colour of a class or an object."""
    return _COLOURS[(number - 1) % len(_COLOURS)]


def _shortened(text: str, most: int = 38) -> str:
    """The end of a long name, which tells images apart; without control characters."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= most else f"...{text[3 - most :]}"
