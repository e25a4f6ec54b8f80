"""Batches of TaCo: right pairs, failures and unchanged pairs, mirrored at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import TrainingRows
from medtaskatlas.encoders.taco.losses import EMPTY, FAILURE
from medtaskatlas.encoders.taco.sampler import CrossedSampler, FailureSampler, PlainSampler
from medtaskatlas.learning.processes import Processes


@dataclass(frozen=True)
class Batch:
    """Pairs of a batch: right ones first, then failures, then unchanged pairs."""

    rows: np.ndarray  # int64 [B] of the collection; of an unchanged pair, one on its image
    labels: np.ndarray  # int64 [B] task codes, FAILURE or EMPTY
    severities: np.ndarray  # float32 [B], NaN where there is none
    images: np.ndarray  # int64 [B] codes of images
    pixels: np.ndarray | None = None  # uint8 [b, 2, H, W, 3] of the own part

    def __len__(self) -> int:
        return len(self.rows)

    def followed_by(self, rows: np.ndarray, label: int, images: np.ndarray) -> Batch:
        """These, and behind them pairs that are of no task."""
        return Batch(
            np.concatenate([self.rows, rows]),
            np.concatenate([self.labels, np.full(len(rows), label)]),
            np.concatenate([self.severities, np.full(len(rows), np.nan, np.float32)]),
            np.concatenate([self.images, images]),
        )


class Composer:
    """Puts batches together, a pure function of seed and step; the rest are options of TaCo."""

    def __init__(
        self,
        rows: TrainingRows,
        *,
        seed: int,
        sampler: Literal["crossed", "plain"] = "crossed",
        labels: Literal["true", "shuffled"] = "true",
        batch_tasks: int = 16,
        batch_images: int = 8,
        failures: float = 0.0,
        unchanged: bool = False,
    ) -> None:
        self.rows, self.seed, self.unchanged = rows, seed, unchanged
        self.names = task, dataset, image = rows.names(rows.train)
        if labels == "shuffled":
            task = generator(seed, "shuffled labels").permutation(task)
        self.sampler: CrossedSampler | PlainSampler
        if sampler == "plain":
            self.sampler = PlainSampler(task, size=batch_tasks * batch_images, seed=seed)
        else:
            self.sampler = CrossedSampler(
                (task, dataset, image), n_tasks=batch_tasks, n_images=batch_images, seed=seed
            )
        self._severities = rows.bank.strings("severity")[rows.train].astype(np.float32)
        # Names of images are unique within a dataset.
        named = [f"{d}/{i}" for d, i in zip(dataset, image, strict=True)]
        self._images = np.unique(named, return_inverse=True)[1]
        self.failures: FailureSampler | None = None
        if failures:
            of = rows.names(rows.failures, "failure_of")
            self.failures = FailureSampler(of, share=failures, seed=seed)

    def picks(self, step: int) -> Batch:
        """Batch of a step without its pixels."""
        chosen, labels = self.sampler.batch(step)
        severities, images = self._severities[chosen], self._images[chosen]
        batch = Batch(self.rows.train[chosen], labels, severities, images)
        if self.failures is not None:
            task, dataset, image = (column[chosen] for column in self.names)
            wrong = self.rows.failures[self.failures.batch((task, dataset, image), step)]
            batch = batch.followed_by(wrong, FAILURE, np.full(len(wrong), -1))
        if self.unchanged:
            graded = np.flatnonzero(~np.isnan(severities))
            codes, first = np.unique(images[graded], return_index=True)
            batch = batch.followed_by(self.rows.train[chosen[graded[first]]], EMPTY, codes)
        return batch

    def batch(self, step: int, processes: Processes) -> Batch:
        """Batch of a step with the pixels of the own part."""
        picks = self.picks(step)
        part = processes.part(len(picks))
        # Drawn for the whole batch, so that it does not depend on the number of processes.
        turned = generator(self.seed, "mirror", step).random((2, len(picks))) < 0.5
        pixels = self.rows.bank.gather(picks.rows[part], picks.labels[part] == EMPTY)
        mirror(pixels, turned[:, part])
        return Batch(picks.rows, picks.labels, picks.severities, picks.images, pixels)


def mirror(pixels: np.ndarray, turned: np.ndarray) -> None:
    """Mirror both sides of some pairs, uint8 [B, 2, H, W, 3], in place: other content, same task.

    Flips commute with each other and with all that a task does up to the sign of its direction;
    transposing would turn a horizontal flip into a vertical one, so it is not done. ``turned`` is
    bool [2, B]: which pairs across, which down.
    """
    # Thirteen times as fast as numpy's copies of reversed views of three-byte pixels, which took
    # three quarters of the time of a batch.
    for pair, (across, down) in zip(pixels, turned.T, strict=True):
        if across or down:
            way = -1 if across and down else int(across)
            for side in pair:
                side[...] = cv2.flip(side, way)
