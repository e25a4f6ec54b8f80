"""Images and truths of a problem: batches for training, rows of a split for evaluation."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.images import channels_of
from medtaskatlas.problems.augment import Augmentation, draw_augmentation
from medtaskatlas.problems.images import ProblemImages
from medtaskatlas.problems.problem import Kinds, Problem, check_targets
from medtaskatlas.problems.targets.picture import Picture
from medtaskatlas.problems.targets.target import IMAGE, Part, Target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images, and what is known of them.

    Attributes
    ----------
    images
        Float [B, C, *S] in 0..1: the image, or the input of a task of the bank.
    truths
        Of each target, for the rows that have it.
    rows
        Those rows, int64 [n].
    places
        Dataset (number in the problem) and row of its file, int64 [B, 2].
    names
        ``dataset/image``, for messages.
    """

    images: Tensor
    truths: dict[str, Tensor]
    rows: dict[str, Tensor]
    places: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Pool:
    """Images of a split and which of the targets they have."""

    places: np.ndarray  # int64 [N, 2]
    has: dict[str, np.ndarray]  # bool [N]

    def of(self, targets: Sequence[str]) -> np.ndarray:
        """Numbers of the images that have one of some targets."""
        return np.flatnonzero(np.logical_or.reduce([self.has[name] for name in targets]))


@dataclass(frozen=True)
class _Part:
    """Rows of a batch with one kind of input, as arrays."""

    images: np.ndarray  # uint8 [n, C, *S]
    truths: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    places: np.ndarray
    names: tuple[str, ...]


class ProblemData:
    """All that a training of a problem reads.

    Targets are fitted to training images. The annotation of test images is not read before
    :meth:`open_test`; with folds, their labels say before in which fold they are, and nothing else.

    Parameters
    ----------
    problem
        The problem.
    files
        Dataset to its prepared file.
    kinds
        Kinds of targets, see :func:`~medtaskatlas.problems.targets.load_kinds`.
    seed
        Of batches: the training's.
    fold
        Fold that is measured on, drawn by the seed ``split_seed``; -1: the images' own splits.
    split_seed
        The run's.
    batch_size
        Images of a batch, of each kind of input.
    flips
        Mirror training images along every axis at random.
    labelled
        Share of the training subjects whose annotation is known, drawn by ``split_seed``: a smaller
        share is part of a larger one, and of every label there is at least one subject.

    Raises
    ------
    ConfigError, DataError
        If the files do not hold what the problem needs; names problem, dataset and target.
    """

    def __init__(
        self,
        problem: Problem,
        files: Mapping[str, str | Path],
        kinds: Kinds,
        seed: int = 0,
        fold: int = -1,
        *,
        split_seed: int = 0,
        batch_size: int = 32,
        flips: bool = False,
        labelled: float = 1.0,
    ) -> None:
        self.problem, self.seed, self.fold, self.batch_size = problem, seed, fold, batch_size
        self.flips = flips
        self.images = ProblemImages(problem, files, fold, split_seed, labelled=labelled)
        self.size = self.images.size
        offers = check_targets(problem, self.images.annotations, kinds)
        self._kinds = {name: kinds[offer.kind] for name, offer in offers.items()}
        self._test_is_open = False
        self._pools = {split: self._pool(split) for split in ("train", "val")}
        self.targets = {name: self._fit(name) for name in problem.targets}
        self.channels = max(map(channels_of, self.images.files))

    def open_test(self) -> None:
        """Let :meth:`evaluation` read the test split: training and every choice have ended."""
        self._test_is_open = True
        self._pools["test"] = self._pool("test")

    def notes(self) -> dict[str, str]:
        """Sentences about targets of which training images lack a class, by target."""
        return {
            name: f"no training image has {', '.join(absent)}: it is never predicted rightly"
            for name, target in self.targets.items()
            if (absent := target.absent())
        }

    def count(self, split: str, target: str) -> int:
        """Images of a split that have a target."""
        return int(self._opened(split).has[target].sum())

    def names(self, split: str) -> tuple[str, ...]:
        """``dataset/image`` of the images of a split that have a target."""
        pool = self._opened(split)
        return self.images.names(pool.places[pool.of(self.problem.targets)])

    def epoch_steps(self, targets: Sequence[str] | None = None) -> int:
        """Steps in which about all training images of the most common input are seen once."""
        names = list(targets or self.targets)
        pools = [len(self._pools["train"].of(group)) for group in self._inputs(names).values()]
        return max(1, round(max(pools) / self.batch_size))

    def batch(self, step: int, targets: Sequence[str] | None = None) -> Batch:
        """Training batch of a step, a function of seed and step alone.

        It has ``batch_size`` images of each kind of input of its targets (the image, and the input
        of each generative task), so that a target sees as many images beside others as alone. Each
        kind goes through all images of all datasets that have one of its targets, in a new order
        each time, so that datasets count by their size.

        Parameters
        ----------
        step
            From 0.
        targets
            Names of those that are trained; None: all.
        """
        parts, size = [], self.batch_size
        for kind, names in self._inputs(list(targets or self.targets)).items():
            candidates = self._pools["train"].of(names)
            picks = candidates[self._turn(kind, len(candidates), step * size, size)]
            rng = generator(self.seed, "multitask batch", kind, step)
            moves = draw_augmentation(rng, len(picks), self.size, flips=self.flips)
            draws = [np.random.default_rng(s) for s in rng.integers(2**63, size=len(picks))]
            parts.append(self._read("train", picks, kind, names, draws=draws, augmentation=moves))
        return _joined(parts)

    def evaluation(
        self,
        split: str,
        targets: Sequence[str] | None = None,
        *,
        most: int | None = None,
        only: Container[str] | None = None,
    ) -> Iterator[Batch]:
        """Images of a split with what is known of them, as they are, always in the same order.

        Each batch has one kind of input. Degraded images are the same in every training.

        Parameters
        ----------
        split
            ``train``, ``val``, or ``test`` after :meth:`open_test`.
        targets
            Names of those that are wanted; None: all.
        most
            Images of each kind of input at most, evenly spread; None: all.
        only
            Images by name, ``dataset/image``; None: all.

        Yields
        ------
        Batch
            At most ``batch_size`` images.
        """
        pool = self._opened(split)
        for kind, names in self._inputs(list(targets or self.targets)).items():
            picks = pool.of(names)
            if only is not None:
                named = self.images.names(pool.places[picks])
                picks = picks[np.array([name in only for name in named], bool)]
            if most is not None and len(picks) > most:
                picks = picks[np.linspace(0, len(picks) - 1, most).round().astype(int)]
            for i in range(0, len(picks), self.batch_size):
                some = picks[i : i + self.batch_size]
                # Of the image alone: no training may have easier pictures than another.
                named = self.images.names(pool.places[some])
                draws = [generator(0, "multitask picture", kind, name) for name in named]
                yield _joined([self._read(split, some, kind, names, draws=draws)])

    def _opened(self, split: str) -> Pool:
        """Pool of a split; of the test split only after it was opened."""
        if split == "test" and not self._test_is_open:
            raise RuntimeError("the test split is read after training alone: call open_test first")
        return self._pools[split]

    def _pool(self, split: str) -> Pool:
        """Images of a split, and which of the targets they have."""
        places, has = [], []
        for d, about in enumerate(self.images.annotations):
            rows = self.images.rows[split][d]
            there = {}
            for name, kind in self._kinds.items():
                offered = name in {offer.target for offer in kind.offers(about)}
                none = np.zeros(len(rows), bool)
                there[name] = kind.there(name, self.images.files[d], rows) if offered else none
            places.append(np.stack([np.full(len(rows), d), rows], axis=1))
            has.append(there)
        joined = {name: np.concatenate([h[name] for h in has]) for name in self._kinds}
        return Pool(np.concatenate(places), joined)

    def _fit(self, name: str) -> Target:
        """Target fitted to the training images that have it."""
        pool = self._pools["train"]
        mine = pool.places[pool.has[name]]
        parts = [
            Part(self.images.annotations[d], images, np.sort(mine[mine[:, 0] == d, 1]))
            for d, images in enumerate(self.images.files)
            if (mine[:, 0] == d).any()
        ]
        if not parts:
            raise DataError(
                f"problem {self.problem.name}: no training image has the target {name}",
                "leave it out, or give `folds` or another split",
            )
        try:
            return self._kinds[name].fit(name, parts)
        except DataError as error:
            whole = f"problem {self.problem.name}: {error.problem}"
            raise DataError(whole, error.remedy) from error

    def _inputs(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Targets of each kind of input, the image first."""
        found: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda n: self.targets[n].input != IMAGE):
            found.setdefault(self.targets[name].input, []).append(name)
        return found

    def _turn(self, kind: str, n: int, first: int, count: int) -> np.ndarray:
        """Numbers below n at some positions of an endless row of permutations."""
        at = np.arange(first, first + count)
        found = np.empty(count, np.int64)
        for turn in np.unique(at // n).tolist():
            order = generator(self.seed, "multitask epoch", kind, turn).permutation(n)
            here = at // n == turn
            found[here] = order[at[here] % n]
        return found

    def _read(
        self,
        split: str,
        picks: np.ndarray,
        kind: str,
        names: Sequence[str],
        *,
        draws: Sequence[np.random.Generator],
        augmentation: Augmentation | None = None,
    ) -> _Part:
        """Images of one kind of input, and the truths of its targets."""
        pool = self._pools[split]
        places = pool.places[picks]
        images = self.images.pixels(places)
        if augmentation is not None:
            images = augmentation.of_images(images)
        made: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        if kind != IMAGE:
            task = self.targets[kind]
            assert isinstance(task, Picture)
            made[kind] = [task.pair(i, rng) for i, rng in zip(images, draws, strict=True)]
        truths, rows = {}, {}
        for name in names:
            target = self.targets[name]
            there = np.flatnonzero(pool.has[name][picks])
            rows[name] = there
            if isinstance(target, Picture):
                pairs = made.get(name) or [
                    target.pair(i, rng) for i, rng in zip(images, draws, strict=True)
                ]
                if len(there):
                    outputs = np.stack([pairs[i][1] for i in there])
                    truths[name] = planes_of(outputs, target.channels) / np.float32(255)
            elif len(there):
                truth = self.images.gather(places[there], target.truths)
                if augmentation is not None and target.layout == "pixels":
                    truth = augmentation.moved(truth, there)
                truths[name] = truth
        shown = np.stack([pair[0] for pair in made[kind]]) if kind in made else images
        planes = shown[:, None] if self.problem.volumes else planes_of(shown, self.channels)
        return _Part(planes, truths, rows, places, self.images.names(places))


def planes_of(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pictures [n, H, W, 3] as planes [n, channels, H, W]; of a grey one all three are the same."""
    return np.ascontiguousarray(pixels[..., :channels].transpose(0, 3, 1, 2))


def _joined(parts: Sequence[_Part]) -> Batch:
    """A batch of parts with different inputs, as tensors."""
    import torch

    truths, rows, start = {}, {}, 0
    for part in parts:
        for name, truth in part.truths.items():
            truths[name] = torch.from_numpy(np.ascontiguousarray(truth))
            rows[name] = torch.from_numpy(part.rows[name] + start)
        start += len(part.places)
    images = torch.from_numpy(np.concatenate([part.images for part in parts]))
    return Batch(
        images.float() / 255,
        truths,
        rows,
        np.concatenate([part.places for part in parts]),
        tuple(name for part in parts for name in part.names),
    )
