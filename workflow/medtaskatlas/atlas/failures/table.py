"""The table `failures`: whether wrong ways of doing a task lie far from the right ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import Counts, counts
from medtaskatlas.atlas.embeddings import load_sets
from medtaskatlas.atlas.failures.scores import (
    Scored,
    auc_draws,
    gallery_and_right,
    rate_draws,
    score,
)
from medtaskatlas.atlas.inference import (
    against_baselines,
    bootstrap_interval,
    difference_sd,
    over_seeds,
)
from medtaskatlas.atlas.resampling import Design, Draws, draw, draw_seeds, no_draws
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.seeds import generator
from medtaskatlas.pairs.roles import KNOWN_TASKS
from medtaskatlas.tasks.failure import FAILURES

ALL = "all"
MEASURES = ("separation_auc", "accepted_rate")
GAIN = "separation_auc_gain"
NOTHING = "undefined: no task has such a failure that can be measured"
DRAWS = 1000
UNKNOWN = "undefined: the task is held out, so that no right pair of it is known"
NEVER = "undefined: no such failure is held out, or it would be a right way of this task"
NO_RIGHT = "undefined: no right pair of the task is held out"
SPEC = columns.TableSpec(
    "Are wrong ways of doing a task far from the right ways?",
    ("run", "encoder", "other", "seed", "split", "task", "failure_kind", "measure"),
    (
        columns.RUN,
        columns.ENCODER,
        columns.ROLE,
        columns.text("other", "of a gain: the baseline that is taken off", nullable=True),
        columns.SEED,
        columns.text(
            "split",
            "query set, as in `identification`",
            *KNOWN_TASKS,
        ),
        columns.text("task", "task that goes wrong; `all`: mean over tasks, each counting alike"),
        columns.text("family", "its family; null for all tasks", nullable=True),
        columns.text("failure_kind", "how it goes wrong; `all`: all kinds together"),
        columns.text(
            "measure",
            "separation_auc: probability that a held-out right pair is nearer to the task's right "
            "pairs than a failure is (mean cosine of its 20 nearest in the gallery; 1: all "
            "failures are farther, 0.5: no farther). accepted_rate: share of failures that "
            "kNN over all tasks still names as the task; low is good. separation_auc_gain: "
            "separation_auc over all tasks minus that of a baseline",
            *(*MEASURES, GAIN),
        ),
        *columns.ESTIMATE,
        columns.number(
            "reference",
            "accepted_rate: that of held-out right pairs; separation_auc: 0.5, no separation",
            0,
            1,
        ),
        columns.text(
            "goes_to",
            "of accepted_rate: other task that failures are named most; null: none",
            nullable=True,
        ),
        columns.number("goes_to_rate", "share of failures named so", 0, 1),
        columns.count("n_right", "held-out right pairs that the failures are compared with"),
        *columns.N,
        columns.NOTE,
    ),
)
Rows = Iterator[dict[str, Any]]


def failures(
    main_paths: Iterable[str | Path],
    failure_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `failures`.

    Rows for every task and kind of failure over all seeds; over all tasks also a seed.

    Parameters
    ----------
    main_paths, failure_paths
        results/<run>/embeddings/<encoder>/seed<k>.parquet and seed<k>.failure.parquet of every
        encoder and seed, in the same order.
    out
        results/<run>/tables/failures.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Raises
    ------
    DataError
        If files are missing, damaged or do not fit together, embeddings are not finite or all the
        same, or there is no held-out failure.
    """
    near = gallery_and_right(seed)
    frame, scored, tasks = score(load_sets(main_paths, failure_paths, run=run, near=near))
    rows: list[dict[str, Any]] = []
    for split in KNOWN_TASKS:
        here = (frame["query_set"] == split).to_numpy()
        if frame.loc[here, "failure_kind"].notna().any():
            setting = FailureCells(frame, here, tasks, split=split, seed=seed, n_draws=n_draws)
            for encoder in scored:
                about = {"encoder": encoder.name, "role": encoder.role, "split": split}
                rows += [{"run": run} | about | row for row in _rows(setting, encoder)]
            rows += [{"run": run, "split": split} | row for row in _gain_rows(setting, scored)]
    write_table("failures", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


class FailureCells:
    """Failures and right pairs of one query set with their draws, the same for all encoders."""

    def __init__(
        self,
        frame: pd.DataFrame,
        here: np.ndarray,
        tasks: list[str],
        *,
        split: str,
        seed: int,
        n_draws: int,
    ) -> None:
        self.here, self.tasks = here, tasks
        self.frame = frame[here].reset_index(drop=True)
        design = Design.of(self.frame.rename(columns={"of": "task"}))
        self.subject = design.subject
        rng = generator(seed, "bootstrap", split)
        self.draws = draw(design, rng, n_draws, fixed_datasets=len(design.datasets) == 1)
        self.as_is = no_draws(design)
        self._key = (seed, split, n_draws)
        self._counted: dict[bytes, Counts] = {}
        # Of each kind of failure and encoder, over all tasks: estimates, draws and counts.
        self.separations: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, dict[str, Any]]] = {}
        kind = self.frame["failure_kind"].to_numpy(dtype=object)
        of = self.frame["of"].to_numpy(dtype=object)
        fails = np.array([k is not None for k in kind])
        self.names = sorted(set(of[fails]))
        # Kinds of a newer or older bank are shown too, after ours.
        made = set(kind[fails])
        self.kinds = [*FAILURES, *sorted(made - set(FAILURES)), ALL]
        self.wrong = {
            (task, k): np.flatnonzero(fails & (of == task) & ((kind == k) | (k == ALL)))
            for task in self.names
            for k in self.kinds
        }
        self.right = {task: np.flatnonzero(~fails & (of == task)) for task in self.names}
        self.family = dict(zip(of, self.frame["family"], strict=True))
        self.known = dict(zip(of[fails], self.frame["known"][fails], strict=True))

    def n(self, wrong: np.ndarray, right: np.ndarray) -> dict[str, Any]:
        """Counts of the failures at some positions, and `n_right`."""
        key = wrong.tobytes()
        if key not in self._counted:  # the same for every encoder
            mask = np.zeros(len(self.frame), bool)
            mask[wrong] = True
            self._counted[key] = counts(self.frame, mask)
        return {**self._counted[key], "n_right": len(right)}

    def seed_weights(self, encoder: Scored) -> np.ndarray:
        """Bootstrap weights [B, S] of an encoder's seeds."""
        seed, split, n_draws = self._key
        rng = generator(seed, "bootstrap seeds", split, encoder.name)
        return draw_seeds(rng, len(encoder.seeds), n_draws)


class _Part(NamedTuple):
    """A measure of one task: each seed [S], every draw [B, S], the reference, rows of failures."""

    each: np.ndarray
    boot: np.ndarray
    reference: float
    rows: np.ndarray


def _rows(setting: FailureCells, encoder: Scored) -> Rows:
    """Rows of one encoder: each task and kind, then all tasks together."""
    similarity = encoder.similarity[:, setting.here]
    named = encoder.named[:, setting.here]
    weights = setting.seed_weights(encoder)
    for kind in setting.kinds:
        whole: dict[str, list[_Part]] = {}
        went: list[np.ndarray] = []
        for task in setting.names:
            rows, right = setting.wrong[task, kind], setting.right[task]
            row: dict[str, Any] = {
                "task": task,
                "family": setting.family[task],
                "failure_kind": kind,
                **setting.n(rows, right),
            }
            reasons = {UNKNOWN: setting.known[task], NEVER: len(rows), NO_RIGHT: len(right)}
            note = next((reason for reason, met in reasons.items() if not met), None)
            if note:
                yield from (row | {"measure": measure, "note": note} for measure in MEASURES)
                continue
            hit = named == setting.tasks.index(task)
            made = {
                "separation_auc": (_auc(setting, similarity, rows, right), 0.5),
                "accepted_rate": (_rate(setting, hit, rows), float(hit[:, right].mean())),
            }
            others = np.where(hit[:, rows], -1, named[:, rows])
            for measure, ((each, boot), reference) in made.items():
                whole.setdefault(measure, []).append(_Part(each, boot, reference, rows))
                more = _goes_to(setting.tasks, others) if measure == "accepted_rate" else {}
                numbers = _numbers(each, boot, weights, row)
                yield row | more | numbers | {"measure": measure, "reference": reference}
            went.append(others)
        yield from _over_tasks(setting, encoder, kind, whole, went)


def _auc(
    setting: FailureCells, similarity: np.ndarray, rows: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each seed [S] and on every draw [B, S]."""

    def over(draws: Draws) -> np.ndarray:
        return np.stack(
            [
                auc_draws(
                    one[right], setting.subject[right], one[rows], setting.subject[rows], draws
                )
                for one in similarity
            ],
            axis=1,
        )

    return over(setting.as_is)[0], over(setting.draws)


def _rate(
    setting: FailureCells, hit: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of failures that are accepted, of each seed [S] and on every draw [B, S]."""
    subject = setting.subject[rows]
    draws = [rate_draws(one[rows].astype(float), subject, setting.draws) for one in hit]
    return hit[:, rows].mean(axis=1), np.stack(draws, axis=1)


def _numbers(
    each: np.ndarray, boot: np.ndarray, weights: np.ndarray, n: dict[str, Any]
) -> dict[str, Any]:
    """Estimate over seeds, and its interval."""
    interval = bootstrap_interval(
        (boot * weights).sum(axis=1),
        float(each.mean()),
        n,
        n_seeds=len(each),
        low=0.0,
        high=1.0,
    )
    return over_seeds(each) | vars(interval)


def _goes_to(tasks: list[str], others: np.ndarray) -> dict[str, Any]:
    """Task that failures are named most when they are not accepted (-1: accepted)."""
    votes = np.bincount(others[others >= 0], minlength=len(tasks))
    if not votes.any():
        return {}
    return {"goes_to": tasks[int(votes.argmax())], "goes_to_rate": votes.max() / others.size}


def _over_tasks(
    setting: FailureCells,
    encoder: Scored,
    kind: str,
    whole: dict[str, list[_Part]],
    went: list[np.ndarray],
) -> Rows:
    """Rows over all tasks, each task counting alike: over seeds and, with several, a seed."""
    row: dict[str, Any] = {"task": ALL, "failure_kind": kind}
    weights, S = setting.seed_weights(encoder), len(encoder.seeds)
    if not whole:
        none = np.empty(0, int)
        row |= setting.n(none, none) | {"note": NOTHING}
        yield from (row | {"measure": measure} for measure in MEASURES)
        return
    for measure, parts in whole.items():
        each = np.mean([part.each for part in parts], axis=0)
        draws = np.stack([part.boot for part in parts])
        there = np.isfinite(draws)
        total = np.where(there, draws, 0).sum(axis=0)
        boot = np.divide(
            total, there.sum(axis=0), out=np.full(total.shape, np.nan), where=there.any(axis=0)
        )
        rows = np.concatenate([part.rows for part in parts])
        tasks = set(setting.frame["of"].iloc[rows])
        right = np.concatenate([setting.right[task] for task in sorted(tasks)])
        row |= setting.n(rows, right) | {
            "measure": measure,
            "reference": float(np.mean([part.reference for part in parts])),
        }
        # Of a separation there is nowhere to go.
        others = (
            np.concatenate(went, axis=1) if measure == "accepted_rate" else np.empty((S, 0), int)
        )
        if measure == "separation_auc":
            drawn = (boot * weights).sum(axis=1)
            setting.separations[kind, encoder.name] = each, drawn, row.copy()
        yield row | _goes_to(setting.tasks, others) | _numbers(each, boot, weights, row)
        for s, seed in enumerate(encoder.seeds if S > 1 else []):
            numbers = _numbers(each[[s]], boot[:, [s]], np.ones((1, 1)), row)
            yield row | _goes_to(setting.tasks, others[[s]]) | numbers | {"seed": seed}


def _gain_rows(setting: FailureCells, scored: list[Scored]) -> Rows:
    """Separation over all tasks by every trained encoder minus that by every baseline."""
    for one, other in against_baselines(scored):
        for kind in setting.kinds:
            if (kind, one.name) not in setting.separations:
                continue
            each, draws, n = setting.separations[kind, one.name]
            other_each, other_draws, _ = setting.separations[kind, other.name]
            gain, n_seeds = float(each.mean() - other_each.mean()), max(len(each), len(other_each))
            made = bootstrap_interval(
                draws - other_draws, gain, n, n_seeds=n_seeds, low=-1.0, high=1.0
            )
            about = {"encoder": one.name, "role": one.role, "other": other.name, "measure": GAIN}
            numbers = {"estimate": gain, "seed_sd": difference_sd(each, other_each)}
            yield n | about | numbers | {"reference": None} | vars(made)
