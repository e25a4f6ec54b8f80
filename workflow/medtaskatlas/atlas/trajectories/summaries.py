"""Measures of trajectories over images: medians and tails, with bootstrap draws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from medtaskatlas.atlas.inference import MIN_SUBJECTS
from medtaskatlas.atlas.resampling import Design, draw, draw_seeds
from medtaskatlas.atlas.trajectories.tracks import Tracks, Trajectories
from medtaskatlas.core.seeds import generator

# Next to the median the tail where an encoder does badly.
TAIL = {"spearman": ("_p10", 0.1), "path_over_chord": ("_p90", 0.9), "turning_angle": ("_p90", 0.9)}
DIFFERENCES = ("spearman", "path_over_chord")
# Columns that name a cell of each scope.
SCOPES = {"task": ["task"], "dataset": ["task", "dataset"]}


class Summary(NamedTuple):
    """Quantiles over the images of each cell."""

    estimate: np.ndarray  # float64 [S, C, Q], NaN where a cell has no image
    draws: np.ndarray  # float64 [B, S, C, Q] under the bootstrap; NaN in cells of too few subjects


class SplitTrajectories:
    """Trajectories of one query set and their bootstrap draws, the same for all encoders."""

    def __init__(self, found: Trajectories, split: str, seed: int, n_draws: int) -> None:
        self.at = np.flatnonzero(found.frame["query_set"] == split)  # [N], their rows in the run
        self.frame = found.frame.iloc[self.at].reset_index(drop=True)
        self.severity = found.severity[self.at]
        self.codes: dict[str, np.ndarray] = {}  # int [N], cell of each trajectory
        self.names: dict[str, list[dict[str, Any]]] = {}  # columns that name each cell
        for scope, columns in SCOPES.items():
            cells = self.frame.groupby(columns, sort=True)
            self.codes[scope] = cells.ngroup().to_numpy()
            names = cells[["family", "known"]].first().reset_index()
            names = names.rename(columns={"known": "task_trained"}).assign(scope=scope, split=split)
            records = names.to_dict("records")
            self.names[scope] = [{str(key): v for key, v in row.items()} for row in records]
        self._design = design = Design.of(self.frame)
        rng = generator(seed, "bootstrap", split)
        one = len(design.datasets) == 1
        # Statements about one dataset keep that dataset; all others draw datasets too.
        self._draws = {
            scope: draw(design, rng, n_draws, fixed_datasets=fixed).subject.astype(np.int32)
            for scope, fixed in (("task", one), ("dataset", True))
        }
        self._image = self.frame.groupby(["dataset", "image_id"]).ngroup().to_numpy()
        self._group = self.frame.groupby(["dataset", "group_id"]).ngroup().to_numpy()
        self._subject = self.frame.groupby("subject_id").ngroup().to_numpy()
        self._dataset = design.subject_dataset[design.subject]
        self._key = (seed, split, n_draws)
        self._compared: dict[tuple[str, str, bytes], Summary] = {}

    def seed_weights(self, tracks: Tracks) -> np.ndarray:
        """Seed weights [B, S] of an encoder."""
        seed, split, n_draws = self._key
        rng = generator(seed, "bootstrap seeds", split, tracks.name)
        return draw_seeds(rng, len(tracks.seeds), n_draws)

    def valid(self, tracks: Tracks, measure: str) -> np.ndarray:
        """Trajectories [N] of which every seed has a value."""
        return np.isfinite(tracks.values[measure][:, self.at]).all(axis=0)

    def counts(self, scope: str, valid: np.ndarray) -> list[dict[str, int]]:
        """Counts of each cell, of its valid trajectories."""
        levels = self.frame["n_levels"].to_numpy()
        found = []
        for rows, there in zip(*self._rectangle(scope, valid), strict=True):
            own = rows[there]
            found.append(
                {
                    "n_pairs": int(levels[own].sum()),
                    "n_images": len(np.unique(self._image[own])),
                    "n_groups": len(np.unique(self._group[own])),
                    "n_subjects": len(np.unique(self._subject[own])),
                    "n_datasets": len(np.unique(self._dataset[own])),
                }
            )
        return found

    def summary(self, tracks: Tracks, measure: str, scope: str, valid: np.ndarray) -> Summary:
        """Median and, over a task, the bad tail: as they are and on every draw."""
        values = tracks.values[measure][:, self.at]
        quantiles = (0.5, TAIL[measure][1]) if scope == "task" else (0.5,)
        rows, there = self._rectangle(scope, valid)
        subjects = np.array([n["n_subjects"] for n in self.counts(scope, valid)])
        enough = np.flatnonzero(subjects >= MIN_SUBJECTS)
        draws = self._draws[scope]
        weights = draws[:, self._design.subject[rows[enough]]] * there[enough]
        shape = (len(values), len(rows), len(quantiles))
        estimate, boot = np.full(shape, np.nan), np.full((len(draws), *shape), np.nan)
        for s, one in enumerate(values):
            padding = np.where(there, one[rows], np.nan)
            estimate[s] = weighted_quantiles(padding, there[None].astype(np.int32), quantiles)[0]
            if len(enough):
                boot[:, s, enough] = weighted_quantiles(padding[enough], weights, quantiles)
        return Summary(estimate, boot)

    def compared(self, tracks: Tracks, measure: str, valid: np.ndarray) -> Summary:
        """Summary that differences are made from; once, since most encoders share the images."""
        key = (tracks.name, measure, valid.tobytes())
        if key not in self._compared:
            self._compared[key] = self.summary(tracks, measure, "task", valid)
        return self._compared[key]

    def left_out(self, scope: str, valid: np.ndarray, why: str) -> list[str | None]:
        """How many trajectories of each cell do not count, and why."""
        code, C = self.codes[scope], len(self.names[scope])
        number, bad = np.bincount(code, minlength=C), np.bincount(code[~valid], minlength=C)
        notes: list[str | None] = [None] * C
        for c in np.flatnonzero(bad):
            reasons = self.frame["reason"][(code == c) & ~valid].dropna()
            reason = reasons.iloc[0] if len(reasons) == bad[c] else why
            every = f"{bad[c]} of {number[c]} images left out, "
            notes[c] = reason if bad[c] == number[c] else every + reason
        return notes

    def _rectangle(self, scope: str, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Valid trajectories of every cell; see :func:`padded`."""
        return padded(np.where(valid, self.codes[scope], -1), len(self.names[scope]))


def weighted_quantiles(
    values: np.ndarray, weights: np.ndarray, quantiles: tuple[float, ...]
) -> np.ndarray:
    """Quantiles [B, C, Q] of values [C, m], each as often as its weight [B, C, m] says.

    The same as ``numpy.quantile`` (linear interpolation) of each value repeated that often. NaN
    counts for nothing; NaN where all weights are 0.
    """
    order = np.argsort(values, axis=1, kind="stable")  # NaN last
    ranked = np.take_along_axis(values, order, axis=1)
    there = np.isfinite(ranked)
    sorted_weights = np.take_along_axis(weights, order[None], axis=2) * there
    reached = np.cumsum(sorted_weights, axis=2, dtype=np.int32)
    total = reached[:, :, -1]
    last = (reached < total[:, :, None]).sum(axis=2)
    columns = np.arange(len(values))
    out = np.empty((*total.shape, len(quantiles)))
    for q, quantile in enumerate(quantiles):
        place = quantile * np.maximum(total - 1, 0)
        below = np.floor(place)
        low = np.minimum((reached <= below[:, :, None]).sum(axis=2), last)
        high = np.minimum((reached <= below[:, :, None] + 1).sum(axis=2), last)
        one, other = ranked[columns, low], ranked[columns, high]
        with np.errstate(invalid="ignore"):
            mixed = one + (place - below) * (other - one)
        out[:, :, q] = np.where(total > 0, mixed, np.nan)
    return out


def padded(code: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every cell as a rectangle [C, m], 0 where a cell has fewer; whether each is there."""
    size = np.bincount(code[code >= 0], minlength=n_cells)
    order = np.argsort(code, kind="stable")[(code < 0).sum() :]
    there = np.arange(max(size.max(initial=0), 1)) < size[:, None]
    rows = np.zeros(there.shape, int)
    rows[there] = order
    return rows, there
