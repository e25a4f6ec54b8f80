"""Batches: composed as a pure function of their number, read ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from medtaskatlas.encoders.failures import FailureSampler
from medtaskatlas.encoders.losses import FAILURE
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.sampler import CrossedSampler, PlainSampler
from medtaskatlas.seeds import generator


@dataclass(frozen=True)
class Picks:
    """Which pairs a batch holds.

    Attributes
    ----------
    rows
        int64 [B] rows of the collection.
    labels
        int64 [B] task codes; failures have :data:`~medtaskatlas.encoders.losses.FAILURE`.
    cells
        int64 [B] codes of (task, image).
    """

    rows: np.ndarray
    labels: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Batch:
    """A batch, or the part of it that one process reads.

    Attributes
    ----------
    pixels
        uint8 [b, 2, H, W, 3] of the own part.
    labels, cells
        int64 [B] of the whole batch, see :class:`Picks`.
    """

    pixels: np.ndarray
    labels: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Composer:
    """Puts right pairs and failures together.

    Attributes
    ----------
    sampler
        Composes the right pairs.
    rows
        Rows of the collection that the sampler's numbers stand for.
    failures
        Composes the failures; None where there are none.
    failure_rows
        Rows of the collection that its numbers stand for.
    names
        True task, dataset and image of ``rows``; needed with failures.
    """

    sampler: CrossedSampler | PlainSampler
    rows: np.ndarray
    failures: FailureSampler | None = None
    failure_rows: np.ndarray | None = None
    names: tuple[np.ndarray, ...] = ()

    def picks(self, number: int) -> Picks:
        """Compose a batch.

        Parameters
        ----------
        number
            Number of the batch.

        Returns
        -------
        Picks
            Right pairs first, then failures.
        """
        chosen, labels = self.sampler.batch(number)
        rows, cells = self.rows[chosen], self.sampler.cells[chosen]
        if self.failures is None or self.failure_rows is None:
            return Picks(rows, labels, cells)
        task, dataset, image = (column[chosen] for column in self.names)
        wrong = self.failure_rows[self.failures.beside((task, dataset, image), number)]
        none = np.full(len(wrong), FAILURE)
        return Picks(
            np.concatenate([rows, wrong]),
            np.concatenate([labels, none]),
            np.concatenate([cells, none]),
        )


def mirror_together(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror both sides of some pairs in place: other content, the same task.

    Flips commute with each other and with all that a task does up to the sign of its direction;
    transposing would turn a horizontal flip into a vertical one, so it is not done.

    Parameters
    ----------
    pixels
        uint8 [B, 2, H, W, 3]; changed in place.
    rng
        Decides for each pair.

    Returns
    -------
    numpy.ndarray
        The same array.
    """
    return _mirror(pixels, rng.random((2, len(pixels))) < 0.5)


def _mirror(pixels: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Mirror where bool [2, B] says so: across, down."""
    across, down = turned
    pixels[across] = pixels[across, :, :, ::-1]
    pixels[down] = pixels[down, :, ::-1]
    return pixels


def share_of(size: int, rank: int, world: int) -> slice:
    """Part of a batch that one of several processes works on.

    Parameters
    ----------
    size
        Pairs in the batch.
    rank, world
        Which process of how many.

    Returns
    -------
    slice
        Parts are contiguous, and their sizes differ by one at most.
    """
    each, more = divmod(size, world)
    begin = rank * each + min(rank, more)
    return slice(begin, begin + each + (rank < more))


def batches(
    bank: PairBank,
    composer: Composer,
    numbers: range,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Batches in turn, read one ahead in a thread.

    Parameters
    ----------
    bank
        The pairs.
    composer
        Composes the batches.
    numbers
        Which batches.
    rank, world
        Which process of how many; only its part is read.

    Yields
    ------
    Batch
        One a number.
    """

    def load(number: int) -> Batch:
        picks = composer.picks(number)
        part = share_of(len(picks.rows), rank, world)
        rng = generator(composer.sampler.seed, "mirror", number)
        # Drawn for the whole batch, so that it does not depend on the number of processes.
        turned = rng.random((2, len(picks.rows))) < 0.5
        pixels = _mirror(bank.gather(picks.rows[part]), turned[:, part])
        return Batch(pixels, picks.labels, picks.cells)

    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(load, numbers[0]) if numbers else None
        for number in numbers:
            assert ahead is not None
            batch = ahead.result()
            ahead = reader.submit(load, number + 1) if number + 1 in numbers else None
            yield batch
