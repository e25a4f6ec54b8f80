"""The table `ums_rep`: the strategies of UMS-Rep against separate training, in score and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.atlas.columns import TableSpec, text
from medtaskatlas.atlas.inference import no_interval
from medtaskatlas.atlas.multitask import columns
from medtaskatlas.atlas.multitask.answers import Counts, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS
from medtaskatlas.atlas.multitask.cost import Costs, load_costs, of_seeds, seeds_of
from medtaskatlas.atlas.multitask.gains import Gains
from medtaskatlas.atlas.multitask.references import Systems
from medtaskatlas.atlas.multitask.values import measured
from medtaskatlas.atlas.tables import write_table

COSTS = ("cpu_seconds", "gpu_seconds", "steps", "parameters")
NO_SCRATCH = "no system of the kind ums_rep with the strategy `scratch`"
NO_INTERVAL = "no interval: a cost is what it was, not an estimate"

SPEC = TableSpec(
    "What do the strategies of UMS-Rep (one representation a modality, then fine-tuning) change "
    "in score and in cost, against training from scratch?",
    ("run", "problem", "system", "measure", "target"),
    (
        *columns.WHO,
        text("strategy", "what of the representation is trained further"),
        text("reference", "the system from scratch; null: there is none", nullable=True),
        columns.SPLIT,
        text(
            "measure",
            "relative_change: of the primary score of a target, positive where the strategy is "
            "better; delta_m: mean of all targets; <cost>_ratio: times that from scratch, of "
            "trained parameters, steps, CPU and GPU seconds; <cost>_ratio_with_pretraining: the "
            "same with the whole pre-training on the side of the strategy",
            *("relative_change", "delta_m"),
            *(f"{cost}_ratio" for cost in COSTS),
            *(f"{cost}_ratio_with_pretraining" for cost in COSTS if cost != "parameters"),
        ),
        columns.TARGET,
        *columns.MEASURED,
    ),
)


def ums_rep(
    prediction_paths: Iterable[str | Path],
    cost_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    systems: Systems,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `ums_rep`.

    Parameters
    ----------
    prediction_paths, cost_paths
        All multi-task predictions and costs of the run.
    out
        results/<run>/tables/ums_rep.parquet.
    run
        Name of the run.
    systems
        Options of every configured system, by name; those of ``ums_rep`` have a ``strategy``.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    costs = load_costs(cost_paths)
    strategies = {
        name: str(options["strategy"])
        for name, options in systems.items()
        if options["system"] == "ums_rep"
    }
    rows = [
        {"run": run, "split": "test", **row}
        for problem in load_problems(prediction_paths, run=run)
        for row in _rows(Gains(problem, systems, seed, n_draws), costs, strategies)
    ]
    write_table("ums_rep", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rows(gains: Gains, costs: Costs, strategies: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of one problem."""
    problem = gains.problem
    there = [name for name in gains.compared if name in strategies]
    scratch = next((name for name in there if strategies[name] == "scratch"), None)
    for system in [name for name in there if name != scratch]:
        about = {
            "problem": problem.name,
            "system": system,
            "weighting": problem.weightings[system],
            "strategy": strategies[system],
            "reference": scratch,
        }
        if scratch is None:
            none = {"measure": "delta_m", "target": "all", "estimate": None}
            yield about | none | vars(no_interval(NO_SCRATCH)) | gains.n
            continue
        for target, (asked, _) in problem.primary.items():
            change = measured(gains.change(system, scratch, target), problem.counts(asked))
            yield about | {"measure": "relative_change", "target": target} | change
        delta = measured(gains.delta(system, scratch), gains.n)
        yield about | {"measure": "delta_m", "target": "all"} | delta
        for row in _costs(costs, problem.name, system, scratch, gains.n):
            yield about | {"target": "all"} | row


def _costs(
    costs: Costs, problem: str, system: str, scratch: str, n: Counts
) -> Iterator[dict[str, Any]]:
    """Ratios of costs; null where training from scratch cost nothing of the kind."""
    shared = {*seeds_of(costs, problem, system)} & {*seeds_of(costs, problem, scratch)}
    costs = {job: cost for job, cost in costs.items() if job.seed in shared}
    for cost in COSTS:
        own, base, before = (
            of_seeds(costs, problem, name, part, cost)
            for name, part in (
                (system, "training"),
                (scratch, "training"),
                (system, "pretraining"),
            )
        )
        counted = {f"{cost}_ratio": own}
        if cost != "parameters":
            counted[f"{cost}_ratio_with_pretraining"] = own + before
        for measure, numbers in counted.items():
            yield {"measure": measure} | _ratio(numbers, base) | n


def _ratio(numbers: np.ndarray, base: np.ndarray) -> dict[str, Any]:
    """Columns of a ratio of costs [S]."""
    if not base.sum() > 0:
        return {"estimate": None} | vars(no_interval("training from scratch has no such cost"))
    each = numbers / base
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    ratio = {"estimate": float(numbers.sum() / base.sum()), "seed_sd": spread}
    return ratio | vars(no_interval(NO_INTERVAL))
