"""The table `multitask_cost`: what every system has cost, beside single-task networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medtaskatlas.atlas.columns import TableSpec, number, text
from medtaskatlas.atlas.inference import no_interval, over_seeds
from medtaskatlas.atlas.multitask import columns
from medtaskatlas.atlas.multitask.references import MISSING, Systems, reference_of
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask_training import read_cost

MEASURES = (
    *("cpu_seconds", "gpu_seconds", "steps", "images", "parameters", "flops"),
    *("peak_memory_mb", "peak_gpu_memory_mb"),
)
OF_TUNING = ("cpu_seconds", "gpu_seconds", "steps")
MEASURED = "no interval: a cost is what it was, not an estimate"

SPEC = TableSpec(
    "What does every multi-task system cost in training, and how many times that of single-task "
    "networks is it? Single-task networks are counted together.",
    ("run", "problem", "system", "seed", "part", "measure"),
    (
        *columns.WHO,
        text(
            "part",
            "training: all trainings that the system consists of; tuning: the trials before; "
            "pretraining: of weights that several trainings start from, whole",
            *("training", "tuning", "pretraining"),
        ),
        text(
            "measure",
            "steps, images seen, trained parameters, floating point operations, seconds, megabytes "
            "(1e6 bytes) at the peak",
            *MEASURES,
        ),
        number("relative_to_stl", "times the training of the system of the kind stl", 0),
        *columns.ESTIMATE,
        columns.NOTE,
    ),
)


class Job(NamedTuple):
    """Problem, system and seed that a cost is of."""

    problem: str
    system: str
    seed: int


# Of every job: part to measure to number.
Costs = Mapping[Job, Mapping[str, Mapping[str, float]]]


def multitask_cost(
    cost_paths: Iterable[str | Path], out: str | Path, *, run: str, systems: Systems
) -> None:
    """Write the table `multitask_cost`.

    Parameters
    ----------
    cost_paths
        All files multitask/<problem>/<system>/seed<k>/cost.json of the run.
    out
        results/<run>/tables/multitask_cost.parquet.
    run
        Name of the run.
    systems
        Options of every configured system, by name.
    """
    rows = [{"run": run, **row} for row in _rows(load_costs(cost_paths), systems)]
    write_table("multitask_cost", rows, out, {"run": run})


def load_costs(paths: Iterable[str | Path]) -> Costs:
    """Costs of every job.

    Raises
    ------
    DataError
        If a file is missing, damaged or not where such files lie.
    """
    found = {}
    for path in map(Path, paths):
        *_, problem, system, seed, _ = ("", *path.parts)
        if not seed.startswith("seed") or not seed[4:].isdigit():
            raise DataError(
                f"{path} lies in no folder multitask/<problem>/<system>/seed<k>", f"delete {path}"
            )
        cost = read_cost(path)
        parts = {"training": cost["total"], "tuning": cost["tuning"]}
        if "pretraining" in cost:
            parts["pretraining"] = cost["pretraining"]
        found[Job(problem, system, int(seed[4:]))] = parts
    return found


def seeds_of(costs: Costs, problem: str, system: str) -> list[int]:
    """Seeds of a system on a problem, sorted."""
    return sorted(job.seed for job in costs if job[:2] == (problem, system))


def of_seeds(costs: Costs, problem: str, system: str, part: str, measure: str) -> np.ndarray:
    """A cost of each seed [S]; 0 of a part that a job has not."""
    seeds = seeds_of(costs, problem, system)
    return np.array(
        [costs[Job(problem, system, s)].get(part, {}).get(measure, 0.0) for s in seeds], float
    )


def _rows(costs: Costs, systems: Systems) -> Iterator[dict[str, Any]]:
    """Rows of every problem and system."""
    for problem in dict.fromkeys(job.problem for job in costs):
        there = {job.system for job in costs if job.problem == problem}
        for system in [name for name in systems if name in there]:
            base = reference_of(system, "stl", systems, there)
            parts = {part for job in costs if job[:2] == (problem, system) for part in costs[job]}
            about = {"problem": problem, "system": system}
            about["weighting"] = systems[system].get("weighting") or "none"
            for part in sorted(parts):
                for measure in MEASURES if part == "training" else OF_TUNING:
                    each = of_seeds(costs, problem, system, part, measure)
                    of_base = of_seeds(costs, problem, base, part, measure) if base else None
                    what = about | {"part": part, "measure": measure}
                    seeds = seeds_of(costs, problem, system)
                    chosen = [(None, each), *((s, each[[i]]) for i, s in enumerate(seeds))]
                    for seed, numbers in chosen:
                        row = what | {"seed": seed} | over_seeds(numbers)
                        yield row | _relative(float(numbers.mean()), of_base)


def _relative(cost: float, base: np.ndarray | None) -> dict[str, Any]:
    """Columns that set a cost beside the mean of those of single-task networks [S]."""
    if base is None:
        return vars(no_interval(f"{MEASURED}; {MISSING['stl']}")) | {"relative_to_stl": None}
    times = cost / base.mean() if base.mean() > 0 else None
    return vars(no_interval(MEASURED)) | {"relative_to_stl": times}
