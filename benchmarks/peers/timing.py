"""Time the bank and its peers on the same images, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from generated import make_sample
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import Sample
from medtaskatlas.tasks.task import Task

from .way import Peer, planes

# The middle of what main pairs draw from (0.2 to 1).
SEVERITY = 0.6
IMAGES = 8
# Long enough for the clock, short enough that all contenders see the same machine.
SLICE_SECONDS = 0.03
OURS, OURS_REPEATED = "ours", "ours, grey in three channels"


@dataclass(frozen=True)
class Contender:
    """One way of doing an operation, ready to be timed.

    Attributes
    ----------
    who
        A peer's name, or ``OURS``, or ``OURS_REPEATED``.
    call
        Name of the function.
    run
        The function.
    items
        What it is called on, in turn.
    pixels
        Makes grey levels of a result.
    simpler
        Whether it does a simpler thing than ours.
    """

    who: str
    call: str
    run: Callable[[Any], Any]
    items: Sequence[Any]
    pixels: Callable[[Any], np.ndarray]
    simpler: bool = False


@dataclass(frozen=True)
class Measured:
    """What one contender did in one cell of the benchmark.

    Attributes
    ----------
    who, call, simpler
        As in :class:`Contender`.
    rate
        Images a second, median over the rounds.
    ratio
        Our rate over this one, median over the rounds of the ratio within a round.
    change
        Root mean square of result minus image, in grey levels; NaN where the result is no image.
    """

    who: str
    call: str
    rate: float
    ratio: float
    change: float
    simpler: bool


def samples(side: int, colour: bool) -> list[Sample]:
    """The images: clouds with structure at several scales; one plane where they are grey."""
    made = [make_sample(side, colour, seed=seed) for seed in range(IMAGES)]
    if colour:
        return made
    return [replace(s, image=np.ascontiguousarray(s.image[..., 0])) for s in made]


def with_boxes_only(sample: Sample) -> Sample:
    """Boxes of the objects instead of their pixels."""
    assert sample.instances is not None
    numbers = [n for n in np.unique(sample.instances) if n > 0]
    places = [np.argwhere(sample.instances == n)[:, ::-1] for n in numbers]
    boxes = [[*p.min(axis=0), *(p.max(axis=0) + 1)] for p in places]
    return replace(sample, mask=None, instances=None, boxes=np.array(boxes, np.float32))


# The peers are given the centres, so ours is given boxes and need not look for objects either.
GIVEN = {"centroid_heatmap": with_boxes_only}


def effect_of(task: Task) -> float:
    """Size of the effect that is timed, in the unit of the task's ladder."""
    return float("nan") if task.ladder is None else task.ladder.at(SEVERITY)


def ours(task: Task, images: Sequence[Sample], who: str = OURS) -> Contender:
    """Our side: parameters drawn anew for every image, and the pair made from them."""
    rng = generator(0, "benchmark", task.name)
    severity = 0.0 if task.ladder is None else SEVERITY
    changed = 0 if task.stored_side == "input" else 1

    def run(sample: Sample) -> np.ndarray:
        return task.apply(sample, task.draw(rng, sample, severity))[changed]

    images = [GIVEN[task.name](image) for image in images] if task.name in GIVEN else images
    return Contender(who, task.name, run, images, lambda r: planes(r).astype(np.float32))


def contenders(task: Task, peers: Iterable[Peer], side: int, colour: bool) -> list[Contender]:
    """All that can do an operation on one kind of image; ours first, empty where ours cannot."""
    images = samples(side, colour)
    repeated = [make_sample(side, colour, seed=seed) for seed in range(IMAGES)]
    if not task.usable(images[0]):
        return []
    found = [ours(task, images)]
    if not colour:
        found.append(ours(task, repeated, OURS_REPEATED))
    for peer in peers:
        items = [peer.item(sample) for sample in images]
        for way in peer.ways.get(task.name, ()):
            run = way.build(effect_of(task), side)
            found.append(Contender(peer.name, way.call, run, items, peer.pixels, way.simpler))
    return found


def change(task: Task, contender: Contender, images: Sequence[Sample]) -> float:
    """How far the results are from the images; see :class:`Measured`."""
    if task.family == "semantic":
        return float("nan")
    squares = []
    for item, sample in zip(contender.items, images, strict=True):
        result = contender.pixels(contender.run(item))
        given = planes(sample.image).astype(np.float32)
        if result.shape[:2] != given.shape[:2] or not np.isfinite(result).all():
            raise ValueError(f"{contender.who} {contender.call}: {result.shape} or not finite")
        squares.append(np.mean((np.clip(result, 0, 255) - given) ** 2))
    return float(np.sqrt(np.mean(squares)))


def seconds(contender: Contender, calls: int) -> float:
    """Processor time of a number of calls, of all threads: another process cannot lengthen it."""
    run, items = contender.run, contender.items
    start = time.process_time()
    for k in range(calls):
        run(items[k % len(items)])
    return time.process_time() - start


def enough(contender: Contender) -> int:
    """Number of calls that fill a slice of time."""
    calls = 1
    while (spent := seconds(contender, calls)) < SLICE_SECONDS / 4:
        calls *= 2
    return max(1, round(calls * SLICE_SECONDS / spent))


def measure(
    task: Task, peers: Iterable[Peer], side: int, colour: bool, rounds: int
) -> list[Measured]:
    """Time one operation on one kind of image.

    Parameters
    ----------
    task
        Our task.
    peers
        The libraries.
    side
        Side of the images in pixels.
    colour
        RGB, or grey in one plane.
    rounds
        How many turns each contender gets.

    Returns
    -------
    list of Measured
        Ours first; empty where our task does not take such images or no peer does the work.
    """
    field = contenders(task, peers, side, colour)
    if all(c.who in (OURS, OURS_REPEATED) for c in field):
        return []
    images = samples(side, colour)
    changes = [change(task, c, images) for c in field]
    calls = [enough(c) for c in field]
    turns = [[n / seconds(c, n) for c, n in zip(field, calls, strict=True)] for _ in range(rounds)]
    rates = np.array(turns).T
    return [
        Measured(c.who, c.call, median(rate), median(rates[0] / rate), changed, c.simpler)
        for c, rate, changed in zip(field, rates, changes, strict=True)
    ]
