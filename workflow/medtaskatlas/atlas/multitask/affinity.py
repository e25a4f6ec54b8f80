"""The table `affinity`: what a target gains when another one is trained beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medtaskatlas.atlas.columns import TableSpec, text
from medtaskatlas.atlas.inference import no_interval
from medtaskatlas.atlas.multitask import columns
from medtaskatlas.atlas.multitask.answers import Problem, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS, Bootstrap
from medtaskatlas.atlas.multitask.references import MISSING, Systems, reference_of
from medtaskatlas.atlas.multitask.values import difference, measured
from medtaskatlas.atlas.tables import write_table

SPEC = TableSpec(
    "What does a target gain when another one is trained beside it? Every ordered pair of a "
    "problem, from systems that train pairs, against the target alone. Gains have a direction.",
    ("run", "problem", "system", "seed", "target", "beside", "measure"),
    (
        *columns.WHO,
        columns.SPLIT,
        columns.TARGET,
        text("beside", "the target that was trained with it"),
        text("reference", "the system that trained it alone; null: there is none", nullable=True),
        text(
            "measure",
            "relative_change: of the primary score as a share of the score alone, positive where "
            "the target gains; change: the same in the unit of the score",
            *("relative_change", "change"),
        ),
        text("score", "the primary score of the target"),
        *columns.MEASURED,
    ),
)


def affinity(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    systems: Systems,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `affinity`.

    Parameters
    ----------
    prediction_paths
        All multi-task predictions of the run; those of pairs have a column ``beside``.
    out
        results/<run>/tables/affinity.parquet.
    run
        Name of the run.
    systems
        Options of every configured system, by name.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    rows = [
        {"run": run, "split": problem.split, "problem": problem.name, **row}
        for problem in load_problems(prediction_paths, run=run)
        for row in _rows(problem, Bootstrap(problem, seed, n_draws), systems)
    ]
    write_table("affinity", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def _rows(problem: Problem, bootstrap: Bootstrap, systems: Systems) -> Iterator[dict[str, Any]]:
    """Rows of one problem."""
    for target, (asked, score) in problem.primary.items():
        n = problem.counts(asked)
        trainings = problem.trainings(asked)
        pairs = dict.fromkeys((t.system, t.beside) for t in trainings if t.beside is not None)
        for system, beside in pairs:
            about = {
                "system": system,
                "weighting": problem.weightings[system],
                "target": target,
                "beside": beside,
                "score": score.name,
            }
            alone = system
            if not problem.seeds(system, target=target):
                alone = reference_of(system, "stl", systems, problem.weightings) or ""
            seeds = {*problem.seeds(system, beside, target)} & {*problem.seeds(alone, None, target)}
            if not seeds:
                why = f"{alone} shares no seed with it" if alone else MISSING["stl"]
                none = {"measure": "change", "reference": alone or None, "estimate": None}
                yield about | none | vars(no_interval(why)) | n
                continue
            for measure in ("relative_change", "change"):
                for seed, chosen in [(None, sorted(seeds)), *((s, [s]) for s in sorted(seeds))]:
                    one = bootstrap.value(asked, score, system, chosen, beside)
                    base = bootstrap.value(asked, score, alone, chosen)
                    change = difference(
                        one,
                        base,
                        higher=score.higher_is_better,
                        relative=measure == "relative_change",
                    )
                    what = {"measure": measure, "reference": alone, "seed": seed}
                    yield about | what | measured(change, n)
