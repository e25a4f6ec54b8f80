"""Which pairs a training learns from, and under which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.encoders.pairbank import PairBank
from medtaskatlas.encoders.taco.batches import Composer
from medtaskatlas.encoders.taco.failures import FailureSampler, Names
from medtaskatlas.encoders.taco.sampler import CrossedSampler, PlainSampler

if TYPE_CHECKING:
    from medtaskatlas.encoders.kinds.taco import Taco


@dataclass(frozen=True)
class TrainingRows:
    """Rows of a collection of pairs by what training does with them.

    Attributes
    ----------
    bank
        All pairs: right ones first, then failures.
    train, val, failures
        int64 rows: right pairs of training and of validation groups, failures of training groups.
    """

    bank: PairBank
    train: np.ndarray
    val: np.ndarray
    failures: np.ndarray

    def names(self, rows: np.ndarray, task: str = "task") -> Names:
        """Task, dataset and image of some rows.

        Parameters
        ----------
        rows
            int64 [N].
        task
            Column of the task; ``failure_of`` for failures.

        Returns
        -------
        tuple of numpy.ndarray
            Three object arrays [N].
        """
        column = self.bank.strings
        return column(task)[rows], column("dataset")[rows], column("image_id")[rows]


def training_rows(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    failure_paths: Sequence[str | Path] = (),
    pairs_per_cell: int | None = None,
) -> TrainingRows:
    """Open pairs and sort their rows.

    Parameters
    ----------
    pair_paths, image_paths
        Right pairs and the images of their datasets.
    failure_paths
        Failures of the tasks on the same datasets.
    pairs_per_cell
        Only the first pairs of every task and dataset, by their draw; None for all. Validation
        pairs are not made fewer.

    Returns
    -------
    TrainingRows
        The rows.

    Raises
    ------
    DataError
        If nothing is left to train on.
    """
    bank = PairBank([*pair_paths, *failure_paths], image_paths)
    split = bank.strings("split")
    wrong = np.array([x is not None for x in bank.strings("failure_of")])
    kept = split == "train"
    if pairs_per_cell is not None:
        kept &= bank.strings("draw") < pairs_per_cell
    rows = np.flatnonzero(kept & ~wrong)
    if not len(rows):
        raise DataError(
            "no pair of a training group is left to train on",
            "raise `images_per_dataset`, `pairs_per_cell` or the share `splits: {train: ...}`",
        )
    return TrainingRows(
        bank, rows, np.flatnonzero((split == "val") & ~wrong), np.flatnonzero(kept & wrong)
    )


def composer(rows: TrainingRows, options: Taco, seed: int) -> Composer:
    """What composes the batches of a training.

    Parameters
    ----------
    rows
        The pairs.
    options
        Of the encoder: batch, sampler, loss, labels, failures.
    seed
        Training seed.

    Returns
    -------
    Composer
        A pure function of seed and number of a batch.
    """
    names = rows.names(rows.train)
    task, dataset, image = names
    if options.labels == "shuffled":
        task = generator(seed, "shuffled labels").permutation(task)
    sampler: CrossedSampler | PlainSampler
    if options.sampler == "plain":
        sampler = PlainSampler(task, size=options.batch_tasks * options.batch_images, seed=seed)
    else:
        sampler = CrossedSampler(
            task,
            dataset,
            image,
            n_tasks=options.batch_tasks,
            n_images=options.batch_images,
            seed=seed,
            n_draws=2 if options.loss == "nt_xent" else 1,
        )
    composed = Composer(
        sampler,
        rows.train,
        rows.bank.strings("severity")[rows.train].astype(np.float32),
        _codes(dataset, image),
        unchanged=options.steadiness > 0,
    )
    if not options.failures:
        return composed
    of = rows.names(rows.failures, "failure_of")
    failures = FailureSampler(of, share=options.failures, seed=seed)
    return replace(composed, failures=failures, failure_rows=rows.failures, names=names)


def _codes(dataset: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Codes of images, whose names are unique within a dataset."""
    names = [f"{d}/{i}" for d, i in zip(dataset, image, strict=True)]
    return np.unique(names, return_inverse=True)[1]
