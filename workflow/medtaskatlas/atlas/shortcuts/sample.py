"""Pairs for the shortcut audit, and their views, without holding pixels in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medtaskatlas.atlas.roles import GALLERY
from medtaskatlas.atlas.shortcuts.views import VIEWS, Sides, join, side_statistics, view
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.pixels import pixel_features
from medtaskatlas.formats.pairs import SIDES, PairSet

# Pairs a (dataset, task) cell: to train the probes on, and of each query set.
GALLERY_PAIRS = 30
QUERY_PAIRS = 20
# The features of the `pixels` baseline cost ten times as much, and serve as controls only.
CONTROL_PAIRS = 5
BATCH = 32


def choose(frame: pd.DataFrame, role: np.ndarray, seed: int) -> np.ndarray:
    """Choose some pairs of every cell, of the same images for all tasks as far as they go.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``task``, ``image_row``, ``draw``; one row a pair.
    role
        Object [N], from :func:`~medtaskatlas.atlas.roles.roles`.
    seed
        The run's seed.

    Returns
    -------
    numpy.ndarray
        int [N]: the pair's place in its (dataset, task, role) cell, from 0; -1 for pairs that have
        no part in the audit. Whoever wants fewer pairs takes the first places.
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
    asked = np.isin(role, [GALLERY, "groups", "datasets"])
    return np.where(asked & (place < limit), place, -1)


def views(bank: PairBank, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Restricted views of some pairs.

    Parameters
    ----------
    bank
        The pairs.
    rows
        int [N], increasing rows of the bank.

    Returns
    -------
    dict of str to numpy.ndarray
        Name of :data:`~medtaskatlas.atlas.shortcuts.views.VIEWS` to float32 [N, D].
    """
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
    """Features of the `pixels` baseline of some pairs.

    Parameters
    ----------
    bank
        The pairs.
    rows
        int [N], rows of the bank.

    Returns
    -------
    numpy.ndarray
        float32 [N, D].
    """
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
