"""The trajectories of a run, and how smoothly each encoder, or the pixels, follow each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import EmbeddingSet
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
_COLUMNS = ["family", "modality", "image_id", "subject_id", "group_id", "query_set", "known"]
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
    "dataset", "modality", "image_id", "subject_id", "group_id", "task", "family", "severity",
    "level", "draw",
)  # fmt: skip


@dataclass(frozen=True)
class Trajectories:
    """Pairs that make up each trajectory."""

    # One row a trajectory, sorted by KEY; next to the pair's columns `n_levels` and `reason`, which
    # says why a trajectory cannot be measured, else is None.
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

    name: str
    role: str
    seeds: list[int | None]  # sorted; None stands for the one of a control that has none
    values: dict[str, np.ndarray]  # by measure, float64 [S, n], NaN where it is undefined
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


def encoder_tracks(sets: Iterable[EmbeddingSet]) -> tuple[Trajectories, list[Tracks]]:
    """Trajectories outside training, and each encoder's tracks by name.

    One file is in memory at a time.
    """
    trajectories: Trajectories | None = None
    found: dict[str, list[tuple[int, str, dict[str, np.ndarray], np.ndarray]]] = {}
    for one in sets:
        if trajectories is None:
            trajectories = Trajectories.of(one.frame)
        steps_of = _on_sphere(trajectories, one.vectors)
        values, moved = measure(trajectories, steps_of, trajectories.batches(), still=STILL)
        found.setdefault(one.name, []).append((one.seed, one.role, values, moved))
        del one, steps_of  # before the next file is read
    if trajectories is None or trajectories.frame.empty:
        raise DataError(
            "no trajectory lies outside training",
            "give trajectories_per_cell above 0, and datasets with test images",
        )
    tracks = []
    for name, each in sorted(found.items()):
        seeds, role, values_of, displacement = zip(*sorted(each, key=lambda e: e[0]), strict=True)
        values = {m: np.stack([one[m] for one in values_of]) for m in MEASURES}
        tracks.append(Tracks(name, role[0], list(seeds), values, np.stack(displacement)))
    return trajectories, tracks


def _on_sphere(trajectories: Trajectories, vectors: np.ndarray) -> Callable[[np.ndarray], Steps]:
    """Geometry of trajectories in an embedding, for :func:`measure`."""
    levels = trajectories.frame["n_levels"].to_numpy()
    return lambda at: sphere_steps(vectors[trajectories.rows[at, : levels[at[0]]]])


def pixel_tracks(
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    trajectories: Trajectories,
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
            pixels = pd.DataFrame({name: pairs.numpy(name) for name in _PIXEL_COLUMNS})
            frames.append(pixels.assign(file=len(files), row=range(len(pairs))))
            files.append(pairs)
    if not files:
        raise DataError("the pair files hold no trajectory", "start the run again to make them")
    # Those that the embeddings say are outside training.
    outside = trajectories.frame[[*KEY, "query_set", "known"]]
    frame = pd.concat(frames, ignore_index=True).merge(outside, on=KEY)
    found = Trajectories.of(frame)
    columns = [*KEY, "n_levels"]
    if not found.frame[columns].equals(trajectories.frame[columns]):
        raise DataError(
            f"{files[0].path.parent.parent} and the embeddings hold different trajectories",
            "delete the embeddings folder and start the run again",
        )
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
    one_seed = {name: each[None] for name, each in values.items()}
    return Tracks(RAW_PIXELS, "control", [None], one_seed, displacement[None])
