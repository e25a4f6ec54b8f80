"""The Arrow contract of prepared images: results/<run>/images/<dataset>.arrow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.disk_buffer import DiskBuffer

SPLITS = ("train", "val", "test")
GROUP_SOURCES = ("published", "pattern", "derived", "region", "unknown")
REQUIRED = ("image_id", "group_id", "group_source", "split", "image")
OPTIONAL = ("volume_id", "slice_index", "axis", "spacing_mm", "mask", "instances", "label", "boxes")
META_KEYS = (
    "dataset",
    "source",
    "modality",
    "body_part",
    "licence",
    "classes",
    "annotation",
    "manifest_sha256",
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

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        absent = [name for name in REQUIRED if name not in self]
        if absent:
            raise DataError(
                f"{path} lacks the columns {', '.join(absent)}",
                "delete it and start the run again",
            )
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
        ``boxes`` a list of [K, 4] arrays. A column that the dataset lacks is left out.
    meta
        Values for all of :data:`META_KEYS`.
    """
    unknown = set(columns) - set(REQUIRED) - set(OPTIONAL)
    absent = set(REQUIRED) - set(columns)
    if unknown or absent:
        raise ValueError(f"images columns: unknown {sorted(unknown)}, missing {sorted(absent)}")
    if set(META_KEYS) - set(meta):
        raise ValueError(f"images metadata lacks {sorted(set(META_KEYS) - set(meta))}")
    image = _pixels(columns["image"])
    if image.dtype != np.uint8 or len(image.shape) != 4 or image.shape[-1] != 3:
        raise ValueError(f"image must be uint8 [N, H, W, 3], not {image.dtype} {image.shape}")
    for name, kind in (("mask", np.uint8), ("instances", np.uint16)):
        if name in columns:
            plane = _pixels(columns[name])
            if plane.dtype != kind or plane.shape != image.shape[:-1]:
                raise ValueError(f"{name} must be {np.dtype(kind)} {image.shape[:-1]}")
    ordered: dict[str, Any] = {}
    for name in (*REQUIRED, *OPTIONAL):
        if name not in columns:
            continue
        if name == "boxes":
            four = pa.list_(pa.list_(pa.float32(), 4))
            ordered[name] = pa.array([np.asarray(b).tolist() for b in columns[name]], type=four)
        elif name in ("group_source", "split", "axis"):
            ordered[name] = pa.array(list(columns[name])).dictionary_encode()
        else:
            column = columns[name]
            pixels = isinstance(column, np.ndarray | DiskBuffer)
            ordered[name] = column if pixels else pa.array(list(column))
    write_arrow(path, ordered, {**meta, "content_sha256": _content_hash(columns)})


def _pixels(column: Any) -> np.ndarray | DiskBuffer:
    """A column of pixels."""
    return column if isinstance(column, DiskBuffer) else np.asarray(column)


def _content_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256 over all that a pair depends on, kept in the metadata so that pairs can name it."""
    digest = hashlib.sha256()
    for name in _IDENTITY:
        if name in columns:
            column = columns[name]
            digest.update(name.encode())
            if isinstance(column, DiskBuffer):
                for chunk in column.chunks():
                    digest.update(chunk.data)
            elif isinstance(column, np.ndarray) and column.dtype != object:
                digest.update(np.ascontiguousarray(column).data)
            else:
                digest.update(repr(list(column)).encode())
    return digest.hexdigest()
