"""From raw files to results/<run>/images/<dataset>.arrow: square, one size, split by group.

One picture is in memory at a time; pixels wait in temporary files until all groups are known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.datasets.dataset import MANIFEST, Dataset
from medtaskatlas.datasets.gather import ImageCollector, Shaped
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL, Excluded, Frame
from medtaskatlas.datasets.resize import centre_square, resize, resize_nearest
from medtaskatlas.formats.images import write_images


def prepare(
    dataset: Dataset,
    folder: Path,
    out: Path,
    *,
    image_size: int,
    splits: Mapping[str, float],
    seed: int,
    manifest: Path | None = None,
    limit: int | None = None,
) -> None:
    """Read, crop, resize, split and write one dataset.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its raw files.
    out
        The Arrow file to make.
    image_size
        Side of the images, pixels.
    splits
        Shares of the groups.
    seed
        The run's seed; it decides which group goes where.
    manifest
        List of the raw files; by default it lies next to them.
    limit
        Most images; whole groups are taken, evenly spread. None takes all.

    Raises
    ------
    DataError
        If a raw file is missing, changed or damaged, or the dataset has not what it promises.
    """
    folder = Path(folder)
    manifest_hash = verify(folder, manifest)
    images = ImageCollector(Path(out).parent, image_size)
    for item in dataset.read(folder, image_size=image_size, limit=limit, note=images.repaired):
        if isinstance(item, Excluded):
            images.exclude(item.reason, item.count)
        elif min(item.pixels.shape[:2]) < SMALLEST:
            images.exclude(TOO_SMALL)
        else:
            images.add(shape(item, image_size))
    if not len(images):
        reasons = ", ".join(f"{n}: {reason}" for reason, n in images.excluded.items())
        raise DataError(
            f"{folder}: {dataset.name} has no image left ({reasons or 'none was found'})",
            "loosen `content` in its entry, or leave the dataset out",
        )
    _check(dataset, images)
    images.split(splits, seed, dataset.name, limit)
    write_images(out, images.columns(), _meta(dataset, manifest_hash, images))


def verify(folder: Path, manifest: Path | None = None) -> str:
    """Check the files of a folder against its manifest, and return the manifest's SHA-256."""
    path = manifest or folder / MANIFEST
    remedy = f"delete {path.parent} and start the run again: the download stage makes it anew"
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


def shape(frame: Frame, size: int) -> Shaped:
    """Crop a frame to its centred square and resize it to `size` pixels a side.

    Grey is repeated in three channels; masks keep their values; boxes are cut at the border, and
    those of which less than half of a pixel is left are gone.
    """
    square = centre_square(frame.pixels)
    side = square.shape[0]
    image = resize(np.ascontiguousarray(square), size)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    planes = [
        None if plane is None else resize_nearest(centre_square(plane), size)
        for plane in (frame.mask, frame.instances)
    ]
    return Shaped(frame, image, planes[0], planes[1], _moved_boxes(frame, side, size), side)


def _moved_boxes(frame: Frame, side: int, size: int) -> np.ndarray | None:
    """Boxes of a frame in pixels of its square at the new size."""
    if frame.boxes is None:
        return None
    height, width = frame.pixels.shape[:2]
    corner = np.array([(width - side) // 2, (height - side) // 2] * 2, np.float32)
    boxes = np.clip((frame.boxes.reshape(-1, 4) - corner) * np.float32(size / side), 0, size)
    return boxes[((boxes[:, 2:] - boxes[:, :2]) >= 0.5).all(axis=1)]


def _check(dataset: Dataset, images: ImageCollector) -> None:
    """Whether the dataset has what its entry promises."""
    ids = Counter(frame.image_id for frame in images.frames)
    if twice := [name for name, n in ids.items() if n > 1]:
        raise DataError(f"{dataset.name}: two images are called {twice[0]}", "rename one of them")
    for plane in ("mask", "instances"):
        has = images.has[plane]
        if has != {plane in dataset.provides} and (plane in dataset.provides or plane == "mask"):
            raise DataError(
                f"{dataset.name}: `provides` and the images disagree about {plane}",
                "mend `provides` in the catalogue",
            )
    if images.highest_class > len(dataset.classes):
        raise DataError(
            f"{dataset.name}: a mask holds class {images.highest_class}, `classes` ends at "
            f"{len(dataset.classes)}",
            "mend `classes` in its entry",
        )
    for frame in images.frames:
        if frame.label is not None and not 0 <= frame.label < len(dataset.labels):
            raise DataError(
                f"{dataset.name}: {frame.image_id} has label {frame.label}, `labels` has "
                f"{len(dataset.labels)} names",
                "mend `labels` in its entry",
            )


def _meta(dataset: Dataset, manifest_hash: str, images: ImageCollector) -> dict[str, Any]:
    """Facts about the file, with the quality of what it was made from."""
    keys = ("source", "modality", "body_part", "licence", "annotation")
    notes = ("title", "citation", "annotation_note", "group_note", "overlaps", "provides", "labels")
    return {
        "dataset": dataset.name,
        **{key: getattr(dataset, key) for key in (*keys, *notes)},
        "classes": [dataset.classes[number] for number in sorted(dataset.classes)],
        "manifest_sha256": manifest_hash,
        "quality": images.quality(),
    }
