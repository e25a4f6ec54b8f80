"""The table `medformer_gains`: arms that differ in one thing, on the same test images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from medtaskatlas.atlas.columns import RUN, SEED, TableSpec, text
from medtaskatlas.atlas.inference import adjust
from medtaskatlas.atlas.medformer import columns
from medtaskatlas.atlas.medformer.duplicates import (
    DUPLICATES,
    KEPT,
    LEFT_OUT,
    read_left_out,
    without,
)
from medtaskatlas.atlas.medformer.means import ALL, over_sets
from medtaskatlas.atlas.medformer.official import OfficialBootstrap
from medtaskatlas.atlas.multitask.answers import Asked, Counts, Problem, load_problems
from medtaskatlas.atlas.multitask.bootstrap import DRAWS, Bootstrap
from medtaskatlas.atlas.multitask.columns import SPLIT, TESTED
from medtaskatlas.atlas.multitask.values import Value, difference, with_test
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.medformer.options import WRONG_LATENTS, arm_of, system_of, wrong_latents
from medtaskatlas.problems.scores import Score

Arms = Mapping[str, Mapping[str, Any]]

SPEC = TableSpec(
    "What does pre-training, sharing of sets, a latent or a way to adapt gain? Differences of two "
    "arms on the same test images, drawn together, with seeds in pairs; adjusted over the sets.",
    ("run", "set", "arm", "reference", "labels", "duplicates", "target", "score"),
    (
        *(RUN, columns.SET, columns.ARM, columns.LABELS, SEED, SPLIT, DUPLICATES, columns.TARGET),
        text("reference", "the arm that it is compared with"),
        text(
            "differs",
            "in what they differ: an option of the arms (start, sets, adapt, latents, stems, "
            "align, model); matched: pre-trained against trained for as many more steps, or these "
            "against fewer; "
            "wrong_latents: the same model with the right and with wrong latents",
        ),
        columns.SCORE,
        *TESTED,
    ),
)


class Pair(NamedTuple):
    """Two arms that are compared."""

    arm: str
    reference: str
    differs: str


def medformer_gains(
    prediction_paths: Iterable[str | Path],
    duplicates_path: str | Path,
    out: str | Path,
    *,
    run: str,
    arms: Arms,
    steps: Mapping[str, int] = MappingProxyType({}),
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `medformer_gains`.

    Of every set, and (``set`` is ``all``) the mean over those sets that have both arms and the
    score; once more without duplicates, where sets have any. p inverts the percentile interval
    over subjects and seeds; it is adjusted by Holm over the sets of a comparison.

    Parameters
    ----------
    prediction_paths
        All predictions of Medformer's arms in the run.
    duplicates_path
        The table `medformer_duplicates`.
    out
        results/<run>/tables/medformer_gains.parquet.
    run
        Name of the run.
    arms
        Options of every configured arm, by name: they say which are compared.
    steps
        Of every pre-training, by name: one that is as long stands for another in `matched`.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.
    """
    whole = {p.name: p for p in load_problems(prediction_paths, run=run)}
    left_out = read_left_out(duplicates_path, run)
    found = {name: without(problem, left_out) for name, problem in whole.items()}
    reduced = {name: problem for name, problem in found.items() if problem is not None}
    bootstraps = {n: OfficialBootstrap(p, seed, n_draws) for n, p in whole.items()}
    compared = list(pairs(arms, steps))
    rows = [row for pair in compared for row in _rows(pair, bootstraps)]
    if reduced:
        # With all sets, since p is adjusted over them.
        bootstraps |= {n: OfficialBootstrap(p, seed, n_draws) for n, p in reduced.items()}
        rows += [row for pair in compared for row in _rows(pair, bootstraps, reduced)]
    frame = pd.DataFrame([{"run": run, "split": "test", "seed": None, **row} for row in rows])
    if len(frame):
        frame = adjust(frame, "holm")
        told = (frame["duplicates"] == KEPT) | frame["set"].isin({*reduced, ALL})
        frame = frame[told]
    write_table("medformer_gains", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def pairs(arms: Arms, steps: Mapping[str, int] = MappingProxyType({})) -> Iterator[Pair]:
    """Arms that differ in one option, the later one against the earlier; and controls."""
    for name, other in combinations(arms, 2):
        one, two = arms[name], arms[other]
        keys = {k for k in one if k not in ("label_fractions", "seeds") and one[k] != two[k]}
        if "model" in keys:
            baseline = name if one["model"] != "medformer" else other
            arm = other if baseline == name else name
            if arms[arm]["model"] == "medformer":
                yield Pair(arm, baseline, "model")
        elif keys == {"start", "matched"}:
            arm = name if one["matched"] is None else other
            reference = other if arm == name else name
            made, matched = arms[arm]["start"], arms[reference]["matched"]
            if steps.get(made, made) == steps.get(matched, matched):
                yield Pair(arm, reference, "matched")
        elif len(keys) == 1:
            yield Pair(other, name, keys.pop())
    for name, options in arms.items():
        if options["sets"] == "all":
            yield Pair(name, wrong_latents(name), WRONG_LATENTS)


def _rows(
    pair: Pair, bootstraps: Mapping[str, Bootstrap], reduced: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a comparison: of every share of the labels, score and set, and of their mean.

    ``reduced`` names the sets that are without duplicates now.
    """
    of_score: dict[tuple[int, str, str], dict[str, tuple[Value, Counts]]] = {}
    for set_name, bootstrap in bootstraps.items():
        for asked, answers in bootstrap.problem.answers.items():
            for labels, score in product(_labels(bootstrap.problem, pair), answers.scores):
                value = _change(bootstrap, pair, labels, (asked, score))
                found = of_score.setdefault((labels, asked.target, score.name), {})
                found[set_name] = value, bootstrap.problem.counts(asked)
    for (labels, target, name), found in of_score.items():
        about = {**pair._asdict(), "labels": labels, "target": target, "score": name}
        about["duplicates"] = KEPT if reduced is None else LEFT_OUT
        family = f"medformer_gains, {name} of {target}, {labels} %: {' against '.join(pair[:2])}"
        family += ", without duplicates" * (reduced is not None)
        for one, (value, n) in found.items():
            yield about | {"set": one} | with_test(value, n, family)
        values = [(bootstraps[one].problem, value) for one, (value, _) in found.items()]
        known = {one for one, (value, _) in found.items() if value.note is None}
        mean = over_sets(values, target, f"{family}, mean")
        if mean is not None and (reduced is None or not known.isdisjoint(reduced)):
            yield about | mean


def _labels(problem: Problem, pair: Pair) -> list[int]:
    """Percents of the labels with which both arms were trained, with a seed in common."""
    known = [arm_of(system) for system in problem.weightings]
    both = [{labels for arm, labels in known if arm == name} for name in pair[:2]]
    return sorted(n for n in set.intersection(*both) if _seeds(problem, pair, n))


def _seeds(problem: Problem, pair: Pair, labels: int) -> list[int]:
    """Seeds that both arms were trained with."""
    of = (set(problem.seeds(system_of(name, labels))) for name in pair[:2])
    return sorted(set.intersection(*of))


def _change(bootstrap: Bootstrap, pair: Pair, labels: int, what: tuple[Asked, Score]) -> Value:
    """Difference of a score, positive where the arm is better."""
    (asked, score), problem = what, bootstrap.problem
    systems = [system_of(name, labels) for name in pair[:2]]
    seeds = _seeds(problem, pair, labels)
    one, base = (bootstrap.value(asked, score, system, seeds) for system in systems)
    return difference(one, base, higher=score.higher_is_better, relative=False)
