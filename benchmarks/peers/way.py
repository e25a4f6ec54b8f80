"""How a library does an operation, in a form that can be timed and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from medtaskatlas.formats.images import Sample

# Called once an image; builds nothing that a user would build once for all images.
Call = Callable[["Item"], Any]
# From the size of the effect (that of our severity ladder, in its unit) and the side in pixels.
Build = Callable[[float, int], Call]


@dataclass(frozen=True)
class Item:
    """One image with its annotation, already in memory in a library's own format.

    Attributes
    ----------
    image
        The picture.
    mask, instances
        Class ids and object numbers of its pixels.
    points
        Centres of the objects, float [K, 2] of (row, column), as the library takes points.
    """

    image: Any
    mask: Any = None
    instances: Any = None
    points: Any = None


@dataclass(frozen=True)
class Way:
    """One public function or class that does the work.

    Attributes
    ----------
    call
        Its name, as the page shows it.
    build
        Makes the call for an effect and a side.
    does
        What it does more or less than ours; empty where the work is the same.
    simpler
        Whether what it does is another, simpler thing: it is timed and shown, but apart.
    """

    call: str
    build: Build
    does: str = ""
    simpler: bool = False


@dataclass(frozen=True)
class Peer:
    """A library.

    Attributes
    ----------
    name
        As people write it.
    package
        Its distribution, whose version is shown.
    item
        Puts a sample into the library's format; not timed.
    pixels
        A result as float [H, W, C] in grey levels; not timed, for the table of effects.
    ways
        Name of one of our tasks to the ways of doing the same; the fastest counts.
    """

    name: str
    package: str
    item: Callable[[Sample], Item]
    pixels: Callable[[Any], np.ndarray]
    ways: Mapping[str, tuple[Way, ...]]


def planes(image: np.ndarray) -> np.ndarray:
    """Image as [H, W, C], whatever its number of channels."""
    return image if image.ndim == 3 else image[..., None]


def centres(instances: np.ndarray) -> np.ndarray:
    """Centres of mass of the objects, float32 [K, 2] of (row, column)."""
    numbers = np.unique(instances)
    places = [np.argwhere(instances == n).mean(axis=0) for n in numbers[numbers > 0]]
    return np.array(places, np.float32)


def steady(call: Call) -> Build:
    """A call that depends neither on the effect nor on the side."""
    return lambda effect, side: call


def in_turn(*builds: Build) -> Build:
    """Several calls one after the other, where ours draws one of several."""

    def build(effect: float, side: int) -> Call:
        calls = cycle([one(effect, side) for one in builds])

        def call(item: Item) -> Any:
            return next(calls)(item)

        return call

    return build


def either_way(build: Build) -> Build:
    """The effect in both directions in turn, where the direction decides the cost."""
    return in_turn(build, lambda effect, side: build(-effect, side))


def odd(length: float) -> int:
    """Nearest odd number of pixels, at least 3."""
    return max(3, 2 * round((length - 1) / 2) + 1)


def at_side(effect: float, side: int) -> float:
    """Length in pixels of an effect that is stated for 64 px."""
    return effect * side / 64


def motion_length(effect: float, side: int) -> float:
    """Path length in pixels; a path of one pixel is no motion at any side."""
    return 1 + (effect - 1) * side / 64
