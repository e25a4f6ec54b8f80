"""Which images, severities and failures the pairs of one task on one dataset are made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from medtaskatlas.core.apportion import apportion
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import SPLITS
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.tasks.task import Task

# Training and evaluation draw severities from one distribution, uniform over this range: below it
# 8 bits swallow the effect of many tasks.
SEVERITY_RANGE = (0.2, 1.0)


@dataclass(frozen=True)
class PairPlan:
    """What one pair is made from."""

    row: int  # row of the image in its file
    draw: int  # number of the main pair or of the trajectory; seeds its generator
    severity: float | None  # 0 to 1, or None where the task has no ladder
    level: int | None = None  # step of a trajectory; None elsewhere


def image_order(samples: Samples, splits: Sequence[str], seed: int) -> np.ndarray:
    """Order in which the images of some splits are used, the same for every task.

    So the pairs of two tasks on a dataset share their images as far as both can use them: in a
    batch, content then tells nothing about the task.
    """
    rows = np.concatenate([samples.rows_of(split) for split in splits])
    return generator(seed, "image order", samples.images.dataset, *splits).permutation(rows)


def first_usable(task: Task, samples: Samples, order: np.ndarray, count: int) -> list[int]:
    """The first images of an order that a task can use."""
    found: list[int] = []
    for row in order.tolist():
        if len(found) == count:
            break
        if not task.needs or task.usable(samples[row]):
            found.append(row)
    return found


@dataclass(frozen=True)
class Cell:
    """The main pairs of a task on a dataset, before they are made."""

    task: Task
    dataset: str
    seed: int
    # Split to the images that its pairs use in turn; a split without usable images is absent.
    rows: Mapping[str, list[int]]
    # Split to its number of pairs. Pairs are numbered through, split by split.
    counts: Mapping[str, int]

    def draws(self, split: str) -> range:
        """Numbers of the pairs of a split."""
        splits = list(self.counts)
        begin = sum(self.counts[earlier] for earlier in splits[: splits.index(split)])
        return range(begin, begin + self.counts[split])

    def plan(self, split: str, draw: int) -> PairPlan:
        """One pair of a split."""
        rows = self.rows[split]
        row = rows[(draw - self.draws(split).start) % len(rows)]
        severity = None
        if self.task.ladder is not None:
            rng = generator(self.seed, "severity", self.dataset, self.task.name, draw)
            severity = float(np.float32(rng.uniform(*SEVERITY_RANGE)))
        return PairPlan(row, draw, severity)

    def main(self) -> Iterator[PairPlan]:
        """All main pairs."""
        for split in self.counts:
            for draw in self.draws(split):
                yield self.plan(split, draw)


def plan_cell(
    task: Task, samples: Samples, *, pairs: int, splits: Mapping[str, float], seed: int
) -> Cell:
    """Choose the images of main pairs; a split without usable images leaves its share to others."""
    orders = {split: image_order(samples, [split], seed) for split in SPLITS}
    usable = [split for split in SPLITS if first_usable(task, samples, orders[split], 1)]
    counts = {}
    if usable and pairs:
        counts = apportion(pairs, {split: splits[split] for split in usable})
    rows = {s: first_usable(task, samples, orders[s], counts[s]) for s in counts}
    return Cell(task, samples.images.dataset, seed, rows, counts)


def plan_trajectories(
    task: Task, samples: Samples, *, images: int, levels: int, heldout: bool, seed: int
) -> Iterator[PairPlan]:
    """Choose the images of trajectories: the same draw at every severity of the ladder.

    Unless the dataset is held out of training, only its val and test images are used.
    """
    if task.ladder is None:
        return
    order = image_order(samples, SPLITS if heldout else SPLITS[1:], seed)
    for draw, row in enumerate(first_usable(task, samples, order, images)):
        for level in range(levels):
            yield PairPlan(row, draw, float(np.float32(level / (levels - 1))), level)


@dataclass(frozen=True)
class FailurePlan:
    """What one failure is made from: a main pair that is to go wrong."""

    number: int  # seeds its generator
    turn: int  # which kind of failure is due; to be taken modulo their number
    main: PairPlan
    # A main pair of the same split on another image, of another group where there is one;
    # None where all pairs of the split share one image.
    other: PairPlan | None


def plan_failures(
    cell: Cell, samples: Samples, *, pairs: int, splits: Mapping[str, float], kinds: int
) -> Iterator[FailurePlan]:
    """Choose the main pairs that go wrong: in turn, and kinds take turns.

    Datasets and splits begin with different kinds, so that a few failures a cell come to all.
    """
    if not cell.counts or not pairs:
        return
    number = 0
    for split, count in apportion(pairs, {s: splits[s] for s in cell.counts}).items():
        draws, rows = cell.draws(split), cell.rows[split]
        groups = samples.images.column("group_id").take(pa.array(rows)).to_pylist()
        # What the other image must differ in; slices of one volume are nearly the same picture.
        marks = groups if len(set(groups)) > 1 else list(range(len(rows)))
        first = generator(cell.seed, "first kind", cell.dataset, split).integers(kinds)
        for i in range(count):
            # Each pair meets each kind once before one again: the Chinese remainder theorem.
            turn = int(first) + i + i // math.lcm(len(draws), kinds)
            place = i % len(draws)
            rng = generator(cell.seed, "other pair", cell.dataset, cell.task.name, number)
            other = _another(marks, place, int(rng.integers(len(draws))), len(draws))
            yield FailurePlan(
                number,
                turn,
                cell.plan(split, draws[place]),
                None if other is None else cell.plan(split, draws[other]),
            )
            number += 1


def _another(marks: Sequence[str | int], place: int, start: int, count: int) -> int | None:
    """First of `count` pairs, from `start` on, whose image has another mark than `place`'s."""
    n = len(marks)
    # Images repeat after n pairs; where the round wraps, it may take another n to see them all.
    places = ((start + step) % count for step in range(min(count, 2 * n)))
    return next((p for p in places if marks[p % n] != marks[place % n]), None)
