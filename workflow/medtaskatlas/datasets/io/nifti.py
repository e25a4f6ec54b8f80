"""NIfTI volumes, as slices in radiological display."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io import window
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.io.tiles import lacking
from medtaskatlas.datasets.recipes import LabelVolume, ProbabilityMaps, Volume, Volumes

_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
_LETTER = {"sagittal": "x", "coronal": "y", "axial": "z"}
Grid = tuple[np.ndarray, np.ndarray]


def load_volume(path: Path, index: int = 0) -> Grid:
    """A volume in the nearest RAS+ orientation.

    Parameters
    ----------
    path
        NIfTI file, 3-D or 4-D.
    index
        Which volume of a 4-D file.

    Returns
    -------
    values, affine : numpy.ndarray
        [X, Y, Z] with X towards right, Y towards front, Z upwards; float64 [4, 4] to world mm.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    import nibabel

    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # gzip, zlib, nibabel and numpy each have their own errors
        raise DataError(
            f"{path} cannot be read as NIfTI ({type(error).__name__}: {error})",
            f"delete {path.parent} and start the run again",
        ) from error
    if values.ndim == 4:
        values = values[..., index]
    return values, np.asarray(image.affine, np.float64)


def display(values: np.ndarray, axis: str, index: int) -> np.ndarray:
    """One slice as radiologists look at it.

    Axial and coronal slices have the patient's right on the left of the picture, sagittal ones
    the front on the left; front (axial) or head (others) is at the top.

    Parameters
    ----------
    values
        [X, Y, Z] in RAS+ orientation.
    axis
        sagittal, coronal or axial.
    index
        Which slice.

    Returns
    -------
    numpy.ndarray
        [H, W] of the same type.
    """
    plane = np.moveaxis(values, _AXES[axis], 0)[index]
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def resample_nearest(labels: Grid, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Labels on another grid: the label at the nearest voxel centre, 0 outside.

    Parameters
    ----------
    labels
        Integers [x, y, z] and their affine.
    shape, affine
        The wanted grid.

    Returns
    -------
    numpy.ndarray
        Integers of `shape`.
    """
    values, own = labels
    to_own = np.linalg.inv(own) @ affine
    out = np.zeros(shape, values.dtype)
    y, z = np.indices(shape[1:], dtype=np.float64).reshape(2, -1)
    in_plane = to_own[:3, 1, None] * y + to_own[:3, 2, None] * z + to_own[:3, 3, None]
    for x in range(shape[0]):  # plane by plane: indices of a whole volume take half a gigabyte
        # Rounded before flooring: half-way points must not depend on the last bit of the inverse.
        place = np.round(in_plane + to_own[:3, 0, None] * x, 6)
        where = np.floor(place + 0.5).astype(np.int64)
        inside = np.all((where >= 0) & (where < np.array(values.shape)[:, None]), axis=0)
        out[x].reshape(-1)[inside] = values[tuple(where[:, inside])]
    return out


def tissue_classes(maps: dict[int, np.ndarray], threshold: float) -> np.ndarray:
    """Class of each voxel: the largest probability, if it reaches the threshold.

    Parameters
    ----------
    maps
        Class id: probability map [X, Y, Z]; a tie goes to the lower id.
    threshold
        Least value.

    Returns
    -------
    numpy.ndarray
        uint8 [X, Y, Z], 0 is background.
    """
    ids = sorted(maps)
    stack = np.stack([maps[i] for i in ids])
    best = np.asarray(ids, np.uint8)[stack.argmax(axis=0)]
    return np.where(stack.max(axis=0) >= threshold, best, 0).astype(np.uint8)


def region_classes(
    regions: np.ndarray, table: Path, structures: dict[int, list[str]]
) -> np.ndarray:
    """Class of each voxel by the structure that its region belongs to.

    Parameters
    ----------
    regions
        Region ids [X, Y, Z].
    table
        CSV with the columns id and label.
    structures
        Class id: labels.

    Returns
    -------
    numpy.ndarray
        uint8 [X, Y, Z], 0 is background.

    Raises
    ------
    DataError
        If table and recipe do not name the same structures.
    """
    with table.open(newline="") as handle:
        rows = [(int(row["id"]), row["label"]) for row in csv.DictReader(handle)]
    class_of = {name: number for number, names in structures.items() for name in names}
    if differ := set(class_of) ^ {name for _, name in rows}:
        raise DataError(
            f"{table} and `structures` disagree about {', '.join(sorted(differ))}",
            "mend recipe.labels.structures in the catalogue",
        )
    lookup = np.zeros(int(regions.max()) + 1, np.uint8)
    for number, name in rows:
        if number < len(lookup):
            lookup[number] = class_of[name]
    return lookup[regions]


def read_volumes(recipe: Volumes, folder: Path) -> Iterator[Frame | Excluded]:
    """Slices of all volumes of a recipe.

    Parameters
    ----------
    recipe
        The recipe.
    folder
        The dataset's folder.

    Yields
    ------
    Frame or Excluded
        One a slice; blocks are groups where the recipe has blocks, volumes otherwise.
    """
    for volume in recipe.volumes:
        values, affine = load_volume(folder / volume.file, volume.index)
        mask, instances = _labels(recipe, folder, values.shape, affine)
        planes = _planes(recipe, volume, values.shape, affine)
        by_slice = volume.window_by == "slice"
        grey = values if by_slice else window.foreground(values, volume.white_percentile)
        for facts in planes:
            place = (facts["axis"], facts["slice_index"])
            pixels = display(grey, *place)
            if by_slice:
                pixels = window.foreground(pixels, volume.white_percentile)
            pixels = np.ascontiguousarray(np.rot90(pixels, volume.quarter_turns))
            if reason := lacking(pixels, recipe.content):
                yield Excluded(facts["image_id"], reason)
                continue
            yield Frame(
                pixels=pixels,
                mask=None if mask is None else display(mask, *place),
                instances=None if instances is None else display(instances, *place),
                group_source=recipe.group_source,
                volume_id=volume.group,
                **facts,
            )


def _planes(
    recipe: Volumes, volume: Volume, shape: tuple[int, ...], affine: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Which slices to take, with what is known of each but its pixels."""
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).round(4)
    for blocks in recipe.blocks:
        axis = _AXES[blocks.axis]
        for block, position in blocks.positions():
            index = int(np.floor((position - affine[axis, 3]) / affine[axis, axis] + 0.5))
            if not 0 <= index < shape[axis]:
                continue
            yield {
                "image_id": f"{volume.group}-{_LETTER[blocks.axis]}{position:+04.0f}",
                "group_id": f"{volume.group}-{blocks.axis}-{block:02d}",
                "split": recipe.pattern[block % len(recipe.pattern)],
                "slice_index": index,
                "axis": blocks.axis,
                "spacing_mm": float(sizes[(axis + 1) % 3]),
            }
    if not recipe.blocks:
        for index in volume.slices if volume.slices is not None else range(shape[2]):
            yield {
                "image_id": f"{volume.group}-{index:03d}",
                "group_id": volume.group,
                "slice_index": index,
                "axis": "axial",
                "spacing_mm": float(sizes[0]),
            }


def _labels(
    recipe: Volumes, folder: Path, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mask and instances on the grid of the image."""
    labels = recipe.labels
    if isinstance(labels, ProbabilityMaps):
        maps = {i: load_volume(folder / file) for i, file in labels.maps.items()}
        for i, (values, own) in maps.items():
            if values.shape != shape or not np.allclose(own, affine, atol=1e-4):
                raise DataError(
                    f"{folder / labels.maps[i]} is on another grid than the image",
                    "list maps of the same template in recipe.labels.maps",
                )
        return tissue_classes({i: m for i, (m, _) in maps.items()}, labels.threshold), None
    if isinstance(labels, LabelVolume):
        regions = resample_nearest(load_volume(folder / labels.file), shape, affine)
        mask = region_classes(regions, folder / labels.table, labels.structures)
        return mask, regions.astype(np.uint16)
    return None, None
