"""The plane that a slice is cut in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.label import Label
from medtaskatlas.problems.targets.target import Offer, not_null


@dataclass(frozen=True, kw_only=True)
class Plane(Label):
    """``plane``, of datasets with slices in several; loss and scores are those of a label."""

    kind: ClassVar[str] = "plane"

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """The plane, where there are several."""
        planes = tuple(sorted(annotations.planes))
        return [Offer("plane", cls.kind, classes=planes)] if planes else []

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Slices of which it is written."""
        return not_null(images, "axis", rows)

    @staticmethod
    def _labels(images: ArrowFile, rows: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
        """Numbers of the planes."""
        planes = images.column("axis").take(pa.array(rows, pa.int64())).to_pylist()
        return np.array([classes.index(plane) for plane in planes], np.int64)
