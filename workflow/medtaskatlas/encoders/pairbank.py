"""Many pair files as one indexed collection, memory-mapped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import COLUMNS, SIDES, PairSet
from medtaskatlas.pairs.roles import roles


class PairBank:
    """Pairs of many tasks and datasets; pair files without rows are passed over.

    Attributes
    ----------
    sets
        The files, in the order given.
    start
        int64 [len(sets) + 1]: where each file's rows begin in the collection.

    Raises
    ------
    DataError
        If there is no pair at all, or the files do not fit together.
    """

    def __init__(self, pair_paths: Sequence[str | Path], image_paths: Sequence[str | Path]) -> None:
        images = {i.dataset: i for i in map(ImageSet, image_paths)}
        self.sets = []
        for path in pair_paths:
            dataset = Path(path).stem
            if dataset not in images:
                raise DataError(f"{path}: no images file of {dataset} was given", "give it")
            pairs = PairSet(path, images[dataset])
            if len(pairs):
                self.sets.append(pairs)
        if not self.sets:
            raise DataError("there is no pair", "choose tasks and datasets that fit each other")
        self.start = np.concatenate([[0], np.cumsum([len(s) for s in self.sets])])
        shapes = {s.images.images.shape[1:] for s in self.sets}
        if len(shapes) > 1:
            raise DataError(
                f"images of several sizes: {sorted(shapes)}",
                "delete the run's images/ and start again with one `image_size`",
            )
        self.shape: tuple[int, int, int] = shapes.pop()

    def __len__(self) -> int:
        return int(self.start[-1])

    def table(self) -> pa.Table:
        """Everything but the pixels, one row a pair."""
        tables = [pa.table({name: _plain(s.column(name)) for name in COLUMNS}) for s in self.sets]
        return pa.concat_tables(tables)

    def strings(self, name: str) -> np.ndarray:
        """One column, object array [len(self)]."""
        return np.concatenate([s.numpy(name) for s in self.sets])

    def roles(
        self, heldout_datasets: Collection[str], heldout_tasks: Collection[str]
    ) -> np.ndarray:
        """Role of every pair, by what was kept out of training; :mod:`medtaskatlas.pairs.roles`.

        A dataset without a training image is held out, too.
        """
        images = {pairs.images.dataset: pairs.images for pairs in self.sets}
        return roles(
            self.strings("dataset"),
            self.strings("split"),
            self.strings("subject_id"),
            self.strings("task"),
            np.repeat([pairs.meta["set"] == "main" for pairs in self.sets], np.diff(self.start)),
            trained_on={
                name
                for name, image in images.items()
                if name not in heldout_datasets and "train" in image.numpy("split")
            },
            heldout_tasks=heldout_tasks,
        )

    def gather(
        self,
        rows: np.ndarray,
        unchanged: np.ndarray | None = None,
        outputs: np.ndarray | None = None,
    ) -> np.ndarray:
        """Pixels of rows int [B]: uint8 [B, 2, H, W, 3]; twice the image where ``unchanged``.

        With ``outputs`` the second sides are those of other rows, of the same files.
        """
        batch = np.empty((len(rows), 2, *self.shape), np.uint8)
        owners = np.searchsorted(self.start, rows, side="right") - 1
        for i, (owner, row) in enumerate(zip(owners, rows - self.start[owners], strict=True)):
            if unchanged is not None and unchanged[i]:
                batch[i] = self.sets[owner].image(int(row))
                continue
            of = (row, row if outputs is None else outputs[i] - self.start[owner])
            for side, name in enumerate(SIDES):
                batch[i, side] = self.sets[owner].side(name, int(of[side]))
        return batch


def _plain(column: pa.Array) -> pa.Array:
    """Column without dictionary encoding, so that tables of many files concatenate."""
    if isinstance(column.type, pa.DictionaryType):
        return compute.cast(column, column.type.value_type)
    return column


@dataclass(frozen=True)
class TrainingRows:
    """Rows of a collection by what training does with them, int64."""

    bank: PairBank  # right pairs first, then failures
    train: np.ndarray
    val: np.ndarray
    failures: np.ndarray  # of training groups

    def names(
        self, rows: np.ndarray, task: str = "task"
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Task, dataset and image of some rows; ``task`` is ``failure_of`` for failures."""
        column = self.bank.strings
        return column(task)[rows], column("dataset")[rows], column("image_id")[rows]


def training_rows(
    pair_paths: Sequence[str | Path],
    image_paths: Sequence[str | Path],
    failure_paths: Sequence[str | Path] = (),
    pairs_per_cell: int | None = None,
) -> TrainingRows:
    """Open pairs and sort their rows; raises DataError if nothing is left to train on."""
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
