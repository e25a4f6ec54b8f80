"""Cutting large pictures into tiles of disjoint regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medtaskatlas.datasets.recipes import Content, Tiles


@dataclass(frozen=True)
class Cut:
    """One tile: where it lies in the picture and which region it belongs to.

    Attributes
    ----------
    region
        (row, column) of the region.
    top, left, side
        The tile in pixels of the picture.
    """

    region: tuple[int, int]
    top: int
    left: int
    side: int


def cuts(height: int, width: int, tiles: Tiles) -> Iterator[Cut]:
    """Tiles of a picture, region by region.

    Parameters
    ----------
    height, width
        Size of the picture, pixels.
    tiles
        Regions, side and stride.

    Yields
    ------
    Cut
        Tiles that lie within their region, centred in it; none where a region is too small.
    """
    rows, columns = tiles.regions
    tall, wide = height // rows, width // columns
    for row in range(rows):
        for column in range(columns):
            for top in _starts(tall, tiles):
                for left in _starts(wide, tiles):
                    yield Cut((row, column), row * tall + top, column * wide + left, tiles.tile)


def _starts(length: int, tiles: Tiles) -> range:
    """Where tiles begin along one side of a region; what remains is shared by both ends."""
    spare = length - tiles.tile
    if spare < 0:
        return range(0)
    first = spare % tiles.stride // 2
    return range(first, spare + 1, tiles.stride)


def lacking(pixels: np.ndarray, content: Content) -> str | None:
    """Why a cut-out holds too little, by the written rule.

    Parameters
    ----------
    pixels
        uint8 [H, W] or [H, W, 3].
    content
        The rule.

    Returns
    -------
    str or None
        The reason, or None where it is to be kept.
    """
    grey = pixels.astype(np.int64).sum(axis=-1) // 3 if pixels.ndim == 3 else pixels
    extreme = float(((grey <= 8) | (grey >= 247)).mean())
    if extreme > content.max_extreme:
        return f"more than {content.max_extreme:.0%} of it black or white"
    if float(np.round(grey.std(dtype=np.float64), 6)) < content.min_std:
        return f"flat: standard deviation below {content.min_std:g}"
    return None
