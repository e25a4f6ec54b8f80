"""One side of a pair of the user's own: a picture, or the slices of a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.folder.files import Item
from medtaskatlas.datasets.folder.labels import load
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.folder.read import is_volume
from medtaskatlas.datasets.io import dicom, volume, window
from medtaskatlas.datasets.io.flat import read_flat, read_labels
from medtaskatlas.tasks.palettes import MOST_CLASSES

# Values of a side are of one kind with those of the other where their ranges, without the outermost
# half per cent, overlap by so much of the narrower, and are as wide up to so large a factor.
OVERLAP, FACTOR = 0.5, 4.0
# Modalities whose values are measured in a unit, and the words of DICOM for those of the catalogue.
_MEASURED = ("CT", "MR", "PET", "NM")
_OF_DICOM = {"CT": "CT", "MR": "MR", "PT": "PET", "NM": "NM"}
Levels = Callable[[np.ndarray], np.ndarray]  # from measured values [H, W] to uint8


@dataclass(frozen=True)
class Side:
    """One side of a pair before it has grey levels."""

    path: Path
    planes: list[np.ndarray]  # [H, W] or [H, W, 3] each, as measured
    levels: Levels  # of its own
    sides: tuple[float, float]  # of a pixel: distances of rows and of columns
    inverted: bool = False
    range: tuple[float, float] = (0, 0)  # of its values without the outermost half per cent
    labels: bool = False  # whether they are class numbers

    def drawn(self, index: int, levels: Levels | None = None) -> np.ndarray:
        """A plane in uint8, by its own grey levels or those of the other side."""
        plane = (levels or self.levels)(self.planes[index])
        plane = 255 - plane if self.inverted else plane
        return volume.square(plane, *self.sides, labels=self.labels)


def read_side(found: Survey, item: Item) -> Side:
    """A picture, or the slices of a volume, that are no class numbers."""
    path, d = found.path(item), found.description
    if item.kind == "flat":
        pages = read_flat(path)
        if len(pages) > 1 and len({page.shape for page in pages}) > 1:
            raise DataError(f"{path}: its pages differ in size", "save them as files of their own")
        planes = [_finite(page, path) for page in pages]
        return _with_levels(found, item, path, planes, (1, 1), flat=True)
    if not is_volume(found, item):
        header = dicom.read_header(path)
        if reason := dicom.no_image(header):
            raise DataError(f"{path} is no image: {reason}", "take it out of the folder")
        decoded = dicom.read_dicom(path)
        inverted = dicom.inverted(header)
        values = dicom.without_padding(decoded.values, decoded.padding, inverted=inverted)
        planes = [_finite(plane, path) for plane in values]
        sides = dicom.sides(decoded.headers[0]) or (1, 1)
        if values.ndim == 4:
            return Side(path, planes, lambda plane: plane, sides)
        known = _modality(found, item, header)
        made = _with_levels(
            found, item, path, planes, sides, modality=known, flat=known not in _MEASURED
        )
        first = decoded.headers[0]
        if known not in _MEASURED and d.window is None and dicom.has_window(first):
            made = replace(made, levels=lambda plane: dicom.to_grey(first, plane))
        return replace(made, inverted=inverted)
    loaded = load(found, item)
    if loaded.values is None:
        raise DataError(f"{path} holds no picture", "take it out of the folder")
    values = _finite(loaded.values, path)
    if loaded.affine is None:
        planes = list(np.ascontiguousarray(values.transpose(2, 1, 0)))
        sides = loaded.sides or (1, 1)
    else:
        planes, sides = _slices(values, volume.spacings(loaded.affine))
    header = dicom.read_header(path) if item.kind == "series" else None
    made = _with_levels(
        found, item, path, planes, sides, modality=_modality(found, item, header) if header else ""
    )
    return replace(made, inverted=loaded.inverted)


def _modality(found: Survey, item: Item, header: object) -> str:
    """Modality of a DICOM file: as the user says, else as the file does."""
    said = found.modality(item)
    return said if said != "PHOTO" else _OF_DICOM.get(str(getattr(header, "Modality", "")), said)


def _slices(
    values: np.ndarray, mm: tuple[float, float, float]
) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Slices [H, W] of a volume in its plane, as the run cuts them, and the sides of a pixel."""
    axis = volume.plane_of("thickest", mm, values.shape)
    columns_mm, rows_mm = (size for at, size in enumerate(mm) if at != volume.AXES[axis])
    count = values.shape[volume.AXES[axis]]
    return [volume.display(values, axis, i) for i in range(count)], (rows_mm, columns_mm)


def _with_levels(
    found: Survey,
    item: Item,
    path: Path,
    planes: list[np.ndarray],
    sides: tuple[float, float],
    *,
    modality: str = "",
    flat: bool = False,
) -> Side:
    """A side whose black and white are those that the run would take."""
    d = found.description
    values = np.stack(planes)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
        planes = list(values)
    black, white = volume.grey_range(
        values, modality or found.modality(item), d.body_part, flat=flat, window=d.window
    )
    return Side(
        path,
        planes,
        lambda plane: window.between(plane, black, white),
        sides,
        range=window.percentiles(values, 0.5, 99.5),
    )


def read_mask(found: Survey, item: Item) -> Side:
    """Class numbers, uint8."""
    path = found.path(item)
    sides: tuple[float, float] = (1, 1)
    if item.kind == "flat":
        planes = read_labels(path)
    else:
        if not is_volume(found, item):
            raise DataError(f"{path}: masks in single DICOM files are not read", "save it as PNG")
        loaded = load(found, item)
        if loaded.values is None or loaded.affine is None:
            raise DataError(f"{path} holds no mask with a place in space", "save it as PNG")
        planes, sides = _slices(np.asarray(loaded.values), volume.spacings(loaded.affine))
    if any((plane != np.floor(plane)).any() or plane.min() < 0 for plane in planes):
        raise DataError(f"{path} holds other values than class numbers", "save whole numbers")
    if max(int(plane.max()) for plane in planes) > MOST_CLASSES:
        raise DataError(
            f"{path} holds class {max(int(plane.max()) for plane in planes)}; at most "
            f"{MOST_CLASSES} are drawn",
            "number the classes from 1 on",
        )
    numbers = [plane.astype(np.uint8) for plane in planes]
    return Side(path, numbers, lambda plane: plane, sides, labels=True)


def _finite(plane: np.ndarray, path: Path) -> np.ndarray:
    """Values without NaN and infinity, which become the smallest one."""
    return volume.finite(np.asarray(plane), path)[0]


def alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether values of two sides are of one kind, by their ranges."""
    widths = [high - low for low, high in (one, other)]
    if min(widths) <= 0:
        return False
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    return overlap >= OVERLAP * min(widths) and max(widths) <= FACTOR * min(widths)
