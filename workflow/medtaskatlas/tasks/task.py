"""What a task is, and the registry of tasks.

A task is a pure function of an image with its annotation and of drawn parameters::

    draw(rng, sample, severity) -> params      # JSON-able, holds all randomness
    apply(sample, params) -> (input, output)   # deterministic

so a pair can be made again from its row and its image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtaskatlas.errors import ConfigError, TaskError, nearest
from medtaskatlas.imageset import Sample

FAMILIES = ("semantic", "generative", "transformation")
# `objects` is met by instances or by boxes.
NEEDS = ("mask", "classes", "instances", "boxes", "objects", "label", "colour")
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
        What an image must have; see :data:`NEEDS`.
    ladder
        Severity ladder, or None where the idea has no degree.
    format_identifiable
        Whether the format of the output alone (its colours or its drawing style) names the task.
    draw, apply
        The two functions; see the module.
    """

    name: str
    family: str
    description: str
    needs: frozenset[str]
    ladder: Ladder | None
    format_identifiable: bool
    draw: Draw
    apply: Apply

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
        checks: dict[str, Callable[[], bool]] = {
            "mask": lambda: sample.mask is not None and bool(sample.mask.any()),
            "classes": lambda: (
                sample.mask is not None
                and int(np.count_nonzero(np.bincount(sample.mask.ravel())[1:])) >= 2
            ),
            "instances": lambda: sample.instances is not None and bool(sample.instances.any()),
            "boxes": lambda: sample.boxes is not None and len(sample.boxes) > 0,
            "label": lambda: sample.label is not None,
            "colour": lambda: sample.image.ndim == 3 and is_colour(sample.image),
        }
        checks["objects"] = lambda: (
            checks["instances"]() if sample.instances is not None else checks["boxes"]()
        )
        return all(checks[need]() for need in self.needs)

    def make(self, sample: Sample, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """Make a pair and hold the task to its contract.

        Parameters
        ----------
        sample
            The image with its annotation.
        params
            What ``draw`` returned.

        Returns
        -------
        tuple of numpy.ndarray
            Input and output, both uint8 of the image's shape.

        Raises
        ------
        TaskError
            If the task raises, or returns another shape or type, or changes the side that must be
            the image.
        """
        try:
            pair = self.apply(sample, params)
        except Exception as error:
            raise TaskError(
                f"task {self.name} failed with params {params}: {type(error).__name__}: {error}",
                "mend the task, or leave it out with `tasks:`",
            ) from error
        for side, pixels in zip(("input", "output"), pair, strict=True):
            if pixels.dtype != np.uint8 or pixels.shape != sample.image.shape:
                raise TaskError(
                    f"task {self.name}: {side} is {pixels.dtype} {pixels.shape}, must be uint8 "
                    f"{sample.image.shape}",
                    "return two uint8 images of the input's shape",
                )
        given = pair[1] if self.stored_side == "input" else pair[0]
        if given is not sample.image and not np.array_equal(given, sample.image):
            raise TaskError(
                f"task {self.name}: a {self.family} task must leave the "
                f"{'output' if self.stored_side == 'input' else 'input'} as the image is",
                "return sample.image there",
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
) -> Callable[[Apply], Apply]:
    """Register the decorated ``apply`` function as a task of the same name.

    Parameters
    ----------
    family
        One of :data:`FAMILIES`.
    draw
        Function that draws the parameters.
    needs
        What an image must have; see :data:`NEEDS`.
    ladder
        Severity ladder, if the idea has a degree.
    format_identifiable
        Whether the output's format alone gives the task away.

    Returns
    -------
    callable
        The decorator; it returns the function as it was.

    Raises
    ------
    ValueError
        If the name is taken or a value is unknown.
    """
    if family not in FAMILIES or not set(needs) <= set(NEEDS):
        raise ValueError(f"unknown family {family!r} or needs {needs!r}")

    def register(apply: Apply) -> Apply:
        name = apply.__name__
        if name in REGISTRY:
            raise ValueError(f"two tasks are called {name}")
        description = (apply.__doc__ or "").strip().split("\n")[0].rstrip(".")
        if not description:
            raise ValueError(f"task {name} needs a docstring: its first line describes it")
        REGISTRY[name] = Task(
            name, family, description, frozenset(needs), ladder, format_identifiable, draw, apply
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


def is_colour(image: np.ndarray) -> bool:
    """Whether an image has colour, rather than grey in three channels.

    Parameters
    ----------
    image
        uint8 [H, W, 3].

    Returns
    -------
    bool
        True where the channels differ by more than 8 grey levels in at least 1 % of pixels.
    """
    spread = image.max(axis=-1).astype(np.int16) - image.min(axis=-1)
    return bool((spread > 8).mean() >= 0.01)


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
