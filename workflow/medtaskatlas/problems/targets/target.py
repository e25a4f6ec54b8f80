"""What a target is: one thing to predict from an image, its loss and its statistics.

A kind of target is one file in this folder, or one of the user's own (``multitask.targets_dir``):
a subclass of :class:`Target` with a ``kind`` of its own. Runs are planned with these files, so
they import torch inside their methods only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations

if TYPE_CHECKING:
    from torch import Tensor

IMAGE = "image"
Layout = Literal["vector", "pixels"]


@dataclass(frozen=True)
class Offer:
    """One target that a dataset offers."""

    target: str
    kind: str
    unit: str = ""
    classes: tuple[str, ...] = ()  # of a mask or label
    task: str | None = None  # of the bank, that asks for the same


@dataclass(frozen=True)
class Part:
    """Rows of one prepared file that a target is fitted to: training images."""

    annotations: Annotations
    images: ArrowFile
    rows: np.ndarray  # int64


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """One thing to predict.

    Attributes
    ----------
    name
        Unique in a problem.
    channels
        Numbers that the network gives, an image or a pixel.
    input
        ``image``, or the task of the bank whose input the network sees in place of the image.
    unit
        Unit of its errors; empty where it has none.
    """

    kind: ClassVar[str] = ""  # every kind has its own
    layout: ClassVar[Layout] = "vector"
    statistics_kind: ClassVar[str]  # see medtaskatlas.problems.scores
    # Whether `problems: auto` takes it by itself where a dataset offers it.
    annotated: ClassVar[bool] = True

    name: str
    channels: int
    input: str = IMAGE
    unit: str = ""

    @classmethod
    @abstractmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """Targets of this kind that a dataset offers."""

    @classmethod
    @abstractmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Target with all that it takes from training images (frequencies, mean, range).

        Parameters
        ----------
        name
            One that :meth:`offers` gave.
        parts
            Training images that have the target, at least one.

        Raises
        ------
        DataError
            If nothing can be learned from them: all masks are empty, all labels the same.
        """

    @abstractmethod
    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Truth of rows that have it.

        Parameters
        ----------
        images
            Prepared file.
        rows
            int64 [n]; nothing else of the file is to be read.

        Returns
        -------
        numpy.ndarray
            [n, ...]; of the layout ``pixels`` the last axes are those of the image.
        """

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Which of some rows have the target, bool [n]."""
        return np.ones(len(rows), bool)

    @abstractmethod
    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Mean over rows.

        Parameters
        ----------
        output
            [n, channels], or [n, channels, *S] of the layout ``pixels``.
        truth
            What :meth:`truths` gave, n > 0.
        """

    @abstractmethod
    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Statistics float32 [n, K] of single images, from which all scores follow."""

    def absent(self) -> tuple[str, ...]:
        """Classes that no training image has, so that none can be learned."""
        return ()

    @abstractmethod
    def prediction(self, output: Tensor) -> np.ndarray:
        """What the network says, for people.

        Returns
        -------
        numpy.ndarray
            Class ids uint8 [n, *S] of a mask; float32 [n, *S] or [n, *S, 3] of other pixels, in
            their unit; probabilities [n, C] of classes or the value [n, 1] of vectors, float32.
        """

    def belief(self, output: Tensor) -> np.ndarray:
        """What several networks are averaged in: :meth:`prediction`, where that has a mean."""
        return self.prediction(output)

    def decided(self, belief: np.ndarray) -> np.ndarray:
        """:meth:`prediction` of a mean of beliefs."""
        return belief

    def columns(self, prediction: np.ndarray) -> dict[str, float]:
        """Numbers of one image for a table, by the names of their columns.

        Parameters
        ----------
        prediction
            Of one image: [C] of vectors, [*S] or [*S, 3] of pixels, of which there are none.
        """
        if self.layout == "pixels":
            return {}
        names = getattr(self, "classes", None) or [str(i) for i in range(len(prediction))]
        unit = f" [{self.unit}]" if self.unit else ""
        if len(prediction) == 1:
            return {f"{self.name}{unit}": float(prediction[0])}
        return {f"{self.name}.{n}{unit}": float(p) for n, p in zip(names, prediction, strict=True)}

    @abstractmethod
    def shown(self, truth: Tensor) -> np.ndarray:
        """The truth in the form of :meth:`prediction`; NaN where it does not count."""

    def group_statistics(
        self, output: Tensor, truth: Tensor, images: ArrowFile, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Statistics [K] of all slices of a group together, by their kind; none by default."""
        return {}

    def facts(self) -> dict[str, Any]:
        """All that it consists of, JSON-able; :func:`target_of` makes it again."""
        return {"kind": self.kind, **asdict(self)}


def read(images: ArrowFile, column: str, rows: np.ndarray) -> np.ndarray:
    """Rows of a column, numbers with NaN for null; nothing else of the column is touched."""
    kind = images.column(column).type
    if isinstance(kind, pa.FixedShapeTensorType):
        return images.numpy(column)[rows]
    taken = images.column(column).take(pa.array(rows, pa.int64()))
    if pa.types.is_fixed_size_list(kind):
        flat = taken.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, kind.list_size)
    return taken.to_numpy(zero_copy_only=False)


def not_null(images: ArrowFile, column: str, rows: np.ndarray) -> np.ndarray:
    """Which rows of a column hold something, bool [n]; none where the column is absent."""
    if column not in images:
        return np.zeros(len(rows), bool)
    taken = images.column(column).take(pa.array(rows, pa.int64()))
    return taken.is_valid().to_numpy(zero_copy_only=False)


def as_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers, float64."""
    return tensor.detach().cpu().double().numpy()
