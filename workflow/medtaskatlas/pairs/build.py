"""Make one pair from its image and its parameters: what the pairs job and `replay` share.

The parameters of a main pair or a step of a trajectory are those of its task. A failure's are::

    {"main": draw, "task": {...}, "failure": {...}, "other": {"image_row": row, "task": {...}}}

the number and the parameters of the main pair that went wrong, those of the failure, and, where it
needs one, the pair of another image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from medtaskatlas.core.errors import TaskError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import Sample
from medtaskatlas.pairs.plan import PairPlan
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.tasks.failure import FAILURES
from medtaskatlas.tasks.task import Pair, Params, Task


@contextmanager
def _named(samples: Samples, row: int) -> Iterator[Sample]:
    """An image; what a task says of itself meanwhile also names the dataset and the image."""
    try:
        yield samples[row]
    except TaskError as error:
        image_id = samples.images.column("image_id")[row].as_py()
        raise TaskError(
            f"dataset {samples.images.dataset}, image {image_id}: {error.problem}", error.remedy
        ) from error


@dataclass(frozen=True)
class Maker:
    """Makes the right pairs of one set of one task on one dataset."""

    task: Task
    samples: Samples
    purpose: str  # a part of the generators' key
    seed: int

    def draw(self, plan: PairPlan) -> Params:
        """Parameters of a planned pair."""
        with _named(self.samples, plan.row) as sample:
            return self._drawn(sample, plan)

    def make(self, plan: PairPlan) -> tuple[Params, Pair]:
        """Parameters and pixels of a planned pair."""
        with _named(self.samples, plan.row) as sample:
            params = self._drawn(sample, plan)
            return params, self.task.make(sample, params)

    def _drawn(self, sample: Sample, plan: PairPlan) -> Params:
        """Parameters by the pair's number, so that all draws are the same along a trajectory."""
        dataset = self.samples.images.dataset
        rng = generator(self.seed, self.purpose, dataset, self.task.name, plan.draw)
        return self.task.parameters(rng, sample, plan.severity or 0.0)

    def check(self, plan: PairPlan, params: Params, pair: Pair) -> None:
        """Refuse a task that makes another pair the second time: no pair of it can be replayed."""
        other_params, other_pair = self.make(plan)
        if params == other_params and all(map(np.array_equal, pair, other_pair)):
            return
        what = "make other pixels" if params == other_params else "draw other params"
        with _named(self.samples, plan.row):
            raise TaskError(
                f"task {self.task.name}: two calls for params {params} {what}",
                "take all randomness from the generator that draw is given, and keep it in params",
            )


def make_pair(task: Task, samples: Samples, row: int, params: Params) -> Pair:
    """Input and output of a right pair, uint8 of the image's shape."""
    with _named(samples, row) as sample:
        return task.make(sample, params)


def go_wrong(task: Task, kind: str, samples: Samples, right: Pair, params: Params) -> np.ndarray:
    """Output of a failure, uint8 of the image's shape; for its parameters see the module."""
    other = right[1]
    if "other" in params:
        _, other = make_pair(task, samples, params["other"]["image_row"], params["other"]["task"])
    return FAILURES[kind].apply(*right, other, params["failure"])


def rebuild(task: Task, samples: Samples, row: int, params: Params, kind: str | None) -> Pair:
    """Make a pair of any set again; the kind is that of a failure, or None."""
    right = make_pair(task, samples, row, params if kind is None else params["task"])
    return right if kind is None else (right[0], go_wrong(task, kind, samples, right, params))
