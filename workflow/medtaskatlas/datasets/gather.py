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

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator
from medtaskatlas.core.shares import share_out
from medtaskatlas.datasets.duplicates import connected, near_duplicates, thumbnail
from medtaskatlas.datasets.io.frame import BEYOND, Frame
from medtaskatlas.formats.images import SPLITS
from medtaskatlas.formats.spool import Spool

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


class Gathered:
    """All pictures of a dataset: pixels wait in a folder, facts in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.frames: list[Frame] = []  # without their pixels
        self.excluded: Counter[str] = Counter()  # by reason
        self.highest_class = 0
        self._repaired = 0
        self._folder = folder
        self._planes = {"image": Spool(folder, (size, size, 3), np.uint8)}
        self._present: dict[str, set[bool]] = {"mask": set(), "instances": set(), "boxes": set()}
        self._boxes: list[np.ndarray] = []
        self._sides: list[int] = []
        self._empty: list[bool] = []
        self._range: list[tuple[int, int]] = []
        self._thumbnails: list[np.ndarray] = []
        self._seen: dict[bytes, tuple[int, bytes]] = {}
        self._same: list[tuple[int, int]] = []
        self._split_of: dict[str, str] = {}
        self._joined = 0
        self._torn = 0

    def __len__(self) -> int:
        return len(self.frames)

    def exclude(self, reason: str, count: int = 1) -> None:
        """Count a picture that is left out, by its reason."""
        self.excluded[reason] += count

    def repaired(self, what: str) -> None:
        """Count something that was put right, and write it into the log."""
        log.warning("%s", what)
        self._repaired += 1

    def has(self, plane: str) -> set[bool]:
        """Whether pictures have mask, instances or boxes; both where some have none."""
        return self._present[plane]

    def add(self, shaped: Shaped) -> None:
        """Keep a picture, unless it is there already with the same annotation."""
        row = len(self.frames)
        pixels = hashlib.sha256(shaped.image.data).digest()
        annotation = _annotation_hash(shaped)
        if (known := self._seen.setdefault(pixels, (row, annotation)))[0] != row:
            # One picture that two people annotated is kept twice, in one group.
            other = self.frames[known[0]]
            if known[1] == annotation or other.split != shaped.frame.split:
                self.exclude(IDENTICAL)
                return
            self._same.append((known[0], row))
        self._append("image", shaped.image)
        for plane in ("mask", "instances", "boxes"):
            value = getattr(shaped, plane)
            self._present[plane].add(value is not None)
            if value is not None and plane != "boxes":
                self._append(plane, value)
        if shaped.boxes is not None:
            self._boxes.append(shaped.boxes)
        if shaped.mask is not None:
            self.highest_class = max(self.highest_class, int(shaped.mask.max()))
            self._empty.append(not shaped.mask.any())
        self._sides.append(shaped.side)
        self._range.append((int(shaped.image.min()), int(shaped.image.max())))
        self._thumbnails.append(thumbnail(shaped.image))
        self.frames.append(replace(shaped.frame, pixels=_NO_PIXELS, mask=None, instances=None))

    def _append(self, plane: str, pixels: np.ndarray) -> None:
        if plane not in self._planes:
            self._planes[plane] = Spool(self._folder, (self.size, self.size), pixels.dtype.type)
        self._planes[plane].append(pixels)

    def settle(
        self, splits: Mapping[str, float], seed: int, dataset: str, limit: int | None
    ) -> None:
        """Join the groups of near duplicates, take no more than the limit, and split."""
        pairs = near_duplicates(np.stack(self._thumbnails))
        self._thumbnails = []
        self._join(np.concatenate([pairs, np.array(self._same, np.int64).reshape(-1, 2)]))
        kept = _within(self.frames, limit)
        if len(kept) < len(self):
            self.exclude(BEYOND, len(self) - len(kept))
            for name in ("frames", "_boxes", "_sides", "_empty", "_range"):
                values = getattr(self, name)
                setattr(self, name, [values[i] for i in kept] if values else [])
        for plane in self._planes.values():
            plane.select(kept)
        self._split_of = assign_splits(self.frames, splits, seed, dataset)

    def _join(self, pairs: np.ndarray) -> None:
        """Give pictures that are nearly the same one group; published splits stay as they are."""
        split = [frame.split for frame in self.frames]
        within = np.array([split[i] == split[j] for i, j in pairs], bool).reshape(-1)
        self._torn = int((~within).sum())
        groups, code = np.unique([f.group_id for f in self.frames], return_inverse=True)
        name = groups[connected(code[pairs[within]], len(groups))]
        joined = [str(n) for n in name[code]]
        self._joined = sum(f.group_id != j for f, j in zip(self.frames, joined, strict=True))
        self.frames = [
            f if f.group_id == j else replace(f, group_id=j)
            for f, j in zip(self.frames, joined, strict=True)
        ]

    def columns(self) -> dict[str, Any]:
        """Columns of the Arrow file, for `write_images`; what the dataset lacks is absent."""
        frames = self.frames
        columns: dict[str, Any] = {
            "image_id": [frame.image_id for frame in frames],
            "group_id": [frame.group_id for frame in frames],
            "group_source": [frame.group_source for frame in frames],
            "split": [self._split_of[frame.group_id] for frame in frames],
            **self._planes,
            "volume_id": [frame.volume_id for frame in frames],
            "slice_index": [frame.slice_index for frame in frames],
            "axis": [frame.axis for frame in frames],
            # Of the image as written, not of the native picture.
            "spacing_mm": [
                None if f.spacing_mm is None else round(f.spacing_mm * side / self.size, 6)
                for f, side in zip(frames, self._sides, strict=True)
            ],
            "label": [frame.label for frame in frames],
            "boxes": self._boxes,
        }
        return {
            name: column
            for name, column in columns.items()
            if isinstance(column, Spool) or any(value is not None for value in column)
        }

    def quality(self) -> dict[str, Any]:
        """Counts and ranges of what was found, kept and left out, JSON-able."""
        split = list(self._split_of.values())
        low, high = zip(*self._range, strict=True)
        return {
            "found": len(self) + sum(self.excluded.values()),
            "kept": len(self),
            "excluded": dict(sorted(self.excluded.items())),
            "empty_masks": sum(self._empty) if self._empty else None,
            "repaired": self._repaired,
            "joined": self._joined,
            "torn": self._torn,
            "groups": {s: split.count(s) for s in SPLITS},
            "sizes_px": [min(self._sides), max(self._sides)],
            "intensity": [min(low), max(high)],
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
    names = [name for name, n in share_out(len(free), splits).items() for _ in range(n)]
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
