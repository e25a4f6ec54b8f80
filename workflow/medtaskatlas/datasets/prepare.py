"""From raw files to results/<run>/images/<dataset>.arrow: square, one size, split by group."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.datasets.catalogue import Dataset, PackagedDataset
from medtaskatlas.datasets.download import MANIFEST
from medtaskatlas.datasets.readers.frame import Excluded, Frame
from medtaskatlas.datasets.resize import centre_square, resize, resize_nearest
from medtaskatlas.datasets.splits import assign_splits
from medtaskatlas.errors import DataError
from medtaskatlas.files import sha256
from medtaskatlas.imageset import SPLITS, write_images


@dataclass(frozen=True)
class Prepared:
    """One image as it is written, beside the frame that it came from.

    Attributes
    ----------
    frame
        What the reader said.
    image
        uint8 [S, S, 3].
    mask, instances
        uint8 and uint16 [S, S], or None.
    side
        Side of the square at native resolution, pixels.
    """

    frame: Frame
    image: np.ndarray
    mask: np.ndarray | None
    instances: np.ndarray | None
    side: int


def prepare(
    dataset: Dataset,
    folder: Path,
    out: Path,
    *,
    image_size: int,
    splits: Mapping[str, float],
    seed: int,
) -> None:
    """Read, crop, resize, split and write one dataset.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its raw files with their manifest.
    out
        The Arrow file to make.
    image_size
        Side of the images, pixels.
    splits
        Shares of the groups.
    seed
        The run's seed; it decides which group goes where.

    Raises
    ------
    DataError
        If a raw file is missing, changed or damaged, or the dataset has not what it promises.
    """
    folder = Path(folder)
    manifest_hash = verify(folder)
    images: list[Prepared] = []
    excluded: Counter[str] = Counter()
    seen: set[bytes] = set()
    for item in _reader(dataset, folder):
        if isinstance(item, Excluded):
            excluded[item.reason] += 1
            continue
        image = shape(item, image_size)
        key = hashlib.sha256(image.image.data).digest()
        if key in seen:
            excluded["identical to another image after preparation"] += 1
            continue
        seen.add(key)
        images.append(image)
    _check(dataset, folder, images)
    split_of = assign_splits([image.frame for image in images], splits, seed, dataset.name)
    columns = _columns(images, split_of, image_size)
    write_images(out, columns, _meta(dataset, manifest_hash, images, split_of, excluded))


def verify(folder: Path) -> str:
    """Hold the files of a folder against its manifest.

    Parameters
    ----------
    folder
        A dataset's folder.

    Returns
    -------
    str
        SHA-256 of the manifest.

    Raises
    ------
    DataError
        If the manifest or a file is missing or a file has changed.
    """
    path = folder / MANIFEST
    remedy = f"delete {folder} and start the run again: the download stage brings it anew"
    if not path.is_file():
        raise DataError(f"{path} is missing", remedy)
    try:
        entries = [
            (e["file"], e["bytes"], e["sha256"]) for e in json.loads(path.read_text())["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r})", remedy) from error
    for name, size, expected in entries:
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing, though {path} lists it", remedy)
        if file.stat().st_size != size:
            raise DataError(
                f"{file} is truncated or changed: {file.stat().st_size} bytes, expected {size}",
                remedy,
            )
        if (found := sha256(file)) != expected:
            raise DataError(f"{file} has changed: sha256 {found}, expected {expected}", remedy)
    return sha256(path)


def shape(frame: Frame, size: int) -> Prepared:
    """Crop a frame to its centred square and resize it; annotations keep their values.

    Parameters
    ----------
    frame
        What the reader yielded.
    size
        Side of the result, pixels.

    Returns
    -------
    Prepared
        Grey is repeated in three channels.
    """
    square = centre_square(frame.pixels)
    image = resize(square, size)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    planes = [
        None if plane is None else resize_nearest(centre_square(plane), size)
        for plane in (frame.mask, frame.instances)
    ]
    return Prepared(frame, np.ascontiguousarray(image), planes[0], planes[1], square.shape[0])


def _reader(dataset: Dataset, folder: Path) -> Iterable[Frame | Excluded]:
    """Frames of a dataset by its reader."""
    if isinstance(dataset, PackagedDataset):
        from medtaskatlas.datasets.readers.packaged import read

        return read(dataset, folder)
    raise DataError(
        f"{dataset.name}: no reader {dataset.reader!r}", "mend `reader` in the catalogue"
    )


def _check(dataset: Dataset, folder: Path, images: list[Prepared]) -> None:
    """Whether the dataset has what its entry promises."""
    if not images:
        raise DataError(f"{folder}: {dataset.name} has no image left", "loosen recipe.content")
    ids = Counter(image.frame.image_id for image in images)
    if twice := [name for name, n in ids.items() if n > 1]:
        raise DataError(f"{dataset.name}: two images are called {twice[0]}", "mend the recipe")
    for plane in ("mask", "instances"):
        has = {getattr(image, plane) is not None for image in images}
        if has != {plane in dataset.provides} and (plane in dataset.provides or plane == "mask"):
            raise DataError(
                f"{dataset.name}: `provides` and the images disagree about {plane}",
                "mend `provides` in the catalogue",
            )
    top = max((int(image.mask.max()) for image in images if image.mask is not None), default=0)
    if top > len(dataset.classes):
        raise DataError(
            f"{dataset.name}: a mask holds class {top}, `classes` ends at {len(dataset.classes)}",
            "mend `classes` in the catalogue",
        )


def _columns(
    images: list[Prepared], split_of: Mapping[str, str], size: int
) -> dict[str, np.ndarray | list[Any]]:
    """Columns of the Arrow file; those that the dataset lacks are absent."""
    frames = [image.frame for image in images]
    columns: dict[str, np.ndarray | list[Any]] = {
        "image_id": [frame.image_id for frame in frames],
        "group_id": [frame.group_id for frame in frames],
        "group_source": [frame.group_source for frame in frames],
        "split": [split_of[frame.group_id] for frame in frames],
        "image": np.stack([image.image for image in images]),
        "volume_id": [frame.volume_id for frame in frames],
        "slice_index": [frame.slice_index for frame in frames],
        "axis": [frame.axis for frame in frames],
        # Of the image as written, not of the native picture.
        "spacing_mm": [
            None if f.spacing_mm is None else round(f.spacing_mm * image.side / size, 6)
            for f, image in zip(frames, images, strict=True)
        ],
    }
    for plane in ("mask", "instances"):
        if getattr(images[0], plane) is not None:
            columns[plane] = np.stack([getattr(image, plane) for image in images])
    return {
        name: column
        for name, column in columns.items()
        if isinstance(column, np.ndarray) or any(value is not None for value in column)
    }


def _meta(
    dataset: Dataset,
    manifest_hash: str,
    images: list[Prepared],
    split_of: Mapping[str, str],
    excluded: Counter[str],
) -> dict[str, Any]:
    """Facts about the file, with the quality of what it was made from."""
    empty = sum(1 for image in images if image.mask is not None and not image.mask.any())
    quality = {
        "found": len(images) + sum(excluded.values()),
        "kept": len(images),
        "excluded": dict(sorted(excluded.items())),
        "empty_masks": empty if images[0].mask is not None else None,
        "groups": {s: sum(1 for split in split_of.values() if split == s) for s in SPLITS},
        "sizes_px": [min(i.side for i in images), max(i.side for i in images)],
        "intensity": [
            min(int(i.image.min()) for i in images),
            max(int(i.image.max()) for i in images),
        ],
    }
    keys = ("source", "modality", "body_part", "licence", "annotation")
    notes = ("title", "citation", "annotation_note", "group_note", "overlaps", "provides")
    return {
        "dataset": dataset.name,
        **{key: getattr(dataset, key) for key in (*keys, *notes)},
        "classes": [dataset.classes[number] for number in sorted(dataset.classes)],
        "manifest_sha256": manifest_hash,
        "quality": quality,
    }
