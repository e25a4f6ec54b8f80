"""Rows of `multitask_gains` over problems: means of delta-m and of ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.inference import MIN_GROUPS, Interval, bootstrap_p, no_interval
from medtaskatlas.atlas.multitask.answers import counts
from medtaskatlas.atlas.multitask.references import Systems
from medtaskatlas.atlas.multitask.values import Value, subject_interval
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
            there = row["ci_low"] is not None
            family = f"multitask_gains, delta_m against {kind}: {row['scope']}"
            draws = row.pop("draws")
            p = {"p": bootstrap_p(draws), "p_family": family} if there else {}
            yield about | row | p
    everywhere = [name for name in systems if all(name in p.systems for p in problems)]
    ranks = {p.name: p.ranks(everywhere) for p in problems} if everywhere else {}
    for system in everywhere:
        about = {"reference_kind": "none", "measure": "mean_rank", "target": "all"}
        values = {name: of[system] for name, of in ranks.items()}
        for row in _means(system, values, problems, seed):
            del row["draws"]
            yield about | row


def _means(
    system: str, values: Mapping[str, Value], problems: Sequence[OneProblem], seed: int
) -> Iterator[dict[str, Any]]:
    """Two rows of a mean over problems, each with its draws [B]."""
    known = {name: value for name, value in values.items() if value.note is None}
    chosen = [p for p in problems if p.name in known]
    weighting = next(p.weightings[system] for p in problems if system in p.weightings)
    about: dict[str, Any] = {"problem": "all", "system": system, "weighting": weighting}
    if len(known) < 2:
        n = counts(pd.concat([p.images for p in problems if p.name in values]))
        why = no_interval(f"no mean: {len(known)} of {len(values)} problems have a number")
        for scope in ("these_problems", "problems"):
            yield about | {"scope": scope, "estimate": None, "draws": None} | vars(why) | n
        return
    draws = np.stack([value.draws for value in known.values()], axis=1)
    P = len(known)
    rng = generator(seed, "multitask bootstrap problems", P)
    weights = rng.multinomial(P, np.full(P, 1 / P), len(draws)) / P
    left_out = [f"without {name}: {v.note}" for name, v in values.items() if v.note]
    spreads = [v.each.var(ddof=1) for v in known.values() if len(v.each) > 1]
    about |= {
        "estimate": float(np.mean([v.estimate for v in known.values()])),
        "seed_sd": float(np.sqrt(np.sum(spreads)) / P) if len(spreads) == P else None,
        **counts(pd.concat([p.images for p in chosen])),
    }
    for scope, drawn in (
        ("these_problems", draws.mean(axis=1)),
        ("problems", (weights * draws).sum(axis=1)),
    ):
        made = _interval(drawn, chosen, known, drawn_problems=scope == "problems")
        note = "; ".join(filter(None, [made.note, *left_out])) or None
        yield about | {"scope": scope, "draws": drawn} | vars(made) | {"note": note}


def _interval(
    draws: np.ndarray,
    problems: Sequence[OneProblem],
    values: Mapping[str, Value],
    *,
    drawn_problems: bool,
) -> Interval:
    """Interval of a mean over problems; none where any problem, or their number, is too small."""
    if drawn_problems and len(problems) < MIN_GROUPS:
        return no_interval(
            f"no interval: {len(problems)} problems, at least {MIN_GROUPS} are needed"
        )
    least = min(problems, key=lambda p: counts(p.images)["n_subjects"])
    n = counts(least.images)
    n["n_datasets"] = max(counts(p.images)["n_datasets"] for p in problems)
    n_seeds = max(len(value.each) for value in values.values())
    return subject_interval(
        draws, n, n_seeds, len(problems) if drawn_problems else 1, f"problem {least.name}"
    )
