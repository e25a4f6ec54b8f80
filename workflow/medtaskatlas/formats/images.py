"""The Arrow contract of prepared images: results/<run>/images/<dataset>.arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.colour import channels
from medtaskatlas.formats.columns import (
    MAP,
    VALID,
    VALUE,
    as_arrow,
    check_groups,
    check_names,
    check_pixels,
    content_hash,
    pixels,
)

SPLITS = ("train", "val", "test")
GROUP_SOURCES = ("published", "pattern", "derived", "region", "unknown")
REQUIRED = ("image_id", "subject_id", "group_id", "group_source", "split", "image")
OPTIONAL = (
    *("volume_id", "slice_index", "axis", "spacing_mm"),
    *("mask", "instances", "label", "labels", "boxes"),
)
META_KEYS = (
    "dataset",
    "source",
    "modality",
    "body_part",
    "licence",
    "classes",
    "annotation",
    "manifest_sha256",
    "label_kind",
    "maps",
    "values",
)
_IDENTITY = ("image_id", "image", "mask", "instances", "label", "boxes")


@dataclass(frozen=True)
class Sample:
    """One image with its annotation, as tasks see it; what the dataset lacks is None."""

    image: np.ndarray  # uint8 [H, W] or [H, W, 3], values 0..255
    mask: np.ndarray | None = None  # uint8 [H, W] class ids, 0 is background
    instances: np.ndarray | None = None  # uint16 [H, W] object numbers, 0 is background
    boxes: np.ndarray | None = None  # float32 [K, 4] of (x0, y0, x1, y1), pixels
    label: int | None = None
    n_classes: int = 0  # foreground classes of the dataset's masks
    n_labels: int = 0  # labels of the dataset


class ImageSet(ArrowFile):
    """Prepared images of one dataset, memory-mapped.

    ``images`` are uint8 [N, H, W, 3] of 0..255; ``masks`` uint8 [N, H, W] class ids and
    ``instances`` uint16 [N, H, W], or None.
    """

    required = REQUIRED

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.images = self.numpy("image")
        self.masks = self.numpy("mask") if "mask" in self else None
        self.instances = self.numpy("instances") if "instances" in self else None

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.meta["dataset"])

    def sample(self, row: int, read: Callable[[str, int], np.ndarray] | None = None) -> Sample:
        """One image with its annotation: read-only views into the file, or what ``read`` gives.

        Parameters
        ----------
        row
            Row of the file.
        read
            Gives the pixels of a column and row; by default views into the mapped file.
        """
        pixels = {
            name: (read(name, row) if read else plane[row]) if plane is not None else None
            for name, plane in (("mask", self.masks), ("instances", self.instances))
        }
        boxes = None
        if "boxes" in self:
            flat = self.column("boxes")[row].values.flatten()
            boxes = flat.to_numpy(zero_copy_only=False).reshape(-1, 4)
        return Sample(
            image=read("image", row) if read else self.images[row],
            **pixels,
            boxes=boxes,
            label=self.column("label")[row].as_py() if "label" in self else None,
            n_classes=len(self.meta["classes"]),
            n_labels=len(self.meta.get("labels", [])),
        )


def write_images(
    path: str | Path,
    columns: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> None:
    """Write prepared images.

    Parameters
    ----------
    path
        The file to make.
    columns
        Columns of :data:`REQUIRED` and any of :data:`OPTIONAL`; ``image`` uint8 [N, H, W, 3],
        ``mask`` uint8 [N, H, W], ``instances`` uint16 [N, H, W], each an array or a disk buffer;
        ``labels`` a list of rows of truth values, or None; ``boxes`` a list of [K, 4] arrays. Of a
        quantity ``map.<name>`` float32 and ``valid.<name>`` uint8 [N, H, W] of 0 and 1, or
        ``value.<name>`` numbers and None. A column that the dataset lacks is left out.
    meta
        Values for all of :data:`META_KEYS`; ``channels`` is added to them.

    Raises
    ------
    ValueError
        If a column is unknown, missing or of another type, or a group is in two splits.
    """
    quantities = [name for name in columns if name.startswith((MAP, VALID, VALUE))]
    check_names(columns, REQUIRED, (*REQUIRED, *OPTIONAL, *quantities), "images columns")
    check_names(meta, META_KEYS, meta, "images metadata")
    check_groups(columns)
    image = pixels(columns["image"])
    if image.dtype != np.uint8 or len(image.shape) != 4 or image.shape[-1] != 3:
        raise ValueError(f"image must be uint8 [N, H, W, 3], not {image.dtype} {image.shape}")
    kinds: dict[str, type] = {"mask": np.uint8, "instances": np.uint16}
    kinds |= {n: np.float32 for n in quantities if n.startswith(MAP)}
    kinds |= {n: np.uint8 for n in quantities if n.startswith(VALID)}
    for name, kind in kinds.items():
        if name in columns:
            check_pixels(name, columns[name], kind, image.shape[:-1])
    ordered = {
        name: as_arrow(name, columns[name])
        for name in (*REQUIRED, *OPTIONAL, *quantities)
        if name in columns
    }
    found = {
        "channels": channels(image, columns["split"]),
        "content_sha256": content_hash(columns, _IDENTITY),
    }
    write_arrow(path, ordered, {**meta, **found})


def channels_of(file: ArrowFile) -> int:
    """Channels that a network sees of prepared images or volumes: 3 where some have colour, or 1.

    It is decided once, when they are prepared: see :func:`~medtaskatlas.formats.colour.channels`.
    """
    if "volume" in file:
        return 1
    if "channels" not in file.meta:
        raise DataError(
            f"{file.path} does not say whether its images have colour: an older version made it",
            "delete it and start the run again",
        )
    return int(file.meta["channels"])
