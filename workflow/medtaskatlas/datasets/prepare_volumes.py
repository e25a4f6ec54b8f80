"""From raw files to results/<run>/volumes/<dataset>.arrow: isotropic cubes of one size.

One volume is in memory at a time. Subjects, groups and splits are those of the dataset's images.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.gather import quantities
from medtaskatlas.datasets.io.frame import SMALLEST, TOO_THIN, Cube, Excluded
from medtaskatlas.datasets.io.volume import rounded
from medtaskatlas.datasets.prepare import check, facts, verify
from medtaskatlas.datasets.resample import cube_spacing, labels_to_cube, to_cube
from medtaskatlas.formats.columns import VALUE
from medtaskatlas.formats.disk_buffer import DiskBuffer
from medtaskatlas.formats.images import SPLITS, ImageSet
from medtaskatlas.formats.volumes import write_volumes

log = logging.getLogger(__name__)
LEAST_STD = 1  # grey levels
FLAT = f"flat: standard deviation below {LEAST_STD}"
NO_IMAGE = "none of its slices is among the images"


class Owner(NamedTuple):
    """Whose a volume is."""

    subject_id: str
    group_id: str
    group_source: str
    split: str


def prepare_volumes(
    dataset: Dataset,
    folder: Path,
    images: Path,
    out: Path,
    *,
    volume_size: int,
    manifest: Path | None = None,
) -> None:
    """Read, resample and write the volumes of one dataset.

    Parameters
    ----------
    dataset
        The dataset.
    folder
        Its raw files.
    images
        Its prepared images, which say whose a volume is and which split it is in.
    out
        The Arrow file to make.
    volume_size
        Voxels of a volume along each axis.
    manifest
        List of the raw files; by default it lies next to them.

    Raises
    ------
    DataError
        If a raw file is missing, changed or damaged, no volume is left, or the dataset has not what
        it promises.
    """
    folder = Path(folder)
    manifest_hash = verify(folder, manifest)
    volumes = VolumeCollector(Path(out).parent, volume_size, dataset, owners(ImageSet(images)))
    for item in dataset.read_volumes(folder, volume_size=volume_size, note=volumes.repaired):
        if isinstance(item, Excluded):
            volumes.excluded[item.reason] += item.count
        else:
            volumes.add(item)
    if not volumes.cubes:
        reasons = ", ".join(f"{n}: {reason}" for reason, n in volumes.excluded.items())
        raise DataError(
            f"{folder}: {dataset.name} has no volume left ({reasons or 'none was found'})",
            "leave the dataset out, or make no volumes: `volume_size: null`",
        )
    said = [(cube.volume_id, cube.label, cube.values) for cube in volumes.cubes]
    check(dataset, said, {"mask": volumes.has_mask}, volumes.highest_class)
    meta = {
        **facts(dataset, manifest_hash),
        "values": volumes.quantities(),
        "volume_size": volume_size,
        "quality": volumes.quality(),
    }
    write_volumes(out, volumes.columns(), meta)


def owners(images: ImageSet) -> dict[str, Owner]:
    """Volume that images are cut from: whose it is."""
    if "volume_id" not in images:
        return {}
    found: dict[str, Owner] = {}
    columns = [images.column(name).to_pylist() for name in ("volume_id", *Owner._fields)]
    for volume, *rest in zip(*columns, strict=True):
        owner = Owner(*rest)
        if volume is not None and found.setdefault(volume, owner) != owner:
            raise DataError(
                f"{images.path}: the slices of volume {volume} are in the groups "
                f"{found[volume].group_id} and {owner.group_id}",
                "give all of them one group, or make no volumes: `volume_size: null`",
            )
    return found


class VolumeCollector:
    """All volumes of a dataset: voxels wait in a folder, facts in memory."""

    def __init__(
        self, folder: Path, size: int, dataset: Dataset, owners: Mapping[str, Owner]
    ) -> None:
        self.size, self.dataset, self.owners = size, dataset, owners
        self.cubes: list[Cube] = []  # without their voxels
        self.excluded: Counter[str] = Counter()  # by reason
        self.has_mask: set[bool] = set()
        self.highest_class = 0
        self._spacings: list[float | None] = []
        self._extents: list[tuple[int, ...]] = []
        self._voxels = DiskBuffer(folder, (size,) * 3, np.uint8)
        self._masks = DiskBuffer(folder, (size,) * 3, np.uint8)
        self._repaired = self._empty = self._lost = 0

    def repaired(self, what: str) -> None:
        """Count something that was put right, and write it into the log."""
        log.warning("%s", what)
        self._repaired += 1

    def add(self, cube: Cube) -> None:
        """Resample and keep a volume, unless there is a reason not to."""
        if reason := self._unfit(cube):
            self.excluded[reason] += 1
            return
        shape, spacing = cube.voxels.shape, cube.spacing_mm or (1.0, 1.0, 1.0)
        self._voxels.append(to_cube(cube.voxels, spacing, self.size))
        self.has_mask.add(cube.mask is not None)
        if cube.mask is not None:
            mask = labels_to_cube(cube.mask, spacing, self.size)
            self._masks.append(mask)
            self.highest_class = max(self.highest_class, int(cube.mask.max()))
            self._empty += not mask.any()
            self._lost += bool(cube.mask.any() and not mask.any())
        mm = rounded(cube_spacing(shape, spacing, self.size), 6) if cube.spacing_mm else None
        self._spacings.append(mm)
        self._extents.append(shape)
        self.cubes.append(replace(cube, voxels=np.empty((0, 0, 0), np.uint8), mask=None))

    def _unfit(self, cube: Cube) -> str | None:
        """Why a volume is left out."""
        if min(cube.voxels.shape) < SMALLEST:
            return TOO_THIN
        if _std(cube.voxels) < LEAST_STD:
            return FLAT
        return None if cube.volume_id in self.owners else NO_IMAGE

    def columns(self) -> dict[str, Any]:
        """Columns of the Arrow file; what the dataset lacks is absent."""
        whose = [self.owners[cube.volume_id] for cube in self.cubes]
        columns: dict[str, list[Any]] = {
            "volume_id": [cube.volume_id for cube in self.cubes],
            **{name: [getattr(owner, name) for owner in whose] for name in Owner._fields},
            "spacing_mm": self._spacings,
            "native_spacing_mm": [cube.spacing_mm for cube in self.cubes],
            "label": [cube.label for cube in self.cubes],
            "labels": [cube.labels for cube in self.cubes],
            **{VALUE + n: [c.values.get(n) for c in self.cubes] for n in self.dataset.values},
        }
        masks = {"mask": self._masks.select()} if True in self.has_mask else {}
        return {
            "volume": self._voxels.select(),
            **masks,
            **{n: c for n, c in columns.items() if any(value is not None for value in c)},
        }

    def quantities(self) -> dict[str, dict[str, Any]]:
        """Unit and range of the values."""
        named = {n: [c.values[n] for c in self.cubes if n in c.values] for n in self.dataset.values}
        ranges = {VALUE + n: (min(found), max(found)) for n, found in named.items() if found}
        return quantities(self.dataset, VALUE, ranges)

    def quality(self) -> dict[str, Any]:
        """Counts of what was found, kept and left out, JSON-able."""
        split = Counter(self.owners[cube.volume_id].split for cube in self.cubes)
        sides = [side for shape in self._extents for side in shape]
        masked = True in self.has_mask
        return {
            "found": len(self.cubes) + sum(self.excluded.values()),
            "kept": len(self.cubes),
            "excluded": dict(sorted(self.excluded.items())),
            "empty_masks": self._empty if masked else None,
            "masks_lost_by_resampling": self._lost if masked else None,
            "repaired": self._repaired,
            "splits": {s: split[s] for s in SPLITS},
            "sizes_voxels": [min(sides), max(sides)],
        }


def _std(voxels: np.ndarray) -> float:
    """Standard deviation of grey levels, a plane in memory at a time."""
    squares = np.mean([np.square(plane, dtype=np.float64).mean() for plane in voxels])
    return float(np.sqrt(max(squares - voxels.mean(dtype=np.float64) ** 2, 0)))
