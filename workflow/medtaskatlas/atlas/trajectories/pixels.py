"""The control of trajectories: how the pixels themselves move, without any encoder.

A task that changes more and more pixels gives a smooth path to whoever looks at pixels. What an
encoder adds can only be told beside that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import OUTSIDE, Outside
from medtaskatlas.atlas.trajectories.paths import Steps, flat_steps
from medtaskatlas.atlas.trajectories.tracks import (
    Tracks,
    Trajectories,
    measure,
    same_trajectories,
)
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet

RAW_PIXELS = "raw_pixels"
_COLUMNS = (
    "pair_id", "dataset", "modality", "image_id", "group_id", "split", "task", "family",
    "severity", "level", "draw",
)  # fmt: skip


def pixel_tracks(
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    trajectories: Trajectories,
    outside: Outside,
) -> Tracks:
    """Measure the trajectories in pixels: output minus input stands for the embedding.

    Parameters
    ----------
    pair_paths
        results/<run>/pairs/trajectory/<task>/<dataset>.arrow, all of them.
    image_paths
        Images files of all their datasets.
    trajectories
        Those of the embeddings.
    outside
        What is outside training.

    Returns
    -------
    Tracks
        Named ``raw_pixels``; displacements in grey levels.

    Raises
    ------
    DataError
        If a file is missing or damaged, or holds other trajectories than the embeddings.
    """
    images = {Path(path).stem: ImageSet(path) for path in image_paths}
    files: list[PairSet] = []
    frames: list[pd.DataFrame] = []
    for path in map(Path, pair_paths):
        if path.stem not in images:
            raise DataError(f"{path}: no images file of {path.stem} was given", "give it")
        pairs = PairSet(path, images[path.stem])
        if len(pairs):
            columns = {name: pairs.numpy(name) for name in _COLUMNS}
            frames.append(pd.DataFrame(columns).assign(file=len(files), row=range(len(pairs))))
            files.append(pairs)
    if not files:
        raise DataError("the pair files hold no trajectory", "start the run again to make them")
    frame = pd.concat(frames, ignore_index=True)
    frame = outside.mark(frame)
    frame = frame[frame["query_set"] != OUTSIDE].reset_index(drop=True)
    found = Trajectories.of(frame)
    same_trajectories(files[0].path, found, trajectories)
    owner, row = frame["file"].to_numpy(), frame["row"].to_numpy()
    levels = found.frame["n_levels"].to_numpy()
    owners = owner[found.rows[:, 0]]

    def batches() -> Iterator[np.ndarray]:
        """Trajectories of one file at a time: it is read once."""
        for batch in found.batches():
            for number in np.unique(owners[batch]):
                yield batch[owners[batch] == number]

    def steps_of(chosen: np.ndarray) -> Steps:
        rows = found.rows[chosen, : levels[chosen[0]]]
        pairs = files[owners[chosen[0]]]
        flat = row[rows].ravel()
        change = pairs.side("output", flat).astype(np.int16) - pairs.side("input", flat)
        return flat_steps(change.reshape(*rows.shape, -1))

    values, displacement = measure(found, steps_of, batches())
    return Tracks(
        RAW_PIXELS,
        "control",
        [None],
        {name: each[None] for name, each in values.items()},
        displacement[None],
    )
