"""The table `medformer_labels`: what more labels buy, of every arm and between arms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.columns import RUN, SEED, TableSpec, count, text
from medtaskatlas.atlas.inference import adjust
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.gains import Arms, pairs
from medtaskatlas.atlas.medformer.means import over_sets
from medtaskatlas.atlas.medformer.official import OfficialBootstrap
from medtaskatlas.atlas.multitask.answers import Asked, Problem, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS, Bootstrap
from medtaskatlas.atlas.multitask.columns import SPLIT, TESTED
from medtaskatlas.atlas.multitask.values import Value, mean_of, measured, with_test
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.medformer.options import arm_of, system_of
from medtaskatlas.problems.scores import Score

CURVE = ("area", "slope")  # measures of a whole curve

SPEC = TableSpec(
    "What does a larger share of the labels buy? The mean score over the sets at every share, and "
    "area and slope of the curve over the logarithm of the shares; also by how much these two "
    "differ between arms that differ in one thing. Scores of single sets are in medformer_scores, "
    "differences at single shares in medformer_gains. Of all test images.",
    ("run", "set", "arm", "reference", "measure", "labels", "target", "score"),
    (
        *(RUN, columns.SET, columns.ARM),
        text("reference", "the arm that is subtracted; null: none", nullable=True),
        text(
            "measure",
            "score: the score itself; area: its mean over the curve; slope: its change with every "
            "doubling of the labels",
            *("score", *CURVE),
        ),
        count("labels", "percent of the training labels; null: the whole curve", nullable=True),
        *(SEED, SPLIT, columns.TARGET, columns.SCORE, *TESTED),
    ),
)


def medformer_labels(
    prediction_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    arms: Arms,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `medformer_labels`.

    ``set`` is ``all`` for the mean over those sets in which the number is defined. p is adjusted by
    Holm over the sets of a comparison.

    Parameters
    ----------
    prediction_paths
        All predictions of Medformer's arms in the run.
    out
        results/<run>/tables/medformer_labels.parquet.
    run
        Name of the run.
    arms
        Options of every configured arm, by name: they say which are compared.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    curves = [
        Curves(problem, bootstrap, asked, score)
        for problem in load_problems(prediction_paths, run=run)
        for bootstrap in [OfficialBootstrap(problem, seed, n_draws)]
        for asked, answers in problem.answers.items()
        for score in answers.scores
    ]
    rows = []
    for target, name in dict.fromkeys((c.asked.target, c.score.name) for c in curves):
        of = [c for c in curves if (c.asked.target, c.score.name) == (target, name)]
        about = {"run": run, "split": "test", "seed": None, "target": target, "score": name}
        about |= {"p": None, "p_family": None}  # of what is not tested
        rows += [about | row for row in (*_own(of), *_between(of, arms))]
    frame = pd.DataFrame(rows)
    frame = adjust(frame, "holm") if len(frame) else frame
    write_table("medformer_labels", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def weights_of(shares: Sequence[int]) -> dict[str, np.ndarray]:
    """Weights [L] of the scores at some percents, ascending, by the measure that they make.

    Over the logarithm to base 2 the area is that of trapezoids, divided by the width, and the slope
    that of the line of least squares.
    """
    x = np.log2(np.asarray(shares, float))
    width, middle = np.diff(x), x - x.mean()
    area = (np.append(width, 0) + np.insert(width, 0, 0)) / 2
    return {"area": area / width.sum(), "slope": middle / (middle**2).sum()}


class Curves:
    """Scores of all arms on one set, by one score."""

    def __init__(self, problem: Problem, bootstrap: Bootstrap, asked: Asked, score: Score) -> None:
        self.problem, self.bootstrap, self.asked, self.score = problem, bootstrap, asked, score
        self.shares: dict[str, list[int]] = {}  # percents of the labels of each arm, ascending
        for arm, labels in map(arm_of, problem.weightings):
            self.shares[arm] = sorted([*self.shares.get(arm, []), labels])

    def both(self, arm: str, other: str) -> list[int]:
        """Percents that two arms have; none where they have no seed in common."""
        found = sorted({*self.shares.get(arm, [])} & {*self.shares.get(other, [])})
        systems = [system_of(name, labels) for name in (arm, other) for labels in found]
        return found if systems and self.seeds(*systems) else []

    def seeds(self, *systems: str) -> list[int]:
        """Seeds that all of some systems have."""
        return sorted(set.intersection(*(set(self.problem.seeds(s)) for s in systems)))

    def weighted(self, weights: Mapping[str, float]) -> Value:
        """Weighted sum of the scores of some systems, over the seeds that all of them have."""
        seeds = self.seeds(*weights)
        values = [self.bootstrap.value(self.asked, self.score, s, seeds) for s in weights]
        mean = mean_of(values)
        if mean.note is not None:
            return mean
        factors = np.array(list(weights.values()))
        each, draws = factors @ [v.each for v in values], factors @ [v.draws for v in values]
        # A sum of scores has no bounds.
        return Value(each, float(each.mean()), draws, caution=mean.caution)

    def curve(self, arm: str, shares: Sequence[int], measure: str) -> dict[str, float]:
        """Systems of an arm with the weights that make a measure of its curve."""
        weights = weights_of(shares)[measure].tolist()
        return {system_of(arm, n): weight for n, weight in zip(shares, weights, strict=True)}


def _own(curves: Sequence[Curves]) -> Iterator[dict[str, Any]]:
    """Rows of single arms."""
    for arm in dict.fromkeys(arm for one in curves for arm in one.shares):
        about = {"arm": arm, "reference": None}
        for labels in sorted({labels for one in curves for labels in one.shares.get(arm, [])}):
            having = [one for one in curves if labels in one.shares.get(arm, [])]
            found = [(one, one.weighted({system_of(arm, labels): 1.0})) for one in having]
            this = about | {"measure": "score", "labels": labels}
            yield from (this | row for row in _rows(found, each=False))
        having = [one for one in curves if len(one.shares.get(arm, [])) > 1]
        for measure in CURVE if having else ():
            found = [
                (one, one.weighted(one.curve(arm, one.shares[arm], measure))) for one in having
            ]
            yield from (about | {"measure": measure} | row for row in _rows(found))


def _between(curves: Sequence[Curves], arms: Arms) -> Iterator[dict[str, Any]]:
    """Rows of pairs of arms, over the percents that both have; above 0 where the arm is better."""
    for arm, reference, _ in pairs(arms):
        having = [one for one in curves if len(one.both(arm, reference)) > 1]
        for measure in CURVE if having else ():
            found = []
            for one in having:
                shares = one.both(arm, reference)
                better, worse = (one.curve(name, shares, measure) for name in (arm, reference))
                sign = 1 if one.score.higher_is_better else -1
                weights = {s: sign * w for s, w in better.items()}
                found.append(
                    (one, one.weighted(weights | {s: -sign * w for s, w in worse.items()}))
                )
            of = f"{measure} of {having[0].score.name} of {having[0].asked.target}"
            family = f"medformer_labels, {of}: {arm} against {reference}"
            about = {"arm": arm, "reference": reference, "measure": measure}
            yield from (about | row for row in _rows(found, family))


def _rows(
    found: Sequence[tuple[Curves, Value]], family: str | None = None, *, each: bool = True
) -> Iterator[dict[str, Any]]:
    """Rows of a number: of each set, where they are wanted, and of the mean over sets."""
    for one, value in found if each else ():
        n = one.problem.counts(one.asked)
        row = measured(value, n) if family is None else with_test(value, n, family)
        yield {"set": one.problem.name} | row
    target, whole = found[0][0].asked.target, family and f"{family}, mean"
    if mean := over_sets([(one.problem, value) for one, value in found], target, whole):
        yield mean
