"""Pictures of packaged datasets by their recipes."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io import window
from medtaskatlas.datasets.io.dicom import Decoded, inverted, read_dicom, to_grey
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.io.nifti import load_volume
from medtaskatlas.datasets.io.volume import AXES, display, lacking, resample_nearest, spacings
from medtaskatlas.datasets.packaged.derive import derive
from medtaskatlas.datasets.packaged.recipes import (
    LabelVolume,
    Picture,
    Pictures,
    ProbabilityMaps,
    Recipe,
    Tiles,
    Volume,
    Volumes,
)

_LETTER = {"sagittal": "x", "coronal": "y", "axial": "z"}


def read(recipe: Recipe, folder: Path) -> Iterator[Frame | Excluded]:
    """All pictures of a recipe, in an order that depends on it alone."""
    if isinstance(recipe, Volumes):
        yield from _read_volumes(recipe, folder)
    else:
        yield from _read_pictures(recipe, folder)


def pixels_hash(stored: np.ndarray) -> str:
    """Hash of decoded pixels that is the same for all encodings of one picture.

    It is over shape and values; byte order and width of the integers do not matter.
    """
    digest = hashlib.sha256(repr(stored.shape).encode())
    for frame in stored:  # one by one: a long cine in 32 bits would take half a gigabyte
        digest.update(np.ascontiguousarray(frame, dtype="<i4").data)
    return digest.hexdigest()


def _read_pictures(recipe: Pictures, folder: Path) -> Iterator[Frame | Excluded]:
    """Pictures and cines; a picture that was there under another encoding is left out."""
    seen: dict[str, str] = {}
    for picture in recipe.pictures:
        for file in picture.files:
            path = folder / file
            decoded = read_dicom(path) if path.suffix == ".dcm" else _read_picture(path)
            key = pixels_hash(decoded.stored)
            if key in seen:
                for number in range(0, len(decoded.values), picture.every):
                    yield Excluded(f"{path.stem}-{number:03d}", f"duplicate of {seen[key]}")
                continue
            seen[key] = file
            yield from _frames(recipe, picture, path.stem, decoded)


def _read_picture(path: Path) -> Decoded:
    """A PNG or JPEG of 8 bits, grey or RGB, in the form of a DICOM file of one frame."""
    import cv2

    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8:
        raise DataError(
            f"{path} is no 8-bit PNG or JPEG that OpenCV can read",
            f"delete {path.parent} and start the run again",
        )
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB)
    return Decoded(pixels[None], pixels[None])


def _frames(
    recipe: Pictures, picture: Picture, stem: str, decoded: Decoded
) -> Iterator[Frame | Excluded]:
    """Frames of one file and what is cut from them."""
    many = len(decoded.values) > 1
    for number in range(0, len(decoded.values), picture.every):
        values = decoded.values[number]
        pixels = _grey_levels(picture, decoded, values)
        mask, instances = (None, None)
        if recipe.derive is not None:
            mask, instances = derive(recipe.derive, pixels, values)
        top, bottom, left, right = picture.crop or (0, None, 0, None)
        kept = (slice(top, bottom), slice(left, right))
        pixels = pixels[kept]
        planes = [None if p is None else p[kept] for p in (mask, instances)]
        name = f"{stem}-{number:03d}" if many else stem
        for suffix, group, source, place in _places(recipe, picture, pixels):
            cut = np.ascontiguousarray(pixels[place])
            if reason := lacking(cut, recipe.content):
                yield Excluded(name + suffix, reason)
                continue
            mask, instances = (
                None if p is None else np.ascontiguousarray(p[place]) for p in planes
            )
            yield Frame(
                pixels=cut,
                mask=mask,
                instances=instances,
                image_id=name + suffix,
                group_id=group,
                group_source=source,
                subject=picture.subject or picture.group,
                volume_id=stem if many else None,
                slice_index=number if many else None,
                spacing_mm=decoded.spacing_mm,
            )


def _places(
    recipe: Pictures, picture: Picture, pixels: np.ndarray
) -> Iterator[tuple[str, str, str, tuple[slice, slice]]]:
    """Cut-outs of a picture: suffix of the id, group, source of the group, rows and columns."""
    height, width = pixels.shape[:2]
    if picture.whole:
        yield "", picture.group, recipe.group_source, (slice(0, height), slice(0, width))
    if picture.tiles is None:
        return
    by_region = picture.tiles.group == "region"
    side = picture.tiles.tile
    for (row, column), top, left in tile_places(height, width, picture.tiles):
        region = f"{picture.group}-r{row}c{column}"
        yield (
            f"-r{row}c{column}-{top:04d}-{left:04d}",
            region if by_region else picture.group,
            "region" if by_region else recipe.group_source,
            (slice(top, top + side), slice(left, left + side)),
        )


def tile_places(
    height: int, width: int, tiles: Tiles
) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Region (row, column), top and left of each tile, pixels.

    Tiles lie within their region, centred in it; there are none where a region is too small.
    """
    rows, columns = tiles.regions
    tall, wide = height // rows, width // columns
    # Where tiles begin along a side of a region; what remains is shared by both ends.
    tops, lefts = (
        range(spare % tiles.stride // 2, spare + 1, tiles.stride) if spare >= 0 else range(0)
        for spare in (tall - tiles.tile, wide - tiles.tile)
    )
    for row, column, top, left in product(range(rows), range(columns), tops, lefts):
        yield (row, column), row * tall + top, column * wide + left


def _grey_levels(picture: Picture, decoded: Decoded, values: np.ndarray) -> np.ndarray:
    """One frame in 8 bits: the recipe's window, else the file's; MONOCHROME1 the right way."""
    if values.ndim == 3 or not decoded.headers:
        return values
    header = decoded.headers[0]
    if picture.window is not None:
        grey = window.between(values, *window.centre_width(*picture.window))
    elif picture.percentiles is not None:
        grey = window.between(values, *window.percentiles(values, *picture.percentiles))
    else:
        grey = to_grey(header, values)
    return 255 - grey if inverted(header) else grey


def _read_volumes(recipe: Volumes, folder: Path) -> Iterator[Frame | Excluded]:
    """Slices of all volumes; blocks are groups where the recipe has blocks, volumes otherwise."""
    for volume in recipe.volumes:
        values, affine = load_volume(folder / volume.file, volume.index)
        mask, instances = _labels(recipe, folder, values.shape, affine)
        planes = _planes(recipe, volume, values.shape, affine)
        by_slice = volume.window_by == "slice"
        grey = values if by_slice else _grey(values, volume)
        for facts in planes:
            place = (facts["axis"], facts["slice_index"])
            pixels = display(grey, *place)
            if by_slice:
                pixels = _grey(pixels, volume)
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
                subject=volume.subject or volume.group,
                **facts,
            )


def _grey(values: np.ndarray, volume: Volume) -> np.ndarray:
    """A volume or slice in 8 bits."""
    return window.between(values, *window.foreground(values, volume.white_percentile))


def _planes(
    recipe: Volumes, volume: Volume, shape: tuple[int, ...], affine: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Which slices to take, with what is known of each but its pixels."""
    sizes = spacings(affine)
    for blocks in recipe.blocks:
        axis = AXES[blocks.axis]
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
                "values": {"position": position},
                "spacing_mm": sizes[(axis + 1) % 3],
            }
    if not recipe.blocks:
        for index in volume.slices if volume.slices is not None else range(shape[2]):
            yield {
                "image_id": f"{volume.group}-{index:03d}",
                "group_id": volume.group,
                "slice_index": index,
                "axis": "axial",
                "spacing_mm": sizes[0],
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
        return _tissue_classes({i: m for i, (m, _) in maps.items()}, labels.threshold), None
    if isinstance(labels, LabelVolume):
        regions = resample_nearest(load_volume(folder / labels.file), shape, affine)
        mask = _region_classes(regions, folder / labels.table, labels.structures)
        return mask, regions.astype(np.uint16)
    return None, None


def _tissue_classes(maps: dict[int, np.ndarray], threshold: float) -> np.ndarray:
    """Class of each voxel, uint8: the largest probability, if it reaches the threshold.

    A tie goes to the lower id; 0 is background.
    """
    ids = sorted(maps)
    stack = np.stack([maps[i] for i in ids])
    best = np.asarray(ids, np.uint8)[stack.argmax(axis=0)]
    return np.where(stack.max(axis=0) >= threshold, best, 0).astype(np.uint8)


def _region_classes(
    regions: np.ndarray, table: Path, structures: dict[int, list[str]]
) -> np.ndarray:
    """Class of each voxel, uint8, by the label of its region in a table with columns id, label."""
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
