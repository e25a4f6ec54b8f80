"""One number of a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Offer, Part, Target, as_numpy, read

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Value(Target):
    """``value.<name>``. Loss: smooth absolute error of what is standardised on training images."""

    kind: ClassVar[str] = "value"
    statistics_kind: ClassVar[str] = "value"

    mean: float  # of training images, in the unit
    sd: float
    median: float

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """Every value."""
        return [Offer(f"value.{name}", cls.kind, unit) for name, unit in annotations.values.items()]

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Mean, standard deviation and median; an error where all are the same."""
        found = np.concatenate([cls.numbers(name, p.images, p.rows) for p in parts])
        if found.std() == 0:
            datasets = ", ".join(part.annotations.dataset for part in parts)
            raise DataError(
                f"{datasets}: target {name}: all training images have the value {found[0]:g}",
                "leave the target out, or give `folds` or another split",
            )
        return cls(
            name=name,
            channels=1,
            unit=next(o.unit for o in cls.offers(parts[0].annotations) if o.target == name),
            mean=float(found.mean()),
            sd=float(found.std()),
            median=float(np.median(found)),
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Images with a value."""
        if name not in images:
            return np.zeros(len(rows), bool)
        return np.isfinite(cls.numbers(name, images, rows))

    @classmethod
    def numbers(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Values of rows in the unit, float64 [n]."""
        return read(images, name, rows).astype(float)

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Standardised values, float32 [n]."""
        return ((self.numbers(self.name, images, rows) - self.mean) / self.sd).astype(np.float32)

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Smooth absolute error (Huber, 1964)."""
        from torch.nn import functional

        return functional.smooth_l1_loss(output[:, 0], truth)

    def prediction(self, output: Tensor) -> np.ndarray:
        """Value in the unit."""
        return (self.mean + self.sd * as_numpy(output)).astype(np.float32)

    def shown(self, truth: Tensor) -> np.ndarray:
        """Value in the unit."""
        return (self.mean + self.sd * as_numpy(truth)[:, None]).astype(np.float32)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Absolute errors of the network and of the training median, in the unit."""
        true = self.shown(truth)
        errors = [np.abs(self.prediction(output) - true), np.abs(self.median - true)]
        return np.concatenate(errors, axis=1).astype(np.float32)
