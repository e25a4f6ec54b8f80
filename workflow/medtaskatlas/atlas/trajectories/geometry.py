"""How an embedding moves along a trajectory: one image under growing severity.

An embedding counts by its direction only, as everywhere in the atlas, so a trajectory is a path on
the unit sphere. Its straight lines are great circles and its lengths are angles: then a path that
never turns has path / chord 1 and turning angle 0, however far it goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

MIN_LEVELS = 3
# Radians under which two embeddings are the same: rounding in float32 gives up to 1e-6.
STILL = 1e-5


@dataclass(frozen=True)
class Steps:
    """Geometry of n trajectories of L levels."""

    # float64 [n, L], distance from the level-0 embedding as tables show it
    displacement: np.ndarray
    distance: np.ndarray  # float64 [n, L], the same as a length that steps can be compared with
    step: np.ndarray  # float64 [n, L-1], length of each step
    # float64 [n, L-2], degrees between successive steps; NaN where one of them has no length
    turning: np.ndarray


def sphere_steps(vectors: np.ndarray) -> Steps:
    """Geometry of trajectories in an embedding, [n, L, D].

    The displacement is a cosine distance, 0 to 2; lengths are angles in radians. NaN wherever a
    vector is zero.
    """
    vectors = np.asarray(vectors, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        points = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    chord = np.linalg.norm(points - points[:, :1], axis=-1)
    step = _angle(np.linalg.norm(np.diff(points, axis=1), axis=-1))
    middle = points[:, 1:-1]
    came, goes = (_tangent(middle, to) for to in (points[:, :-2], points[:, 2:]))
    turning = _degrees(-came, goes, (step[:, :-1] > STILL) & (step[:, 1:] > STILL))
    return Steps(chord**2 / 2, _angle(chord), step, turning)


def flat_steps(points: np.ndarray) -> Steps:
    """Geometry of trajectories in pixels: output minus input, integer grey levels [n, L, P].

    Lengths are mean absolute differences, grey levels; turning angles are Euclidean.
    """
    n, L, _ = points.shape
    distance, step, turning = np.zeros((n, L)), np.zeros((n, L - 1)), np.full((n, L - 2), np.nan)
    for i, path in enumerate(points.astype(np.float32)):
        steps = np.diff(path, axis=0)
        distance[i] = np.abs(path - path[0]).mean(axis=1, dtype=np.float64)
        step[i] = np.abs(steps).mean(axis=1, dtype=np.float64)
        moves = step[i] > 0
        turning[i] = _degrees(steps[:-1], steps[1:], moves[:-1] & moves[1:])
    return Steps(distance, distance, step, turning)


def spearman(severity: np.ndarray, displacement: np.ndarray, still: float = 0.0) -> np.ndarray:
    """Spearman's correlation [n] of severity and displacement [n, L], level 0 left out.

    Level 0 has displacement 0 whatever the encoder: with it, noise would reach 0.25 at 11 levels.
    Displacements up to `still` count as 0; NaN where the displacement is constant.
    """
    moved = np.where(displacement[:, 1:] > still, displacement[:, 1:], 0)
    moved[~np.isfinite(displacement[:, 1:])] = np.nan
    a, b = (rankdata(x, axis=1, nan_policy="propagate") for x in (severity[:, 1:], moved))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 0, (a * b).sum(axis=1) / size, np.nan)


def path_over_chord(steps: Steps, still: float = 0.0) -> np.ndarray:
    """Length of the path over the distance of its ends, [n]: 1 is straight.

    NaN where it ends where it began, within `still`.
    """
    chord = steps.distance[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = steps.step.sum(axis=1) / chord
    # Rounding of parts may bring the sum under the whole.
    return np.where(chord > still, np.maximum(ratio, 1), np.nan)


def mean_turning(steps: Steps) -> np.ndarray:
    """Mean angle [n] between successive steps, degrees; NaN where no two have a length."""
    there = np.isfinite(steps.turning)
    total = np.where(there, steps.turning, 0).sum(axis=1)
    number = there.sum(axis=1)
    return np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)


def _angle(chord: np.ndarray) -> np.ndarray:
    """Angle of a chord of the unit sphere; unlike arccos it keeps small angles."""
    return 2 * np.arcsin(np.clip(chord / 2, 0, 1))


def _tangent(at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Direction of the great circle from one point of the sphere to another."""
    away = to - at
    return away - (away * at).sum(axis=-1, keepdims=True) * at


def _degrees(a: np.ndarray, b: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Angle between vectors; NaN where there is no movement."""
    size = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip((a * b).sum(axis=-1) / size, -1, 1)
        return np.where(moves & (size > 0), np.degrees(np.arccos(cosine)), np.nan)
