"""One class of a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Offer, Part, Target, as_numpy, not_null, read

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-7  # probability that has a logarithm
MOST_WEIGHT = 10.0  # of a rare class: a few images must not steer the network


@dataclass(frozen=True, kw_only=True)
class Label(Target):
    """The label. Loss: cross-entropy, a class weighted by the inverse of its frequency.

    Weights are N / (C n_c) of the training images, at most :data:`MOST_WEIGHT`: every class counts
    alike, as it does in the balanced accuracy.
    """

    kind: ClassVar[str] = "class"
    statistics_kind: ClassVar[str] = "class"
    label_kinds: ClassVar[tuple[str, ...]] = ("binary", "multi_class")

    classes: tuple[str, ...]
    counts: tuple[int, ...]  # training images of each class

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """The label, where there are two or more of its kind."""
        labels = annotations.labels
        offered = annotations.label_kind in cls.label_kinds and len(labels) > 1
        offer = Offer("label", cls.kind, classes=labels, task="classification")
        return [offer] if offered else []

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Frequencies of the classes; an error where fewer than two are there."""
        classes = cls.offers(parts[0].annotations)[0].classes
        counts = np.zeros(len(classes), int)
        for part in parts:
            labels = cls._labels(part.images, part.rows, classes)
            counts += np.bincount(labels, minlength=len(classes))
        if (counts > 0).sum() < 2:
            datasets = ", ".join(part.annotations.dataset for part in parts)
            raise DataError(
                f"{datasets}: target {name}: all training images are {classes[counts.argmax()]}",
                "leave the target out, or give `folds` or another split",
            )
        return cls(
            name=name,
            channels=cls._channels(len(classes)),
            classes=classes,
            counts=tuple(counts.tolist()),
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Images with a label."""
        return not_null(images, "label", rows)

    @staticmethod
    def _channels(n_classes: int) -> int:
        """Numbers of the network."""
        return n_classes

    @staticmethod
    def _labels(images: ArrowFile, rows: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
        """Labels that are classes, int64."""
        labels = read(images, "label", rows).astype(np.int64)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise DataError(
                f"{images.path}: labels are {labels.min()} to {labels.max()}, but there are "
                f"{len(classes)} names",
                "name all labels in the dataset's `labels`",
            )
        return labels

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Classes, int64 [n]."""
        return self._labels(images, rows, self.classes)

    def absent(self) -> tuple[str, ...]:
        """Classes without an image."""
        return tuple(c for c, n in zip(self.classes, self.counts, strict=True) if not n)

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Weighted cross-entropy."""
        import torch
        from torch.nn import functional

        counts = torch.tensor(self.counts, dtype=output.dtype, device=output.device)
        weight = (counts.sum() / (len(counts) * counts.clamp(min=1))).clamp(max=MOST_WEIGHT)
        return (functional.cross_entropy(output, truth, reduction="none") * weight[truth]).mean()

    def probabilities(self, output: Tensor) -> Tensor:
        """Probabilities [n, C] of the classes."""
        return output.softmax(1)

    def output(self, probabilities: Tensor) -> Tensor:
        """What :meth:`probabilities` makes these of, [n, C]."""
        return probabilities.clamp(min=_LEAST).log()

    def prediction(self, output: Tensor) -> np.ndarray:
        """Probabilities of the classes."""
        return as_numpy(self.probabilities(output)).astype(np.float32)

    def shown(self, truth: Tensor) -> np.ndarray:
        """1 for the label."""
        return np.eye(len(self.classes), dtype=np.float32)[truth.cpu().numpy()]

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Probabilities, and the label."""
        columns = [self.prediction(output), as_numpy(truth)[:, None]]
        return np.concatenate(columns, axis=1).astype(np.float32)
