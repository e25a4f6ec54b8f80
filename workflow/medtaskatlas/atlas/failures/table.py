"""The table `failures`: whether wrong ways of doing a task lie far from the right ways."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medtaskatlas.atlas.embeddings import SPLITS, load_sets
from medtaskatlas.atlas.failures.auc import auc_draws, rate_draws
from medtaskatlas.atlas.failures.cells import ALL, FailureCells
from medtaskatlas.atlas.failures.scores import Scored, gallery_and_right, score
from medtaskatlas.atlas.inference import percentile_interval
from medtaskatlas.atlas.resampling import Draws
from medtaskatlas.atlas.tables import write_table

DRAWS = 1000
UNKNOWN = "undefined: the task is held out, so that no right pair of it is known"
NEVER = "undefined: no such failure is held out, or it would be a right way of this task"
NO_RIGHT = "undefined: no right pair of the task is held out"
Rows = Iterator[dict[str, Any]]


def failures(
    main_paths: Iterable[str | Path],
    failure_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
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
    heldout_datasets, heldout_tasks
        What was kept out of training.
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
    sets = load_sets(
        main_paths,
        failure_paths,
        heldout_datasets,
        heldout_tasks,
        run=run,
        near=gallery_and_right(seed),
    )
    frame, scored, tasks = score(sets)
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        here = (frame["query_set"] == split).to_numpy()
        if frame.loc[here, "failure_kind"].notna().any():
            setting = FailureCells(frame, here, tasks, split=split, seed=seed, n_draws=n_draws)
            for encoder in scored:
                common = {
                    "run": run,
                    "encoder": encoder.name,
                    "role": encoder.role,
                    "split": split,
                }
                rows += [common | row for row in _rows(setting, encoder)]
    write_table("failures", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


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
            note = _why_not(setting, task, rows, right)
            if note:
                yield row | {"measure": "separation_auc", "note": note}
                yield row | {"measure": "accepted_rate", "note": note}
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


def _why_not(setting: FailureCells, task: str, rows: np.ndarray, right: np.ndarray) -> str | None:
    """Reason why a task and kind cannot be measured."""
    if not setting.known[task]:
        return UNKNOWN
    if not len(rows):
        return NEVER
    return None if len(right) else NO_RIGHT


def _auc(
    setting: FailureCells, similarity: np.ndarray, rows: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each seed [S] and on every draw [B, S]."""

    def over(draws: Draws) -> np.ndarray:
        return np.stack(
            [
                auc_draws(one[right], setting.group[right], one[rows], setting.group[rows], draws)
                for one in similarity
            ],
            axis=1,
        )

    return over(setting.as_is)[0], over(setting.draws)


def _rate(
    setting: FailureCells, hit: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of failures that are accepted, of each seed [S] and on every draw [B, S]."""
    group = setting.group[rows]
    draws = [rate_draws(one[rows].astype(float), group, setting.draws) for one in hit]
    return hit[:, rows].mean(axis=1), np.stack(draws, axis=1)


def _numbers(
    each: np.ndarray, boot: np.ndarray, weights: np.ndarray, n: dict[str, Any]
) -> dict[str, Any]:
    """Estimate over seeds, and its interval."""
    interval = percentile_interval(
        (boot * weights).sum(axis=1),
        n_groups=n["n_groups"],
        n_datasets=n["n_datasets"],
        n_seeds=len(each),
    )
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    return {"estimate": float(each.mean()), "seed_sd": spread, **vars(interval)}


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
        for measure in ("separation_auc", "accepted_rate"):
            note = "undefined: no task has such a failure that can be measured"
            yield row | setting.n(none, none) | {"measure": measure, "note": note}
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
        yield row | _goes_to(setting.tasks, others) | _numbers(each, boot, weights, row)
        for s, seed in enumerate(encoder.seeds if S > 1 else []):
            numbers = _numbers(each[[s]], boot[:, [s]], np.ones((1, 1)), row)
            yield row | _goes_to(setting.tasks, others[[s]]) | numbers | {"seed": seed}
