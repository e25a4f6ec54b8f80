"""The trajectories of a run, and how smoothly each encoder, or the pixels, follow each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embedding_sets import OUTSIDE, EmbeddingSet, Outside
from medtaskatlas.atlas.trajectories.geometry import (
    MIN_LEVELS,
    STILL,
    Steps,
    flat_steps,
    mean_turning,
    path_over_chord,
    spearman,
    sphere_steps,
)
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet

MEASURES = ("spearman", "path_over_chord", "turning_angle")
KEY = ["task", "dataset", "draw"]
_COLUMNS = ["family", "modality", "image_id", "group_id", "query_set", "known"]
_AT_ONCE = 128
FEW_LEVELS = f"undefined: fewer than {MIN_LEVELS} levels of severity"
GAPS = "undefined: levels of the trajectory are missing"
REASONS = {
    "spearman": "undefined: the displacement is constant",
    "path_over_chord": "undefined: the trajectory ends where it began",
    "turning_angle": "undefined: no two successive steps move",
}
RAW_PIXELS = "raw_pixels"
_PIXEL_COLUMNS = (
    "pair_id", "dataset", "modality", "image_id", "group_id", "split", "task", "family",
    "severity", "level", "draw",
)  # fmt: skip


@dataclass(frozen=True)
class Trajectories:
    """Pairs that make up each trajectory."""

    # One row a trajectory, sorted by :data:`KEY`; beside the pair's columns `n_levels` and
    # `reason`, which says why a trajectory cannot be measured, else is None
    frame: pd.DataFrame
    rows: np.ndarray  # int [n, L], positions of its pairs by level, 0 beyond its last
    severity: np.ndarray  # float64 [n, L], NaN beyond its last

    @classmethod
    def of(cls, pairs: pd.DataFrame) -> Trajectories:
        """Pairs sorted into trajectories, those that cannot be measured too."""
        order = pairs.sort_values([*KEY, "level"], kind="stable").index.to_numpy()
        pairs = pairs.loc[order]
        number = pairs.groupby(KEY, sort=False).ngroup().to_numpy()
        first = np.flatnonzero(np.diff(number, prepend=-1))
        n_levels = np.diff(first, append=len(pairs))
        place = np.arange(len(pairs)) - np.repeat(first, n_levels)
        rows = np.zeros((len(first), max(n_levels.max(initial=0), 1)), int)
        severity = np.full(rows.shape, np.nan)
        rows[number, place] = order
        severity[number, place] = pairs["severity"].to_numpy(dtype=float)
        gap = pairs["level"].to_numpy(dtype=float) != place
        frame = pairs.iloc[first][[*KEY, *_COLUMNS]].reset_index(drop=True)
        frame["n_levels"] = n_levels
        distinct = pairs.assign(n=number).groupby("n")["severity"].nunique().to_numpy()
        reason = np.full(len(frame), None, dtype=object)
        reason[np.bincount(number[gap], minlength=len(frame)) > 0] = GAPS
        reason[distinct < MIN_LEVELS] = FEW_LEVELS
        frame["reason"] = reason
        return cls(frame, rows, severity)

    def batches(self) -> Iterator[np.ndarray]:
        """Positions of measurable trajectories of one number of levels, some at a time."""
        usable = self.frame["reason"].isna().to_numpy()
        levels = self.frame["n_levels"].to_numpy()
        for number in np.unique(levels[usable]):
            chosen = np.flatnonzero(usable & (levels == number))
            for start in range(0, len(chosen), _AT_ONCE):
                yield chosen[start : start + _AT_ONCE]


@dataclass(frozen=True)
class Tracks:
    """How one encoder follows the trajectories."""

    # Name and role of the encoder; see :mod:`medtaskatlas.encoders.kind`
    name: str
    role: str
    seeds: list[int | None]  # Its seeds, sorted; None stands for the one of a control that has none
    # Name of :data:`MEASURES` to float64 [S, n], NaN where it is undefined
    values: dict[str, np.ndarray]
    displacement: np.ndarray  # float64 [S, n, L], NaN beyond a trajectory's last level


def measure(
    trajectories: Trajectories,
    steps_of: Callable[[np.ndarray], Steps],
    batches: Iterable[np.ndarray],
    *,
    still: float = 0.0,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measures [n] and displacement [n, L] of trajectories.

    `steps_of` gives the geometry at some positions, those of one of the batches; lengths up to
    `still` are none.
    """
    n, L = trajectories.severity.shape
    values = {name: np.full(n, np.nan) for name in MEASURES}
    displacement = np.full((n, L), np.nan)
    for chosen in batches:
        steps = steps_of(chosen)
        levels = steps.displacement.shape[1]
        severity = trajectories.severity[chosen, :levels]
        # By lengths: a cosine distance is the square of one, and so would be the threshold.
        values["spearman"][chosen] = spearman(severity, steps.distance, still)
        values["path_over_chord"][chosen] = path_over_chord(steps, still)
        values["turning_angle"][chosen] = mean_turning(steps)
        displacement[chosen, :levels] = steps.displacement
    return values, displacement


def encoder_tracks(sets: Iterable[EmbeddingSet]) -> tuple[Trajectories, list[Tracks], pd.DataFrame]:
    """Trajectories outside training, each encoder's tracks by name, and the main pairs.

    One file is in memory at a time.
    """
    trajectories: Trajectories | None = None
    main = pd.DataFrame()
    found: dict[str, list[tuple[int, str, dict[str, np.ndarray], np.ndarray]]] = {}
    for one in sets:
        if trajectories is None:
            trajectories, main = Trajectories.of(one.frame), one.main
        values, moved = _on_sphere(trajectories, one.vectors)
        found.setdefault(one.name, []).append((one.seed, one.role, values, moved))
        del one  # before the next file is read
    if trajectories is None or trajectories.frame.empty:
        raise DataError(
            "no trajectory lies outside training",
            "give trajectories_per_cell above 0, and datasets with test images",
        )
    tracks = []
    for name, each in sorted(found.items()):
        each.sort(key=lambda one: one[0])
        tracks.append(
            Tracks(
                name,
                each[0][1],
                [seed for seed, *_ in each],
                {m: np.stack([values[m] for *_, values, _ in each]) for m in MEASURES},
                np.stack([moved for *_, moved in each]),
            )
        )
    return trajectories, tracks, main


def _on_sphere(
    trajectories: Trajectories, vectors: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measures of trajectories in an embedding; see :func:`measure`."""
    levels = trajectories.frame["n_levels"].to_numpy()

    def steps_of(chosen: np.ndarray) -> Steps:
        return sphere_steps(vectors[trajectories.rows[chosen, : levels[chosen[0]]]])

    return measure(trajectories, steps_of, trajectories.batches(), still=STILL)


def same_trajectories(path: Path, one: Trajectories, other: Trajectories) -> None:
    """Refuse pair files whose trajectories or levels are not those of the embeddings."""
    columns = [*KEY, "n_levels"]
    if not one.frame[columns].equals(other.frame[columns]):
        raise DataError(
            f"{path.parent.parent} and the embeddings hold different trajectories",
            "delete the embeddings folder and start the run again",
        )


def pixel_tracks(
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    trajectories: Trajectories,
    outside: Outside,
) -> Tracks:
    """Tracks of the pixels themselves, a control: output minus input stands for an embedding.

    A task that changes more and more pixels gives a smooth path to whoever looks at pixels. What an
    encoder adds can only be told next to that. Displacements are in grey levels.
    """
    images = {Path(path).stem: ImageSet(path) for path in image_paths}
    files: list[PairSet] = []
    frames: list[pd.DataFrame] = []
    for path in map(Path, pair_paths):
        if path.stem not in images:
            raise DataError(f"{path}: no images file of {path.stem} was given", "give it")
        pairs = PairSet(path, images[path.stem])
        if len(pairs):
            columns = {name: pairs.numpy(name) for name in _PIXEL_COLUMNS}
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
