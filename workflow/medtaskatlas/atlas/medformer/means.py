"""Means over the sets of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from medtaskatlas.atlas.multitask.answers import Counts, Problem, counts
from medtaskatlas.atlas.multitask.values import Value, mean_of, measured, with_test

ALL = "all"  # in the place of a set


def over_sets(
    values: Sequence[tuple[Problem, Value]], target: str, family: str | None = None
) -> dict[str, Any] | None:
    """Columns of the mean of a number over the sets in which it is defined; None under two.

    With its test, where a family is named. The sets are taken as they are, not drawn; there is an
    interval where the smallest has subjects enough. Of a set at several sizes one counts, before
    others the one that has its name; what does not is named.
    """
    every = [(problem, value) for problem, value in values if value.note is None]
    every.sort(key=lambda one: one[0].copy_of is not None)
    shown = {problem.copy_of or problem.name: problem.name for problem, _ in reversed(every)}
    known = [one for one in every if one[0].name in shown.values()]
    if len(known) < 2:
        return None
    images = [
        pd.concat([a.images for asked, a in problem.answers.items() if asked.target == target])
        for problem, _ in known
    ]
    n = counts(pd.concat(images))
    fewest = min(counts(each)["n_subjects"] for each in images)
    drawn = Counts(
        n_images=n["n_images"], n_groups=n["n_groups"], n_subjects=fewest, n_datasets=1
    )  # fmt: skip
    mean = mean_of([value for _, value in known])
    if again := sorted({problem.name for problem, _ in every} - {*shown.values()}):
        said = f"without {', '.join(again)}: other sizes of sets that are counted"
        mean = replace(mean, caution="; ".join(filter(None, [mean.caution, said])))
    row = measured(mean, drawn) if family is None else with_test(mean, drawn, family)
    return {"set": ALL, **row, **n}
