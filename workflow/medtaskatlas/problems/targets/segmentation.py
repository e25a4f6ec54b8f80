"""Classes of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Layout, Offer, Part, Target, as_numpy, read

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Segmentation(Target):
    """The mask. Loss: cross-entropy and 1 - Dice of the batch, alike.

    Dice is taken of all pixels of the batch, over the foreground classes that its truths have, so
    that a small class counts as a large one, and an image without a lesion is no division by 0
    (nnU-Net's `batch_dice`).
    """

    kind: ClassVar[str] = "segmentation"
    layout: ClassVar[Layout] = "pixels"
    statistics_kind: ClassVar[str] = "segmentation"

    classes: tuple[str, ...]  # foreground
    pixels: tuple[int, ...]  # of training images, of each

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """The mask, where there are classes."""
        classes = annotations.classes
        task = "multiclass_segmentation" if len(classes) > 1 else "segmentation"
        return [Offer("mask", cls.kind, classes=classes, task=task)] if classes else []

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Classes; an error where no training image shows any."""
        classes = parts[0].annotations.classes
        counts = np.zeros(len(classes) + 1, int)
        for part in parts:
            for rows in np.array_split(part.rows, len(part.rows) // 256 + 1):
                counts += np.bincount(
                    cls._masks(part.images, rows, len(classes)).ravel(), minlength=len(counts)
                )
        if not counts[1:].any():
            raise DataError(
                f"{_named(parts)}: target {name}: all masks of training images are empty",
                "leave out `mask`, or see to the masks",
            )
        return cls(
            name=name,
            channels=len(classes) + 1,
            classes=classes,
            pixels=tuple(counts[1:].tolist()),
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """All images of a file that has masks."""
        return np.full(len(rows), "mask" in images)

    @staticmethod
    def _masks(images: ArrowFile, rows: np.ndarray, n_classes: int) -> np.ndarray:
        """Masks whose values are classes."""
        masks = read(images, "mask", rows)
        if masks.size and masks.max() > n_classes:
            raise DataError(
                f"{images.path}: a mask has the value {masks.max()}, but there are {n_classes} "
                "classes",
                "name it in the dataset's `classes`, or correct the mask",
            )
        return masks

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Class ids, uint8 [n, *S]."""
        return self._masks(images, rows, len(self.classes))

    def absent(self) -> tuple[str, ...]:
        """Classes without a pixel."""
        return tuple(c for c, n in zip(self.classes, self.pixels, strict=True) if not n)

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy and 1 - Dice."""
        from torch.nn import functional

        truth = truth.long()
        # Its own mean over pixels is not deterministic on GPUs, and refused there.
        entropy = functional.cross_entropy(output, truth, reduction="none").mean()
        true = functional.one_hot(truth, self.channels).movedim(-1, 1)[:, 1:].to(output.dtype)
        predicted = output.softmax(1)[:, 1:]
        over = [0, *range(2, output.ndim)]
        common, both = (predicted * true).sum(over), (predicted + true).sum(over)
        present = true.sum(over) > 0
        if not present.any():
            return entropy
        return entropy + (1 - 2 * common[present] / both[present]).mean()

    def prediction(self, output: Tensor) -> np.ndarray:
        """Most probable class."""
        return output.argmax(1).cpu().numpy().astype(np.uint8)

    def belief(self, output: Tensor) -> np.ndarray:
        """Probabilities of the classes, float32 [n, C, *S]."""
        return as_numpy(output.softmax(1)).astype(np.float32)

    def decided(self, belief: np.ndarray) -> np.ndarray:
        """Most probable class."""
        return belief.argmax(axis=1).astype(np.uint8)

    def shown(self, truth: Tensor) -> np.ndarray:
        """Class ids."""
        return truth.cpu().numpy().astype(np.uint8)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Pixels in common, predicted and true of each foreground class."""
        from torch.nn import functional

        one_hot = (
            functional.one_hot(classes.long().flatten(1), self.channels)[..., 1:]
            for classes in (output.argmax(1), truth)
        )
        predicted, true = one_hot
        counts = [(predicted * true).sum(1), predicted.sum(1), true.sum(1)]
        return np.concatenate([c.cpu().numpy() for c in counts], axis=1).astype(np.float32)


def _named(parts: Sequence[Part]) -> str:
    """The datasets of some parts."""
    return ", ".join(part.annotations.dataset for part in parts)
