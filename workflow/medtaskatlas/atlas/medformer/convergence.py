"""The table `medformer_convergence`: how soon every arm learns, and what it has cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medtaskatlas.atlas.columns import ESTIMATE, NOTE, RUN, SEED, TableSpec, count, number, text
from medtaskatlas.atlas.inference import no_interval, over_seeds
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.gains import Arms
from medtaskatlas.atlas.medformer.means import ALL
from medtaskatlas.atlas.multitask.cost import MEASURED, MEASURES, OF_TUNING
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask_training import read_cost
from medtaskatlas.formats.parquet import read_parquet, remedy

SHARE = 0.95  # of the best validation score
REACHED = "steps_to_95"
TOGETHER = "all_sets"  # folder of the trainings of one model for all sets
PATH = re.compile(r"([^/]+)/([^/]+)/labels(\d+)/seed(\d+)/[^/]+$")
UNTRAINED = "not measured: no network is trained"
LOOKS = f"no interval: the first look at validation images that reaches {SHARE:.0%} of the best"

SPEC = TableSpec(
    "How many steps does every arm of Medformer need, and what has it cost with its pre-training?",
    ("run", "set", "arm", "labels", "seed", "part", "measure"),
    (
        RUN,
        text("set", "name of the dataset; all: one training for all sets"),
        *(columns.ARM, columns.LABELS, SEED),
        text(
            "part",
            "training: of the arm itself; pretraining: of all that it starts from, whole, though "
            "others may start from it too; total: both",
            *("training", "pretraining", "total"),
        ),
        text(
            "measure",
            f"{REACHED}: steps to {SHARE:.0%} of the best validation score; else as in "
            "multitask_cost",
            *(REACHED, *MEASURES),
        ),
        number("of_total", "share of the total that the part has", 0, 1),
        count("n_seeds", "seeds that the number rests on"),
        *ESTIMATE,
        NOTE,
    ),
)


class Job(NamedTuple):
    """A training."""

    set: str
    arm: str
    labels: int
    seed: int


Costs = Mapping[Job, Mapping[str, Mapping[str, float]]]  # by part and measure


def medformer_convergence(
    cost_paths: Iterable[str | Path],
    history_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    arms: Arms,
) -> None:
    """Write the table `medformer_convergence`.

    Parameters
    ----------
    cost_paths, history_paths
        All files cost.json and history.parquet of Medformer's arms in the run.
    out
        results/<run>/tables/medformer_convergence.parquet.
    run
        Name of the run.
    arms
        Options of every configured arm, by name: they say what each starts from.
    """
    costs = _with_total({job_of(path): read_cost(path) for path in cost_paths}, arms)
    reached = {job_of(path): steps_to_reach(path) for path in history_paths}
    rows = []
    for where in dict.fromkeys(job[:3] for job in costs):
        jobs = sorted(job for job in costs if job[:3] == where)
        for chosen in (jobs, *([job] for job in jobs)):
            seed = None if chosen is jobs else chosen[0].seed
            about = {"run": run, **chosen[0]._asdict(), "seed": seed, "n_seeds": len(chosen)}
            rows += [about | row for row in (_reached(chosen, reached), *_costs(chosen, costs))]
    write_table("medformer_convergence", rows, out, {"run": run})


def job_of(path: str | Path) -> Job:
    """Training of a file, by the folder that it lies in.

    Raises
    ------
    DataError
        If it does not lie where files of trainings lie.
    """
    found = PATH.search(Path(path).as_posix())
    if found is None:
        folder = "medformer/<set>/<arm>/labels<percent>/seed<k>"
        raise DataError(f"{path} lies in no folder {folder}", f"delete {path}")
    name, arm, labels, seed = found.groups()
    return Job(ALL if name == TOGETHER else name, arm, int(labels), int(seed))


def steps_to_reach(path: str | Path) -> float:
    """Steps before the first look that scores 95 % of the best; nan where there was none.

    Raises
    ------
    DataError
        If the file is missing, damaged or of something else.
    """
    table, _ = read_parquet(path)
    if not {"step", "val_score"} <= set(table.column_names):
        raise DataError(f"{path} holds no history of an arm of Medformer", remedy(path))
    looks = table.select(["step", "val_score"]).to_pandas().dropna()
    if looks.empty or looks["val_score"].max() <= 0:
        return float("nan")
    enough = looks["val_score"] >= SHARE * looks["val_score"].max()
    return float(looks["step"][enough].min() + 1)


def _with_total(costs: Mapping[Job, Mapping[str, Any]], arms: Arms) -> Costs:
    """Parts of the cost of every training; what it starts from may start from something itself."""

    def before(job: Job) -> Mapping[str, float]:
        own = costs[job].get("pretraining", {})
        first = job._replace(set=ALL, arm=arms[job.arm]["start"])
        earlier = before(first) if first in costs else {}
        return {m: own[m] + earlier.get(m, 0.0) for m in OF_TUNING} if own else {}

    found = {}
    for job, cost in costs.items():
        training, pretraining = cost["total"], before(job)
        total = {m: training[m] + pretraining.get(m, 0.0) for m in OF_TUNING}
        parts = {"training": training, "pretraining": pretraining, "total": total}
        found[job] = {part: measures for part, measures in parts.items() if measures}
    return found


def _reached(jobs: list[Job], reached: Mapping[Job, float]) -> dict[str, Any]:
    """Row of the steps that the seeds of a training need."""
    row: dict[str, Any] = {"part": "training", "measure": REACHED}
    each = np.array([reached.get(job, np.nan) for job in jobs])
    if np.isnan(each).any():
        return row | {"estimate": None} | vars(no_interval("no look at validation images"))
    return row | over_seeds(each) | vars(no_interval(LOOKS))


def _costs(jobs: list[Job], costs: Costs) -> Iterator[dict[str, Any]]:
    """Rows of the costs of the seeds of a training."""
    if not all(costs[job]["training"]["steps"] for job in jobs):
        none = {"estimate": None} | vars(no_interval(UNTRAINED))
        yield {"part": "training", "measure": "cpu_seconds"} | none
        return
    for part in costs[jobs[0]]:
        for measure in MEASURES if part == "training" else OF_TUNING:
            each = np.array([costs[job][part][measure] for job in jobs], float)
            whole = sum(costs[job]["total"].get(measure, 0.0) for job in jobs)
            share = each.sum() / whole if measure in OF_TUNING and whole else None
            about = {"part": part, "measure": measure, "of_total": share}
            yield about | over_seeds(each) | vars(no_interval(MEASURED))
