"""Examples of tasks to look at: telling images of several modalities, at stated severities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import ImageSet, Sample
from medtaskatlas.tasks.task import Pair, Task

SEVERITIES = (0.25, 0.6, 1.0)
# Datasets that the examples of one task come from, at most.
PLACES = 3
# Images of a dataset that are read; more would hardly give better examples.
CANDIDATES = 32
# Share of the image that must be annotated for the annotation to show.
LEAST_ANNOTATED = 0.02


@dataclass(frozen=True)
class Candidates:
    """Images of one dataset that examples may be made of, the most telling first."""

    dataset: str
    modality: str
    rows: tuple[int, ...]  # of the images file
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Example:
    """A task on one image; all draws are the same along the severities."""

    dataset: str
    modality: str
    row: int
    severities: tuple[float | None, ...]  # 0 to 1; one None where the task has no ladder
    pairs: tuple[Pair, ...]


def candidates(images: ImageSet, rows: Sequence[int] | None = None) -> Candidates:
    """Images of a dataset that show most, of at most :data:`CANDIDATES` of the given rows.

    One image of every group first, of different labels where there are such, then the others;
    within that by how much is annotated and how much there is to see.
    """
    among = np.arange(len(images)) if rows is None else np.asarray(rows, int)
    spread = np.linspace(0, len(among) - 1, min(CANDIDATES, len(among))).round().astype(int)
    samples = {int(row): images.sample(int(row)) for row in among[spread]}
    groups = images.column("group_id")
    seen: Counter[str] = Counter()
    turns = {}
    for row in sorted(samples, key=lambda row: _telling(samples[row]), reverse=True):
        marks = f"group {groups[row].as_py()}", f"label {samples[row].label}"
        turns[row] = seen[marks[0]], seen[marks[1]] if samples[row].label is not None else 0
        seen.update(marks)
    # Stable: one image of every group and of every label, then the second of each, and so on.
    order = sorted(turns, key=turns.__getitem__)
    return Candidates(
        images.dataset,
        str(images.meta["modality"]),
        tuple(order),
        tuple(samples[row] for row in order),
    )


def _telling(sample: Sample) -> tuple[int, float]:
    """How much an image has to show: kinds of annotation that can be seen, then its structure."""
    planes = [p for p in (sample.mask, sample.instances) if p is not None]
    kinds = sum(float((plane > 0).mean()) >= LEAST_ANNOTATED for plane in planes)
    if sample.mask is not None:
        kinds += int(np.count_nonzero(np.bincount(sample.mask.ravel())[1:]) >= 2)
    grey = sample.image.astype(np.float32).reshape(*sample.image.shape[:2], -1).mean(axis=-1)
    # Edges and contrast, without tiles that are mostly empty.
    detail = np.abs(np.diff(grey, axis=1)).mean() * (grey > 16).mean() * grey.std()
    # Up to a quarter of the image, more annotation is easier to see.
    shown = max((min(float((plane > 0).mean()), 0.25) for plane in planes), default=0.0)
    return kinds, float(detail) * (0.05 + shown)


def most_useful(tasks: Sequence[Task], sets: Sequence[Candidates]) -> list[Candidates]:
    """Datasets by how many tasks, but those that need colour, can be shown on them."""
    counted = [task for task in tasks if "colour" not in task.needs]
    return sorted(sets, key=lambda s: -sum(any(map(task.usable, s.samples)) for task in counted))


def examples(task: Task, sets: Sequence[Candidates], *, seed: int) -> list[Example]:
    """Examples of a task by dataset; empty where no image has what the task needs.

    A task with a severity ladder is shown at :data:`SEVERITIES` on one image of each of
    :data:`PLACES` datasets, another one on two images of each. Datasets of different modality come
    first; where too few have what the task needs, more of their images stand in.
    """
    per_place = 1 if task.ladder else 2
    severities = SEVERITIES if task.ladder else (None,)
    return [_example(task, s, k, severities, seed) for s, k in _chosen(task, sets, per_place)]


def _chosen(task: Task, sets: Sequence[Candidates], per_place: int) -> list[tuple[Candidates, int]]:
    """Datasets, and positions of candidates in them, to make examples of."""
    usable = [(s, [k for k, x in enumerate(s.samples) if task.usable(x)]) for s in sets]
    usable = [(s, able) for s, able in usable if able]
    first = {s.modality: s.dataset for s, _ in reversed(usable)}
    # Stable: datasets that are the first of their modality, then the others.
    usable.sort(key=lambda item: first[item[0].modality] != item[0].dataset)
    usable = usable[:PLACES]
    places = [0] * len(usable)
    for _ in range(PLACES):
        more = [i for i, (_, able) in enumerate(usable) if places[i] * per_place < len(able)]
        if more:
            places[min(more, key=lambda i: places[i])] += 1
    return [
        (s, k) for (s, able), n in zip(usable, places, strict=True) for k in able[: n * per_place]
    ]


def _example(
    task: Task, source: Candidates, place: int, severities: Sequence[float | None], seed: int
) -> Example:
    """A task on one candidate."""
    row, sample = source.rows[place], source.samples[place]
    pairs = []
    for severity in severities:
        # One key for all severities, so that only the severity changes.
        rng = generator(seed, "example", source.dataset, task.name, row)
        params = task.parameters(rng, sample, 0.0 if severity is None else severity)
        pairs.append(task.make(sample, params))
    return Example(source.dataset, source.modality, row, tuple(severities), tuple(pairs))
