"""The table `unseen_tasks`: where tasks fall that were held out of training, each of them once.

The folds are trainings of their own (:mod:`medtaskatlas.run.studies`). Baselines never trained on
any task, so for them the tasks of a fold are only taken out of the gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.distances import encoder_matrix
from medtaskatlas.atlas.inference import adjust, bootstrap_p, interval_columns
from medtaskatlas.atlas.resampling import (
    DRAWS,
    Design,
    average_cells,
    balanced_mean,
    cell_means,
    draw,
    no_draws,
)
from medtaskatlas.atlas.tables import read_table, write_table
from medtaskatlas.atlas.unseen_neighbours import (
    Placed,
    folds_of,
    place,
    placed_right,
    placement_test,
)
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.pairs.roles import KNOWN_TASKS

ONE_SEED = np.ones((1, 1))

SPEC = columns.TableSpec(
    "Every task held out of training once: do its pairs fall among tasks of its own family?",
    ("run", "encoder", "split", "measure", "level", "name", "other"),
    (
        columns.RUN,
        columns.ENCODER,
        columns.KIND,
        columns.ROLE,
        columns.SEED,
        columns.SPLIT,
        columns.text(
            "measure",
            "family_accuracy: share of pairs whose 20 nearest training pairs, none of their own "
            "task, name their family, every (dataset, task) cell counting alike; tasks_placed: "
            "number of tasks most of whose neighbours are of their family",
            "family_accuracy",
            "tasks_placed",
        ),
        columns.text(
            "level",
            "what the row is about; difference: encoder minus `other` on the same pairs",
            "overall",
            "family",
            "task",
            "difference",
        ),
        columns.text("name", "name of the family or task; `all` for overall and difference"),
        columns.text("other", "encoder that it is compared with", nullable=True),
        columns.text("family", "family of the task", nullable=True),
        columns.text("placed_family", "family of most of its neighbours", nullable=True),
        columns.yes("placed_right", "whether that is its own", nullable=True),
        columns.text("nearest_task", "task of most of its neighbours", nullable=True),
        columns.number("nearest_share", "share of the neighbours that are of that task", 0, 1),
        columns.text("kin", "the task nearest to it once it has been trained on", nullable=True),
        columns.count(
            "kin_rank", "place of the kin among the neighbours' tasks, from 1", nullable=True
        ),
        columns.number("reference", "mean of the estimate if families were dealt out at random"),
        columns.count("n_tasks", "tasks that the number rests on"),
        *columns.TESTED,
    ),
)


def unseen_tasks(
    fold_paths: Iterable[str | Path],
    baseline_paths: Iterable[str | Path],
    task_distances_path: str | Path,
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
    n_permutations: int = 9999,
) -> None:
    """Write the table `unseen_tasks`.

    Parameters
    ----------
    fold_paths
        Embeddings of the folds of each encoder.
    baseline_paths
        Embeddings of baselines on the same pairs, one seed each.
    task_distances_path
        The table `task_distances`, from which the kin of a task is taken.
    out
        results/<run>/tables/unseen_tasks.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws.
    n_permutations
        Permutations of the families over the tasks.

    Raises
    ------
    DataError
        If a file is damaged, of another run, or of other pairs than the rest.
    """
    folds = folds_of(fold_paths)
    first = next(iter(folds.values()), [])
    hidden = [fold.hidden for fold in first]
    placed = {name: place(its, run) for name, its in sorted(folds.items())}
    for path in map(Path, baseline_paths):
        one = place([replace(fold, path=path) for fold in first], run)
        placed[one.name] = one
    _check_same(placed)
    distances = read_table(task_distances_path, "task_distances", run=run)
    rows: list[dict[str, Any]] = []
    for split in KNOWN_TASKS:
        chosen = {n: p.only(p.frame["where"].to_numpy() == split) for n, p in placed.items()}
        if not chosen or not len(next(iter(chosen.values())).frame):
            continue
        common = {"run": run, "split": split}
        rng = (seed, "unseen_tasks", split)
        for name, one in chosen.items():
            kin = encoder_matrix(distances, name, split)
            made = _rows(one, kin, rng, n_draws, n_permutations)
            who = {"encoder": name, "kind": one.kind, "role": one.role}
            rows += [common | who | row for row in made]
        rows += [common | row for row in _differences(chosen, rng, n_draws)]
    frame = pd.DataFrame(rows)
    meta = {"run": run, "seed": seed, "folds": [list(tasks) for tasks in hidden]}
    # One task alone is not tested.
    write_table("unseen_tasks", adjust(frame) if "p" in frame else frame, out, meta)


def _check_same(placed: dict[str, Placed]) -> None:
    """Refuse encoders that were asked other pairs."""
    frames = [(name, one.frame["pair_id"]) for name, one in placed.items()]
    for name, pairs in frames[1:]:
        if not pairs.equals(frames[0][1]):
            raise DataError(
                f"unseen tasks: {name} and {frames[0][0]} were asked other pairs",
                "delete the run's studies/unseen_tasks and start the run again",
            )


def _drawn(one: Placed, rng: tuple[Any, ...], n_draws: int) -> tuple[Design, Any]:
    """Design and draws, the same for all encoders of a split."""
    design = Design.of(one.frame)
    fixed = len(design.datasets) == 1
    return design, draw(design, generator(*rng, "bootstrap"), n_draws, fixed_datasets=fixed)


def _right(one: Placed) -> np.ndarray:
    """[1, N] whether the neighbours name the family."""
    return (one.named == one.frame["family"].to_numpy(dtype=object)).astype(float)[None]


def _rows(
    one: Placed, kin: pd.DataFrame, rng: tuple[Any, ...], n_draws: int, n_permutations: int
) -> Iterator[dict[str, Any]]:
    """Rows of one encoder: overall, of each family, of each task, and the test."""
    design, draws = _drawn(one, rng, n_draws)
    family_of = dict(zip(one.tasks, one.family, strict=True))
    asked = np.array([family_of[task] for task in design.tasks], dtype=object)
    levels = [("overall", "all", np.ones(len(asked), bool))]
    levels += [("family", name, asked == name) for name in sorted(set(asked))]
    levels += [("task", task, np.array(design.tasks) == task) for task in design.tasks]
    masks = np.stack([np.tile(mask, (len(design.datasets), 1)) for _, _, mask in levels])
    as_is = no_draws(design)
    right = _right(one)
    estimates = average_cells(cell_means(design, right, as_is, ONE_SEED), as_is.dataset, masks)[0]
    cells = cell_means(design, right, draws, np.ones((n_draws, 1)))
    boot = average_cells(cells, draws.dataset, masks)
    votes = one.votes()
    for at, (level, name, mask) in enumerate(levels):
        row = {
            "measure": "family_accuracy",
            "level": level,
            "name": name,
            "estimate": float(estimates[at]),
            "n_tasks": int(mask.sum()),
            **interval_columns(
                boot[:, at],
                float(estimates[at]),
                counts(one.frame, mask[design.task]),
                1,
                low=0.0,
                high=1.0,
            ),
        }
        yield row | (_place_of(one, votes, name, kin) if level == "task" else {})
    yield _test(one, votes, generator(*rng, "permutations"), n_permutations)


def _place_of(one: Placed, votes: np.ndarray, task: str, kin: pd.DataFrame) -> dict[str, Any]:
    """Family and task of most neighbours of a task, and the rank of its kin among them."""
    at = one.tasks.index(task)
    share = pd.Series(votes[at], index=one.tasks)
    by_family = share.groupby(one.family).sum()
    found: dict[str, Any] = {
        "family": one.family[at],
        "placed_family": by_family.idxmax(),
        "placed_right": bool(by_family.idxmax() == one.family[at]),
        "nearest_task": share.idxmax(),
        "nearest_share": float(share.max()),
    }
    known = kin.loc[task].drop(task).dropna() if task in kin.index else pd.Series(dtype=float)
    if len(known):
        nearest = str(known.idxmin())
        found["kin"] = nearest
        found["kin_rank"] = int((share > share[nearest]).sum()) + 1 if share[nearest] else None
    return found


def _test(
    one: Placed, votes: np.ndarray, rng: np.random.Generator, n_permutations: int
) -> dict[str, Any]:
    """How many tasks fall to their own family, and whether chance would do it."""
    asked = np.isfinite(votes).all(axis=1)
    # A task that is on held-out datasets only is neither asked nor answered within the others.
    there = asked | (np.nansum(votes, axis=0) > 0)
    asked, votes = asked[there], votes[np.ix_(there, there)]
    row: dict[str, Any] = {
        "measure": "tasks_placed",
        "level": "overall",
        "name": "all",
        "n_tasks": int(asked.sum()),
        "note": "no interval: tasks are a fixed set; see p",
        **counts(one.frame),
    }
    _, family = np.unique(one.family[there].astype(str), return_inverse=True)
    if not asked.all():
        # A task that no held-out pair has: those that are asked are counted, without a test.
        own = placed_right(votes, family)[asked].sum()
        note = "no test: some tasks have no held-out pair; no interval: tasks are a fixed set"
        return row | {"estimate": float(own), "note": note}
    right, chance, p = placement_test(votes, family, rng, n_permutations)
    return row | {"estimate": float(right), "reference": chance, "p": p, "p_family": "unseen tasks"}


def _differences(
    chosen: dict[str, Placed], rng: tuple[Any, ...], n_draws: int
) -> Iterator[dict[str, Any]]:
    """Encoder minus encoder, on the same draws."""
    names = sorted(chosen, key=lambda name: (chosen[name].role == "baseline", name))
    for name, other in combinations(names, 2):
        one, two = chosen[name], chosen[other]
        design, draws = _drawn(one, rng, n_draws)
        values = _right(one) - _right(two)
        estimate = float(balanced_mean(design, values, no_draws(design), ONE_SEED)[0])
        boot = balanced_mean(design, values, draws, np.ones((n_draws, 1)))
        n = counts(one.frame)
        found = interval_columns(boot, estimate, n, 1)
        tested = found["ci_method"] is not None
        yield {
            "encoder": name,
            "kind": one.kind,
            "role": one.role,
            "measure": "family_accuracy",
            "level": "difference",
            "name": "all",
            "other": other,
            "estimate": estimate,
            "n_tasks": len(design.tasks),
            "p": bootstrap_p(boot, estimate, n) if tested else None,
            "p_family": "unseen tasks, differences" if tested else None,
            **found,
        }
