"""The table `multitask_gains`: whether a system beats training the targets alone, and by what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from medtaskatlas.atlas.columns import TableSpec, text
from medtaskatlas.atlas.inference import adjust, no_interval
from medtaskatlas.atlas.multitask import columns
from medtaskatlas.atlas.multitask.answers import Counts, Problem, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS, Bootstrap
from medtaskatlas.atlas.multitask.over_problems import OneProblem, over_problems
from medtaskatlas.atlas.multitask.references import MISSING, Systems, compared, reference_of
from medtaskatlas.atlas.multitask.values import (
    Value,
    difference,
    mean_of,
    measured,
    undefined,
    with_test,
)
from medtaskatlas.atlas.tables import write_table

SPEC = TableSpec(
    "Is a multi-task system better than single-task networks, than those with as many parameters, "
    "and than hard sharing with tuned fixed weights? Differences on the same test images, drawn "
    "together, with seeds in pairs.",
    ("run", "problem", "scope", "system", "reference_kind", "measure", "target"),
    (
        *columns.WHO,
        text(
            "scope",
            "problem: one problem; these_problems: mean over the problems as they are; problems: "
            "the same, with problems drawn too (`problem` is all in both)",
            *("problem", "these_problems", "problems"),
        ),
        *columns.REFERENCE,
        columns.SPLIT,
        text(
            "measure",
            "relative_change: of the target's primary score as a share of the reference's, "
            "positive where the system is better; change: the same in the unit of the score; "
            "delta_m: mean of the relative changes of all targets; mean_rank: of the primary "
            "scores among all systems, 1 is best, mean over targets",
            *("relative_change", "change", "delta_m", "mean_rank"),
        ),
        columns.TARGET,
        text("score", "the primary score of the target; null for all targets", nullable=True),
        *columns.TESTED,
    ),
)
UNTESTED: dict[str, Any] = {"p": None, "p_family": None}


def multitask_gains(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    systems: Systems,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `multitask_gains`.

    ``delta_m`` is ``(1/T) sum (-1)^l (M - M_ref) / M_ref`` over the primary, bounded scores of T
    targets, ``l`` = 1 where lower is better (Maninis, Radosavovic and Kokkinos, 2019), of scores M
    that are means over seeds. p inverts the percentile interval, so that test and interval agree
    and the luck of seeds is in both; a sign-flip test of subjects would leave seeds out. It is
    adjusted over the systems of a problem, for each reference on its own.

    Parameters
    ----------
    prediction_paths
        All multi-task predictions of the run.
    out
        results/<run>/tables/multitask_gains.parquet.
    run
        Name of the run.
    systems
        Options of every configured system, by name: they say which are references.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    problems = [
        Gains(problem, systems, seed, n_draws)
        for problem in load_problems(prediction_paths, run=run)
    ]
    rows = [row for gains in problems for row in gains.rows()]
    rows += over_problems([gains.summary() for gains in problems], systems, seed)
    frame = pd.DataFrame([{"run": run, "split": "test"} | UNTESTED | row for row in rows])
    frame = adjust(frame) if len(frame) else frame
    write_table("multitask_gains", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


class Gains:
    """Systems of one problem against their references."""

    def __init__(self, problem: Problem, systems: Systems, seed: int, n_draws: int) -> None:
        self.problem, self.systems = problem, systems
        self.bootstrap = Bootstrap(problem, seed, n_draws)

    @cached_property
    def compared(self) -> list[str]:
        """Systems that train for a problem as a whole, in the order of the configuration."""
        pairs = {t.system for a in self.problem.answers.values() for t in a.statistics if t.beside}
        return [name for name in self.systems if name in self.problem.weightings.keys() - pairs]

    @cached_property
    def n(self) -> Counts:
        """Counts of the images of all targets."""
        return self.problem.counts(*(asked for asked, _ in self.problem.primary.values()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the problem."""
        for system in self.compared:
            about = {
                "problem": self.problem.name,
                "scope": "problem",
                "system": system,
                "weighting": self.problem.weightings[system],
            }
            for kind in compared(system, self.systems):
                for row in self._against(system, kind):
                    yield about | {"reference_kind": kind} | row
        for system, rank in self.ranks(self.compared).items():
            yield {
                "problem": self.problem.name,
                "scope": "problem",
                "system": system,
                "weighting": self.problem.weightings[system],
                "reference_kind": "none",
                "measure": "mean_rank",
                "target": "all",
                **measured(rank, self.n),
            }

    def _against(self, system: str, kind: str) -> Iterator[dict[str, Any]]:
        """Rows of a system against one reference."""
        reference = reference_of(system, kind, self.systems, self.compared)
        if reference is None:
            none = {"measure": "delta_m", "target": "all", "estimate": None}
            yield none | vars(no_interval(MISSING[kind])) | self.n
            return
        family = f"multitask_gains, {{}} against {kind}: {self.problem.name}"
        for target, (asked, score) in self.problem.primary.items():
            n = self.problem.counts(asked)
            values = {
                "relative_change": self.change(system, reference, target),
                "change": self.change(system, reference, target, relative=False),
            }
            for measure, value in values.items():
                about = {"reference": reference, "measure": measure, "target": target}
                about |= {"score": score.name}
                yield about | with_test(value, n, family.format(f"{measure} of a target"))
        about = {"reference": reference, "measure": "delta_m", "target": "all"}
        yield about | with_test(self.delta(system, reference), self.n, family.format("delta_m"))

    def change(self, system: str, reference: str, target: str, *, relative: bool = True) -> Value:
        """Change of the primary score of a target, positive where the system is better."""
        asked, score = self.problem.primary[target]
        seeds = self.seeds(system, reference, target)
        if not seeds:
            return undefined(f"{system} and {reference} share no seed for {target}")
        one, base = (self.bootstrap.value(asked, score, s, seeds) for s in (system, reference))
        return difference(one, base, higher=score.higher_is_better, relative=relative)

    def delta(self, system: str, reference: str) -> Value:
        """Mean relative change over all targets."""
        seeds = {tuple(self.seeds(system, reference, target)) for target in self.problem.primary}
        if len(seeds) > 1:
            return undefined(f"{system} and {reference} have other seeds for some targets")
        return mean_of([self.change(system, reference, t) for t in self.problem.primary])

    def seeds(self, system: str, reference: str, target: str) -> list[int]:
        """Seeds that both have."""
        one, base = (self.problem.seeds(name, target=target) for name in (system, reference))
        return sorted({*one} & {*base})

    def ranks(self, systems: Sequence[str]) -> dict[str, Value]:
        """Mean rank over targets of each of some systems among them, seeds drawn with seeds."""
        seeds = [self.problem.seeds(s, target=t) for s in systems for t in self.problem.primary]
        shared = sorted(set.intersection(*map(set, seeds))) if seeds else []
        if not shared:
            return {name: undefined("the systems share no seed") for name in systems}
        by_target: list[tuple[np.ndarray, ...]] = []
        note = None
        for asked, score in self.problem.primary.values():
            values = [self.bootstrap.value(asked, score, name, shared) for name in systems]
            note = note or next((v.note for v in values if v.note), None)
            sign = -1 if score.higher_is_better else 1
            parts = ("each", "estimate", "draws")
            stacked = (np.stack([np.atleast_1d(getattr(v, p)) for v in values]) for p in parts)
            by_target.append(tuple(rankdata(sign * x, axis=0) for x in stacked))
        each, estimate, draws = (np.mean(ranks, axis=0) for ranks in zip(*by_target, strict=True))
        return {
            name: Value(each[i], float(estimate[i, 0]), draws[i], note)
            for i, name in enumerate(systems)
        }

    def summary(self) -> OneProblem:
        """What rows over problems need."""
        deltas = {}
        for system in self.compared:
            for kind in compared(system, self.systems):
                reference = reference_of(system, kind, self.systems, self.compared)
                if reference is not None:
                    deltas[system, kind] = self.delta(system, reference)
        frames = [self.problem.answers[asked].images for asked, _ in self.problem.primary.values()]
        return OneProblem(
            self.problem.name, self.problem.weightings, deltas, self.ranks, self.compared,
            pd.concat(frames),
        )  # fmt: skip
