"""The pictures of many pairs as few large ones: sprite sheets, as WebP in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import SIDES, PairSet

TILE = 64  # pixels a side
ACROSS = 16  # tiles in a row and in a column of a sheet
LOSSLESS = 101  # as OpenCV counts it
QUALITIES = (LOSSLESS, 95, 90, 80, 70, 60, 50, 35, 20)
BUDGET = 9_500_000  # bytes of all sheets; a third more as base64


@dataclass
class Tiles:
    """Pictures of one size; equal ones are kept once."""

    pixels: list[np.ndarray] = field(default_factory=list)  # uint8 [TILE, TILE, 3] each
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, image: np.ndarray) -> int:
        """Number of a picture among the tiles."""
        image = np.ascontiguousarray(image)
        if image.shape[:2] != (TILE, TILE):
            way = cv2.INTER_AREA if max(image.shape[:2]) > TILE else cv2.INTER_NEAREST
            image = cv2.resize(image, (TILE, TILE), interpolation=way)
        key = image.tobytes()
        if key not in self._known:
            self._known[key] = len(self.pixels)
            self.pixels.append(image.copy())
        return self._known[key]


@dataclass(frozen=True)
class Sheets:
    """Sprite sheets."""

    data: list[str]  # WebP in base64; tile k is on sheet ``k // ACROSS**2``, row by row
    quality: str  # in words


def sheets_of(tiles: Tiles, budget: int = BUDGET) -> Sheets:
    """Lay tiles on sheets and compress them no more than the budget asks."""
    planes = [
        _sheet(tiles.pixels[k : k + ACROSS**2]) for k in range(0, len(tiles.pixels), ACROSS**2)
    ]
    for quality in QUALITIES:
        coded = _encoded(planes, quality, budget)
        if coded is not None:
            words = "lossless" if quality == LOSSLESS else f"WebP, quality {quality} of 100"
            return Sheets([base64.b64encode(part).decode("ascii") for part in coded], words)
    raise DataError(
        f"{len(tiles.pixels)} pictures of the interactive atlas do not fit into {budget:,} bytes",
        "show fewer pairs",
    )


def _sheet(pixels: Sequence[np.ndarray]) -> np.ndarray:
    """Tiles side by side; a last sheet is only as high as it must be."""
    rows = -(-len(pixels) // ACROSS)
    sheet = np.zeros((rows * TILE, ACROSS * TILE, 3), np.uint8)
    for k, tile in enumerate(pixels):
        y, x = TILE * (k // ACROSS), TILE * (k % ACROSS)
        sheet[y : y + TILE, x : x + TILE] = tile
    return sheet


def _encoded(planes: list[np.ndarray], quality: int, budget: int) -> list[bytes] | None:
    """The sheets as WebP, or nothing as soon as they exceed the budget."""
    coded: list[bytes] = []
    for plane in planes:
        bgr = cv2.cvtColor(plane, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
        assert done
        coded.append(data.tobytes())
        if sum(map(len, coded)) > budget:
            return None
    return coded


def collect(
    frame: pd.DataFrame, pair_paths: Sequence[str | Path], images: dict[str, ImageSet]
) -> tuple[pd.DataFrame, Tiles]:
    """Pixels and severity of chosen pairs."""
    path_of = {(path.parent.name, path.stem): path for path in map(Path, pair_paths)}
    found = pd.DataFrame({"input": 0, "output": 0, "severity": np.nan}, index=np.arange(len(frame)))
    tiles = Tiles()
    cells = frame.reset_index(drop=True).groupby(["dataset", "task"], observed=True, sort=True)
    for (dataset, task), rows in cells:
        path = path_of.get((str(task), str(dataset)))
        if path is None or dataset not in images:
            what = "pairs file" if path is None else "images file"
            raise DataError(
                f"no {what} of {task} on {dataset} was given, but embeddings of its pairs were",
                "give the files of the whole run to the interactive atlas",
            )
        pairs = PairSet(path, images[str(dataset)])
        row_of = {pair: row for row, pair in enumerate(pairs.numpy("pair_id"))}
        severity = pairs.numpy("severity")
        for at, pair in zip(rows.index, rows["pair_id"], strict=True):
            if pair not in row_of:
                raise DataError(
                    f"{path} has no pair {pair}, but the embeddings have",
                    "delete the embeddings folder and start the run again",
                )
            row = row_of[pair]
            for side in SIDES:
                found.loc[at, side] = tiles.add(pairs.side(side, row))
            found.loc[at, "severity"] = float(severity[row])
    return found, tiles
