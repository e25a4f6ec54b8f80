"""The table `trajectories`: how steadily an embedding moves when a task grows stronger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embedding_sets import SPLITS, Outside, load_sets
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.resampling import draw_seeds
from medtaskatlas.atlas.schemas.trajectories import SPEC
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.trajectories.pixels import RAW_PIXELS, pixel_tracks
from medtaskatlas.atlas.trajectories.summaries import SplitTrajectories, Summary
from medtaskatlas.atlas.trajectories.tracks import (
    MEASURES,
    REASONS,
    Tracks,
    Trajectories,
    encoder_tracks,
)
from medtaskatlas.core.seeds import generator

DRAWS = 1000
# Beside the median the tail where an encoder does badly.
TAIL = {"spearman": ("_p10", 0.1), "path_over_chord": ("_p90", 0.9), "turning_angle": ("_p90", 0.9)}
DIFFERENCE = "path_over_chord"
Rows = Iterator[dict[str, Any]]


def trajectories(
    main_paths: Iterable[str | Path],
    trajectory_paths: Iterable[str | Path],
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    asked_of: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `trajectories`.

    Parameters
    ----------
    main_paths, trajectory_paths
        results/<run>/embeddings/<encoder>/seed<k>.parquet and seed<k>.trajectory.parquet of every
        encoder and seed, in the same order.
    pair_paths
        results/<run>/pairs/trajectory/<task>/<dataset>.arrow, all of them: for the control.
    image_paths
        Images files of their datasets.
    out
        results/<run>/tables/trajectories.parquet.
    run
        Name of the run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    asked_of
        Encoders whose training asked that displacement grows with severity.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Raises
    ------
    DataError
        If files are missing, damaged or do not fit together, embeddings are not finite or all the
        same, or no trajectory lies outside training.
    """
    sets = load_sets(main_paths, trajectory_paths, heldout_datasets, heldout_tasks, run=run)
    found, tracks, main = encoder_tracks(sets)
    outside = Outside(main, heldout_datasets, heldout_tasks)
    tracks.append(pixel_tracks(pair_paths, image_paths, found, outside))
    tracks.sort(key=_rank)
    frames = [frame for one in tracks for frame in _image_frames(found, one)]
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        if (found.frame["query_set"] == split).any():
            setting = _Setting(found, split, seed, n_draws)
            for one in tracks:
                rows += _summary_rows(setting, one)
                rows += _curve_rows(setting, one)
            for one, other in combinations(tracks, 2):
                rows += _difference_rows(setting, one, other)
    columns = [column.name for column in SPEC.columns if column.name != "asked_for"]
    parts = [pd.DataFrame(rows), *frames]
    whole = {
        name: np.concatenate(
            [
                part[name].to_numpy(dtype=object)
                if name in part
                else np.full(len(part), None, dtype=object)
                for part in parts
            ]
        )
        for name in columns
    }
    table = pd.DataFrame(whole).assign(run=run)
    table["asked_for"] = table["encoder"].isin(asked_of)
    write_table("trajectories", table, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rank(tracks: Tracks) -> tuple[int, str]:
    """Trained encoders, then baselines, then the control: a difference takes off the latter."""
    baseline = tracks.role == "baseline"
    return (2 if tracks.name == RAW_PIXELS else int(baseline), tracks.name)


class _Setting(SplitTrajectories):
    """One query set, and what its encoders' summaries share."""

    def __init__(self, found: Trajectories, split: str, seed: int, n_draws: int) -> None:
        super().__init__(found.frame, split, seed, n_draws)
        self.severity = found.severity[self.at]
        self.split, self.seed, self.n_draws = split, seed, n_draws
        self._known: dict[tuple[str, bytes], Summary] = {}

    def seed_weights(self, tracks: Tracks) -> np.ndarray:
        """Seed weights [B, S] of an encoder."""
        rng = generator(self.seed, "bootstrap seeds", self.split, tracks.name)
        return draw_seeds(rng, len(tracks.seeds), self.n_draws)

    def values(self, tracks: Tracks, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Values [S, N] of an encoder, and which of them count: those that every seed has."""
        values = tracks.values[measure][:, self.at]
        return values, np.isfinite(values).all(axis=0)

    def summary(self, tracks: Tracks, measure: str, scope: str, valid: np.ndarray) -> Summary:
        """Median and, over a task, the bad tail."""
        values, _ = self.values(tracks, measure)
        quantiles = (0.5, TAIL[measure][1]) if scope == "task" else (0.5,)
        return self.summarise(scope, values, valid, quantiles)

    def compared(self, tracks: Tracks, valid: np.ndarray) -> Summary:
        """Summary that differences are made from; once, since most encoders share the images."""
        key = (tracks.name, valid.tobytes())
        if key not in self._known:
            self._known[key] = self.summary(tracks, DIFFERENCE, "task", valid)
        return self._known[key]

    def names(self, scope: str) -> list[dict[str, Any]]:
        """Columns that name each cell."""
        names = self.cells[scope].names.rename(columns={"known": "task_trained"})
        records = names.assign(scope=scope, split=self.split).to_dict("records")
        return [{str(key): value for key, value in record.items()} for record in records]

    def left_out(self, scope: str, valid: np.ndarray, why: str) -> list[str | None]:
        """How many trajectories of each cell do not count, and why."""
        code, C = self.cells[scope].code, len(self.cells[scope].names)
        number, bad = np.bincount(code, minlength=C), np.bincount(code[~valid], minlength=C)
        notes: list[str | None] = [None] * C
        for c in np.flatnonzero(bad):
            reasons = self.frame["reason"][(code == c) & ~valid].dropna()
            reason = reasons.iloc[0] if len(reasons) == bad[c] else why
            every = f"{bad[c]} of {number[c]} images left out, "
            notes[c] = reason if bad[c] == number[c] else every + reason
        return notes


def _summary_rows(setting: _Setting, tracks: Tracks) -> Rows:
    """Median and bad tail over the images of each dataset and of each task."""
    S, weights = len(tracks.seeds), setting.seed_weights(tracks)
    for measure, (suffix, _) in TAIL.items():
        _, valid = setting.values(tracks, measure)
        for scope in ("task", "dataset"):
            summary = setting.summary(tracks, measure, scope, valid)
            n = setting.counts(scope, valid)
            notes = setting.left_out(scope, valid, REASONS[measure])
            over = np.einsum("bs,bscq->bcq", weights, summary.draws)
            for c, names in enumerate(setting.names(scope)):
                for q in range(summary.estimate.shape[2]):
                    row = {"encoder": tracks.name, "role": tracks.role, **names, **n[c]}
                    row["measure"] = measure + ("", suffix)[q]
                    each = summary.estimate[:, c, q]
                    yield row | _numbers(each, over[:, c, q], n[c], S, notes[c])
                    if S == 1 or scope != "task":
                        continue
                    for s, seed in enumerate(tracks.seeds):
                        one, draws = each[[s]], summary.draws[:, s, c, q]
                        yield row | {"seed": seed} | _numbers(one, draws, n[c], 1, notes[c])


def _numbers(
    each: np.ndarray, draws: np.ndarray, n: dict[str, int], n_seeds: int, note: str | None
) -> dict[str, Any]:
    """Estimate over seeds and its interval."""
    if not np.isfinite(each).all():
        return {"note": note}
    interval = percentile_interval(
        draws, n_groups=n["n_groups"], n_datasets=n["n_datasets"], n_seeds=n_seeds
    )
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    numbers = {"estimate": float(each.mean()), "seed_sd": spread, **vars(interval)}
    return numbers | {"note": "; ".join(filter(None, [note, interval.note])) or None}


def _curve_rows(setting: _Setting, tracks: Tracks) -> Rows:
    """Displacement at every level: median and 10th and 90th percentile over a task's images."""
    cells = setting.cells["task"]
    moved = tracks.displacement[:, setting.at]
    none = {"note": "no interval: _p10 and _p90 are the spread over images"}
    for level in range(moved.shape[2]):
        valid = np.isfinite(moved[:, :, level]).all(axis=0)
        n = setting.counts("task", valid)
        for c, names in enumerate(setting.names("task")):
            own = valid & (cells.code == c)
            if not own.any():
                continue
            row = {"encoder": tracks.name, "role": tracks.role, **names, **n[c], "level": level}
            row["severity"] = float(np.median(setting.severity[own, level]))
            each = np.quantile(moved[:, own, level], (0.5, 0.1, 0.9), axis=1)
            for suffix, values in zip(("", "_p10", "_p90"), each, strict=True):
                spread = float(values.std(ddof=1)) if len(values) > 1 else None
                numbers = {"estimate": float(values.mean()), "seed_sd": spread}
                yield row | none | numbers | {"measure": f"displacement{suffix}"}


def _difference_rows(setting: _Setting, one: Tracks, other: Tracks) -> Rows:
    """Difference of the medians of path / chord of two encoders, over the images both have."""
    valid = setting.values(one, DIFFERENCE)[1] & setting.values(other, DIFFERENCE)[1]
    both = [setting.compared(tracks, valid) for tracks in (one, other)]
    draws = [
        np.einsum("bs,bsc->bc", setting.seed_weights(tracks), summary.draws[..., 0])
        for tracks, summary in zip((one, other), both, strict=True)
    ]
    n = setting.counts("task", valid)
    notes = setting.left_out("task", valid, REASONS[DIFFERENCE])
    for c, names in enumerate(setting.names("task")):
        each = [summary.estimate[:, c, 0] for summary in both]
        variances = [values.var(ddof=1) for values in each if len(values) > 1]
        row = _numbers(
            np.array([each[0].mean() - each[1].mean()]),
            draws[0][:, c] - draws[1][:, c],
            n[c],
            max(map(len, each)),
            notes[c],
        )
        if variances and "estimate" in row:
            row["seed_sd"] = float(np.sqrt(sum(variances)))
        yield {
            "encoder": one.name,
            "role": one.role,
            "other": other.name,
            "measure": f"{DIFFERENCE}_difference",
            **names,
            **n[c],
            **row,
        }


def _image_frames(found: Trajectories, tracks: Tracks) -> Iterator[pd.DataFrame]:
    """Rows of single images, over seeds and a seed."""
    frame = found.frame
    base = frame[["task", "family", "dataset", "image_id", "draw"]].assign(
        encoder=tracks.name, role=tracks.role, split=frame["query_set"],
        task_trained=frame["known"], scope="image", n_pairs=frame["n_levels"], n_images=1,
        n_groups=1, n_datasets=1,
    )  # fmt: skip
    S = len(tracks.seeds)
    for measure in MEASURES:
        values = tracks.values[measure]
        # Of some seeds only, a mean would be of other encoders than its neighbours'.
        over = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if S > 1 else None
        why = frame["reason"].fillna(REASONS[measure])
        parts: list[tuple[int | None, np.ndarray, np.ndarray | None]] = [(None, over, spread)]
        parts += [(s, values[i], None) for i, s in enumerate(tracks.seeds) if S > 1]
        for seed, estimate, sd in parts:
            there = np.isfinite(estimate)
            note = np.where(there, "no interval: one image", why)
            yield base.assign(measure=measure, seed=seed, estimate=estimate, seed_sd=sd, note=note)
