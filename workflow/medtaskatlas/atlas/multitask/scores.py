"""The table `multitask_scores`: every score of every target, system and seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medtaskatlas.atlas.columns import TableSpec, text, yes
from medtaskatlas.atlas.multitask import columns
from medtaskatlas.atlas.multitask.answers import Answers, Problem, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS, Bootstrap
from medtaskatlas.atlas.multitask.values import measured
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.problems.scores import TARGET_UNIT, Score

SPEC = TableSpec(
    "How good is every multi-task system on every target? Scores are computed in every dataset "
    "(and fold) and averaged.",
    ("run", "problem", "system", "beside", "seed", "split", "target", "score"),
    (
        *columns.WHO,
        text("beside", "the target that was trained with it, of pairs", nullable=True),
        columns.SPLIT,
        columns.TARGET,
        text("target_kind", "kind of the target"),
        text("score", "name of the score"),
        yes("primary", "whether it is the score that gains are made of"),
        *columns.ABOUT_SCORE,
        *columns.MEASURED,
    ),
)


def multitask_scores(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `multitask_scores`.

    Parameters
    ----------
    prediction_paths
        All multi-task predictions of the run.
    out
        results/<run>/tables/multitask_scores.parquet.
    run
        Name of the run.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    rows = [
        {"run": run, **row}
        for problem in load_problems(prediction_paths, run=run, splits=("test", "val"))
        for row in rows_of(problem, Bootstrap(problem, seed, n_draws))
    ]
    write_table("multitask_scores", rows, out, {"run": run, "seed": seed, "n_draws": n_draws})


def rows_of(problem: Problem, bootstrap: Bootstrap) -> Iterator[dict[str, Any]]:
    """Rows of one problem and split, without the run."""
    for asked, answers in problem.answers.items():
        n = problem.counts(asked)
        for score in answers.scores:
            about = {
                "problem": problem.name,
                "split": problem.split,
                "target": asked.target,
                "target_kind": answers.facts["kind"],
                "primary": problem.primary.get(asked.target) == (asked, score),
                **_facts(score, answers),
            }
            by_system: dict[tuple[str, str | None], list[int]] = {}
            for training in problem.trainings(asked):
                by_system.setdefault((training.system, training.beside), []).append(training.seed)
            for (system, beside), seeds in by_system.items():
                who = {"system": system, "weighting": problem.weightings[system], "beside": beside}
                for seed, chosen in [(None, seeds), *((s, [s]) for s in seeds)]:
                    value = bootstrap.value(asked, score, system, chosen, beside)
                    yield about | who | {"seed": seed} | measured(value, n)


def _facts(score: Score, answers: Answers) -> dict[str, Any]:
    """Columns of a score."""
    return {
        "score": score.name,
        "unit": answers.facts["unit"] if score.unit == TARGET_UNIT else score.unit,
        "higher_is_better": score.higher_is_better,
        "low": score.low,
        "high": score.high,
    }
