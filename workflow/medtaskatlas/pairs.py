"""Generate the pairs of one task on one dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtaskatlas.errors import TaskError
from medtaskatlas.imageset import SPLITS, ImageSet
from medtaskatlas.pairset import COLUMNS, write_pairs
from medtaskatlas.seeds import generator
from medtaskatlas.shares import share_out
from medtaskatlas.tasks.task import Params, Task

# Training and evaluation draw severities from one distribution, uniform over this range: below it
# 8 bits swallow the effect of many tasks.
SEVERITY_RANGE = (0.2, 1.0)


@dataclass(frozen=True)
class Plan:
    """What one pair is made from.

    Attributes
    ----------
    row
        Row of the image in its file.
    draw
        Number of the pair in its cell; seeds its generator.
    severity
        0 to 1, or None where the task has no ladder.
    """

    row: int
    draw: int
    severity: float | None


def image_order(images: ImageSet, split: str, seed: int) -> np.ndarray:
    """Order in which the images of a split are used, the same for every task.

    So the pairs of two tasks on a dataset share their images as far as both can use them: in a
    batch, content then tells nothing about the task.

    Parameters
    ----------
    images
        The prepared images.
    split
        train, val or test.
    seed
        The run's seed.

    Returns
    -------
    numpy.ndarray
        Rows of the images file.
    """
    rows = np.flatnonzero(images.numpy("split") == split)
    return generator(seed, "image order", images.dataset, split).permutation(rows)


def plan_pairs(
    task: Task, images: ImageSet, *, pairs: int, splits: dict[str, float], seed: int
) -> Iterator[Plan]:
    """Choose images and severities for the main pairs of a cell.

    Parameters
    ----------
    task
        The task.
    images
        The prepared images of the dataset.
    pairs
        Number of pairs; a split's share goes to the others where it has no usable image.
    splits
        Shares of train, val and test.
    seed
        The run's seed.

    Yields
    ------
    Plan
        One a pair; images are used in turn until there are enough pairs.
    """
    usable = {}
    for split in SPLITS:
        rows = [r for r in image_order(images, split, seed) if task.usable(images.sample(int(r)))]
        if rows:
            usable[split] = rows
    if not usable:
        return
    counts = share_out(pairs, {split: splits[split] for split in usable})
    draw = 0
    for split, rows in usable.items():
        for i in range(counts[split]):
            severity = None
            if task.ladder is not None:
                rng = generator(seed, "severity", images.dataset, task.name, draw)
                severity = float(np.float32(rng.uniform(*SEVERITY_RANGE)))
            yield Plan(int(rows[i % len(rows)]), draw, severity)
            draw += 1


def draw_params(task: Task, images: ImageSet, plan: Plan, seed: int) -> Params:
    """Draw the parameters of a planned pair.

    Parameters
    ----------
    task
        The task.
    images
        The prepared images of the dataset.
    plan
        The planned pair.
    seed
        The run's seed.

    Returns
    -------
    dict
        JSON-able parameters; they have been through JSON, so a replay sees the same numbers.

    Raises
    ------
    TaskError
        If the parameters are not JSON.
    """
    rng = generator(seed, "params", images.dataset, task.name, plan.draw)
    drawn = task.draw(rng, images.sample(plan.row), 0.0 if plan.severity is None else plan.severity)
    try:
        return dict(json.loads(json.dumps(drawn, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"task {task.name}: params {drawn!r} are not plain JSON ({error})",
            "return plain numbers, strings, lists and dicts from draw",
        ) from error


def make_pairs(
    images_path: str | Path,
    task: Task,
    out: str | Path,
    *,
    pairs_per_cell: int,
    splits: dict[str, float],
    seed: int,
) -> None:
    """Generate and write the main pairs of one task on one dataset.

    The file is the same whatever the number of jobs and their order. A dataset on which the task
    can do nothing gets a file without rows.

    Parameters
    ----------
    images_path
        Prepared images.
    task
        The task.
    out
        The Arrow file to make.
    pairs_per_cell
        Number of pairs.
    splits
        Shares of train, val and test.
    seed
        The run's seed.

    Raises
    ------
    TaskError
        If the task breaks its contract; names dataset, image and parameters.
    """
    images = ImageSet(images_path)
    plans = list(plan_pairs(task, images, pairs=pairs_per_cell, splits=splits, seed=seed))
    side = task.stored_side
    pixels = np.empty((len(plans), *images.images.shape[1:]), np.uint8)
    params = []
    for i, plan in enumerate(plans):
        drawn = draw_params(task, images, plan, seed)
        try:
            source, result = task.make(images.sample(plan.row), drawn)
        except TaskError as error:
            image_id = images.column("image_id")[plan.row].as_py()
            raise TaskError(
                f"dataset {images.dataset}, image {image_id}: {error.problem}", error.remedy
            ) from error
        pixels[i] = source if side == "input" else result
        params.append(json.dumps(drawn, sort_keys=True, separators=(",", ":")))
    rows = np.array([plan.row for plan in plans], np.int32)
    n = len(plans)
    columns = {
        "pair_id": [f"main/{task.name}/{images.dataset}/{plan.draw}" for plan in plans],
        "dataset": [images.dataset] * n,
        "modality": [images.meta["modality"]] * n,
        "image_id": images.numpy("image_id")[rows],
        "image_row": rows,
        "group_id": images.numpy("group_id")[rows],
        "split": images.numpy("split")[rows],
        "task": [task.name] * n,
        "family": [task.family] * n,
        "severity": [plan.severity for plan in plans],
        "level": [None] * n,
        "draw": [plan.draw for plan in plans],
        "params": params,
        "failure_of": [None] * n,
        "failure_kind": [None] * n,
    }
    meta = {
        "set": "main",
        "task": task.name,
        "dataset": images.dataset,
        "seed": seed,
        "images_sha256": images.meta["content_sha256"],
    }
    write_pairs(out, {name: columns[name] for name in COLUMNS}, {side: pixels}, meta)
