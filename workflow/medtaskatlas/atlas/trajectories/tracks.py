"""The trajectories of a run, and how smoothly each encoder follows each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import EmbeddingSet
from medtaskatlas.atlas.trajectories.paths import (
    MIN_LEVELS,
    STILL,
    Steps,
    mean_turning,
    path_over_chord,
    spearman,
    sphere_steps,
)
from medtaskatlas.core.errors import DataError

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


@dataclass(frozen=True)
class Trajectories:
    """Which pairs make up which trajectory.

    Attributes
    ----------
    frame
        One row a trajectory, sorted by :data:`KEY`; beside the pair's columns ``n_levels`` and
        ``reason``, which says why a trajectory cannot be measured, else is None.
    rows
        int [n, L], positions of its pairs by level, 0 beyond its last.
    severity
        float64 [n, L], NaN beyond its last.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    severity: np.ndarray

    @classmethod
    def of(cls, pairs: pd.DataFrame) -> Trajectories:
        """Sort pairs into trajectories.

        Parameters
        ----------
        pairs
            Pairs of the set ``trajectory``; see :class:`~medtaskatlas.atlas.embeddings`.

        Returns
        -------
        Trajectories
            All of them, those that cannot be measured too.
        """
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
        """Measurable trajectories, some at a time.

        Yields
        ------
        numpy.ndarray
            Positions of trajectories of one number of levels.
        """
        usable = self.frame["reason"].isna().to_numpy()
        levels = self.frame["n_levels"].to_numpy()
        for number in np.unique(levels[usable]):
            chosen = np.flatnonzero(usable & (levels == number))
            for start in range(0, len(chosen), _AT_ONCE):
                yield chosen[start : start + _AT_ONCE]


@dataclass(frozen=True)
class Tracks:
    """How one encoder follows the trajectories.

    Attributes
    ----------
    name, role
        Name and role of the encoder; see :mod:`medtaskatlas.encoders.kind`.
    seeds
        Its seeds, sorted; None stands for the one of a control that has none.
    values
        Name of :data:`MEASURES` to float64 [S, n], NaN where it is undefined.
    displacement
        float64 [S, n, L], NaN beyond a trajectory's last level.
    """

    name: str
    role: str
    seeds: list[int | None]
    values: dict[str, np.ndarray]
    displacement: np.ndarray


def measure(
    trajectories: Trajectories,
    steps_of: Callable[[np.ndarray], Steps],
    batches: Iterable[np.ndarray],
    *,
    still: float = 0.0,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measure trajectories.

    Parameters
    ----------
    trajectories
        The trajectories.
    steps_of
        Geometry of the trajectories at some positions.
    batches
        Those positions, each of one number of levels.
    still
        Lengths up to this are none.

    Returns
    -------
    values
        Name of :data:`MEASURES` to float64 [n].
    displacement
        float64 [n, L].
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
    """Measure the trajectories of all encoders and seeds, one file in memory at a time.

    Parameters
    ----------
    sets
        Trajectories of each encoder and seed; see
        :func:`~medtaskatlas.atlas.embeddings.load_sets`.

    Returns
    -------
    trajectories
        Those outside training.
    tracks
        One an encoder, by name.
    main
        The main pairs, to tell what was trained on.

    Raises
    ------
    DataError
        If there is no file, or none holds a pair outside training.
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
    """Measure trajectories in an embedding; see :func:`measure`."""
    levels = trajectories.frame["n_levels"].to_numpy()

    def steps_of(chosen: np.ndarray) -> Steps:
        return sphere_steps(vectors[trajectories.rows[chosen, : levels[chosen[0]]]])

    return measure(trajectories, steps_of, trajectories.batches(), still=STILL)


def same_trajectories(path: Path, one: Trajectories, other: Trajectories) -> None:
    """Refuse trajectories that are not those of the embeddings.

    Parameters
    ----------
    path
        A pair file, for the error.
    one, other
        Of the pair files and of the embeddings.

    Raises
    ------
    DataError
        If they differ in a trajectory or in its levels.
    """
    columns = [*KEY, "n_levels"]
    if not one.frame[columns].equals(other.frame[columns]):
        raise DataError(
            f"{path.parent.parent} and the embeddings hold different trajectories",
            "delete the embeddings folder and start the run again",
        )
