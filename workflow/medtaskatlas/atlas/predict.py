"""Name the task of every query pair, by neighbours and by probes: the expensive part of the atlas.

One job an encoder and seed writes results/<run>/predictions/<encoder>/seed<k>.parquet, one row a
query and method; tables are then cheap sums over it.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from medtaskatlas.atlas.embeddings import load_embedding
from medtaskatlas.atlas.knn import K, average_precision_at_r, nearest, vote
from medtaskatlas.atlas.predictions import unconverged
from medtaskatlas.atlas.vectors import Scale, l2_normalize, row_blocks
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.embeddings import PAIR_COLUMNS
from medtaskatlas.formats.predictions import write_predictions
from medtaskatlas.pairs.roles import GALLERY, MISMATCHED, QUERY_SETS

log = logging.getLogger(__name__)
# Boosted trees cost gallery x features x classes x rounds; these bounds keep one fit near 15 s of
# some hundred features, and at two to three minutes of four thousand.
BOOSTED_ROWS = 6000
BOOSTED_ROUNDS = 40
BOOSTED_FEATURES = 0.3
PREDICTED_AT_ONCE = 2**22  # numbers
# Where no weight changes the mean loss faster than this, the fit has converged.
FLAT = 1e-7
NEWTON_STEPS = 200


def predict(
    embedding_path: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    k: int = K,
    probes: bool = True,
) -> None:
    """Predict the task of every query of one encoder and seed.

    Methods: ``knn`` (majority of the k nearest gallery pairs by cosine), ``knn_mismatched`` (the
    same of some of the inputs with another image's output: a control), ``linear`` (logistic
    regression on the gallery, fitted until it converges) and, for frozen baselines, ``boosted``
    (histogram gradient boosting).

    Parameters
    ----------
    embedding_path
        results/<run>/embeddings/<encoder>/seed<k>.parquet.
    out
        The file to make; see :func:`~medtaskatlas.formats.predictions.write_predictions`.
    seed
        The run's seed.
    k
        Number of neighbours.
    probes
        Whether to fit the probes too, which is what takes the time.

    Raises
    ------
    DataError
        If there is no gallery or no query.
    """
    embedding = load_embedding(embedding_path, wanted=_by_role)
    role = embedding.frame["role"]
    size, end = int((role == GALLERY).sum()), int((role != MISMATCHED).sum())
    gallery, queries = embedding.frame.iloc[:size], embedding.frame.iloc[size:end]
    if not len(gallery) or not len(queries):
        what = "no training pair" if not len(gallery) else "no held-out pair"
        raise DataError(
            f"{embedding_path} has {what} to compare with",
            "give more datasets, or other `splits` or `heldout`",
        )
    # Parts of one array: an embedding may be wide, and is not to be copied.
    known, asked = embedding.vectors[:size], embedding.vectors[size:end]
    tasks, truth = np.unique(gallery["task"].to_numpy(dtype=str), return_inverse=True)
    family_of = dict(zip(gallery["task"], gallery["family"], strict=True))
    task_family = np.array([family_of[task] for task in tasks], dtype=object)
    # Queries of tasks that the gallery does not hold have code -1: their task is never right.
    code = {task: i for i, task in enumerate(tasks)}
    wanted = np.array([code.get(task, -1) for task in embedding.frame["task"].iloc[size:]])
    base = queries[[*PAIR_COLUMNS, "role"]].reset_index(drop=True)
    base = base.rename(columns={"role": "query_set"})
    family = queries["family"].to_numpy(dtype=object)

    def rows(method: str, guess: np.ndarray) -> pd.DataFrame:
        named = task_family[guess]
        return base.assign(
            method=method,
            predicted=tasks[guess],
            predicted_family=named,
            correct=(guess == wanted[: len(queries)]).astype(np.float32),
            family_correct=(named == family).astype(np.float32),
            ap_at_r=np.float32("nan"),
        )

    near = _neighbours(embedding.vectors[size:], known, truth, wanted, k)
    guess = vote(truth[near.rows], near.similarity, len(tasks))
    parts = [rows("knn", guess[: len(queries)])]
    parts[0]["ap_at_r"] = near.ap_at_r[: len(queries)]
    if end < len(role):
        name = embedding.frame["pair_id"].iloc[end:].str.removesuffix(f"/{MISMATCHED}")
        at = pd.Index(queries["pair_id"]).get_indexer(name)
        other = np.full(len(queries), -1)
        other[at] = guess[len(queries) :]
        control = rows("knn_mismatched", other)
        control.loc[other < 0, ["predicted", "predicted_family"]] = None
        control.loc[other < 0, ["correct", "family_correct"]] = np.nan
        parts.append(control)
    slope: float | None = None
    if probes and len(tasks) > 1:
        boosted = None
        if embedding.facts["role"] == "baseline":
            boosted = _boosted(known, truth, asked, seed)
        # The last to see the vectors, which it overwrites.
        guess, slope = _linear(embedding.vectors[:end], truth)
        parts.append(rows("linear", guess))
        if caution := unconverged(slope):
            log.warning("%s: %s", out, caution)
        if boosted is not None:
            parts.append(rows("boosted", boosted))
    facts = {
        **embedding.facts,
        "k": min(k, len(truth)),
        "gallery_pairs": len(truth),
        "gallery_tasks": tasks.tolist(),
        "boosted_rows": min(BOOSTED_ROWS, len(truth)),
        "linear_slope": slope,
    }
    frame = pd.concat(parts, ignore_index=True)
    write_predictions(out, frame, facts)
    log.info("%s: %d rows of %s", out, len(frame), facts["encoder"])


def _by_role(frame: pd.DataFrame) -> np.ndarray:
    """Rows of the gallery, then of all queries, then of those that are mismatched."""
    parts = ([GALLERY], QUERY_SETS, [MISMATCHED])
    return np.concatenate([np.flatnonzero(frame["role"].isin(part)) for part in parts])


class _Near(NamedTuple):
    """Neighbours of all queries."""

    rows: np.ndarray  # [Q, k]
    similarity: np.ndarray  # [Q, k]
    ap_at_r: np.ndarray  # [Q]


def _neighbours(
    queries: np.ndarray, gallery: np.ndarray, truth: np.ndarray, wanted: np.ndarray, k: int
) -> _Near:
    """The k nearest gallery rows of each query, and the average precision at R on the way."""
    per_task = np.bincount(truth)
    R = np.where(wanted >= 0, per_task[wanted], 0)
    k = min(k, len(truth))
    rows = np.empty((len(queries), k), np.int32)
    similarity = np.empty((len(queries), k), np.float32)
    precision = np.empty(len(queries), np.float32)
    deep = max(k, int(per_task.max()))
    for part, ranked, cosine in nearest(queries, l2_normalize(gallery), deep):
        rows[part], similarity[part] = ranked[:, :k], cosine[:, :k]
        precision[part] = average_precision_at_r(truth[ranked], wanted[part], R[part])
    return _Near(rows, similarity, precision)


def _linear(vectors: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic regression on features of one scale (L2 penalty, C = 1), and its steepest slope.

    The first rows of the vectors are the gallery, as many as ``truth``, the others are asked. All
    are overwritten.
    """
    size = len(truth)
    Scale.of(vectors[:size]).apply(vectors, inplace=True)
    # Features of an embedding hang together: L-BFGS takes thousands of steps where Newton takes 20.
    model = LogisticRegression(solver="newton-cg", tol=FLAT, max_iter=NEWTON_STEPS)
    known = vectors[:size]
    # One thread: its many small products make threads wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # the slope tells
        model.fit(known, truth)
    return np.asarray(model.predict(vectors[size:])), _steepest(model, known, truth)


def _steepest(model: LogisticRegression, known: np.ndarray, truth: np.ndarray) -> float:
    """Largest derivative of the mean penalised loss by a weight; 0 at its minimum."""
    off = model.predict_proba(known)
    off[np.arange(len(truth)), truth] -= 1
    off = off[:, -len(model.coef_) :]  # two classes have the weights of the second
    slope = (off.T @ known + model.coef_) / len(truth)
    return float(max(np.abs(slope).max(), np.abs(off.mean(axis=0)).max()))


def _boosted(known: np.ndarray, truth: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """Histogram gradient boosting within the stated bounds."""
    rng = generator(seed, "boosted")
    rows = np.sort(rng.permutation(len(known))[:BOOSTED_ROWS])
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTED_ROUNDS,
        learning_rate=0.15,
        # Without it the leaves of nearly separable classes grow without bound: features that name
        # nine tasks in ten then named one in fifteen.
        l2_regularization=1.0,
        max_leaf_nodes=15,
        max_features=BOOSTED_FEATURES,
        max_bins=63,
        early_stopping=False,
        random_state=int(rng.integers(2**31)),
    )
    # One thread: beside another job the threads of OpenMP wait for each other, up to eight times.
    with threadpool_limits(1):
        model.fit(known[rows], truth[rows])
        # Some at a time: it makes 64-bit numbers of them.
        parts = row_blocks(asked, PREDICTED_AT_ONCE)
        return np.concatenate([model.predict(asked[part]) for part in parts])
