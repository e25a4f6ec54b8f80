"""Make one pair from its image and its parameters: what the pairs job and `replay` share.

The parameters of a main pair or a step of a trajectory are those of its task. A failure's are::

    {"main": draw, "task": {...}, "failure": {...}, "other": {"image_row": row, "task": {...}}}

the number and the parameters of the main pair that went wrong, those of the failure, and, where it
needs one, the pair of another image.
"""

from __future__ import annotations

import json
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
from medtaskatlas.tasks.task import Params, Task, task_failure

Pair = tuple[np.ndarray, np.ndarray]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_json(params: Params) -> str:
    """Parameters as one line; equal parameters are equal lines.

    Parameters
    ----------
    params
        Plain JSON values.

    Returns
    -------
    str
        JSON with sorted keys.

    Raises
    ------
    TypeError, ValueError
        If they are not plain JSON.
    """
    return _ENCODER.encode(params)


@contextmanager
def named(samples: Samples, row: int) -> Iterator[None]:
    """Add dataset and image to what a task says of itself.

    Parameters
    ----------
    samples
        The prepared images.
    row
        Row of the image.

    Raises
    ------
    TaskError
        What was raised inside, with dataset and image before it.
    """
    try:
        yield
    except TaskError as error:
        image_id = samples.images.column("image_id")[row].as_py()
        raise TaskError(
            f"dataset {samples.images.dataset}, image {image_id}: {error.problem}", error.remedy
        ) from error


def draw_params(
    task: Task, sample: Sample, plan: PairPlan, *, purpose: str, dataset: str, seed: int
) -> tuple[Params, str]:
    """Draw the parameters of a planned pair.

    Parameters
    ----------
    task
        The task.
    sample
        The image.
    plan
        The planned pair. Its generator depends on its number, not on its severity or level: along a
        trajectory every draw is the same.
    purpose
        What the draw is for, a part of the generator's key.
    dataset
        Name of the dataset.
    seed
        The run's seed.

    Returns
    -------
    params
        JSON-able parameters; they have been through JSON, so a replay sees the same numbers.
    text
        The same as JSON.

    Raises
    ------
    TaskError
        If the task raises, or the parameters are not plain JSON.
    """
    rng = generator(seed, purpose, dataset, task.name, plan.draw)
    severity = 0.0 if plan.severity is None else plan.severity
    try:
        drawn = task.draw(rng, sample, severity)
    except Exception as error:
        what = f"task {task.name} could not draw params for severity {severity:g}"
        raise task_failure(what, error, task.draw) from error
    try:
        text = as_json(drawn)
        return dict(json.loads(text)), text
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"task {task.name}: params {drawn!r} are not plain JSON ({error})",
            "return a dict of plain numbers, strings, lists and dicts from draw",
        ) from error


@dataclass(frozen=True)
class Made:
    """A right pair.

    Attributes
    ----------
    params
        Its parameters; they have been through JSON, so a replay sees the same numbers.
    text
        The same as JSON.
    pair
        Input and output, uint8 of the image's shape.
    """

    params: Params
    text: str
    pair: Pair


@dataclass(frozen=True)
class Maker:
    """Makes the right pairs of one set of one task on one dataset.

    Attributes
    ----------
    task
        The task.
    samples
        The prepared images.
    purpose
        What the draws are for, a part of their generators' key.
    seed
        The run's seed.
    """

    task: Task
    samples: Samples
    purpose: str
    seed: int

    def draw(self, plan: PairPlan) -> tuple[Params, str]:
        """Draw the parameters of a planned pair; see :func:`draw_params`.

        Parameters
        ----------
        plan
            The planned pair.

        Returns
        -------
        params
            What :attr:`Made.params` has.
        text
            The same as JSON.

        Raises
        ------
        TaskError
            If the task raises, or the parameters are not plain JSON.
        """
        with named(self.samples, plan.row):
            return self._drawn(self.samples[plan.row], plan)

    def make(self, plan: PairPlan) -> Made:
        """Make a planned pair.

        Parameters
        ----------
        plan
            The planned pair.

        Returns
        -------
        Made
            The pair and its parameters.

        Raises
        ------
        TaskError
            If the task breaks its contract; names dataset, image and parameters.
        """
        with named(self.samples, plan.row):
            sample = self.samples[plan.row]
            params, text = self._drawn(sample, plan)
            return Made(params, text, self.task.make(sample, params))

    def _drawn(self, sample: Sample, plan: PairPlan) -> tuple[Params, str]:
        """Parameters and their JSON."""
        dataset = self.samples.images.dataset
        return draw_params(
            self.task, sample, plan, purpose=self.purpose, dataset=dataset, seed=self.seed
        )

    def check(self, plan: PairPlan, made: Made) -> None:
        """Refuse a task that makes another pair the second time: no pair of it can be replayed.

        Parameters
        ----------
        plan
            A planned pair.
        made
            What was made of it.

        Raises
        ------
        TaskError
            Names dataset, image and parameters.
        """
        again = self.make(plan)
        same = all(np.array_equal(a, b) for a, b in zip(made.pair, again.pair, strict=True))
        if again.text == made.text and same:
            return
        what = "make other pixels" if again.text == made.text else "draw other params"
        with named(self.samples, plan.row):
            raise TaskError(
                f"task {self.task.name}: two calls for params {made.text} {what}",
                "take all randomness from the generator that draw is given, and keep it in params",
            )


def make_pair(task: Task, samples: Samples, row: int, params: Params) -> Pair:
    """Make a right pair.

    Parameters
    ----------
    task
        The task.
    samples
        The prepared images.
    row
        Row of the image.
    params
        Parameters of the task.

    Returns
    -------
    tuple of numpy.ndarray
        Input and output, uint8 of the image's shape.

    Raises
    ------
    TaskError
        If the task breaks its contract; names dataset, image and parameters.
    """
    with named(samples, row):
        return task.make(samples[row], params)


def go_wrong(task: Task, kind: str, samples: Samples, right: Pair, params: Params) -> np.ndarray:
    """Output of a failure.

    Parameters
    ----------
    task
        The task that goes wrong.
    kind
        One of :data:`~medtaskatlas.tasks.failure.FAILURES`.
    samples
        The prepared images.
    right
        The right pair.
    params
        Parameters of the failure; see the module.

    Returns
    -------
    numpy.ndarray
        uint8 of the image's shape.
    """
    other = right[1]
    if "other" in params:
        _, other = make_pair(task, samples, params["other"]["image_row"], params["other"]["task"])
    return FAILURES[kind].apply(*right, other, params["failure"])


def rebuild(
    task: Task, samples: Samples, row: int, params: Params, kind: str | None = None
) -> Pair:
    """Make a pair of any set again.

    Parameters
    ----------
    task
        The task.
    samples
        The prepared images.
    row
        Row of the image.
    params
        What the pair's row says.
    kind
        Kind of failure; None where the pair is a right one.

    Returns
    -------
    tuple of numpy.ndarray
        Input and output, uint8 of the image's shape.

    Raises
    ------
    TaskError
        If the task breaks its contract.
    """
    if kind is None:
        return make_pair(task, samples, row, params)
    right = make_pair(task, samples, row, params["task"])
    return right[0], go_wrong(task, kind, samples, right, params)
