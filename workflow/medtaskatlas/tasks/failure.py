"""Failure tasks: the wrong ways of doing a task, built for any task.

A failure is a pure function of a right pair and of drawn parameters::

    draw(rng, side) -> params                      # JSON-able, holds all randomness
    apply(source, right, other, params) -> wrong   # all uint8 of one shape

where `other` is the right output of another image. Its input is that of the right pair. The task of
a kind of failure is called ``<task>.<kind>``: it is no way of doing the task, so it must not be
counted under the task's own name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from medtaskatlas.tasks.pixels import like, thin
from medtaskatlas.tasks.task import Params, Task

Image = np.ndarray
Draw = Callable[[np.random.Generator, int], Params]
Apply = Callable[[Image, Image, Image, Params], Image]

# Grey levels by which some pixel must differ from the right output, else the failure is none.
VISIBLE = 8
HALVES = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Failure:
    """A kind of failure."""

    kind: str
    description: str  # one line for people
    needs_other: bool  # the right output of another image
    draw: Draw
    apply: Apply

    def task_name(self, task: str) -> str:
        """Name of the failure task, ``<task>.<kind>``; a dot is in no task's own name."""
        return f"{task}.{self.kind}"


FAILURES: dict[str, Failure] = {}


def failure(
    *, draw: Draw = lambda rng, side: {}, needs_other: bool = False
) -> Callable[[Apply], Apply]:
    """Register the decorated function as a kind of failure of the same name.

    `draw` takes a generator and the shorter side of the image.
    """

    def register(apply: Apply) -> Apply:
        kind = apply.__name__
        if kind in FAILURES:
            raise ValueError(f"two kinds of failure are called {kind}")
        description = (apply.__doc__ or "").strip().split("\n")[0].rstrip(".")
        FAILURES[kind] = Failure(kind, description, needs_other, draw, apply)
        return apply

    return register


@failure(needs_other=True)
def another_image(source: Image, right: Image, other: Image, params: Params) -> Image:
    """The right output of another image."""
    return other


@failure()
def untouched(source: Image, right: Image, other: Image, params: Params) -> Image:
    """The input, as it was."""
    return source


def _draw_half(rng: np.random.Generator, side: int) -> Params:
    return {"done": HALVES[int(rng.integers(len(HALVES)))]}


@failure(draw=_draw_half)
def half_done(source: Image, right: Image, other: Image, params: Params) -> Image:
    """Right in one half of the image, the input in the other."""
    row, column = source.shape[0] // 2, source.shape[1] // 2
    halves: dict[str, Any] = {
        "left": np.s_[:, :column],
        "right": np.s_[:, column:],
        "top": np.s_[:row],
        "bottom": np.s_[row:],
    }
    done = halves[params["done"]]
    wrong = source.copy()
    wrong[done] = right[done]
    return wrong


@failure()
def half_strength(source: Image, right: Image, other: Image, params: Params) -> Image:
    """Halfway from the input to the right output, pixel by pixel."""
    return ((source.astype(np.uint16) + right + 1) >> 1).astype(np.uint8)


@failure()
def overdone(source: Image, right: Image, other: Image, params: Params) -> Image:
    """Beyond the right output, by as far as the right output is from the input."""
    return np.clip(2 * right.astype(np.int16) - source, 0, 255).astype(np.uint8)


def _draw_order(rng: np.random.Generator, side: int) -> Params:
    return {"seed": int(rng.integers(2**32))}


@failure(draw=_draw_order)
def noise(source: Image, right: Image, other: Image, params: Params) -> Image:
    """Noise of the mean and spread of the right output: its pixels in random order."""
    plane = thin(right)
    rng = np.random.Generator(np.random.SFC64(params["seed"]))
    order = rng.permutation(plane.shape[0] * plane.shape[1])
    return like(plane.reshape(len(order), -1)[order].reshape(plane.shape), right)


def _draw_shift(rng: np.random.Generator, side: int) -> Params:
    # A tenth to three tenths of the side, in whole pixels: no resampling, so no blur gives it away.
    length, angle = rng.uniform(0.1, 0.3) * side, rng.uniform(0, 2 * np.pi)
    return {"x": int(np.rint(length * np.cos(angle))), "y": int(np.rint(length * np.sin(angle)))}


@failure(draw=_draw_shift)
def displaced(source: Image, right: Image, other: Image, params: Params) -> Image:
    """The right output in the wrong place, borders filled by reflection."""
    x, y = params["x"], params["y"]
    height, width = right.shape[:2]
    framed = cv2.copyMakeBorder(
        thin(right), max(y, 0), max(-y, 0), max(x, 0), max(-x, 0), cv2.BORDER_REFLECT_101
    )
    moved = framed[max(-y, 0) : max(-y, 0) + height, max(-x, 0) : max(-x, 0) + width]
    return like(np.ascontiguousarray(moved), right)


@failure()
def blank(source: Image, right: Image, other: Image, params: Params) -> Image:
    """The mean of the right output, everywhere."""
    level = np.rint(right.mean(axis=(0, 1))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(level, right.shape))


# A shift more is still a right pair of these two.
_DISPLACES = ("translation", "elastic_deformation")


def kinds_for(task: Task) -> list[Failure]:
    """Kinds of failure that a task can have: all but those that may be a right pair of it.

    A transformation with a severity ladder is right at any severity, so less of it or more of it is
    no failure; nor is a translation moved on.
    """
    graded = task.family == "transformation" and task.ladder is not None
    excluded = {"half_strength", "overdone"} if graded else set()
    if task.name in _DISPLACES:
        excluded.add("displaced")
    return [f for kind, f in FAILURES.items() if kind not in excluded]


def is_wrong(wrong: np.ndarray, right: np.ndarray) -> bool:
    """Whether some pixel differs by :data:`VISIBLE` grey levels or more."""
    return int(cv2.absdiff(wrong, right).max()) >= VISIBLE
