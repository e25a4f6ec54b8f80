"""How near failures and held-out right pairs lie to the right pairs that an encoder knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import SPLITS, EmbeddingSet, Wanted
from medtaskatlas.atlas.knn import at_once, vote_of_nearest
from medtaskatlas.atlas.roles import GALLERY
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

K = 20
# Right pairs of a task and query set: enough for an AUC, and a tenth of the time of all of them.
RIGHT_PAIRS = 100
_COLUMNS = ["pair_id", "dataset", "image_id", "group_id", "family"]


@dataclass(frozen=True)
class Scored:
    """What one encoder says of failures and right pairs.

    Attributes
    ----------
    name, role
        Name and role of the encoder; see :mod:`medtaskatlas.encoders.kind`.
    seeds
        Its seeds, sorted.
    similarity
        float32 [S, N], mean cosine of the nearest right gallery pairs of the task; NaN where the
        gallery has none.
    named
        int [S, N], task that kNN over all tasks names.
    """

    name: str
    role: str
    seeds: list[int]
    similarity: np.ndarray
    named: np.ndarray


def gallery_and_right(seed: int) -> Wanted:
    """Main pairs that failures are judged by: the gallery by its tasks, then right pairs.

    Parameters
    ----------
    seed
        The run's seed: it chooses the right pairs.

    Returns
    -------
    callable
        ``near`` of :func:`~medtaskatlas.atlas.embeddings.load_sets`.
    """

    def wanted(frame: pd.DataFrame, role: np.ndarray) -> np.ndarray:
        gallery = np.flatnonzero(role == GALLERY)
        by_task = np.argsort(frame["task"].to_numpy(dtype=str)[gallery], kind="stable")
        return np.concatenate([gallery[by_task], right_pairs(frame, role, seed)])

    return wanted


def score(sets: Iterable[EmbeddingSet]) -> tuple[pd.DataFrame, list[Scored], list[str]]:
    """Score the failures of all encoders and seeds, one file in memory at a time.

    Parameters
    ----------
    sets
        Failures of each encoder and seed, with the main pairs of :func:`gallery_and_right`; see
        :func:`~medtaskatlas.atlas.embeddings.load_sets`.

    Returns
    -------
    frame
        One row a failure or right pair: ``dataset``, ``image_id``, ``group_id``, ``family``,
        ``query_set``, ``known``, ``of`` (the task) and ``failure_kind`` (None: right).
    scored
        One an encoder, by name.
    tasks
        Names that ``named`` counts from 0.

    Raises
    ------
    DataError
        If there is no file, no failure outside training or no gallery.
    """
    frame: pd.DataFrame | None = None
    tasks: list[str] = []
    found: dict[str, list[tuple[int, str, np.ndarray, np.ndarray]]] = {}
    for one in sets:
        near, size = one.near.frame, int((one.near.role == GALLERY).sum())
        if frame is None:
            if not size or one.frame.empty:
                what = "no failure is held out" if size else "no right pair was trained on"
                raise DataError(
                    f"{what}: failures cannot be judged",
                    "give more datasets, other `splits`, or failures_per_cell above 0",
                )
            right = near.iloc[size:]
            right = right[_COLUMNS].assign(
                query_set=one.near.role[size:], known=True, of=right["task"], failure_kind=None
            )
            wrong = one.frame[[*_COLUMNS, "query_set", "known", "failure_kind"]].assign(
                of=one.frame["failure_of"]
            )
            frame = pd.concat([wrong, right], ignore_index=True)
            frame["failure_kind"] = frame["failure_kind"].astype(object)
            tasks = sorted(set(near["task"].iloc[:size]))
        for vectors in (one.vectors, one.near.vectors):
            l2_normalize(vectors, inplace=True)
        of, known = _code(frame["of"], tasks), _code(near["task"].iloc[:size], tasks)
        n, gallery = len(one.frame), one.near.vectors[:size]
        parts = [
            judge(one.vectors, of[:n], gallery, known),
            judge(one.near.vectors[size:], of[n:], gallery, known),
        ]
        similarity, named = (np.concatenate(both) for both in zip(*parts, strict=True))
        found.setdefault(one.name, []).append((one.seed, one.role, similarity, named))
        del one, vectors, gallery, near  # before the next file is read
    if frame is None:
        raise DataError("no embedding of failures was given", "start the run again to make them")
    scored = []
    for name, each in sorted(found.items()):
        each.sort(key=lambda made: made[0])
        scored.append(
            Scored(
                name,
                each[0][1],
                [made[0] for made in each],
                np.stack([made[2] for made in each]),
                np.stack([made[3] for made in each]),
            )
        )
    return frame, scored, tasks


def right_pairs(frame: pd.DataFrame, role: np.ndarray, seed: int) -> np.ndarray:
    """Held-out right pairs that failures are compared with, spread evenly over datasets.

    Parameters
    ----------
    frame
        Main pairs: columns ``task``, ``dataset``.
    role
        [N], their roles.
    seed
        The run's seed.

    Returns
    -------
    numpy.ndarray
        Sorted positions, at most :data:`RIGHT_PAIRS` a task and query set.
    """
    asked = np.flatnonzero(np.isin(role, SPLITS))
    order = generator(seed, "right pairs").permutation(asked)
    rows = frame.iloc[order][["task", "dataset"]].assign(query_set=role[order], at=order)
    rows["turn"] = rows.groupby(["query_set", "task", "dataset"]).cumcount()
    rows = rows.sort_values("turn", kind="stable")
    rank = rows.groupby(["query_set", "task"]).cumcount()
    return np.sort(rows["at"].to_numpy()[rank.to_numpy() < RIGHT_PAIRS])


def judge(
    queries: np.ndarray, of: np.ndarray, gallery: np.ndarray, task: np.ndarray, k: int = K
) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of queries to the right pairs of their task, and the task that kNN names.

    Parameters
    ----------
    queries
        float32 [N, D], of length 1.
    of
        int [N], the task that each is to be compared with; -1: none.
    gallery
        float32 [M, D], of length 1.
    task
        int [M], task of each gallery pair, from 0; the gallery is copied where it is not sorted.
    k
        Number of neighbours, or all that a task has.

    Returns
    -------
    similarity
        float32 [N], mean cosine of the k nearest gallery pairs of the task; NaN where ``of`` is -1.
    named
        int [N], majority among the k nearest of all.
    """
    if (np.diff(task) < 0).any():
        order = np.argsort(task, kind="stable")
        gallery, task = gallery[order], task[order]
    begin = np.searchsorted(task, np.arange(task.max() + 2))
    similarity = np.full(len(queries), np.nan, np.float32)
    named = np.empty(len(queries), int)
    step = at_once(len(gallery))
    for t in np.unique(of):
        own = np.flatnonzero(of == t)
        for start in range(0, len(own), step):
            part = own[start : start + step]
            cosine = queries[part] @ gallery.T
            named[part] = vote_of_nearest(cosine, task, len(begin) - 1, k)
            if t >= 0:
                near = cosine[:, begin[t] : begin[t + 1]]
                near = -np.partition(-near, min(k, near.shape[1]) - 1, axis=1)[:, :k]
                similarity[part] = near.mean(axis=1)
    return similarity, named


def _code(names: pd.Series, tasks: list[str]) -> np.ndarray:
    """Position of each name among the tasks; -1: not there."""
    return pd.Index(tasks).get_indexer(pd.Index(names))
