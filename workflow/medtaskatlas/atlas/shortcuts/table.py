"""The table `shortcuts`: whether a network could tell the tasks by debris instead of meaning.

Probes learn to name tasks from restricted views of training pairs and are asked on held-out pairs.
What counts is the probability that a probe gives to the true task: where a view cannot tell k tasks
apart, each gets 1/k, while the single best guess would name one of them, no matter which.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import interval_columns
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    Draws,
    average_cells,
    cell_means,
    draw,
    no_draws,
)
from medtaskatlas.atlas.shortcuts.meaning import UNSTATED, Told, explained, meaning
from medtaskatlas.atlas.shortcuts.views import CONTROL_PAIRS, VIEWS, choose, everything, views
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.pairs.roles import GALLERY, KNOWN_TASKS

ROUNDS = 24
LEAVES = 8
FEATURES_A_SPLIT = 0.3
# How far the lower end of the interval must lie above what chance and meaning explain.
MARGIN = 0.1
CONTROLS = {
    "all": "for comparison: both sides whole, features of the `pixels` baseline",
    "shuffled": "control: the same with labels permuted in training, must be at chance",
}
# One training of the probe: a single seed of weight 1.
_ONE_SEED = np.ones((1, 1))
SPEC = columns.TableSpec(
    "Could a network tell the tasks by debris? How far probes get that see restricted views.",
    ("run", "view", "split", "level", "name"),
    (
        columns.RUN,
        columns.text(
            "view",
            "what the probe sees. border: a strip of 2 pixels along the border of both sides; "
            "histogram: grey levels and colours of both sides without position; input_only, "
            "output_only: one side; residue: what is finer than 3 pixels, of both sides; all: "
            "both sides whole (features of the `pixels` baseline); shuffled: the same with "
            "labels permuted in training",
            *VIEWS,
            *CONTROLS,
        ),
        columns.SPLIT,
        columns.text("level", "what the row is about", "overall", "task"),
        columns.text("name", "name of the task; `all` for overall"),
        columns.text("family", "family of the task", nullable=True),
        *columns.ESTIMATE,
        columns.number(
            "chance",
            "probability that the task would get if the probe's answers were dealt out at "
            "random among the pairs of its datasets",
            0,
            1,
        ),
        columns.number(
            "explained",
            "probability of the true task that its meaning explains: 1 if the view may name "
            "it, 1/k if it may narrow it down to k look-alikes; null: nothing beyond chance, "
            "or nothing stated",
            0,
            1,
        ),
        columns.number("named_right", "share whose true task got the largest probability", 0, 1),
        columns.text("rival", "other task that gets most probability on its pairs", nullable=True),
        columns.number("rival_rate", "mean probability of the rival", 0, 1),
        columns.yes(
            "expected",
            "whether the task's meaning explains that this view names it; null: not stated",
            nullable=True,
        ),
        columns.yes(
            "flagged",
            "whether ci_low is more than 0.1 above chance and above what is explained; null: "
            "not judged, or no interval",
            nullable=True,
        ),
        columns.text("reason", "why it is or is not expected"),
        *columns.N,
        columns.NOTE,
    ),
)
log = logging.getLogger(__name__)
Row = dict[str, Any]


def shortcuts(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `shortcuts`.

    Parameters
    ----------
    pair_paths
        All main pair files of the run.
    image_paths
        Images files of their datasets.
    out
        results/<run>/tables/shortcuts.parquet.
    run
        Name of the run.
    heldout_datasets, heldout_tasks
        What was kept out of training; held-out tasks are not audited.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Raises
    ------
    DataError
        If there is no training pair or no held-out pair.
    """
    bank = PairBank(pair_paths, image_paths)
    draws = {"seed": seed, "n_draws": n_draws}
    whole = bank.table().drop_columns(["params"]).to_pandas()
    role = bank.roles(heldout_datasets, heldout_tasks)  # no encoder, so no file that has them
    place = choose(whole, role, seed)
    chosen = np.flatnonzero(place >= 0)
    _check(role[chosen])
    frame, role = whole.iloc[chosen].reset_index(drop=True), role[chosen]
    small = np.flatnonzero(place[chosen] < CONTROL_PAIRS)
    names, code = np.unique(frame["task"].to_numpy(dtype=str), return_inverse=True)
    known = names.tolist()

    rows: list[Row] = []
    for name, features in views(bank, chosen).items():
        p = _ask(name, features, code, role, seed)
        rows += _rows(name, p, known, frame, role, **draws)
    del features
    baseline = everything(bank, chosen[small])
    less = frame.iloc[small].reset_index(drop=True)
    for name in CONTROLS:
        p = _ask(name, baseline, code[small], role[small], seed)
        rows += _rows(name, p, known, less, role[small], **draws)
    meta = {"run": run, "margin": MARGIN, **draws}
    table = write_table("shortcuts", [{"run": run, **row} for row in rows], out, meta)
    log.info("%s: %d shortcuts flagged", out, int(table["flagged"].fillna(False).sum()))


def _check(role: np.ndarray) -> None:
    """Stop where there is nothing to learn from or to ask."""
    known = role == GALLERY
    if known.all() or not known.any():
        what = "held-out" if known.any() else "training"
        raise DataError(
            f"the shortcut audit has no {what} pair",
            "give more datasets, or other `splits` or `heldout`",
        )


def _ask(
    name: str, features: np.ndarray, code: np.ndarray, role: np.ndarray, seed: int
) -> np.ndarray:
    """Probability of every task for the pairs that are asked; NaN for the gallery [N, T]."""
    known = role == GALLERY
    truth = code[known]
    if name == "shuffled":
        truth = generator(seed, "shortcuts", "shuffled").permutation(truth)
    numbers = int(generator(seed, "shortcuts", "probe", name).integers(2**31))
    p = np.full((len(code), code.max() + 1), np.nan)
    p[~known] = probe(features[known], truth, features[~known], numbers)
    return p


def probe(known: np.ndarray, truth: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """Probability [Q, T] of every task for asked pairs, as learned from known ones.

    Trees, since a relation of the two sides need not be linear; boosted with a small step and a
    penalty, since their probabilities are to be taken at their word: where two tasks look the same,
    each gets half. Trees look at the order of values only, so that nothing need be standardised.
    """
    if truth.max() == 0:
        return np.ones((len(asked), 1))
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=0.15,
        l2_regularization=1.0,
        max_leaf_nodes=LEAVES,
        max_features=FEATURES_A_SPLIT,
        max_bins=31,
        early_stopping=False,
        random_state=seed,
    )
    # Trees this small are grown faster by one thread than by two that wait for each other.
    with threadpool_limits(limits=1):
        return np.asarray(model.fit(known, truth).predict_proba(asked))


@dataclass(frozen=True)
class Scores:
    """Answers of a probe on held-out pairs; every (dataset, task) cell counts alike.

    The first place of each array is all tasks together, then follow the T tasks that were asked.
    """

    tasks: list[str]  # Names of the T tasks, sorted
    estimate: np.ndarray  # float [1 + T], mean probability given to the true task
    # Whether datasets stay fixed to float [n_draws, 1 + T], the same on bootstrap draws
    draws: dict[bool, np.ndarray]
    # float [1 + T], mean probability given to a task on the pairs of all tasks of its datasets:
    # what the answers would reach if they were dealt out at random there
    chance: np.ndarray
    # float [1 + T], share of pairs whose true task got the largest probability
    named_right: np.ndarray
    # float [T, K], mean probability given to each of the K tasks the probe knows
    rivals: np.ndarray
    there: np.ndarray  # bool [D, T], cells that have pairs
    design: Design  # Who belongs to what


def score(
    frame: pd.DataFrame, p: np.ndarray, known: list[str], *, split: str, seed: int, n_draws: int
) -> Scores:
    """Scores of answers [N, K] about K known tasks; all views of a split share their draws."""
    design = Design.of(frame)
    names = np.array(known, dtype=str)
    code = np.searchsorted(names, frame["task"].to_numpy(dtype=str))
    own = np.searchsorted(names, np.array(design.tasks, dtype=str))
    true = p[np.arange(len(p)), code]
    right = (p.argmax(axis=1) == code).astype(float)
    as_is = no_draws(design)
    # Mean probability of every known task in every cell [D, T, K].
    given = np.stack(
        [cell_means(design, p[None, :, k], as_is, _ONE_SEED)[0] for k in range(len(known))], axis=-1
    )
    there = np.isfinite(given[..., 0])
    masks = np.concatenate([there[None], np.eye(len(own), dtype=bool)[:, None, :] & there])
    # A task that a dataset lacks has nothing to be dealt there.
    dealt = np.where(there, np.nanmean(given, axis=1)[:, own], np.nan)
    rng = generator(seed, "bootstrap", split)
    return Scores(
        tasks=design.tasks,
        estimate=_means(design, true, as_is, masks)[0],
        draws={
            fixed: _means(design, true, draw(design, rng, n_draws, fixed_datasets=fixed), masks)
            for fixed in (False, True)
        },
        chance=np.concatenate([[np.nanmean(dealt)], np.nanmean(dealt, axis=0)]),
        named_right=_means(design, right, as_is, masks)[0],
        rivals=np.nanmean(given, axis=0),
        there=there,
        design=design,
    )


def _means(design: Design, values: np.ndarray, draws: Draws, masks: np.ndarray) -> np.ndarray:
    """Balanced means of a value a pair over sets of cells [draws, sets]."""
    seeds = np.broadcast_to(_ONE_SEED, (len(draws.subject), 1))
    return average_cells(cell_means(design, values[None], draws, seeds), draws.dataset, masks)


def _rows(
    name: str, p: np.ndarray, known: list[str], frame: pd.DataFrame, role: np.ndarray, **draws: int
) -> Iterator[Row]:
    """Rows of one view: in each query set all tasks together, then each."""
    for split in KNOWN_TASKS:
        asked = role == split
        if not asked.any():
            continue
        here = frame.loc[asked].reset_index(drop=True)
        scores = score(here, p[asked], known, split=split, **draws)
        row = {"view": name, "split": split}
        yield row | _overall(name, scores, here)
        for t in range(len(scores.tasks)):
            yield row | _task(name, scores, t, known, here)


def _numbers(scores: Scores, at: int, frame: pd.DataFrame, mask: np.ndarray | None) -> Row:
    """Estimate, interval and counts at one place of the scores."""
    n = counts(frame, mask)
    estimate = float(scores.estimate[at])
    draws = scores.draws[n["n_datasets"] == 1][:, at]
    return {
        "estimate": estimate,
        **interval_columns(draws, estimate, n, 1, low=0.0, high=1.0),
        "chance": float(scores.chance[at]),
        "named_right": float(scores.named_right[at]),
    }


def _overall(name: str, scores: Scores, frame: pd.DataFrame) -> Row:
    """All tasks together."""
    row = _numbers(scores, 0, frame, None)
    verdict = _beats(row, row["chance"]) if name == "shuffled" else None
    reason = CONTROLS.get(name, "all tasks together: see each")
    return {"level": "overall", "name": "all", "flagged": verdict, "reason": reason, **row}


def _task(name: str, scores: Scores, t: int, known: list[str], frame: pd.DataFrame) -> Row:
    """One task, and whether the view tells it by more than its meaning explains."""
    task = scores.tasks[t]
    meant = float(explained(name, scores.tasks, scores.there)[t])
    row = _numbers(scores, 1 + t, frame, scores.design.task == t)
    rivals = np.where(np.array(known) == task, -1.0, scores.rivals[t])
    found = meaning(name, task)
    if name in CONTROLS:
        expected, reason = None, CONTROLS[name]
    elif found is None:
        expected, reason = None, UNSTATED
    else:
        expected, reason = found.told is Told.ALONE, found.reason
    verdict: bool | None = None
    if name != "all":
        verdict = False if expected else _beats(row, float(np.fmax(row["chance"], meant)))
    return {
        "level": "task",
        "name": task,
        "family": frame["family"].iloc[int(np.argmax(scores.design.task == t))],
        **row,
        "explained": None if np.isnan(meant) else meant,
        "rival": known[int(rivals.argmax())] if len(known) > 1 else None,
        "rival_rate": float(rivals.max()) if len(known) > 1 else None,
        "expected": expected,
        "flagged": verdict,
        "reason": reason,
    }


def _beats(row: Row, reference: float) -> bool | None:
    """Whether the interval lies above a reference by the margin; None without an interval."""
    return None if row["ci_low"] is None else bool(row["ci_low"] > reference + MARGIN)
