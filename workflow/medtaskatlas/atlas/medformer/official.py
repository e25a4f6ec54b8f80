"""Scores of Medformer's arms as MedMNIST defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medtaskatlas.atlas.multitask.answers import Asked
from medtaskatlas.atlas.multitask.bootstrap import Bootstrap
from medtaskatlas.atlas.multitask.values import Value
from medtaskatlas.problems.scores import Score

# Means of an area a class: of a class that the truth lacks there is none, so the mean is no number.
AREAS = ("macro_auc", "mean_auc")


class OfficialBootstrap(Bootstrap):
    """Scores of a set, of which areas are undefined where no image has one of the classes."""

    def value(
        self,
        asked: Asked,
        score: Score,
        system: str,
        seeds: Sequence[int],
        beside: str | None = None,
    ) -> Value:
        """Mean score of an arm over some of its seeds."""
        value = super().value(asked, score, system, seeds, beside)
        absent = self.absent[asked]
        if absent is None or score.name not in AREAS:
            return value
        note = f"{score.name} of {asked.target} is undefined: no image has {absent}"
        return replace(value, note=note)
