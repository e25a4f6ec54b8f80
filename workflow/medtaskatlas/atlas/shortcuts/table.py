"""The table `shortcuts`: whether a network could tell the tasks by debris instead of meaning.

Probes learn to name tasks from restricted views of training pairs and are asked on held-out pairs.
What counts is the probability that a probe gives to the true task: where a view cannot tell k tasks
apart, each gets 1/k, while the single best guess would name one of them, no matter which.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.resampling import DRAWS
from medtaskatlas.atlas.roles import GALLERY, roles
from medtaskatlas.atlas.shortcuts.meaning import UNSTATED, Told, explained, meaning
from medtaskatlas.atlas.shortcuts.probe import probe
from medtaskatlas.atlas.shortcuts.sample import CONTROL_PAIRS, choose, everything, views
from medtaskatlas.atlas.shortcuts.scores import Scores, score
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import PairBank

# How far the lower end of the interval must lie above what chance and meaning explain.
MARGIN = 0.1
SPLITS = ("groups", "datasets")
CONTROLS = {
    "all": "for comparison: both sides whole, features of the `pixels` baseline",
    "shuffled": "control: the same with labels permuted in training, must be at chance",
}
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
    whole = bank.table().drop_columns(["params"]).to_pandas()
    role = roles(whole, heldout_datasets, heldout_tasks)
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
        rows += _rows(name, p, known, frame, role, seed=seed, n_draws=n_draws)
    del features
    baseline = everything(bank, chosen[small])
    less = frame.iloc[small].reset_index(drop=True)
    for name in CONTROLS:
        p = _ask(name, baseline, code[small], role[small], seed)
        rows += _rows(name, p, known, less, role[small], seed=seed, n_draws=n_draws)
    meta = {"run": run, "seed": seed, "n_draws": n_draws, "margin": MARGIN}
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


def _rows(
    name: str,
    p: np.ndarray,
    known: list[str],
    frame: pd.DataFrame,
    role: np.ndarray,
    *,
    seed: int,
    n_draws: int,
) -> Iterator[Row]:
    """Rows of one view: in each query set all tasks together, then each."""
    for split in SPLITS:
        asked = role == split
        if not asked.any():
            continue
        here = frame.loc[asked].reset_index(drop=True)
        scores = score(here, p[asked], known, split=split, seed=seed, n_draws=n_draws)
        yield {"view": name, "split": split, **_overall(name, scores, here)}
        for t in range(len(scores.tasks)):
            yield {"view": name, "split": split, **_task(name, scores, t, known, here)}


def _numbers(scores: Scores, at: int, frame: pd.DataFrame, mask: np.ndarray | None) -> Row:
    """Estimate, interval and counts at one place of the scores."""
    n = counts(frame, mask)
    interval = percentile_interval(
        scores.draws[n["n_datasets"] == 1][:, at],
        n_groups=n["n_groups"],
        n_datasets=n["n_datasets"],
        n_seeds=1,
    )
    return {
        "estimate": float(scores.estimate[at]),
        **vars(interval),
        "chance": float(scores.chance[at]),
        "named_right": float(scores.named_right[at]),
        **n,
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
