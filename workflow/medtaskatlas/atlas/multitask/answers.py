"""Predictions of all systems of a problem, brought onto the same images in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import pandas as pd

from medtaskatlas.atlas.resampling import Design
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask import read_multitask_predictions, statistics_of
from medtaskatlas.problems.scores import SCORES, Score, check_statistics, scores_of

REMEDY = "delete the multitask folder of the run and start the run again"
IMAGE = ["fold", "dataset", "subject", "group_id", "image_id"]


class Counts(TypedDict):
    """Distinct images, groups, subjects and datasets."""

    n_images: int
    n_groups: int
    n_subjects: int
    n_datasets: int


class Training(NamedTuple):
    """One training of a system; ``beside`` is the target that was trained with it, of pairs."""

    system: str
    seed: int
    beside: str | None = None


class Asked(NamedTuple):
    """A target, and the kind of statistics that its scores are made of."""

    target: str
    statistics_kind: str


@dataclass(frozen=True)
class Answers:
    """What all trainings say of one target, on the same N images."""

    facts: Mapping[str, Any]  # of the target: its kind, classes, unit
    scores: tuple[Score, ...]  # the primary one first
    images: pd.DataFrame  # [N] columns IMAGE
    statistics: dict[Training, np.ndarray]  # float32 [N, K] each


@dataclass(frozen=True)
class Problem:
    """Answers of one problem on one split, by target."""

    name: str
    split: str
    weightings: Mapping[str, str]  # of every system, by its name
    answers: Mapping[Asked, Answers]
    copy_of: str | None = None  # the problem that asks about the same images at another size

    @cached_property
    def _joined(self) -> pd.DataFrame:
        """Images of all answers below each other."""
        return pd.concat([a.images for a in self.answers.values()], ignore_index=True)

    @cached_property
    def design(self) -> Design:
        """Subjects within datasets: they are drawn together for all targets and systems."""
        rows = self._joined[["dataset", "subject"]]
        return Design.of(rows.rename(columns={"subject": "subject_id"}).assign(task=""))

    @cached_property
    def subjects(self) -> dict[Asked, np.ndarray]:
        """Subject int [N] of every image of an answer, as the design numbers them."""
        ends = np.cumsum([len(a.images) for a in self.answers.values()])
        parts = np.split(self.design.subject, ends[:-1])
        return dict(zip(self.answers, parts, strict=True))

    @cached_property
    def primary(self) -> dict[str, tuple[Asked, Score]]:
        """The score of every target that counts in delta-m: the first that is bounded."""
        found: dict[str, tuple[Asked, Score]] = {}
        order = list(SCORES)
        for asked in sorted(self.answers, key=lambda a: (a.target, order.index(a.statistics_kind))):
            for score in self.answers[asked].scores:
                if score.low is not None and score.high is not None:
                    found.setdefault(asked.target, (asked, score))
        return found

    def trainings(self, asked: Asked) -> list[Training]:
        """Trainings that answer a target, sorted."""
        order = self.answers[asked].statistics
        return sorted(order, key=lambda t: (t.system, t.beside or "", t.seed))

    def seeds(self, system: str, beside: str | None = None, target: str | None = None) -> list[int]:
        """Seeds of a system, with those of all targets or of one."""
        return sorted(
            {
                training.seed
                for asked, answers in self.answers.items()
                if target in (None, asked.target)
                for training in answers.statistics
                if (training.system, training.beside) == (system, beside)
            }
        )

    def counts(self, *asked: Asked) -> Counts:
        """Counts of the images of some answers together; of all answers without any."""
        chosen = [self.answers[one].images for one in asked or self.answers]
        return counts(pd.concat(chosen) if len(chosen) > 1 else chosen[0])


def counts(images: pd.DataFrame) -> Counts:
    """Counts of images by ``dataset``, ``image_id`` (null: a whole group), group and subject."""
    known = images[images["image_id"].notna()]
    return Counts(
        n_images=len(known[["dataset", "image_id"]].drop_duplicates()),
        n_groups=len(images[["dataset", "group_id"]].drop_duplicates()),
        n_subjects=int(images["subject"].nunique()),
        n_datasets=int(images["dataset"].nunique()),
    )


def load_problems(
    paths: Iterable[str | Path], *, run: str, splits: tuple[str, ...] = ("test",)
) -> list[Problem]:
    """Read all predictions of a run, one :class:`Problem` a problem and split.

    Parameters
    ----------
    paths
        Files of :func:`medtaskatlas.formats.multitask.write_predictions`.
    run
        Name of the run that they must be of.
    splits
        Splits that are wanted.

    Raises
    ------
    DataError
        If a file is damaged or of another run, an image is answered twice, or two trainings of a
        problem are asked about other images.
    """
    parts: dict[tuple[str, str], dict[Asked, Answers]] = {}
    weightings: dict[str, dict[str, str]] = {}
    copies: dict[str, str] = {}
    for path in map(Path, paths):
        frame, facts = read_multitask_predictions(path)
        if set(frame["run"]) - {run}:
            raise DataError(f"{path} is of run {frame['run'].iloc[0]!r}, not {run!r}", REMEDY)
        copies |= facts.get("copies", {})
        frame = frame[frame["split"].isin(splits)]
        # One person is one subject in all datasets; where nobody says who, a group stands for one.
        own = frame["dataset"] + "/" + frame["group_id"]
        frame = frame.assign(subject=frame["subject_id"].where(frame["subject_id"].notna(), own))
        keys = ["problem", "split", "target", "statistics_kind", "system", "weighting", "seed"]
        for key, rows in frame.groupby([*keys, "beside"], sort=False, dropna=False):
            problem, split, target, kind, system, weighting, seed, beside = cast(Any, key)
            weightings.setdefault(problem, {})[system] = weighting
            answers = parts.setdefault((problem, split), {})
            training = Training(system, int(seed), beside if isinstance(beside, str) else None)
            # Fitted in every fold, to the same classes and in the same unit.
            of_all = facts.get("targets_of", {}).get(problem)
            about = (of_all or facts["targets"][str(rows["fold"].iloc[0])])[target]
            try:
                _add(answers, Asked(target, kind), about, training, rows)
            except ValueError as error:
                raise DataError(f"{path}: {target} {error}", REMEDY) from error
    return [
        Problem(problem, split, weightings[problem], answers, copies.get(problem))
        for (problem, split), answers in sorted(parts.items())
    ]


def _add(
    answers: dict[Asked, Answers],
    asked: Asked,
    facts: Mapping[str, Any],
    training: Training,
    rows: pd.DataFrame,
) -> None:
    """Add what one training says of a target; a ValueError says what does not fit."""
    rows = rows.sort_values(IMAGE, kind="stable")
    images, statistics = rows[IMAGE].reset_index(drop=True), statistics_of(rows)
    check_statistics(asked.statistics_kind, statistics)
    if asked not in answers:
        classes = facts.get("classes", ())
        scores = scores_of(asked.statistics_kind, statistics.shape[1], classes)
        answers[asked] = Answers(facts, scores, images, {})
    known = answers[asked]
    if not known.images.equals(images):
        raise ValueError("is asked of other images than of the trainings before it")
    if training in known.statistics:
        raise ValueError(f"is answered twice by {training}")
    known.statistics[training] = statistics
