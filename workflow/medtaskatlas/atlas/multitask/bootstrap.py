"""Scores of trainings on bootstrap draws that all systems of a problem share.

The bootstrap is that of :mod:`medtaskatlas.atlas.resampling`.
Subjects are drawn once a problem and split, so that systems and targets are compared on the same
ones. Seeds are drawn in pairs: seed 0 of one system goes with seed 0 of the other, since both start
from the same folds and the same order of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.multitask.answers import Asked, Problem, Training
from medtaskatlas.atlas.multitask.values import Value
from medtaskatlas.atlas.resampling import Draws, draw, draw_seeds
from medtaskatlas.core.seeds import generator
from medtaskatlas.problems.scores import Score, absent_classes

DRAWS = 1000
# Weights of so many images and draws are made at once: 32 MB.
BLOCK = 4_000_000


class Bootstrap:
    """Scores of one problem on one split, as they are and on B draws."""

    def __init__(self, problem: Problem, seed: int, n_draws: int = DRAWS) -> None:
        self.problem, self.seed, self.n_draws = problem, seed, n_draws
        self._known: dict[tuple[Asked, str, Training], np.ndarray] = {}

    @cached_property
    def draws(self) -> Draws:
        """Weights of datasets and subjects: first of the data as they are, then of the draws."""
        design = self.problem.design
        rng = generator(self.seed, "multitask bootstrap", self.problem.name, self.problem.split)
        drawn = draw(design, rng, self.n_draws, fixed_datasets=len(design.datasets) == 1)
        return Draws(*(np.concatenate([np.ones((1, w.shape[1])), w]) for w in vars(drawn).values()))

    def seed_weights(self, n_seeds: int) -> np.ndarray:
        """Weights [B, S] of the seeds, the same for every system that has as many."""
        rng = generator(self.seed, "multitask bootstrap seeds", self.problem.name, n_seeds)
        return draw_seeds(rng, n_seeds, self.n_draws)

    def scored(self, asked: Asked, score: Score, training: Training) -> np.ndarray:
        """Score [1 + B] of a training: as it is, then of the draws; nan where undefined."""
        key = asked, score.name, training
        if key not in self._known:
            cells = [self._cell(asked, score, training, rows) for _, _, rows in self.cells[asked]]
            self._known[key] = self._mean(asked, np.stack(cells, axis=1))
        return self._known[key]

    @cached_property
    def cells(self) -> dict[Asked, list[tuple[str, int, np.ndarray]]]:
        """Dataset, fold and images int [n] of every part in which a score is computed.

        Networks of two folds are on no common scale, so no score ranks images across folds.
        """
        return {
            asked: [
                (dataset, int(fold), np.asarray(rows))
                for (dataset, fold), rows in sorted(_parts(answers.images).items())
            ]
            for asked, answers in self.problem.answers.items()
        }

    def _cell(self, asked: Asked, score: Score, training: Training, rows: np.ndarray) -> np.ndarray:
        """Score [1 + B] in one part, in blocks of draws."""
        statistics = self.problem.answers[asked].statistics[training][rows]
        subjects = self.problem.subjects[asked][rows]
        size = max(1, BLOCK // len(rows))
        blocks = [
            score.compute(statistics, self.draws.subject[start : start + size][:, subjects])
            for start in range(0, 1 + self.n_draws, size)
        ]
        return np.concatenate(blocks)

    def _mean(self, asked: Asked, cells: np.ndarray) -> np.ndarray:
        """Mean [1 + B] of cells [1 + B, C] over folds, then over datasets as they were drawn.

        Undefined as a whole where it is so in any cell of the data; a draw leaves such cells out.
        """
        of = [self.problem.design.datasets.index(dataset) for dataset, _, _ in self.cells[asked]]
        folds = np.bincount(of, minlength=len(self.problem.design.datasets))[of]
        weight = self.draws.dataset[:, of] / folds * np.isfinite(cells)
        total = weight.sum(axis=1)
        mean = np.full(len(cells), np.nan)
        np.divide((weight * np.nan_to_num(cells)).sum(axis=1), total, out=mean, where=total > 0)
        mean[0] = mean[0] if np.isfinite(cells[0]).all() else np.nan
        return mean

    @cached_property
    def absent(self) -> dict[Asked, str | None]:
        """Classes that no image of some part has, in words; None where each part has all."""
        return {asked: self._absent(asked) for asked in self.cells}

    def _absent(self, asked: Asked) -> str | None:
        """The same of one target."""
        answers = self.problem.answers[asked]
        truth = next(iter(answers.statistics.values()))
        names = answers.facts.get("classes", ())
        found = [
            f"{names[i] if i < len(names) else i} in {_where(dataset, fold)}"
            for dataset, fold, rows in self.cells[asked]
            for i in absent_classes(asked.statistics_kind, truth[rows])
        ]
        if not found:
            return None
        more = f" and {len(found) - 3} more" * (len(found) > 3)
        return f"{', '.join(found[:3])}{more}"

    def undefined(self, asked: Asked, score: Score, training: Training) -> str | None:
        """Reason why a score is undefined on the data: the first part in which it is."""
        for dataset, fold, rows in self.cells[asked]:
            weights = np.ones((1, len(rows)))
            statistics = self.problem.answers[asked].statistics[training][rows]
            if not np.isfinite(score.compute(statistics, weights)).all():
                return f"{score.name} of {asked.target} is undefined in {_where(dataset, fold)}"
        return None

    def value(
        self,
        asked: Asked,
        score: Score,
        system: str,
        seeds: Sequence[int],
        beside: str | None = None,
    ) -> Value:
        """Mean score of a system over some of its seeds."""
        trainings = [Training(system, seed, beside) for seed in seeds]
        scored = np.stack([self.scored(asked, score, training) for training in trainings])
        each, draws = scored[:, 0], scored[:, 1:]
        bad = [t for t, number in zip(trainings, each, strict=True) if not np.isfinite(number)]
        note = self.undefined(asked, score, bad[0]) if bad else None
        weights = self.seed_weights(len(seeds))
        # A seed that was not drawn has no say, whether it is defined or not.
        terms = np.where(weights.T > 0, weights.T * draws, 0)
        absent = self.absent[asked]
        caution = f"{asked.target} leaves out what no image has: {absent}" if absent else None
        low = -np.inf if score.low is None else score.low
        high = np.inf if score.high is None else score.high
        return Value(each, float(each.mean()), terms.sum(axis=0), note, caution, low, high)


def _where(dataset: str, fold: int) -> str:
    """Name of a part."""
    return dataset if fold < 0 else f"{dataset}, fold {fold}"


def _parts(images: pd.DataFrame) -> dict[Any, Any]:
    """Rows of images by dataset and fold."""
    return dict(images.groupby(["dataset", "fold"]).indices)
