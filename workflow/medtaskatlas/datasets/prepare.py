"""From raw files to results/<run>/images/<dataset>.arrow: square, one size, split by group.

One picture is in memory at a time; pixels wait in temporary files until all groups are known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import sha256
from medtaskatlas.datasets.dataset import MANIFEST, Dataset
from medtaskatlas.datasets.gather import ImageCollector, Shaped, places
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_SMALL, Excluded, Frame
from medtaskatlas.datasets.resize import centre_square, resize, resize_map, resize_nearest
from medtaskatlas.formats.columns import MAP, VALUE
from medtaskatlas.formats.images import ImageSet, write_images


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
    keep_duplicates: bool = False,
    like: Path | None = None,
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
    keep_duplicates
        Keep images that are the same as another to the pixel, in whatever published split.
    like
        The dataset at another size, prepared, of a dataset that is a copy of it: the same images
        are taken, in the same groups and splits, whatever looks alike at this size.

    Raises
    ------
    DataError
        If a raw file is missing, changed or damaged, or the dataset has not what it promises.
    """
    folder = Path(folder)
    manifest_hash = verify(folder, manifest)
    others = None if like is None else places(ImageSet(like))
    images = ImageCollector(
        Path(out).parent, image_size, dataset, others, keep_duplicates=keep_duplicates
    )
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
    if others is not None and len(images) < len(others):
        images.repaired(f"{len(others) - len(images)} images of {like} are none at this size")
    said = [(frame.image_id, frame.label, frame.values) for frame in images.frames]
    has = {plane: images.has[plane] for plane in ("mask", "instances")}
    check(dataset, said, has, images.highest_class)
    images.split(splits, seed, limit)
    found = {"maps": images.quantities(MAP), "values": images.quantities(VALUE)}
    meta = {**facts(dataset, manifest_hash), **found, "quality": images.quality()}
    write_images(out, images.columns(), meta)


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
    maps = {
        name: resize_map(centre_square(values), centre_square(valid), size)
        for name, (values, valid) in frame.maps.items()
    }
    return Shaped(frame, image, planes[0], planes[1], _moved_boxes(frame, side, size), maps, side)


def _moved_boxes(frame: Frame, side: int, size: int) -> np.ndarray | None:
    """Boxes of a frame in pixels of its square at the new size."""
    if frame.boxes is None:
        return None
    height, width = frame.pixels.shape[:2]
    corner = np.array([(width - side) // 2, (height - side) // 2] * 2, np.float32)
    boxes = np.clip((frame.boxes.reshape(-1, 4) - corner) * np.float32(size / side), 0, size)
    return boxes[((boxes[:, 2:] - boxes[:, :2]) >= 0.5).all(axis=1)]


def check(
    dataset: Dataset,
    said: Iterable[tuple[str, int | None, Mapping[str, float]]],
    has: Mapping[str, set[bool]],
    highest_class: int,
) -> None:
    """Whether a dataset has what its entry promises.

    Parameters
    ----------
    dataset
        The dataset.
    said
        Name, label and values of each image or volume.
    has
        Kind of annotation (mask, instances): whether there is one; both where some lack it.
    highest_class
        Highest number in the masks.

    Raises
    ------
    DataError
        If it has not.
    """
    said = list(said)
    ids = Counter(name for name, _, _ in said)
    if twice := [name for name, n in ids.items() if n > 1]:
        raise DataError(f"{dataset.name}: two images are called {twice[0]}", "rename one of them")
    for plane, there in has.items():
        if there != {plane in dataset.provides} and (plane in dataset.provides or plane == "mask"):
            raise DataError(
                f"{dataset.name}: `provides` and the images disagree about {plane}",
                "mend `provides` in the catalogue",
            )
    if highest_class > len(dataset.classes):
        raise DataError(
            f"{dataset.name}: a mask holds class {highest_class}, `classes` ends at "
            f"{len(dataset.classes)}",
            "mend `classes` in its entry",
        )
    for name, label, values in said:
        if unknown := values.keys() - dataset.values.keys():
            raise DataError(
                f"{dataset.name}: {name} has the value {min(unknown)}, which its entry "
                "does not declare",
                "declare its unit in `values`",
            )
        if label is not None and not 0 <= label < len(dataset.labels):
            raise DataError(
                f"{dataset.name}: {name} has label {label}, `labels` has "
                f"{len(dataset.labels)} names",
                "mend `labels` in its entry",
            )


def facts(dataset: Dataset, manifest_hash: str) -> dict[str, Any]:
    """Facts about a dataset for the metadata of what is made from it."""
    keys = ("source", "modality", "body_part", "licence", "annotation")
    notes = ("title", "citation", "annotation_note", "group_note", "overlaps", "provides", "labels")
    copied = {"copy_of": dataset.copy_of} if dataset.copy_of else {}
    return {
        "dataset": dataset.name,
        **copied,
        **{key: getattr(dataset, key) for key in (*keys, *notes)},
        "classes": [dataset.classes[number] for number in sorted(dataset.classes)],
        "label_kind": dataset.labels_are,
        "windowing": dataset.windowing,
        "findings": dataset.labels[1:] if dataset.labels_are == "multi_label" else [],
        "manifest_sha256": manifest_hash,
    }
