"""A few whole answers of a system: what it saw, what was true and what it said."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.formats.multitask_examples import NO_CLASS, example_images, write_examples
from medtaskatlas.multitask.training import Job, Trained, forward_of
from medtaskatlas.problems.data import Batch, ProblemData
from medtaskatlas.problems.targets.target import IMAGE, Target

Name = tuple[str, str]  # of an image: dataset, image


class Examples:
    """Collects the answers to the images that are shown, fold by fold."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._targets: dict[str, Target] = {}
        self._images: dict[Name, np.ndarray] = {}
        # Column to image to what is written; `truth.<name>` and the like.
        self._found: dict[str, dict[Name, np.ndarray]] = defaultdict(dict)
        self._wanted: list[Name] | None = None
        self._done: set[tuple[int, str]] = set()  # fold and target

    def add(self, data: ProblemData, one: Trained) -> None:
        """Add what one network says of the images that are measured on."""
        # Where targets are trained two by two, the first network of each speaks for it.
        fresh = [name for name in one.targets if (data.fold, name) not in self._done]
        self._done |= {(data.fold, name) for name in fresh}
        if not fresh:
            return
        if self._wanted is None:
            self._wanted = example_images(self.job.problem.name, _tested(data))
        self._targets |= {name: data.targets[name] for name in fresh}
        only = {"/".join(name) for name in self._wanted}
        for batch in data.evaluation("test", fresh, only=only):
            self._take(data, one, batch)

    def write(self, path: str | Path) -> None:
        """Write the file."""
        shown = [name for name in self._wanted or [] if name in self._images]
        side: dict[str, dict[str, np.ndarray]] = {"truth": {}, "output": {}}
        images: dict[str, Any] = {
            "dataset": [dataset for dataset, _ in shown],
            "image_id": [image for _, image in shown],
            "image": np.stack([self._images[name] for name in shown]),
        }
        for column, found in self._found.items():
            kind, _, name = column.partition(".")
            like = next(iter(found.values()))
            # Of a mask 255 stands for what is not there.
            lacking = np.full_like(like, NO_CLASS if like.dtype == np.uint8 else np.nan)
            if kind == "input":
                lacking = np.zeros_like(like)
            values = np.stack([found.get(name, lacking) for name in shown])
            (images if kind == "input" else side[kind])[column if kind == "input" else name] = (
                values
            )
        facts = {
            "problem": self.job.problem.name,
            "system": self.job.name,
            "seed": self.job.seed,
            "targets": {name: self._targets[name].facts() for name in side["truth"]},
        }
        write_examples(path, images, side["truth"], side["output"], facts)

    def _take(self, data: ProblemData, one: Trained, batch: Batch) -> None:
        """Keep what is said of a batch, and what is true."""
        names = [_name(name) for name in batch.names]
        outputs = forward_of(one.network)(batch.images, batch.rows)
        pictures = data.images.pixels(batch.places)
        for target in (data.targets[name] for name in batch.truths):
            said = target.prediction(outputs[target.name].cpu().float())
            true = target.shown(batch.truths[target.name])
            for i, row in enumerate(batch.rows[target.name].tolist()):
                name = names[row]
                self._images[name] = _flat(pictures[row])
                for side, values in (("truth", true[i]), ("output", said[i])):
                    pixels = _flat(values) if target.layout == "pixels" else values
                    kept = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float16)
                    self._found[f"{side}.{target.name}"][name] = kept
                if target.input != IMAGE:
                    seen = (batch.images[row].numpy() * 255).round().astype(np.uint8)
                    picture = np.repeat(seen, 3 // len(seen), axis=0).transpose(1, 2, 0)
                    self._found[f"input.{target.name}"][name] = picture


def _tested(data: ProblemData) -> list[Name]:
    """All images with a target that some fold is measured on."""
    splits = ("train", "val", "test") if data.fold >= 0 else ("test",)
    return [_name(name) for split in splits for name in data.names(split)]


def _name(name: str) -> Name:
    """Dataset and image of a name of both."""
    dataset, _, image = name.partition("/")
    return dataset, image


def _flat(pixels: np.ndarray) -> np.ndarray:
    """A picture, or the middle slice of a volume."""
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        return pixels[len(pixels) // 2]
    return pixels
