"""A number in every pixel, such as a radiation dose or a depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.problems.annotations import Annotations
from medtaskatlas.problems.targets.dose import dose_statistics
from medtaskatlas.problems.targets.target import (
    Layout,
    Offer,
    Part,
    Target,
    as_numpy,
    not_null,
    read,
)

if TYPE_CHECKING:
    from torch import Tensor

# Pixels of training images that their median is taken of, at most.
_PIXELS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Map(Target):
    """``map.<name>``. Loss: absolute error over the valid pixels, as a share of the range.

    The range is that of the valid training pixels; what the network says is cut to it. A map in Gy
    beside masks also has the scores of OpenKBP.
    """

    kind: ClassVar[str] = "map"
    layout: ClassVar[Layout] = "pixels"
    statistics_kind: ClassVar[str] = "map"

    low: float
    high: float
    median: float  # of the valid pixels of training images
    structures: tuple[str, ...] = ()  # classes of the masks, for doses

    @classmethod
    def offers(cls, annotations: Annotations) -> list[Offer]:
        """Every map."""
        return [Offer(f"map.{name}", cls.kind, unit) for name, unit in annotations.maps.items()]

    @classmethod
    def fit(cls, name: str, parts: Sequence[Part]) -> Self:
        """Range and median; an error where there is no unit or no valid pixel."""
        unit = parts[0].annotations.maps[name.removeprefix("map.")]
        total = sum(len(part.rows) for part in parts)
        found, low, high = [], np.inf, -np.inf
        for part in parts:
            for rows in np.array_split(part.rows, len(part.rows) // 64 + 1):
                values, valid = cls._planes(name, part.images, rows)
                step = max(1, total * values[0].size // _PIXELS) if len(values) else 1
                there = values[valid]
                found.append(there[::step])
                low = min(low, float(there.min(initial=np.inf)))
                high = max(high, float(there.max(initial=-np.inf)))
        pixels = np.concatenate(found)
        if not len(pixels) or not low < high:
            datasets = ", ".join(part.annotations.dataset for part in parts)
            raise DataError(
                f"{datasets}: target {name}: training images have "
                + (f"the value {low:g} alone" if len(pixels) else "no valid pixel"),
                "leave the target out, or see to the maps",
            )
        structures = parts[0].annotations.classes if unit == "Gy" else ()
        return cls(
            name=name,
            channels=1,
            unit=unit,
            low=low,
            high=high,
            median=float(np.median(pixels)),
            structures=structures,
        )

    @classmethod
    def there(cls, name: str, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Images with a map of one valid pixel or more."""
        found = not_null(images, name, rows)
        valid = f"valid.{name.removeprefix('map.')}"
        if valid in images and found.any():
            planes = read(images, valid, rows[found])
            found[found] = planes.reshape(len(planes), -1).any(axis=1)
        return found

    @staticmethod
    def _planes(name: str, images: ArrowFile, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values, float32, and which of them are valid."""
        values = read(images, name, rows)
        column = f"valid.{name.removeprefix('map.')}"
        valid = read(images, column, rows) > 0 if column in images else np.ones(values.shape, bool)
        if not np.isfinite(values[valid]).all():
            raise DataError(
                f"{images.path}: {name} holds NaN or infinite values",
                "mark them as not valid, or mend the map",
            )
        return values, valid

    def truths(self, images: ArrowFile, rows: np.ndarray) -> np.ndarray:
        """Values as shares of the range, and 1 where they are valid: float32 [n, 2, *S]."""
        values, valid = self._planes(self.name, images, rows)
        shares = np.where(valid, (values - self.low) / (self.high - self.low), 0)
        return np.stack([shares, valid], axis=1).astype(np.float32)

    def loss(self, output: Tensor, truth: Tensor) -> Tensor:
        """Mean over rows of the mean absolute error of valid pixels."""
        value, valid = truth.flatten(2).unbind(1)
        error = (output.flatten(1) - value).abs() * valid
        return (error.sum(1) / valid.sum(1).clamp(min=1)).mean()

    def values(self, output: Tensor) -> np.ndarray:
        """What the network says, in the unit, within the range: float64 [n, *S]."""
        return self.low + (self.high - self.low) * as_numpy(output[:, 0].clamp(0, 1))

    def prediction(self, output: Tensor) -> np.ndarray:
        """Values in the unit."""
        return self.values(output).astype(np.float32)

    def shown(self, truth: Tensor) -> np.ndarray:
        """Values in the unit, of valid pixels."""
        share, valid = as_numpy(truth).swapaxes(0, 1)
        values = self.low + (self.high - self.low) * share
        return np.where(valid > 0, values, np.nan).astype(np.float32)

    def statistics(self, output: Tensor, truth: Tensor) -> np.ndarray:
        """Errors over the valid pixels of an image, and the range."""
        n = len(output)
        share, valid = as_numpy(truth).reshape(n, 2, -1).swapaxes(0, 1)
        true = self.low + (self.high - self.low) * share
        error = self.values(output).reshape(n, -1) - true
        columns = [
            _mean(np.abs(error), valid),
            _mean(np.abs(true - self.median), valid),
            np.sqrt(_mean(error**2, valid)),
            np.full(n, self.high - self.low),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def group_statistics(
        self, output: Tensor, truth: Tensor, images: ArrowFile, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Dose and DVH differences of a patient's slices, where the map is a dose with masks."""
        if not self.structures or "mask" not in images:
            return {}
        share, valid = as_numpy(truth).swapaxes(0, 1)
        true = self.low + (self.high - self.low) * share
        return dose_statistics(
            self.values(output),
            true,
            valid > 0,
            read(images, "mask", rows),
            structures=self.structures,
            voxel_mm3=_voxel_mm3(images, rows),
        )


def _mean(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean [n] over the valid of [n, P]."""
    return (values * valid).sum(axis=1) / valid.sum(axis=1)


def _voxel_mm3(images: ArrowFile, rows: np.ndarray) -> float | None:
    """Volume of a voxel where it is known: of cubes; of slices the distance is not written."""
    if "volume" not in images or "spacing_mm" not in images:
        return None
    spacing = read(images, "spacing_mm", rows[:1]).ravel()
    volume = float(np.prod(spacing)) if spacing.size == 3 else float(spacing[0]) ** 3
    return volume if np.isfinite(volume) else None
