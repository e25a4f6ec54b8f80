"""The table `trajectories`: how steadily an embedding moves when a task grows stronger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.embeddings import load_sets
from medtaskatlas.atlas.inference import bootstrap_interval, over_seeds
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.atlas.trajectories.summaries import DIFFERENCES, TAIL, SplitTrajectories
from medtaskatlas.atlas.trajectories.tracks import (
    MEASURES,
    RAW_PIXELS,
    REASONS,
    Tracks,
    Trajectories,
    encoder_tracks,
    pixel_tracks,
)
from medtaskatlas.pairs.roles import KNOWN_TASKS

SPEC = columns.TableSpec(
    "Does an embedding move steadily when a task is done more and more strongly to one image?",
    (
        "run", "encoder", "other", "seed", "split", "scope", "task", "dataset", "draw", "measure",
        "level",
    ),
    (
        columns.RUN,
        columns.text(
            "encoder", "name of the encoder; raw_pixels: a control, output minus input itself"
        ),
        columns.ROLE,
        columns.text("other", "of a difference: the encoder that is taken off", nullable=True),
        columns.SEED,
        columns.text(
            "split",
            "query set, as in `identification`",
            *KNOWN_TASKS,
        ),
        columns.text(
            "scope",
            "what the row is about: one image, all images of a dataset, or all of a task",
            *("image", "dataset", "task"),
        ),
        columns.text("task", "the task"),
        columns.text("family", "its family"),
        columns.yes("task_trained", "whether the gallery holds the task"),
        columns.yes(
            "asked_for",
            "whether the encoder was trained to move farther with severity, on other images",
        ),
        columns.text("dataset", "the dataset; null for a task", nullable=True),
        columns.text("image_id", "the image; null for more than one", nullable=True),
        columns.count("draw", "number of its trajectory; null for more than one", nullable=True),
        columns.text(
            "measure",
            "spearman: of severity and displacement, level 0 left out; path_over_chord: length of "
            "the path over the distance of its ends, 1 is straight (angles on the unit sphere; "
            "raw_pixels: mean absolute grey levels); turning_angle: mean angle between successive "
            "steps, degrees; displacement: from the level-0 embedding (1 - cosine; raw_pixels: "
            "grey levels). Over images: the median, with _p10 or _p90 that percentile. "
            "spearman_difference, path_over_chord_difference: differences of two encoders' "
            "medians over the same images",
            *("spearman", "spearman_p10", "path_over_chord", "path_over_chord_p90"),
            *("spearman_difference", "path_over_chord_difference"),
            *("turning_angle", "turning_angle_p90"),
            *("displacement", "displacement_p10", "displacement_p90"),
        ),
        columns.count("level", "of a displacement: step of the trajectory", nullable=True),
        columns.number("severity", "of a displacement: its severity", 0, 1),
        *columns.MEASURED,
    ),
)  # fmt: skip
DRAWS = 1000
BOUNDS = {"spearman": (-1.0, 1.0), "path_over_chord": (1.0, np.inf), "turning_angle": (0.0, 180.0)}
Rows = Iterator[dict[str, Any]]


def trajectories(
    main_paths: Iterable[str | Path],
    trajectory_paths: Iterable[str | Path],
    pair_paths: Iterable[str | Path],
    image_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
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
    sets = load_sets(main_paths, trajectory_paths, run=run)
    found, tracks = encoder_tracks(sets)
    tracks.append(pixel_tracks(pair_paths, image_paths, found))
    tracks.sort(key=_rank)
    frames = [frame for one in tracks for frame in _image_frames(found, one)]
    rows: list[dict[str, Any]] = []
    for split in KNOWN_TASKS:
        if (found.frame["query_set"] == split).any():
            setting = SplitTrajectories(found, split, seed, n_draws)
            for one in tracks:
                rows += _summary_rows(setting, one)
                rows += _curve_rows(setting, one)
            for one, other in combinations(tracks, 2):
                for measure in DIFFERENCES:
                    rows += _difference_rows(setting, one, other, measure)
    names = [column.name for column in SPEC.columns if column.name != "asked_for"]
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
        for name in names
    }
    table = pd.DataFrame(whole).assign(run=run)
    table["asked_for"] = table["encoder"].isin(asked_of)
    write_table("trajectories", table, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rank(tracks: Tracks) -> tuple[int, str]:
    """Trained encoders, then baselines, then the control: a difference takes off the latter."""
    return (2 if tracks.name == RAW_PIXELS else int(tracks.role == "baseline"), tracks.name)


def _summary_rows(setting: SplitTrajectories, tracks: Tracks) -> Rows:
    """Median and bad tail over the images of each dataset and of each task."""
    S, weights = len(tracks.seeds), setting.seed_weights(tracks)
    for measure, (suffix, _) in TAIL.items():
        valid = setting.valid(tracks, measure)
        for scope in ("task", "dataset"):
            summary = setting.summary(tracks, measure, scope, valid)
            n = setting.counts(scope, valid)
            notes = setting.left_out(scope, valid, REASONS[measure])
            over = np.einsum("bs,bscq->bcq", weights, summary.draws)
            for c, names in enumerate(setting.names[scope]):
                for q in range(summary.estimate.shape[2]):
                    row = {"encoder": tracks.name, "role": tracks.role, **names, **n[c]}
                    row["measure"] = measure + ("", suffix)[q]
                    each = summary.estimate[:, c, q]
                    yield row | _numbers(
                        each, over[:, c, q], n[c], S, notes[c], bounds=BOUNDS[measure]
                    )
                    if S == 1 or scope != "task":
                        continue
                    for s, seed in enumerate(tracks.seeds):
                        one, draws = each[[s]], summary.draws[:, s, c, q]
                        yield (
                            row
                            | {"seed": seed}
                            | _numbers(one, draws, n[c], 1, notes[c], bounds=BOUNDS[measure])
                        )


def _numbers(
    each: np.ndarray,
    draws: np.ndarray,
    n: dict[str, int],
    n_seeds: int,
    note: str | None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> dict[str, Any]:
    """Estimate over seeds and its interval."""
    if not np.isfinite(each).all():
        return {"note": note}
    interval = bootstrap_interval(
        draws,
        float(each.mean()),
        n,
        n_seeds=n_seeds,
        low=bounds[0],
        high=bounds[1],
    )
    return (
        over_seeds(each)
        | vars(interval)
        | {"note": "; ".join(filter(None, [note, interval.note])) or None}
    )


def _curve_rows(setting: SplitTrajectories, tracks: Tracks) -> Rows:
    """Displacement at every level: median and 10th and 90th percentile over a task's images."""
    code = setting.codes["task"]
    moved = tracks.displacement[:, setting.at]
    none = {"note": "no interval: _p10 and _p90 are the spread over images"}
    for level in range(moved.shape[2]):
        valid = np.isfinite(moved[:, :, level]).all(axis=0)
        n = setting.counts("task", valid)
        for c, names in enumerate(setting.names["task"]):
            own = valid & (code == c)
            if not own.any():
                continue
            row = {"encoder": tracks.name, "role": tracks.role, **names, **n[c], "level": level}
            row["severity"] = float(np.median(setting.severity[own, level]))
            each = np.quantile(moved[:, own, level], (0.5, 0.1, 0.9), axis=1)
            for suffix, values in zip(("", "_p10", "_p90"), each, strict=True):
                row["measure"] = f"displacement{suffix}"
                yield row | none | over_seeds(values)


def _difference_rows(setting: SplitTrajectories, one: Tracks, other: Tracks, measure: str) -> Rows:
    """Difference of the medians of a measure of two encoders, over the images both have."""
    valid = setting.valid(one, measure) & setting.valid(other, measure)
    both = [setting.compared(tracks, measure, valid) for tracks in (one, other)]
    draws = [
        np.einsum("bs,bsc->bc", setting.seed_weights(tracks), summary.draws[..., 0])
        for tracks, summary in zip((one, other), both, strict=True)
    ]
    n = setting.counts("task", valid)
    notes = setting.left_out("task", valid, REASONS[measure])
    for c, names in enumerate(setting.names["task"]):
        each = [summary.estimate[:, c, 0] for summary in both]
        variances = [values.var(ddof=1) for values in each if len(values) > 1]
        difference = np.array([each[0].mean() - each[1].mean()])
        drawn = draws[0][:, c] - draws[1][:, c]
        row = names | n[c] | _numbers(difference, drawn, n[c], max(map(len, each)), notes[c])
        row |= {"encoder": one.name, "role": one.role, "other": other.name}
        if variances and "estimate" in row:
            row["seed_sd"] = float(np.sqrt(sum(variances)))
        yield row | {"measure": f"{measure}_difference"}


def _image_frames(found: Trajectories, tracks: Tracks) -> Iterator[pd.DataFrame]:
    """Rows of single images, over seeds and a seed."""
    frame = found.frame
    base = frame[["task", "family", "dataset", "image_id", "draw"]].assign(
        encoder=tracks.name, role=tracks.role, split=frame["query_set"],
        task_trained=frame["known"], scope="image", n_pairs=frame["n_levels"], n_images=1,
        n_groups=1, n_subjects=1, n_datasets=1,
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
