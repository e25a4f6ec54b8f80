"""The Arrow contract of prepared volumes: results/<run>/volumes/<dataset>.arrow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.formats import images
from medtaskatlas.formats.arrow import ArrowFile, write_arrow
from medtaskatlas.formats.columns import (
    VALUE,
    as_arrow,
    check_groups,
    check_names,
    check_pixels,
    content_hash,
    pixels,
)

REQUIRED = ("volume_id", "subject_id", "group_id", "group_source", "split", "volume")
OPTIONAL = ("spacing_mm", "native_spacing_mm", "mask", "label", "labels")
META_KEYS = (*(key for key in images.META_KEYS if key != "maps"), "volume_size")
_IDENTITY = ("volume_id", "volume", "mask", "label", "labels")


class VolumeSet(ArrowFile):
    """Prepared volumes of one dataset, memory-mapped.

    ``volumes`` are uint8 [N, S, S, S] of 0..255, axes D, H, W; ``masks`` uint8 [N, S, S, S] class
    ids, or None. Of patients the axes run towards head, back and left, so that ``volumes[i, d]`` is
    an axial slice as images show it. Rows are in no order of splits.
    """

    required = REQUIRED

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.volumes = self.numpy("volume")
        self.masks = self.numpy("mask") if "mask" in self else None

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.meta["dataset"])


def write_volumes(path: str | Path, columns: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write prepared volumes.

    Parameters
    ----------
    path
        The file to make.
    columns
        Columns of :data:`REQUIRED` and any of :data:`OPTIONAL`; ``volume`` and ``mask`` uint8
        [N, S, S, S], each an array or a disk buffer; ``labels`` a list of rows of truth values, or
        None; ``spacing_mm`` the side of a voxel, ``native_spacing_mm`` the sides along D, H, W
        before resampling, mm, or None; ``value.<name>`` numbers and None. A column that the dataset
        lacks is left out.
    meta
        Values for all of :data:`META_KEYS`.

    Raises
    ------
    ValueError
        If a column is unknown, missing or of another type, or a group is in two splits.
    """
    values = [name for name in columns if name.startswith(VALUE)]
    check_names(columns, REQUIRED, (*REQUIRED, *OPTIONAL, *values), "volumes columns")
    check_names(meta, META_KEYS, meta, "volumes metadata")
    check_groups(columns)
    shape = (len(pixels(columns["volume"])), *(int(meta["volume_size"]),) * 3)
    for name in ("volume", "mask"):
        if name in columns:
            check_pixels(name, columns[name], np.uint8, shape)
    ordered = {
        name: as_arrow(name, columns[name])
        for name in (*REQUIRED, *OPTIONAL, *values)
        if name in columns
    }
    sha256 = content_hash(columns, (*_IDENTITY, *sorted(values)))
    write_arrow(path, ordered, {**meta, "content_sha256": sha256})
