"""Prepared files of a problem: its images, and which of them are in each split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.images import SPLITS, ImageSet
from medtaskatlas.problems.annotations import annotations_in
from medtaskatlas.problems.problem import Problem, assign_folds, splits_of_fold
from medtaskatlas.problems.targets.target import read

IDS = ("subject_id", "group_id", "image_id")
Reader = Callable[[ArrowFile, np.ndarray], np.ndarray]


class ProblemImages:
    """Images of all datasets of a problem; a place is a dataset's number and a row of its file.

    Parameters
    ----------
    problem
        The problem.
    files
        Dataset to its prepared file.
    fold
        Fold that is measured on; -1: the images' own splits.
    seed
        Of the folds and of what is labelled.
    labelled
        Share of the training subjects, of each label, that are in the split ``train``.

    Raises
    ------
    DataError
        If images differ in size, a split is empty, a subject of the test is trained on in another
        dataset, or there are too few groups for the folds.
    """

    def __init__(
        self,
        problem: Problem,
        files: Mapping[str, str | Path],
        fold: int,
        seed: int,
        *,
        labelled: float = 1.0,
    ) -> None:
        self.problem = problem
        opened = ArrowFile if problem.volumes else ImageSet
        self.files: list[ArrowFile] = [opened(files[name]) for name in problem.datasets]
        self.annotations = [annotations_in(file) for file in self.files]
        self._column = "volume" if problem.volumes else "image"
        # Columns of a file by those of the predictions.
        self._ids = {name: name for name in IDS} | {"image_id": f"{self._column}_id"}
        shapes = sorted({tuple(file.column(self._column).type.shape) for file in self.files})
        if len(shapes) > 1:
            raise DataError(
                f"problem {problem.name}: images of {shapes} pixels", "prepare them alike"
            )
        self.size: tuple[int, ...] = shapes[0] if problem.volumes else shapes[0][:2]
        found = self._published() if fold < 0 else self._folds(fold, seed)
        if labelled < 1:
            found["train"] = [
                self._some(file, rows, labelled, seed)
                for file, rows in zip(self.files, found["train"], strict=True)
            ]
        for split, rows in found.items():
            if not sum(map(len, rows)):
                raise DataError(
                    f"problem {problem.name}: no image is in the split {split}",
                    "give `folds` for so small a set, or other `splits`",
                )
        # Split to rows of each dataset.
        self.rows = {
            split: [_in_order(f, r) for f, r in zip(self.files, rows, strict=True)]
            for split, rows in found.items()
        }

    def _published(self) -> dict[str, list[np.ndarray]]:
        """Rows of the images' own splits."""
        of = [np.array(file.column("split").to_pylist()) for file in self.files]
        rows = {split: [np.flatnonzero(names == split) for names in of] for split in SPLITS}
        try:
            refuse_shared(self._subjects(rows["train"]), self._subjects(rows["test"]))
        except DataError as error:
            raise DataError(
                f"problem {self.problem.name}: {error.problem}",
                f"give `folds`, which keep subjects whole, or {error.remedy}",
            ) from None
        return rows

    def subjects(self, split: str) -> dict[str, set[str]]:
        """Subjects of a split, by dataset."""
        return self._subjects(self.rows[split])

    def _subjects(self, rows: Sequence[np.ndarray]) -> dict[str, set[str]]:
        """Subjects of some rows of each dataset."""
        return {
            name: set(np.array(file.column("subject_id").to_pylist())[own].tolist())
            for name, file, own in zip(self.problem.datasets, self.files, rows, strict=True)
        }

    def _folds(self, fold: int, seed: int) -> dict[str, list[np.ndarray]]:
        """Rows by folds that all datasets share."""
        folds = self.problem.folds
        assert folds is not None
        subjects = [name for file in self.files for name in file.column("subject_id").to_pylist()]
        strata = np.concatenate([self._strata(file, np.arange(len(file))) for file in self.files])
        try:
            fold_of = assign_folds(subjects, strata, folds, seed)
        except DataError as error:
            raise DataError(f"problem {self.problem.name}: {error.problem}", error.remedy) from None
        ends = np.cumsum([0, *map(len, self.files)]).tolist()
        return {
            split: [rows[(rows >= a) & (rows < b)] - a for a, b in pairwise(ends)]
            for split, rows in splits_of_fold(fold_of, fold).items()
        }

    def _strata(self, file: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """What folds are balanced by: the label where it is a target, else whether masks show any.

        0 stands for no label.
        """
        if "label" in self.problem.targets and "label" in file:
            return np.nan_to_num(read(file, "label", rows).astype(float) + 1).astype(np.int64)
        if "mask" in self.problem.targets and "mask" in file:
            chunks = np.array_split(rows, len(rows) // 256 + 1)
            shown = [read(file, "mask", c).reshape(len(c), -1).any(axis=1) for c in chunks]
            return np.concatenate(shown).astype(np.int64)
        return np.zeros(len(rows), np.int64)

    def _some(self, file: ArrowFile, rows: np.ndarray, share: float, seed: int) -> np.ndarray:
        """Rows of a share of the subjects of each label, at least one; nested from share to share.

        A subject has the rarest label of its images.
        """
        subjects = np.array(file.column("subject_id").to_pylist())[rows]
        names, of = np.unique(subjects, return_inverse=True)
        strata = self._strata(file, rows)
        counts = np.bincount(strata)
        label = [min(set(strata[of == i].tolist()), key=counts.item) for i in range(len(names))]
        # A set at several sizes has the same labels at each.
        copied = file.meta.get("copy_of")
        whose = (copied, copied) if copied else (self.problem.name, str(file.meta["dataset"]))
        order = generator(seed, "labelled", *whose).permutation(len(names))
        kept = [
            i
            for stratum in sorted(set(label))
            for own in [[i for i in order if label[i] == stratum]]
            for i in own[: max(1, round(share * len(own)))]
        ]
        return rows[np.isin(of, kept)]

    def preparation(self) -> dict[str, list[Any]]:
        """How the images were made grey levels and cut, each way once: what a prediction repeats.

        ``modality``, ``body_part`` and ``windowing`` (``window`` or ``percentiles``) of the
        datasets; ``axes``: planes of slices, empty for pictures and volumes.
        """
        found = {
            key: [file.meta.get(key, {}) for file in self.files]
            for key in ("modality", "body_part", "windowing")
        }
        planes = [f.column("axis").unique().to_pylist() for f in self.files if "axis" in f]
        found["axes"] = [plane for of in planes for plane in of if plane is not None]
        return {
            key: sorted((value for i, value in enumerate(v) if value not in v[:i]), key=str)
            for key, v in found.items()
        }

    def gather(self, places: np.ndarray, read_rows: Reader) -> np.ndarray:
        """What is read of images, in their order, dataset by dataset."""
        parts, order = [], []
        for d in np.unique(places[:, 0]).tolist():
            mine = np.flatnonzero(places[:, 0] == d)
            parts.append(read_rows(self.files[d], places[mine, 1]))
            order.append(mine)
        return np.concatenate(parts)[np.argsort(np.concatenate(order))]

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Images uint8 [n, H, W, 3], or volumes [n, D, H, W]."""
        return self.gather(places, lambda file, rows: read(file, self._column, rows))

    def ids(self, places: np.ndarray) -> dict[str, list[str]]:
        """Columns ``dataset``, ``subject_id``, ``group_id`` and ``image_id`` of images."""
        at = places.tolist()
        columns = {
            name: [self.files[d].column(column)[r].as_py() for d, r in at]
            for name, column in self._ids.items()
        }
        return {"dataset": [self.problem.datasets[d] for d, _ in at], **columns}

    def names(self, places: np.ndarray) -> tuple[str, ...]:
        """``dataset/image`` of images."""
        return tuple(
            f"{dataset}/{image}"
            for ids in [self.ids(places)]
            for dataset, image in zip(ids["dataset"], ids["image_id"], strict=True)
        )


def refuse_shared(trained: Mapping[str, set[str]], tested: Mapping[str, set[str]]) -> None:
    """Refuse subjects that one dataset keeps for the test and another one trains on."""
    for (one, test), (other, train) in product(tested.items(), trained.items()):
        if shared := (test - trained[one]) & train:
            raise DataError(
                f"{len(shared)} subjects that {one} tests are trained on in {other}, such as "
                f"{min(shared)}",
                "each dataset a problem of its own",
            )


def _in_order(file: ArrowFile, rows: np.ndarray) -> np.ndarray:
    """Rows with the slices of a group side by side."""
    groups = file.column("group_id").to_pylist()
    slices = file.column("slice_index").to_pylist() if "slice_index" in file else [0] * len(file)
    return np.array(sorted(rows.tolist(), key=lambda r: (groups[r], slices[r] or 0, r)), np.int64)
