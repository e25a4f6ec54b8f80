"""What a task is, and the registry of tasks.

A task is a pure function of an image with its annotation and of drawn parameters::

    draw(rng, sample, severity) -> params      # JSON-able, holds all randomness
    apply(sample, params) -> (input, output)   # deterministic

so a pair can be made again from its row and its image.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import AtlasError, ConfigError, TaskError, nearest
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.contract import checked, locked, same
from medtaskatlas.tasks.needs import HAS, NEEDS, is_colour  # noqa: F401  (callers find it here)

FAMILIES = ("semantic", "generative", "transformation")
Params = dict[str, Any]
Draw = Callable[[np.random.Generator, Sample, float], Params]
Apply = Callable[[Sample, Params], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Ladder:
    """How the severity of a task, 0 to 1, becomes the size of its effect.

    Attributes
    ----------
    effect
        Name of the effect, in the field's words.
    unit
        Unit of the effect.
    mildest, strongest
        Effect at severity 0 and at severity 1.
    """

    effect: str
    unit: str
    mildest: float
    strongest: float

    def at(self, severity: float) -> float:
        """Effect at a severity, linear between the ends.

        Parameters
        ----------
        severity
            0 to 1.

        Returns
        -------
        float
            The effect in :attr:`unit`.
        """
        return self.mildest + (self.strongest - self.mildest) * severity


@dataclass(frozen=True)
class Task:
    """One vision task.

    Attributes
    ----------
    name
        Name of the task, a frozen identifier.
    family
        One of :data:`FAMILIES`. Semantic tasks and transformations take the image as input,
        generative tasks have it as output.
    description
        One line for people.
    needs
        What an image must have; see :mod:`medtaskatlas.tasks.needs`.
    ladder
        Severity ladder, or None where the idea has no degree.
    format_identifiable
        Whether the output alone names the task because of how it is drawn, where another way would
        say the same: colours for classes, rectangles for boxes, bumps for centres. A mask, its
        outline or its skeleton is the thing itself.
    draw, apply
        The two functions; see the module.
    extra
        Whether the task is outside the default grid of thirty: it runs only where it is named.
    """

    name: str
    family: str
    description: str
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
        """Whether an image has what the task needs, for example a mask that is not empty.

        Parameters
        ----------
        sample
            The image with its annotation.

        Returns
        -------
        bool
            False where a pair of this task would be blank or meaningless.
        """
        return all(HAS[need](sample) for need in self.needs)

    def parameters(self, rng: np.random.Generator, sample: Sample, severity: float) -> Params:
        """Draw parameters and hold the task to its contract.

        Parameters
        ----------
        rng
            Where all randomness comes from.
        sample
            The image with its annotation.
        severity
            0 to 1; tasks without a ladder do not look at it.

        Returns
        -------
        dict
            Parameters that have been through JSON, so a replay sees the same numbers.

        Raises
        ------
        TaskError
            If ``draw`` raises, or returns what is no JSON object.
        """
        whose = f"task {self.name} at severity {severity}"
        try:
            drawn = self.draw(rng, locked(sample), severity)
        except Exception as error:
            raise task_failure(f"{whose}: draw", error, self.draw) from error
        try:
            params = json.loads(json.dumps(drawn, allow_nan=False))
            if not isinstance(params, dict):
                raise TypeError(f"a {type(drawn).__name__} is no dict")
        except (TypeError, ValueError) as error:
            raise TaskError(
                f"{whose}: params {drawn!r} are not plain JSON ({error})",
                "return a dict of plain numbers, strings, lists and dicts from draw",
            ) from error
        return params

    def make(
        self, sample: Sample, params: Params, *, twice: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make a pair and hold the task to its contract.

        Parameters
        ----------
        sample
            The image with its annotation; the task gets it read-only.
        params
            What ``draw`` returned.
        twice
            Whether to apply the task a second time and compare.

        Returns
        -------
        tuple of numpy.ndarray
            Input and output, both uint8 of the image's shape.

        Raises
        ------
        TaskError
            If the task raises, writes to its input, returns another shape or type, changes the
            side that must be the image, or differs on repetition. Names task and parameters.
        """
        given, kept = locked(sample), 1 if self.stored_side == "input" else 0

        def whose() -> str:
            return f"task {self.name} with params {params}"

        def applied() -> tuple[np.ndarray, np.ndarray]:
            try:
                pair = self.apply(given, dict(params))
            except Exception as error:
                whole = f"task {self.name} failed with params {params}"
                raise task_failure(whole, error, self.apply) from error
            return checked(pair, given.image, kept, whose)

        pair = applied()
        if twice:
            same(pair, applied(), whose)
        return pair


def line_in(file: str | Path, error: BaseException) -> int | None:
    """Line of a file at which an error arose, or that called what raised it.

    Parameters
    ----------
    file
        The file, as the interpreter names it.
    error
        What was raised.

    Returns
    -------
    int or None
        The line, from 1; None where nothing of the file was running.
    """
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if f.filename == str(file)), None)


def described(error: BaseException) -> str:
    """Type and message of an error, with the names that may have been meant.

    Parameters
    ----------
    error
        What was raised.

    Returns
    -------
    str
        For example ``NameError: name 'drwa' is not defined; did you mean draw?``.
    """
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    known: Iterable[str] = ()
    if isinstance(error, NameError):
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        known = {*frames[-1].f_locals, *frames[-1].f_globals} if frames else ()
    elif isinstance(error, AttributeError):
        known = dir(error.obj)
    # Python says this itself, but only in tracebacks.
    hint = nearest(str(getattr(error, "name", "")), known)
    return f"{said}; {hint}" if hint.startswith("did you mean") else said


def task_failure(what: str, error: Exception, function: Callable[..., Any]) -> TaskError:
    """What a function of a task raised, as an error for users.

    Parameters
    ----------
    what
        Task, function and what it was given.
    error
        What was raised.
    function
        The function; file and line of its code are named.

    Returns
    -------
    TaskError
        The error.
    """
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    line = line_in(file, error)
    where = f" ({Path(file).name}, line {line})" if line else ""
    if isinstance(error, AtlasError):
        return TaskError(f"{what}: {error.problem}{where}", error.remedy)
    return TaskError(
        f"{what}: {described(error)}{where}",
        "mend the task (what it is given is read-only), or leave it out with `tasks:`",
    )


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
        One of :data:`FAMILIES`.
    draw
        Function that draws the parameters.
    needs
        What an image must have; see :mod:`medtaskatlas.tasks.needs`.
    ladder
        Severity ladder, if the idea has a degree.
    format_identifiable
        Whether the output's format alone gives the task away.
    extra
        Whether the task runs only where a configuration names it.

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
            name,
            family,
            description,
            frozenset(needs),
            ladder,
            format_identifiable,
            draw,
            apply,
            extra,
        )
        return apply

    return register


def get(name: str) -> Task:
    """Task of a name.

    Parameters
    ----------
    name
        A registered name.

    Returns
    -------
    Task
        The task.

    Raises
    ------
    ConfigError
        If no task has this name.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise ConfigError(f"unknown task {name!r}", nearest(name, REGISTRY)) from None


def no_params(rng: np.random.Generator, sample: Sample, severity: float) -> Params:
    """Draw nothing: for tasks that are functions of the image alone.

    Parameters
    ----------
    rng, sample, severity
        Not used.

    Returns
    -------
    dict
        Empty.
    """
    return {}
