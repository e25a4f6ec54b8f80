"""Small generated data that every test can afford."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from medtaskatlas.formats.images import Sample, write_images
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.task import Task

SPLITS = {"train": 0.6, "val": 0.2, "test": 0.2}


def smooth_image(rng: np.random.Generator, height: int, width: int, colour: bool) -> np.ndarray:
    """A cloud with structure at several scales, uint8 [H, W, 3]."""
    channels = 3 if colour else 1
    cloud = np.zeros((height, width, channels), np.float32)
    for sigma in (1.0, 3.0, 8.0):
        noise = rng.standard_normal(cloud.shape).astype(np.float32)
        cloud += cv2.GaussianBlur(noise, (0, 0), sigma).reshape(cloud.shape) * sigma
    cloud = 40 + 170 * (cloud - cloud.min()) / (cloud.max() - cloud.min())
    return np.repeat(cloud, 3 // channels, axis=2).astype(np.uint8)


def make_sample(side: int = 64, colour: bool = False, seed: int = 0) -> Sample:
    """An image with two classes, three objects, boxes and a label."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    instances = np.zeros((side, side), np.uint16)
    for number, (x, y, r) in enumerate([(0.3, 0.3, 0.15), (0.7, 0.35, 0.1), (0.5, 0.75, 0.12)], 1):
        spot = cv2.circle(
            np.zeros((side, side), np.uint8), (int(x * side), int(y * side)), int(r * side), 1, -1
        ).astype(bool)
        mask[spot] = 1 + number % 2
        instances[spot] = number
    boxes = np.array([[0.1, 0.1, 0.4, 0.4]], np.float32) * side
    return Sample(smooth_image(rng, side, side, colour), mask, instances, boxes, 1, 2, 3)


def write_dataset(
    path: Path,
    *,
    n: int = 12,
    side: int = 32,
    groups: int = 6,
    seed: int = 0,
    splits: str = "train train val train test test",
    ids: str = "image{}",
    masks: bool = True,
    colour: bool = False,
    more: Mapping[str, Any] = MappingProxyType({}),
    **meta: Any,
) -> Path:
    """An images file of generated pictures; groups, each a subject, go round the splits.

    `more` are columns beside these, or instead of them.
    """
    samples = [make_sample(side, colour=colour, seed=seed * 1000 + i) for i in range(n)]
    cycle = splits.split()
    columns = {
        "image_id": [ids.format(i) for i in range(n)],
        "group_id": [f"group{i % groups}" for i in range(n)],
        "subject_id": [f"{path.stem}/group{i % groups}" for i in range(n)],
        "group_source": ["published"] * n,
        "split": [cycle[i % groups % len(cycle)] for i in range(n)],
        "image": np.stack([s.image for s in samples]),
    }
    if masks:
        columns["mask"] = np.stack([s.mask for s in samples])
        columns["instances"] = np.stack([s.instances for s in samples])
    facts = {
        "dataset": path.stem,
        "source": "test",
        "modality": "CT" if seed % 2 == 0 else "MR",
        "body_part": "none",
        "licence": "CC0-1.0",
        "classes": ["one", "two"] if masks else [],
        "annotation": "ground_truth" if masks else "none",
        "manifest_sha256": "0" * 64,
        "label_kind": "multi_class",
        "maps": {},
        "values": {},
    }
    write_images(path, columns | more, facts | meta)
    return path


def make_pairs(images: Path, task: Task, out: Path, *, pairs_per_cell: int, **more: Any) -> None:
    """The main pairs only of `make_sets`."""
    make_sets(images, task, {"main": out}, amounts=Amounts(pairs_per_cell), **more)


def write_task(file: Path, output: str, *, description: str = "Mine.") -> Path:
    """A file of a task of the user's own, called like it; `output` is code of `sample`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "from medtaskatlas.tasks.task import no_params, task\n"
        "@task(family='transformation', draw=no_params)\n"
        f"def {file.stem}(sample, params):\n"
        f"    {description!r}\n"
        f"    return sample.image, {output}\n"
    )
    return file
