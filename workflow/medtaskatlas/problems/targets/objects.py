"""Centres of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.target import Layout, Offer, Part, Target, as_numpy
from medtaskatlas.tasks.needs import HAS
from medtaskatlas.tasks.objects import centres
from medtaskatlas.tasks.pixels import scale_of
from medtaskatlas.tasks.semantic import centroid_heatmap

if TYPE_CHECKING:
    from torch import Tensor

# Pixels at a side of 64: standard deviation of a bump is 2, see `centroid_heatmap`.
_RADIUS, _APART = 3.0, 2.0
_HEIGHT = 0.5  # of a peak that is taken for a centre
_MOST_WEIGHT = 20.0


@dataclass(frozen=True, kw_only=True)
class Objects(Target):
    """``objects``: a bump on each centre, as the task ``centroid_heatmap`` draws it.

    Centres are those of numbered objects, else of boxes, else of the connected parts of masks.
    Loss: binary cross-entropy with the heights, bumps weighted by the inverse of their share of the
    training images, at most 20; the weight is undone in what the network says. Peaks of 0.5 or more
    are centres; one is found if it is matched, one to one, with a true centre at most ``radius``
    away.
    """

    kind: ClassVar[str] = "objects"
    layout: ClassVar[Layout] = "pixels"
    statistics_kind: ClassVar[str] = "objects"

    weight: float
    radius: float  # pixels

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """Objects, numbered or parts of masks, of pictures."""
        there = (annotations.numbered or annotations.classes) and not annotations.volumes
        offer = Offer("objects", cls.kind, "pixels", task="centroid_heatmap")
        return [offer] if there else []

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Share of bumps, and the radius; an error where no training image has an object."""
        heights: list[float] = []
        for part in parts:
            for row in part.rows[:: max(1, len(part.rows) // 200)]:
                heights.append(float(_planes(part.images, int(row))[0].mean()))
        share = float(np.mean(heights))
        if share == 0:
            datasets = ", ".join(part.annotations.dataset for part in parts)
            raise DataError(
                f"{datasets}: target {name}: training images have no object",
                "leave the target out, or see to the annotation",
            )
        assert isinstance(parts[0].images, ImageSet)
        return cls(
            name=name,
            channels=1,
            unit="pixels",
            weight=min(_MOST_WEIGHT, (1 - share) / share),
            radius=_RADIUS * scale_of(parts[0].images.images[0]),
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """All images of a file with objects; one without any shows none."""
        return np.full(len(rows), bool({"instances", "boxes", "mask"} & set(images.columns)))

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Heights 0 to 1, and 1 for the pixel of each centre: float32 [n, 2, H, W]."""
        return np.stack([_planes(images, int(row)) for row in rows])

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Weighted binary cross-entropy."""
        from torch.nn import functional

        weight = output.new_tensor(self.weight)
        return functional.binary_cross_entropy_with_logits(
            output[:, 0], truth[:, 0], pos_weight=weight
        )

    def prediction(self, output: Tensor) -> np.ndarray:
        """Heights, with the weight undone."""
        return as_numpy((output[:, 0] - float(np.log(self.weight))).sigmoid()).astype(np.float32)

    def columns(self, prediction: np.ndarray) -> dict[str, float]:
        """Number of centres."""
        return {self.name: len(self._centres(prediction))}

    def _centres(self, height: np.ndarray) -> np.ndarray:
        """Predicted centres [K, 2]."""
        return peaks(height, self.radius * _APART / _RADIUS)

    def shown(self, truth: Tensor) -> np.ndarray:
        """Heights."""
        return as_numpy(truth[:, 0]).astype(np.float32)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Centres matched, predicted and true."""
        rows = []
        for height, true in zip(self.prediction(output), as_numpy(truth[:, 1]), strict=True):
            predicted = self._centres(height)
            wanted = np.repeat(np.argwhere(true > 0), true[true > 0].astype(int), axis=0)
            rows.append([matched(predicted, wanted, self.radius), len(predicted), len(wanted)])
        return np.array(rows, np.float32)


def _planes(images: ArrowFile, row: int) -> np.ndarray:
    """Bumps and centres of one image, float32 [2, H, W]."""
    assert isinstance(images, ImageSet)
    sample = images.sample(row)
    height, width = sample.image.shape[:2]
    planes = np.zeros((2, height, width), np.float32)
    if HAS["objects"](sample):
        drawn = centroid_heatmap(sample, {})[1]
        planes[0] = (drawn if drawn.ndim == 2 else drawn[..., 0]) / np.float32(255)
        x, y = np.clip(np.rint(centres(sample)).astype(int).T, 0, [[width - 1], [height - 1]])
        np.add.at(planes[1], (y, x), 1)
    return planes


def peaks(height: np.ndarray, apart: float) -> np.ndarray:
    """Pixels [K, 2] of (row, column) that are high, and highest within a distance of them."""
    from skimage.feature import peak_local_max

    # Of peaks that are nearer, equal ones too (a centre between pixels), one is left.
    apart = int(apart) + 1
    found = peak_local_max(height, min_distance=apart, threshold_abs=_HEIGHT, exclude_border=False)
    return np.asarray(found).reshape(-1, 2)


def matched(predicted: np.ndarray, true: np.ndarray, radius: float) -> int:
    """Largest number of one-to-one matches [K, 2] to [L, 2] at most a radius apart."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if not len(predicted) or not len(true):
        return 0
    near = cdist(predicted, true) <= radius
    return int(near[linear_sum_assignment(near, maximize=True)].sum())
