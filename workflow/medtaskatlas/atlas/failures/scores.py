"""How near failures and held-out right pairs lie to the right pairs that an encoder knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import EmbeddingSet, Wanted
from medtaskatlas.atlas.knn import at_once, vote_of_nearest
from medtaskatlas.atlas.resampling import Draws
from medtaskatlas.atlas.vectors import l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.pairs.roles import GALLERY, KNOWN_TASKS

K = 20
# Right pairs of a task and query set: enough for an AUC, and a tenth of the time of all of them.
RIGHT_PAIRS = 100
_COLUMNS = ["pair_id", "dataset", "image_id", "subject_id", "group_id", "family"]


@dataclass(frozen=True)
class Scored:
    """Failures and right pairs as one encoder sees them."""

    name: str
    role: str
    seeds: list[int]  # sorted
    # float32 [S, N], mean cosine of the nearest right gallery pairs of the task; NaN where the
    # gallery has none
    similarity: np.ndarray
    named: np.ndarray  # int [S, N], task that kNN over all tasks names


def gallery_and_right(seed: int) -> Wanted:
    """Main pairs that failures are judged by: the gallery by its tasks, then right pairs."""

    def wanted(frame: pd.DataFrame) -> np.ndarray:
        gallery = np.flatnonzero(frame["role"] == GALLERY)
        by_task = np.argsort(frame["task"].to_numpy(dtype=str)[gallery], kind="stable")
        return np.concatenate([gallery[by_task], right_pairs(frame, seed)])

    return wanted


def right_pairs(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Held-out right pairs to compare with, at most 100 a task and query set, over all datasets."""
    asked = np.flatnonzero(frame["role"].isin(KNOWN_TASKS))
    order = generator(seed, "right pairs").permutation(asked)
    rows = frame.iloc[order][["role", "task", "dataset"]].assign(at=order)
    rows["turn"] = rows.groupby(["role", "task", "dataset"]).cumcount()
    rows = rows.sort_values("turn", kind="stable")
    rank = rows.groupby(["role", "task"]).cumcount()
    return np.sort(rows["at"].to_numpy()[rank.to_numpy() < RIGHT_PAIRS])


def score(sets: Iterable[EmbeddingSet]) -> tuple[pd.DataFrame, list[Scored], list[str]]:
    """Failures of all encoders and seeds, scored with one file in memory at a time.

    The frame has one row a failure or right pair: `dataset`, `image_id`, `subject_id`,
    `group_id`, `family`, `query_set`, `known`, `of` (the task) and `failure_kind` (None: right).
    With it come the encoders by name, and the names of the tasks that `named` counts from 0.
    """
    frame: pd.DataFrame | None = None
    tasks: list[str] = []
    found: dict[str, list[tuple[int, str, np.ndarray, np.ndarray]]] = {}
    for one in sets:
        near, size = one.near.frame, int((one.near.frame["role"] == GALLERY).sum())
        if frame is None:
            if not size or one.frame.empty:
                what = "no failure is held out" if size else "no right pair was trained on"
                raise DataError(
                    f"{what}: failures cannot be judged",
                    "give more datasets, other `splits`, or failures_per_cell above 0",
                )
            right = near.iloc[size:]
            right = right[_COLUMNS].assign(
                query_set=right["role"], known=True, of=right["task"], failure_kind=None
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
        seeds, role, *values = zip(*sorted(each, key=lambda e: e[0]), strict=True)
        scored.append(Scored(name, role[0], list(seeds), *map(np.stack, values)))
    return frame, scored, tasks


def judge(
    queries: np.ndarray, of: np.ndarray, gallery: np.ndarray, task: np.ndarray, k: int = K
) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of queries to the right pairs of their task, and the task that kNN names.

    Queries [N, D] and gallery [M, D] have length 1; `of` [N] is the task that each is compared with
    (-1: none), `task` [M] that of each gallery pair; the gallery is copied where it is not sorted.
    The similarity is the mean cosine of the k nearest gallery pairs of the task, NaN for -1; the
    name is the majority among the k nearest of all.
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


def auc_draws(
    right: np.ndarray,
    right_group: np.ndarray,
    wrong: np.ndarray,
    wrong_group: np.ndarray,
    draws: Draws,
) -> np.ndarray:
    """Area under the ROC curve of two sets of scores on every draw of groups, [B].

    :math:`P(r > w) + P(r = w) / 2` for a right and a wrong pair, which is the statistic of Mann and
    Whitney over its maximum (Hanley and McNeil, 1982). A group that is drawn twice counts twice on
    both sides. NaN where a draw has no pair of either side.
    """
    wins = (right[None] > wrong[:, None]) + 0.5 * (right[None] == wrong[:, None])
    one, one_of = np.unique(wrong_group, return_inverse=True)
    two, two_of = np.unique(right_group, return_inverse=True)
    # Pairs to groups: draws are of groups.
    into_one = np.eye(len(one))[one_of].T
    into_two = np.eye(len(two))[two_of]
    table = into_one @ wins @ into_two
    weight_one, weight_two = draws.subject[:, one], draws.subject[:, two]
    top = ((weight_one @ table) * weight_two).sum(axis=1)
    bottom = (weight_one @ into_one.sum(axis=1)) * (weight_two @ into_two.sum(axis=0))
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def rate_draws(hit: np.ndarray, group: np.ndarray, draws: Draws) -> np.ndarray:
    """Share [B] of pairs with a property on every draw of subjects; NaN where one has none."""
    n = draws.subject.shape[1]
    bottom = draws.subject @ np.bincount(group, minlength=n)
    top = draws.subject @ np.bincount(group, hit, minlength=n)
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
