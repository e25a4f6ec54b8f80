"""Restricted views of pairs: what a network would see of a task if it saw only debris.

Every view hides what makes a task: `border` all but a strip of two pixels, `histogram` where things
are, `residue` all but what is finer than three pixels, `input_only` and `output_only` the other
side. Statistics are made once a side, since most sides are a prepared image that many pairs share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache

import cv2
import numpy as np
import pandas as pd

from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.pixels import pixel_features
from medtaskatlas.formats.pairs import SIDES, PairSet
from medtaskatlas.pairs.roles import GALLERY, KNOWN_TASKS

VIEWS = ("border", "histogram", "input_only", "output_only", "residue")
STRIP = 2
LEVEL_BINS = 32
STRIP_BINS = 16
SPREAD_BINS = 8
RINGS = 12
DECIMALS = 4
# Grey levels by which a pixel may differ from its neighbours' mean and still count as flat.
FLAT = 0.5
# Added before a logarithm, grey levels: far below the half level that rounding to 8 bits leaves.
_FLOOR = 0.05
# Pairs a (dataset, task) cell: to train the probes on, and of each query set.
GALLERY_PAIRS = 30
QUERY_PAIRS = 20
# The features of the `pixels` baseline cost ten times as much, and serve as controls only.
CONTROL_PAIRS = 5
BATCH = 32


def choose(frame: pd.DataFrame, role: np.ndarray, seed: int) -> np.ndarray:
    """Place of each pair in its (dataset, task, role) cell, of the same images for all tasks.

    -1 for pairs that have no part in the audit. Whoever wants fewer pairs takes the first places.
    """
    place = np.full(len(frame), -1)
    for dataset, rows in frame.groupby("dataset", sort=True).indices.items():
        images, image = np.unique(frame["image_row"].to_numpy()[rows], return_inverse=True)
        rank = generator(seed, "shortcuts", str(dataset)).permutation(len(images))[image]
        # Draws of an image after those of all others.
        order = np.lexsort((rank, frame["draw"].to_numpy()[rows]))
        cells = pd.DataFrame({"task": frame["task"].to_numpy()[rows], "role": role[rows]})
        place[rows[order]] = cells.iloc[order].groupby(["task", "role"]).cumcount().to_numpy()
    limit = np.where(role == GALLERY, GALLERY_PAIRS, QUERY_PAIRS)
    asked = np.isin(role, [GALLERY, *KNOWN_TASKS])
    return np.where(asked & (place < limit), place, -1)


def views(bank: PairBank, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Restricted views of the pairs in some increasing rows: name to float32 [N, D]."""
    of_images: dict[str, tuple[np.ndarray, Sides]] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    for pairs, local in _by_file(bank, rows):
        both = []
        for side in SIDES:
            if side in pairs:
                both.append(_statistics(pairs.numpy(side), local))
                continue
            # The prepared image itself: its statistics are made once for all tasks.
            dataset = pairs.images.dataset
            if dataset not in of_images:
                needed = _needed_images(bank, rows, dataset)
                of_images[dataset] = needed, _statistics(pairs.images.images, needed)
            needed, statistics = of_images[dataset]
            both.append(statistics.take(np.searchsorted(needed, pairs.image_row[local])))
        for name in VIEWS:
            parts[name].append(view(name, *both))
    return {name: np.concatenate(part) for name, part in parts.items()}


def everything(bank: PairBank, rows: np.ndarray) -> np.ndarray:
    """Features of the `pixels` baseline of some pairs, float32 [N, D]."""
    starts = range(0, len(rows), BATCH)
    return np.concatenate([pixel_features(bank.gather(rows[s : s + BATCH])) for s in starts])


def _by_file(bank: PairBank, rows: np.ndarray) -> Iterator[tuple[PairSet, np.ndarray]]:
    """Files that hold some of the rows, each with its own rows."""
    owner = np.searchsorted(bank.start, rows, side="right") - 1
    for number in np.unique(owner):
        yield bank.sets[number], rows[owner == number] - bank.start[number]


def _needed_images(bank: PairBank, rows: np.ndarray, dataset: str) -> np.ndarray:
    """Rows of the images of a dataset that some pairs are made from, sorted."""
    used = [
        pairs.image_row[local]
        for pairs, local in _by_file(bank, rows)
        if pairs.images.dataset == dataset
    ]
    return np.unique(np.concatenate(used))


def _statistics(pixels: np.ndarray, rows: np.ndarray) -> Sides:
    """Statistics of some rows of a memory-mapped column, some at a time."""
    starts = range(0, len(rows), BATCH)
    return join([side_statistics(pixels[rows[s : s + BATCH]]) for s in starts])


@dataclass(frozen=True)
class Sides:
    """Statistics of one side of B pairs, or of B images."""

    # float32 [B, 256], share of pixels of each grey level (luma of ITU-R BT.601)
    levels: np.ndarray
    # float32 [B, 9], shares of the channel spread (largest minus smallest channel) in eight bins,
    # and its mean as a share of 255
    colours: np.ndarray
    # float32 [B, 19], of the luma minus its 3 x 3 mean; see :func:`side_statistics`
    residue: np.ndarray
    spectrum: np.ndarray  # float32 [B, 12], log power in rings of spatial frequency
    # uint8 [B, 2, 2 H + 2 W], luma of the outermost ring of pixels and of the next one: top,
    # bottom, left and right edge
    strip: np.ndarray
    # float32 [B], mean size of the steps between neighbours of the outermost ring, grey levels
    steps: np.ndarray

    def __len__(self) -> int:
        return len(self.levels)

    def take(self, rows: np.ndarray) -> Sides:
        """Some of the rows, as often as they are named."""
        return Sides(*(getattr(self, f.name)[rows] for f in fields(self)))


def join(parts: Sequence[Sides]) -> Sides:
    """Statistics of several batches, one after another."""
    return Sides(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Sides)))


def side_statistics(pixels: np.ndarray) -> Sides:
    """Statistics of pictures, uint8 [B, H, W, 3] of at least 4 x 4 pixels.

    Those of the residue are: logs of its standard deviation, mean, median, 90 % and 99 % size; its
    kurtosis; the share of flat pixels; its correlation with itself one and two pixels away along
    the axes and along the diagonals, mean over both, since direction is geometry and no debris; of
    its size with the local mean; logs of its mean size where the local mean is in the lower, middle
    and upper third; and of a copy at half the resolution: log standard deviation, flat share,
    kurtosis and log mean size.
    """
    n, height, width = pixels.shape[:3]
    pixels = np.ascontiguousarray(pixels)
    flat = pixels.reshape(n * height, width, 3)
    luma = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).reshape(n, height, width)
    spread = pixels.max(axis=-1) - pixels.min(axis=-1)
    mean_spread = spread.reshape(n, -1).mean(axis=1, keepdims=True) / 255
    return Sides(
        levels=_shares(luma, 256),
        colours=np.concatenate([_shares(spread // 32, SPREAD_BINS), mean_spread], axis=1).astype(
            np.float32
        ),
        residue=_residue(luma),
        spectrum=_spectrum(luma),
        strip=_strip(luma),
        steps=_steps(luma),
    )


def view(name: str, before: Sides, after: Sides) -> np.ndarray:
    """Features [B, D] of a restricted view of pairs, from the statistics of both sides."""
    features = np.concatenate(_MAKERS[name](before, after), axis=1)
    # Sums in another order differ in their last digits, and trees would tell a mirrored picture by
    # that.
    return np.round(features, DECIMALS).astype(np.float32)


def _shares(values: np.ndarray, bins: int) -> np.ndarray:
    """Shares of whole numbers 0..bins-1 in the rows of an array, float32 [B, bins]."""
    n, size = len(values), values[0].size
    code = values.reshape(n, -1).astype(np.int64) + bins * np.arange(n)[:, None]
    counts = np.bincount(code.ravel(), minlength=n * bins).reshape(n, bins)
    return (counts / size).astype(np.float32)


def _strip(luma: np.ndarray) -> np.ndarray:
    """Two outermost rings of pixels, as four edges each [B, 2, 2 H + 2 W]."""
    rings = [
        np.concatenate([luma[:, i], luma[:, -1 - i], luma[:, :, i], luma[:, :, -1 - i]], axis=1)
        for i in range(STRIP)
    ]
    return np.stack(rings, axis=1)


def _steps(luma: np.ndarray) -> np.ndarray:
    """Mean step along the four edges, float32 [B]."""
    edges = [e.astype(np.int16) for e in (luma[:, 0], luma[:, -1], luma[:, :, 0], luma[:, :, -1])]
    steps = np.concatenate([np.abs(np.diff(edge, axis=1)) for edge in edges], axis=1)
    return steps.mean(axis=1).astype(np.float32)


def _residue(luma: np.ndarray) -> np.ndarray:
    """Statistics of what is finer than three pixels [B, 19]."""
    n = len(luma)
    grey = luma.astype(np.float32)
    local = np.stack([cv2.blur(g, (3, 3), borderType=cv2.BORDER_REFLECT_101) for g in grey])
    residue = grey - local
    flat, size = residue.reshape(n, -1), np.abs(residue).reshape(n, -1)
    mean = local.reshape(n, -1)
    at = (np.array([0.5, 0.9, 0.99]) * (size.shape[1] - 1)).astype(int)
    ordered = np.partition(size, at, axis=1)
    scale = np.stack([flat.std(axis=1), size.mean(axis=1), *ordered[:, at].T], axis=1)
    thirds = [
        (size * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        for inside in (mean < 85, (mean >= 85) & (mean < 170), mean >= 170)
    ]
    mirrored = residue[:, :, ::-1]
    alike = [
        (_shifted(residue, *first) + _shifted(other, *second)) / 2
        for first, other, second in (
            ((0, 1), residue, (1, 0)),
            ((1, 1), mirrored, (1, 1)),
            ((0, 2), residue, (2, 0)),
            ((2, 2), mirrored, (2, 2)),
        )
    ]
    coarse = np.stack([cv2.resize(r, None, fx=0.5, fy=0.5) for r in local])
    fine = coarse - np.stack([cv2.blur(c, (3, 3)) for c in coarse])
    fine = fine.reshape(n, -1)
    return np.concatenate(
        [
            np.log(scale + _FLOOR),
            np.stack([_kurtosis(flat), (size < FLAT).mean(axis=1), *alike], axis=1),
            _correlation(size, mean)[:, None],
            np.log(np.stack(thirds, axis=1) + _FLOOR),
            np.log(fine.std(axis=1) + _FLOOR)[:, None],
            (np.abs(fine) < FLAT).mean(axis=1)[:, None],
            _kurtosis(fine)[:, None],
            np.log(np.abs(fine).mean(axis=1) + _FLOOR)[:, None],
        ],
        axis=1,
    ).astype(np.float32)


def _shifted(planes: np.ndarray, y: int, x: int) -> np.ndarray:
    """Correlation of planes with themselves, shifted."""
    height, width = planes.shape[1:]
    return _correlation(planes[:, y:, x:], planes[:, : height - y, : width - x])


def _kurtosis(rows: np.ndarray) -> np.ndarray:
    """Log of the fourth moment over the squared variance; 0 for a flat row."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    square = centred * centred
    variance = square.mean(axis=1)
    return np.log1p((square * square).mean(axis=1) / (variance * variance + 1e-3))


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation, row by row; 0 where a row is flat."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return (a * b).sum(axis=1) / (size + 1e-3)


@cache
def _rings(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ring number of every frequency of a real FFT, and the size of each ring."""
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    radius = 2 * np.sqrt(x * x + y * y)
    ring = np.minimum((radius * RINGS).astype(int), RINGS - 1).ravel()
    return ring, np.bincount(ring, minlength=RINGS)


def _spectrum(luma: np.ndarray) -> np.ndarray:
    """Log power in rings of spatial frequency, float32 [B, rings]."""
    n, height, width = luma.shape
    grey = luma.astype(np.float32)
    transform = np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))
    power = (transform.real**2 + transform.imag**2) / (height * width)
    ring, size = _rings(height, width)
    code = ring + RINGS * np.arange(n)[:, None]
    total = np.bincount(code.ravel(), power.reshape(n, -1).ravel(), n * RINGS)
    return np.log(total.reshape(n, RINGS) / np.maximum(size, 1) + _FLOOR).astype(np.float32)


def _level_features(levels: np.ndarray) -> np.ndarray:
    """Coarse histogram, moments, ends, peak and number of levels [B, 39]."""
    n, at = len(levels), np.arange(256) / 255
    coarse = np.sqrt(levels.reshape(n, LEVEL_BINS, -1).sum(axis=2))
    mean = levels @ at
    spread = np.sqrt(np.maximum(levels @ at**2 - mean**2, 0))
    used = (levels > 0).mean(axis=1)
    entropy = -(levels * np.log(levels + 1e-9)).sum(axis=1)
    inner = levels[:, 1:-1].max(axis=1)
    more = [mean, spread, levels[:, 0], levels[:, -1], inner, used, entropy]
    return np.concatenate([coarse, np.stack(more, axis=1)], axis=1)


def _strip_features(side: Sides) -> np.ndarray:
    """Histogram, moments, ends, steps along and across the border [B, 23]."""
    n = len(side)
    values = side.strip.astype(np.int16)
    flat = values.reshape(n, -1)
    across = np.abs(values[:, 0] - values[:, 1])
    more = [
        flat.mean(axis=1) / 255,
        flat.std(axis=1) / 255,
        (flat == 0).mean(axis=1),
        (flat == 255).mean(axis=1),
        np.log(across.mean(axis=1) + _FLOOR),
        np.log(side.steps + _FLOOR),
        (across == 0).mean(axis=1),
    ]
    shares = np.sqrt(_shares(flat * STRIP_BINS // 256, STRIP_BINS))
    return np.concatenate([shares, np.stack(more, axis=1)], axis=1)


def _border(before: Sides, after: Sides) -> list[np.ndarray]:
    """Strips of both sides, and their difference."""
    n = len(before)
    difference = after.strip.astype(np.int16) - before.strip
    flat = difference.reshape(n, -1)
    a, b = _strip_features(before), _strip_features(after)
    more = [flat.mean(axis=1), flat.std(axis=1), np.abs(flat).mean(axis=1)]
    shares = np.sqrt(_shares((flat + 256) * STRIP_BINS // 512, STRIP_BINS))
    return [a, b, b - a, shares, np.stack([*more, 255 * (flat == 0).mean(axis=1)], axis=1) / 255]


def _histogram(before: Sides, after: Sides) -> list[np.ndarray]:
    """Grey levels and colours of both sides, and how far the two histograms are apart."""
    a = np.concatenate([_level_features(before.levels), before.colours], axis=1)
    b = np.concatenate([_level_features(after.levels), after.colours], axis=1)
    apart = [
        np.abs(after.levels - other).sum(axis=1) / 2
        for other in (before.levels, before.levels[:, ::-1])
    ]
    moved = np.abs(np.cumsum(after.levels - before.levels, axis=1)).mean(axis=1)
    return [a, b, b - a, np.sqrt(np.stack([*apart, moved], axis=1))]


def _one_side(side: Sides) -> list[np.ndarray]:
    """All that can be said of a side alone."""
    return [
        _level_features(side.levels),
        side.colours,
        side.residue,
        side.spectrum,
        _strip_features(side),
    ]


def _residues(before: Sides, after: Sides) -> list[np.ndarray]:
    """Residues of both sides; differences of logs are log ratios."""
    return [before.residue, after.residue, after.residue - before.residue]


_MAKERS: dict[str, Callable[[Sides, Sides], list[np.ndarray]]] = {
    "border": _border,
    "histogram": _histogram,
    "input_only": lambda before, after: _one_side(before),
    "output_only": lambda before, after: _one_side(after),
    "residue": _residues,
}
