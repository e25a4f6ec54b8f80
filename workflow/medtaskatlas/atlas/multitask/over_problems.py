"""Rows of `multitask_gains` over problems: means of delta-m and of ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.inference import (
    MIN_SUBJECTS,
    Interval,
    n_units,
    no_interval,
)
from medtaskatlas.atlas.multitask.answers import counts
from medtaskatlas.atlas.multitask.references import Systems
from medtaskatlas.atlas.multitask.values import Value, subject_interval, subject_p
from medtaskatlas.core.seeds import generator


@dataclass(frozen=True)
class OneProblem:
    """What one problem gives to means over problems."""

    name: str
    weightings: Mapping[str, str]
    deltas: Mapping[tuple[str, str], Value]  # by system and kind of reference
    ranks: Callable[[Sequence[str]], dict[str, Value]]  # of some systems among them
    systems: Sequence[str]
    images: pd.DataFrame  # of all targets


def over_problems(
    problems: Sequence[OneProblem], systems: Systems, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of means over problems, where a run has several.

    Draws of two problems are independent of each other. With `these_problems` they are averaged;
    with `problems`, problems are drawn with replacement before.
    """
    if len(problems) < 2:
        return
    for key in dict.fromkeys(key for problem in problems for key in problem.deltas):
        system, kind = key
        values = {p.name: p.deltas[key] for p in problems if key in p.deltas}
        about = {"reference_kind": kind, "measure": "delta_m", "target": "all"}
        for row in _means(system, values, problems, seed):
            family = f"multitask_gains, delta_m against {kind}: {row['scope']}"
            yield about | row | ({} if row["p"] is None else {"p_family": family})
    everywhere = [name for name in systems if all(name in p.systems for p in problems)]
    ranks = {p.name: p.ranks(everywhere) for p in problems} if everywhere else {}
    for system in everywhere:
        about = {"reference_kind": "none", "measure": "mean_rank", "target": "all"}
        values = {name: of[system] for name, of in ranks.items()}
        for row in _means(system, values, problems, seed):
            yield about | row | {"p": None}


def _means(
    system: str, values: Mapping[str, Value], problems: Sequence[OneProblem], seed: int
) -> Iterator[dict[str, Any]]:
    """Two rows of a mean over problems, each with p of its difference from 0."""
    known = {name: value for name, value in values.items() if value.note is None}
    chosen = [p for p in problems if p.name in known]
    weighting = next(p.weightings[system] for p in problems if system in p.weightings)
    about: dict[str, Any] = {"problem": "all", "system": system, "weighting": weighting}
    if len(known) < 2:
        n = counts(pd.concat([p.images for p in problems if p.name in values]))
        why = no_interval(f"no mean: {len(known)} of {len(values)} problems have a number")
        for scope in ("these_problems", "problems"):
            yield about | {"scope": scope, "estimate": None, "p": None} | vars(why) | n
        return
    draws = np.stack([value.draws for value in known.values()], axis=1)
    P = len(known)
    rng = generator(seed, "multitask bootstrap problems", P)
    weights = rng.multinomial(P, np.full(P, 1 / P), len(draws)) / P
    left_out = [f"without {name}: {v.note}" for name, v in values.items() if v.note]
    spreads = [v.each.var(ddof=1) for v in known.values() if len(v.each) > 1]
    longest = max((v.each for v in known.values()), key=len)
    mean = Value(longest, float(np.mean([v.estimate for v in known.values()])), draws.mean(axis=1))
    about |= {
        "estimate": mean.estimate,
        "seed_sd": float(np.sqrt(np.sum(spreads)) / P) if len(spreads) == P else None,
        **counts(pd.concat([p.images for p in chosen])),
    }
    drawn = replace(mean, draws=(weights * draws).sum(axis=1))
    for scope, value, n_problems in (("these_problems", mean, 1), ("problems", drawn, P)):
        made, p = _interval(value, chosen, n_problems)
        note = "; ".join(filter(None, [made.note, *left_out])) or None
        yield about | {"scope": scope, "p": p} | vars(made) | {"note": note}


def _interval(
    value: Value, problems: Sequence[OneProblem], n_problems: int
) -> tuple[Interval, float | None]:
    """Interval and p of a mean over problems; none where one, or their number, is too small."""
    if 1 < n_problems < MIN_SUBJECTS:
        few = f"no interval: {n_problems} problems, at least {MIN_SUBJECTS} are needed"
        return no_interval(few), None
    # The problem that rests on the fewest independent things.
    least = min(problems, key=lambda p: n_units(counts(p.images)))
    n = counts(least.images)
    made = subject_interval(value, n, n_problems, f"problem {least.name}")
    return made, None if made.ci_low is None else subject_p(value, n, n_problems)
