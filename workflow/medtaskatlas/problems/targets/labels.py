"""Several labels of a whole image, each true or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.label import MOST_WEIGHT
from medtaskatlas.problems.targets.target import Offer, Part, Target, as_numpy, not_null, read

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Labels(Target):
    """All labels. Loss: binary cross-entropy, positives weighted by negatives over positives.

    Weights are of the training images, at most :data:`~.label.MOST_WEIGHT`.
    """

    kind: ClassVar[str] = "labels"
    statistics_kind: ClassVar[str] = "labels"

    classes: tuple[str, ...]
    weights: tuple[float, ...]  # of the positives of each label
    counts: tuple[int, ...]  # training images of which each is true

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """The labels, where they are several to an image."""
        findings = annotations.findings
        return [Offer("labels", cls.kind, classes=findings)] if findings else []

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Frequencies of the labels; an error where none is both true and false."""
        classes = parts[0].annotations.findings
        truths = [read(part.images, "labels", part.rows) for part in parts]
        positive = sum(t.sum(axis=0, dtype=np.int64) for t in truths)
        negative = sum(len(t) for t in truths) - positive
        if not ((positive > 0) & (negative > 0)).any():
            datasets = ", ".join(part.annotations.dataset for part in parts)
            raise DataError(
                f"{datasets}: target {name}: no label is true of some training images and false "
                "of others",
                "leave the target out, or give `folds` or another split",
            )
        weights = np.clip(negative / np.maximum(positive, 1), 1 / MOST_WEIGHT, MOST_WEIGHT)
        return cls(
            name=name,
            channels=len(classes),
            classes=classes,
            weights=tuple(weights.tolist()),
            counts=tuple(positive.tolist()),
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Images with labels."""
        return not_null(images, "labels", rows)

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """1 where a label is true, float32 [n, L]."""
        return read(images, "labels", rows).astype(np.float32)

    def absent(self) -> tuple[str, ...]:
        """Labels that are true of no image."""
        return tuple(c for c, n in zip(self.classes, self.counts, strict=True) if not n)

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Weighted binary cross-entropy."""
        from torch.nn import functional

        weights = output.new_tensor(self.weights)
        return functional.binary_cross_entropy_with_logits(output, truth, pos_weight=weights)

    def prediction(self, output: Tensor) -> np.ndarray:
        """Probabilities of the labels, with the weights undone."""
        weights = output.new_tensor(self.weights)
        return as_numpy((output - weights.log()).sigmoid()).astype(np.float32)

    def shown(self, truth: Tensor) -> np.ndarray:
        """1 where a label is true."""
        return as_numpy(truth).astype(np.float32)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Probabilities, and the truth."""
        return np.concatenate([self.prediction(output), self.shown(truth)], axis=1)
