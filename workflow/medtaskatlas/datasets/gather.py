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
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.duplicates import connected, near_duplicates, thumbnail
from medtaskatlas.datasets.io.frame import BEYOND, Frame
from medtaskatlas.datasets.io.volume import rounded
from medtaskatlas.formats.columns import MAP, VALID, VALUE
from medtaskatlas.formats.disk_buffer import DiskBuffer
from medtaskatlas.formats.images import SPLITS, ImageSet

log = logging.getLogger(__name__)
IDENTICAL = "identical to another image after preparation"
ELSEWHERE = "left out at the other size"
_NO_PIXELS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True)
class Shaped:
    """One image as it is written, next to the frame that it came from."""

    frame: Frame
    image: np.ndarray  # uint8 [S, S, 3]
    mask: np.ndarray | None  # uint8 [S, S]
    instances: np.ndarray | None  # uint16 [S, S]
    boxes: np.ndarray | None  # float32 [K, 4] in pixels of the image
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]]  # float32 and bool [S, S]
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


@dataclass(frozen=True)
class Place:
    """Where an image belongs: what the frames of a copy of its dataset take over."""

    subject: str
    group_id: str
    group_source: str
    split: str


def places(images: ImageSet) -> dict[str, Place]:
    """Where prepared images belong, by their names."""
    names = ("image_id", "subject_id", "group_id", "group_source", "split")
    columns = [images.column(name).to_pylist() for name in names]
    return {
        image: Place(subject.partition("/")[2], *rest)
        for image, subject, *rest in zip(*columns, strict=True)
    }


class ImageCollector:
    """All images of a dataset: pixels wait in a folder, facts in memory.

    With ``like`` those that are there by name, and where these say, duplicates or not; else with
    ``keep_duplicates`` images stay that are the same as another to the pixel.
    """

    def __init__(
        self,
        folder: Path,
        size: int,
        dataset: Dataset,
        like: Mapping[str, Place] | None = None,
        *,
        keep_duplicates: bool = False,
    ) -> None:
        self.size, self.dataset = size, dataset
        self.like, self.keep_duplicates = like, keep_duplicates
        self.excluded: Counter[str] = Counter()  # by reason
        self.highest_class = 0
        # Whether images have a kind of annotation; both where some have none.
        self.has: dict[str, set[bool]] = {"mask": set(), "instances": set(), "boxes": set()}
        self._images: list[_Facts] = []
        self._repaired = 0
        self._folder = folder
        self._planes = {"image": DiskBuffer(folder, (size, size, 3), np.uint8)}
        for name in dataset.maps:
            self._planes[MAP + name] = DiskBuffer(folder, (size, size), np.float32)
            self._planes[VALID + name] = DiskBuffer(folder, (size, size), np.uint8)
        # Quantity to the lowest and highest of its numbers so far.
        self._ranges: dict[str, tuple[float, float]] = {}
        self._thumbnails: list[np.ndarray] = []
        self._seen: dict[bytes, tuple[int, bytes]] = {}
        self._first: dict[tuple[bytes, str | None], int] = {}  # of a split
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
        """Keep an image, unless it is there already, or not wanted."""
        if self.like is not None:
            if (place := self.like.get(shaped.frame.image_id)) is None:
                self.exclude(ELSEWHERE)
                return
            shaped = replace(shaped, frame=replace(shaped.frame, **vars(place)))
        elif self._repeated(shaped):
            self.exclude(IDENTICAL)
            return
        planes = {"image": shaped.image, "mask": shaped.mask, "instances": shaped.instances}
        for name, plane in planes.items():
            if plane is not None:
                if name not in self._planes:
                    self._planes[name] = DiskBuffer(self._folder, plane.shape, plane.dtype.type)
                self._planes[name].append(plane)
        for name in self.dataset.maps:
            self._add_map(name, *shaped.maps.get(name, self._no_map()))
        for name, value in shaped.frame.values.items():
            self._widen(VALUE + name, value, value)
        for name, present in self.has.items():
            present.add(getattr(shaped, name) is not None)
        empty = None
        if shaped.mask is not None:
            self.highest_class = max(self.highest_class, int(shaped.mask.max()))
            empty = not shaped.mask.any()
        self._thumbnails.append(thumbnail(shaped.image))
        frame = replace(shaped.frame, pixels=_NO_PIXELS, mask=None, instances=None, maps={})
        low, high = int(shaped.image.min()), int(shaped.image.max())
        self._images.append(_Facts(frame, shaped.boxes, shaped.side, empty, low, high))

    def _repeated(self, shaped: Shaped) -> bool:
        """Whether an image is there already, and not for another annotation of it."""
        row, split = len(self), shaped.frame.split
        pixels = hashlib.sha256(shaped.image.data).digest()
        annotation = _annotation_hash(shaped)
        known, said = self._seen.setdefault(pixels, (row, annotation))
        # One picture that two people annotated is kept twice, in one group.
        again = known != row and (said == annotation or self._images[known].frame.split != split)
        if again and not self.keep_duplicates:
            return True
        if (first := self._first.setdefault((pixels, split), row)) != row:
            self._same.append((first, row))
        return False

    def _add_map(self, name: str, values: np.ndarray, valid: np.ndarray) -> None:
        """Keep the map of an image, 0 where it does not count."""
        self._planes[MAP + name].append(np.where(valid, values, np.float32(0)))
        self._planes[VALID + name].append(valid.astype(np.uint8))
        if valid.any():
            self._widen(MAP + name, values[valid].min(), values[valid].max())

    def _no_map(self) -> tuple[np.ndarray, np.ndarray]:
        """Map of an image that has none."""
        return np.zeros((self.size, self.size), np.float32), np.zeros((self.size,) * 2, bool)

    def _widen(self, name: str, low: float, high: float) -> None:
        """Widen the range of a quantity."""
        low, high = float(low), float(high)
        known = self._ranges.get(name, (low, high))
        self._ranges[name] = (min(known[0], low), max(known[1], high))

    def quantities(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Unit and range of the quantities with maps or values."""
        return quantities(self.dataset, prefix, self._ranges)

    def split(self, splits: Mapping[str, float], seed: int, limit: int | None) -> None:
        """Join the groups of near duplicates, take no more than the limit, and split."""
        if self.like is None:
            pairs = near_duplicates(np.stack(self._thumbnails))
            self._join(np.concatenate([pairs, np.array(self._same, np.int64).reshape(-1, 2)]))
        self._thumbnails = []
        kept = _within(self.frames, limit)
        if len(kept) < len(self):
            self.exclude(BEYOND, len(self) - len(kept))
            self._images = [self._images[i] for i in kept]
        for plane in self._planes.values():
            plane.select(kept)
        self._split_of = assign_splits(self.frames, splits, seed, self.dataset.name)

    def _join(self, pairs: np.ndarray) -> None:
        """Give images that are nearly the same one group; published splits stay as they are."""
        frames = self.frames
        within = np.array([frames[i].split == frames[j].split for i, j in pairs], bool).reshape(-1)
        self._torn = int((~within).sum())
        groups, code = np.unique([f.group_id for f in frames], return_inverse=True)
        name = groups[connected(code[pairs[within]], len(groups))]
        subject = {frame.group_id: frame.subject for frame in frames}
        for row, (frame, joined) in enumerate(zip(frames, name[code], strict=True)):
            if frame.group_id != joined:
                self._joined += 1
                renamed = replace(frame, group_id=str(joined), subject=subject[str(joined)])
                self._images[row] = replace(self._images[row], frame=renamed)

    def columns(self) -> dict[str, Any]:
        """Columns of the Arrow file, for `write_images`; what the dataset lacks is absent."""
        frames = self.frames

        def facts(name: str) -> list[Any]:
            return [getattr(frame, name) for frame in frames]

        columns: dict[str, Any] = {
            **{name: facts(name) for name in ("image_id", "group_id", "group_source")},
            "subject_id": [self.dataset.subject_id(f.subject or f.group_id) for f in frames],
            "split": [self._split_of[frame.group_id] for frame in frames],
            **self._planes,
            **{name: facts(name) for name in ("volume_id", "slice_index", "axis")},
            # Of the image as written, not of the native picture.
            "spacing_mm": [
                None if (mm := i.frame.spacing_mm) is None else rounded(mm * i.side / self.size, 6)
                for i in self._images
            ],
            "label": facts("label"),
            "labels": facts("labels"),
            **{VALUE + name: [f.values.get(name) for f in frames] for name in self.dataset.values},
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


def quantities(
    dataset: Dataset, prefix: str, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, dict[str, Any]]:
    """Unit and range of the quantities with maps or values, JSON-able; null: none was found."""
    of = dataset.maps if prefix == MAP else dataset.values
    none = (None, None)
    return {
        name: {"unit": of[name].unit, "description": of[name].description}
        | dict(zip(("low", "high"), ranges.get(prefix + name, none), strict=True))
        for name in of
    }


def assign_splits(
    frames: Iterable[Frame], splits: Mapping[str, float], seed: int, dataset: str
) -> dict[str, str]:
    """Split of each group; a published or written split is kept.

    Subjects are split, with all of their groups; of fewer than three subjects the groups are, such
    as regions of one picture. Fewer than three free ones are all `test`: one cannot be learnt from,
    chosen on and measured on at once.
    """
    given: dict[str, str | None] = {}
    subject: dict[str, str] = {}
    for frame in frames:
        subject[frame.group_id] = frame.subject or frame.group_id
        if given.setdefault(frame.group_id, frame.split) != frame.split:
            raise DataError(
                f"{dataset}: group {frame.group_id} is in two splits",
                "mend the catalogue's pattern",
            )
    few = len(set(subject.values())) < len(SPLITS)
    unit = {group: group if few else subject[group] for group in given}
    fixed = {group: split for group, split in given.items() if split is not None}
    # A subject of which a group has a written split goes there with all of them.
    written = {unit[group]: split for group, split in fixed.items()}
    free = sorted({unit[group] for group in given} - written.keys())
    if len(free) < len(SPLITS):
        drawn = dict.fromkeys(free, "test")
    else:
        order = generator(seed, "splits", dataset).permutation(len(free))
        names = [name for name, n in apportion(len(free), splits).items() for _ in range(n)]
        drawn = {free[i]: name for i, name in zip(order, names, strict=True)}
    return {group: fixed.get(group) or (written | drawn)[unit[group]] for group in given}


def _annotation_hash(shaped: Shaped) -> bytes:
    """Hash of all that people said of a picture."""
    frame = shaped.frame
    said = (frame.label, *([frame.labels] if frame.labels else []), *sorted(frame.values.items()))
    digest = hashlib.sha256(repr(said).encode())
    maps = [plane for name in sorted(shaped.maps) for plane in shaped.maps[name]]
    for plane in (shaped.mask, shaped.instances, shaped.boxes, *maps):
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
