"""Sets that Medformer learns: prepared images or volumes of one dataset each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.images import channels_of
from medtaskatlas.medformer.model import Head, Shape, Who
from medtaskatlas.problems.data import ProblemData, planes_of
from medtaskatlas.problems.problem import Problem
from medtaskatlas.problems.targets import load_kinds
from medtaskatlas.problems.targets.target import Target

# Sets are drawn by the square root of their size, so that small ones are not drowned.
_POWER = 0.5


class Unlabelled:
    """Training images of a set, whose annotation is not read.

    Parameters
    ----------
    path
        Prepared images or volumes.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = ArrowFile(path)
        self.name = str(self.file.meta["dataset"])
        volumes = "volume" in self.file
        self._pixels = self.file.numpy("volume" if volumes else "image")
        splits = np.array(self.file.column("split").to_pylist())
        self.rows = np.flatnonzero(splits == "train")
        self.size: tuple[int, ...] = self._pixels.shape[1:4] if volumes else self._pixels.shape[1:3]
        self.shape = Shape(len(self.size), channels_of(self.file))

    def __len__(self) -> int:
        return len(self.rows)

    def who(self, task: str) -> Who:
        """Latents of the set and a task."""
        return Who(self.file.meta["modality"], self.file.meta["body_part"], task)

    def batch(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Images uint8 [n, C, *S] at random."""
        picks = np.sort(rng.choice(self.rows, n, replace=n > len(self.rows)))
        pixels = self._pixels[picks]
        if self.shape.dims == 3:
            return pixels[:, None]
        return planes_of(pixels, self.shape.channels)


@dataclass(frozen=True)
class Learned:
    """A set as a network knows it.

    Attributes
    ----------
    name, targets
        Its name, and targets by theirs.
    shape, size
        Dimensions and channels of its images, and their pixels.
    modality, body_part
        Names of its latents; None: the mean of all.
    """

    name: str
    targets: dict[str, Target]
    shape: Shape
    size: tuple[int, ...]
    modality: str | None
    body_part: str | None

    def who(self, target: str) -> Who:
        """Latents of the set and one of its targets."""
        return Who(self.modality, self.body_part, self.key(target))

    def key(self, target: str) -> str:
        """Name of a target among those of all sets: of its latent and its head."""
        return f"{self.name}.{target}"

    def head(self, target: str) -> Head:
        """Head of a target."""
        known = self.targets[target]
        return Head(self.key(target), known.layout, known.channels, len(self.size))


@dataclass(frozen=True)
class Labelled(Learned):
    """A set with its images: batches to train on, splits to evaluate."""

    data: ProblemData

    @classmethod
    def of(
        cls,
        path: str | Path,
        targets: Sequence[str],
        *,
        seed: int,
        split_seed: int,
        batch_size: int,
        flips: bool,
        labelled: float,
        own_stem: bool,
    ) -> Labelled:
        """Set of a prepared file; see :class:`~medtaskatlas.problems.data.ProblemData`."""
        file = ArrowFile(path)
        name = str(file.meta["dataset"])
        data = ProblemData(
            Problem(name, (name,), tuple(targets), volumes="volume" in file),
            {name: path},
            load_kinds(),
            seed,
            split_seed=split_seed,
            batch_size=batch_size,
            flips=flips,
            labelled=labelled,
        )
        shape = Shape(len(data.size), data.channels, name if own_stem else "")
        latents = file.meta["modality"], file.meta["body_part"]
        return cls(name, data.targets, shape, data.size, *latents, data)

    @property
    def copy_of(self) -> str | None:
        """Set that this one shows at another size."""
        found: str | None = self.data.images.files[0].meta.get("copy_of")
        return found


def draw_set(sizes: Sequence[int], seed: int, step: int, part: int = 0) -> int:
    """Number of the set that a batch is of, by the square root of the sizes."""
    weights = np.asarray(sizes, float) ** _POWER
    rng = generator(seed, "medformer set", step, part)
    return int(rng.choice(len(sizes), p=weights / weights.sum()))
