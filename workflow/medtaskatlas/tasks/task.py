"""What a task is, and the registry of tasks.

A task is a pure function of an image with its annotation and of drawn parameters::

    draw(rng, sample, severity) -> params      # JSON-able, holds all randomness
    apply(sample, params) -> (input, output)   # deterministic

so a pair can be made again from its row and its image.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtaskatlas.core.errors import TaskError, nearest
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.contract import SIDES, checked, locked, task_failure
from medtaskatlas.tasks.needs import HAS, NEEDS

FAMILIES = ("semantic", "generative", "transformation")
Params = dict[str, Any]
Pair = tuple[np.ndarray, np.ndarray]
Draw = Callable[[np.random.Generator, Sample, float], Params]
Apply = Callable[[Sample, Params], Pair]

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_json(params: Params) -> str:
    """Parameters as one line; equal parameters are equal lines."""
    return _ENCODER.encode(params)


@dataclass(frozen=True)
class Ladder:
    """How the severity of a task, 0 to 1, becomes the size of its effect.

    Attributes
    ----------
    effect, unit
        Name and unit of the effect, in the field's words.
    mildest, strongest
        Effect at severity 0 and at severity 1.
    """

    effect: str
    unit: str
    mildest: float
    strongest: float

    def at(self, severity: float) -> float:
        """Effect at a severity, linear between the ends."""
        return self.mildest + (self.strongest - self.mildest) * severity

    def __str__(self) -> str:
        return f"{self.effect} {self.mildest:g} to {self.strongest:g} ({self.unit})"


@dataclass(frozen=True)
class Task:
    """One vision task: what :func:`task` was given, under the name of the function."""

    name: str
    family: str
    description: str  # one line for people
    needs: frozenset[str]
    ladder: Ladder | None
    format_identifiable: bool
    draw: Draw
    apply: Apply
    extra: bool = False

    @property
    def stored_side(self) -> str:
        """The side that a pair file stores; the other one is the prepared image."""
        return "input" if self.family == "generative" else "output"

    def usable(self, sample: Sample) -> bool:
        """Whether an image has what the task needs, for example a mask that is not empty."""
        return all(HAS[need](sample) for need in self.needs)

    def parameters(self, rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        """Draw parameters for a severity of 0 to 1, as JSON keeps them.

        Raises TaskError if ``draw`` raises, or returns what is no JSON object.
        """
        try:
            drawn = self.draw(rng, locked(sample), severity)
        except Exception as error:
            what = f"task {self.name} could not draw params for severity {severity:g}"
            raise task_failure(what, error, self.draw) from error
        try:
            params = json.loads(as_json(drawn))
            if not isinstance(params, dict):
                raise TypeError(f"a {type(drawn).__name__} is no dict")
        except (TypeError, ValueError) as error:
            raise TaskError(
                f"task {self.name}: params {drawn!r} are not plain JSON ({error})",
                "return a dict of plain numbers, strings, lists and dicts from draw",
            ) from error
        return params

    def make(self, sample: Sample, params: Params, *, twice: bool = False) -> Pair:
        """Make a pair, uint8 of the image's shape; ``twice``, to compare, in checks.

        Raises TaskError, with task and parameters, if the task raises, writes to its input, returns
        another shape or type, changes the side that must be the image, or differs on repetition.
        """
        given = locked(sample)
        kept = 1 - SIDES.index(self.stored_side)

        def whose() -> str:
            return f"task {self.name} with params {params}"

        def applied() -> Pair:
            try:
                pair = self.apply(given, dict(params))
            except Exception as error:
                whole = f"task {self.name} failed with params {params}"
                raise task_failure(whole, error, self.apply) from error
            return checked(pair, given.image, kept, whose)

        pair = applied()
        for side, one, again in zip(SIDES, pair, applied(), strict=True) if twice else ():
            if not np.array_equal(one, again):
                raise TaskError(
                    f"{whose()}: is not deterministic, the {side} differs on repetition",
                    "draw all randomness in `draw`; `apply` may use a seed held in params",
                )
        return pair


REGISTRY: dict[str, Task] = {}


def task(
    *,
    family: str,
    draw: Draw,
    needs: tuple[str, ...] = (),
    ladder: Ladder | None = None,
    format_identifiable: bool = False,
    extra: bool = False,
) -> Callable[[Apply], Apply]:
    """Register the decorated ``apply`` function as a task of the same name.

    Parameters
    ----------
    family
        One of :data:`FAMILIES`. Semantic tasks and transformations take the image as input,
        generative tasks have it as output.
    draw
        Function that draws the parameters; :func:`no_params` where there are none.
    needs
        What an image must have, of :data:`medtaskatlas.tasks.needs.NEEDS`.
    ladder
        Severity ladder, if the idea has a degree.
    format_identifiable
        Whether the output alone names the task because of how it is drawn, where another way would
        say the same: colours for classes, rectangles for boxes, bumps for centres. A mask, its
        outline or its skeleton is the thing itself.
    extra
        Whether the task is outside the default grid of thirty: it runs only where it is named.

    Returns
    -------
    callable
        The decorator; it returns the function as it was.

    Raises
    ------
    TypeError, ValueError
        If the name is taken or a value is unknown or of the wrong type.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: {family!r} is unknown; {nearest(str(family), FAMILIES)}")
    if isinstance(needs, str):
        raise TypeError(f"needs: {needs!r} is text; write a tuple: needs=({needs!r},)")
    if unknown := [need for need in needs if need not in NEEDS]:
        raise ValueError(f"needs: {unknown[0]!r} is unknown; {nearest(str(unknown[0]), NEEDS)}")
    if not isinstance(ladder, Ladder | None):
        raise TypeError(
            f"ladder: {ladder!r} is none; write Ladder('effect', 'unit', mildest, strongest)"
        )
    if not callable(draw):
        raise TypeError(f"draw: {draw!r} is no function; write one, or draw=no_params")

    def register(apply: Apply) -> Apply:
        name = apply.__name__
        if name in REGISTRY:
            other = REGISTRY[name].apply.__module__
            raise ValueError(
                f"two tasks are called {name}, the other one is in {other}: rename the function"
            )
        description = (apply.__doc__ or "").strip().split("\n")[0].rstrip(".")
        if not description:
            raise ValueError(f"task {name} needs a docstring: its first line describes it")
        REGISTRY[name] = Task(
            name=name,
            family=family,
            description=description,
            needs=frozenset(needs),
            ladder=ladder,
            format_identifiable=format_identifiable,
            draw=draw,
            apply=apply,
            extra=extra,
        )
        return apply

    return register


def draws(**parts: Ladder | Callable[[np.random.Generator], Any]) -> Draw:
    """Draw named parameters in this order: the effect of a ladder, or what a function draws."""

    def draw(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        return {
            name: part.at(severity) if isinstance(part, Ladder) else part(rng)
            for name, part in parts.items()
        }

    return draw


def no_params(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    """Draw nothing: for tasks that are functions of the image alone."""
    return {}
