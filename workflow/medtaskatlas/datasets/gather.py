"""The pictures of a dataset while it is being prepared: duplicates found, groups joined, split."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.apportion import apportion
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.datasets.duplicates import connected, near_duplicates, thumbnail
from medtaskatlas.datasets.io.frame import BEYOND, Frame
from medtaskatlas.formats.disk_buffer import DiskBuffer
from medtaskatlas.formats.images import SPLITS

log = logging.getLogger(__name__)
IDENTICAL = "identical to another image after preparation"
_NO_PIXELS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True)
class Shaped:
    """One image as it is written, next to the frame that it came from."""

    frame: Frame
    image: np.ndarray  # uint8 [S, S, 3]
    mask: np.ndarray | None  # uint8 [S, S]
    instances: np.ndarray | None  # uint16 [S, S]
    boxes: np.ndarray | None  # float32 [K, 4] in pixels of the image
    side: int  # of the square at native resolution, pixels


@dataclass(frozen=True)
class _Facts:
    """What stays in memory of an image."""

    frame: Frame  # without its pixels
    boxes: np.ndarray | None
    side: int
    empty: bool | None  # whether its mask is; None without a mask
    low: int
    high: int


class ImageCollector:
    """All images of a dataset: pixels wait in a folder, facts in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.excluded: Counter[str] = Counter()  # by reason
        self.highest_class = 0
        # Whether images have a kind of annotation; both where some have none.
        self.has: dict[str, set[bool]] = {"mask": set(), "instances": set(), "boxes": set()}
        self._images: list[_Facts] = []
        self._repaired = 0
        self._folder = folder
        self._planes = {"image": DiskBuffer(folder, (size, size, 3), np.uint8)}
        self._thumbnails: list[np.ndarray] = []
        self._seen: dict[bytes, tuple[int, bytes]] = {}
        self._same: list[tuple[int, int]] = []
        self._split_of: dict[str, str] = {}
        self._joined = 0
        self._torn = 0

    def __len__(self) -> int:
        return len(self._images)

    @property
    def frames(self) -> list[Frame]:
        """Facts of the kept images, without their pixels."""
        return [image.frame for image in self._images]

    def exclude(self, reason: str, count: int = 1) -> None:
        """Count an image that is left out, by its reason."""
        self.excluded[reason] += count

    def repaired(self, what: str) -> None:
        """Count something that was put right, and write it into the log."""
        log.warning("%s", what)
        self._repaired += 1

    def add(self, shaped: Shaped) -> None:
        """Keep an image, unless it is there already with the same annotation."""
        row = len(self)
        pixels = hashlib.sha256(shaped.image.data).digest()
        annotation = _annotation_hash(shaped)
        if (known := self._seen.setdefault(pixels, (row, annotation)))[0] != row:
            # One picture that two people annotated is kept twice, in one group.
            other = self._images[known[0]].frame
            if known[1] == annotation or other.split != shaped.frame.split:
                self.exclude(IDENTICAL)
                return
            self._same.append((known[0], row))
        planes = {"image": shaped.image, "mask": shaped.mask, "instances": shaped.instances}
        for name, plane in planes.items():
            if plane is not None:
                if name not in self._planes:
                    self._planes[name] = DiskBuffer(self._folder, plane.shape, plane.dtype.type)
                self._planes[name].append(plane)
        for name, present in self.has.items():
            present.add(getattr(shaped, name) is not None)
        empty = None
        if shaped.mask is not None:
            self.highest_class = max(self.highest_class, int(shaped.mask.max()))
            empty = not shaped.mask.any()
        self._thumbnails.append(thumbnail(shaped.image))
        frame = replace(shaped.frame, pixels=_NO_PIXELS, mask=None, instances=None)
        low, high = int(shaped.image.min()), int(shaped.image.max())
        self._images.append(_Facts(frame, shaped.boxes, shaped.side, empty, low, high))

    def split(
        self, splits: Mapping[str, float], seed: int, dataset: str, limit: int | None
    ) -> None:
        """Join the groups of near duplicates, take no more than the limit, and split."""
        pairs = near_duplicates(np.stack(self._thumbnails))
        self._thumbnails = []
        self._join(np.concatenate([pairs, np.array(self._same, np.int64).reshape(-1, 2)]))
        kept = _within(self.frames, limit)
        if len(kept) < len(self):
            self.exclude(BEYOND, len(self) - len(kept))
            self._images = [self._images[i] for i in kept]
        for plane in self._planes.values():
            plane.select(kept)
        self._split_of = assign_splits(self.frames, splits, seed, dataset)

    def _join(self, pairs: np.ndarray) -> None:
        """Give images that are nearly the same one group; published splits stay as they are."""
        frames = self.frames
        within = np.array([frames[i].split == frames[j].split for i, j in pairs], bool).reshape(-1)
        self._torn = int((~within).sum())
        groups, code = np.unique([f.group_id for f in frames], return_inverse=True)
        name = groups[connected(code[pairs[within]], len(groups))]
        for row, (frame, joined) in enumerate(zip(frames, name[code], strict=True)):
            if frame.group_id != joined:
                self._joined += 1
                renamed = replace(frame, group_id=str(joined))
                self._images[row] = replace(self._images[row], frame=renamed)

    def columns(self) -> dict[str, Any]:
        """Columns of the Arrow file, for `write_images`; what the dataset lacks is absent."""
        frames = self.frames

        def facts(name: str) -> list[Any]:
            return [getattr(frame, name) for frame in frames]

        columns: dict[str, Any] = {
            **{name: facts(name) for name in ("image_id", "group_id", "group_source")},
            "split": [self._split_of[frame.group_id] for frame in frames],
            **self._planes,
            **{name: facts(name) for name in ("volume_id", "slice_index", "axis")},
            # Of the image as written, not of the native picture.
            "spacing_mm": [
                None if (mm := i.frame.spacing_mm) is None else round(mm * i.side / self.size, 6)
                for i in self._images
            ],
            "label": facts("label"),
            "boxes": [image.boxes for image in self._images],
        }
        return {
            name: column
            for name, column in columns.items()
            if isinstance(column, DiskBuffer) or any(value is not None for value in column)
        }

    def quality(self) -> dict[str, Any]:
        """Counts and ranges of what was found, kept and left out, JSON-able."""
        split = list(self._split_of.values())
        images = self._images
        empty = [image.empty for image in images if image.empty is not None]
        return {
            "found": len(self) + sum(self.excluded.values()),
            "kept": len(self),
            "excluded": dict(sorted(self.excluded.items())),
            "empty_masks": sum(empty) if empty else None,
            "repaired": self._repaired,
            "joined": self._joined,
            "torn": self._torn,
            "groups": {s: split.count(s) for s in SPLITS},
            "sizes_px": [min(i.side for i in images), max(i.side for i in images)],
            "intensity": [min(i.low for i in images), max(i.high for i in images)],
        }


def assign_splits(
    frames: Iterable[Frame], splits: Mapping[str, float], seed: int, dataset: str
) -> dict[str, str]:
    """Split of each group; a published or written split is kept.

    Fewer than three free groups are all `test`: one cannot be learnt from, chosen on and measured
    on at once.
    """
    given: dict[str, str | None] = {}
    for frame in frames:
        if given.setdefault(frame.group_id, frame.split) != frame.split:
            raise DataError(
                f"{dataset}: group {frame.group_id} is in two splits",
                "mend the catalogue's pattern",
            )
    free = sorted(group for group, split in given.items() if split is None)
    fixed = {group: split for group, split in given.items() if split is not None}
    if len(free) < len(SPLITS):
        return {**fixed, **dict.fromkeys(free, "test")}
    order = generator(seed, "splits", dataset).permutation(len(free))
    names = [name for name, n in apportion(len(free), splits).items() for _ in range(n)]
    return {**fixed, **{free[i]: name for i, name in zip(order, names, strict=True)}}


def _annotation_hash(shaped: Shaped) -> bytes:
    """Hash of all that people said of a picture."""
    digest = hashlib.sha256(repr(shaped.frame.label).encode())
    for plane in (shaped.mask, shaped.instances, shaped.boxes):
        digest.update(b"-" if plane is None else np.ascontiguousarray(plane).data)
    return digest.digest()


def _within(frames: list[Frame], limit: int | None) -> list[int]:
    """Rows of whole groups, evenly spread over the sorted groups, that make at most `limit`."""
    if limit is None or len(frames) <= limit:
        return list(range(len(frames)))
    size = Counter(frame.group_id for frame in frames)
    # The fractional parts of multiples of the golden ratio are spread evenly at any length.
    order = sorted(size)
    order.sort(key={g: i * 0.6180339887498949 % 1 for i, g in enumerate(order)}.__getitem__)
    taken: set[str] = set()
    count = 0
    for group in order:
        if not taken or count + size[group] <= limit:
            taken.add(group)
            count += size[group]
    return [i for i, frame in enumerate(frames) if frame.group_id in taken]
