"""OpenKBP as it is published: a folder a patient, a sparse CSV file a volume of 128 x 128 x 128.

The index of a voxel is ``(i * 128 + j) * 128 + k``: ``i`` from front to back, ``j`` from the
patient's right to the left, ``k`` from head to feet. What is not listed is 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError, nearest
from medtaskatlas.datasets.io import volume, window
from medtaskatlas.datasets.io.frame import Excluded, Frame

SIDE = 128  # voxels of a volume along each axis
SPLITS = {"train-pats": "train", "validation-pats": "val", "test-pats": "test"}
# In the order of their class numbers 1, 2, ...
STRUCTURES = (
    *("PTV70", "PTV63", "PTV56", "Brainstem", "SpinalCord"),
    *("RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible"),
)
_NEEDED = ("ct", "dose", "possible_dose_mask", "voxel_dimensions")
_HU = -1000  # Hounsfield units of a stored 0
_MOST = 4095  # above it stored values are no Hounsfield units, as the authors say
NO_DOSE = "outside of the possible dose"
_PATIENT = re.compile(r"pt_(\d+)")


@dataclass(frozen=True)
class Patient:
    """Volumes [128, 128, 128] of a patient, axes k, i, j: axial slices as they are looked at."""

    ct: np.ndarray  # float32, Hounsfield units
    dose: np.ndarray  # float32, Gy
    possible: np.ndarray  # bool, where the dose counts
    mask: np.ndarray  # uint8, numbers of the structures; 0 elsewhere
    voxel_mm: tuple[float, float, float]  # along i, j, k


def read_openkbp(
    folder: Path, hu_window: tuple[float, float], slices: int
) -> Iterator[Frame | Excluded]:
    """Axial slices of all patients of a folder, by split and number.

    Parameters
    ----------
    folder
        ``provided-data``, or the folder above it: ``{train,validation,test}-pats/pt_N``.
    hu_window
        Centre and width of the grey levels, HU.
    slices
        Most slices of a patient, evenly spread over those that can have dose and show something.

    Yields
    ------
    Frame or Excluded
        Grey levels, structures and the map ``dose`` in Gy, which counts where dose is possible. A
        patient is a group and a subject. Pixels are square.

    Raises
    ------
    DataError
        If a patient is in two splits, a file is missing, or one has not the published format.
    """
    black_white = window.centre_width(*hu_window)
    for split, place in _patients(folder):
        patient = read_patient(place)
        rows_mm, columns_mm, _ = patient.voxel_mm
        grey = window.between(patient.ct, *black_white)
        reasons = [
            volume.poor(plane, volume.CONTENT) if possible.any() else NO_DOSE
            for plane, possible in zip(grey, patient.possible, strict=True)
        ]
        sides = rows_mm, columns_mm
        taken = volume.spread(reasons, slices)
        for k, reason in enumerate(reasons):
            name = f"{place.name}-{k:03d}"
            if k not in taken:
                yield Excluded(name, reason or volume.beyond(slices))
                continue
            yield Frame(
                pixels=volume.square(grey[k], *sides),
                image_id=name,
                group_id=place.name,
                group_source="published",
                mask=volume.square(patient.mask[k], *sides, labels=True),
                maps={"dose": volume.square_map(patient.dose[k], patient.possible[k], *sides)},
                subject=place.name,
                split=split,
                volume_id=place.name,
                slice_index=k,
                axis="axial",
                spacing_mm=min(sides),
            )


def read_patient(folder: Path) -> Patient:
    """All volumes of a patient; of structures that overlap the smaller one is seen."""
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if absent := [name for name in _NEEDED if name not in files]:
        raise DataError(
            f"{folder / absent[0]}.csv is missing",
            "bring all files of the patient, or leave the patient's folder out",
        )
    if odd := files.keys() - {*_NEEDED, *STRUCTURES}:
        raise DataError(
            f"{files[min(odd)]} is no file of OpenKBP", nearest(min(odd), (*_NEEDED, *STRUCTURES))
        )
    inside = {name: _indices(files[name]) for name in STRUCTURES if name in files}
    mask = np.zeros(SIDE**3, np.uint8)
    for name in sorted(inside, key=lambda name: (-len(inside[name]), name)):
        mask[inside[name]] = STRUCTURES.index(name) + 1
    possible = np.zeros(SIDE**3, bool)
    possible[_indices(files["possible_dose_mask"])] = True
    return Patient(
        _planes(np.minimum(_values(files["ct"]), _MOST) + np.float32(_HU)),
        _planes(_values(files["dose"])),
        _planes(possible),
        _planes(mask),
        _voxel(files["voxel_dimensions"]),
    )


def _planes(flat: np.ndarray) -> np.ndarray:
    """Flat volume [128^3] by axial slices."""
    return np.ascontiguousarray(flat.reshape(SIDE, SIDE, SIDE).transpose(2, 0, 1))


def _patients(folder: Path) -> list[tuple[str, Path]]:
    """Split and folder of each patient, by split and number."""
    root = folder / "provided-data" if (folder / "provided-data").is_dir() else folder
    found: dict[str, tuple[str, Path]] = {}
    for name, split in SPLITS.items():
        places = [p for p in root.glob(f"{name}/*") if p.is_dir() and not p.name.startswith(".")]
        if odd := [place for place in places if not _PATIENT.fullmatch(place.name)]:
            raise DataError(f"{min(odd)} is no patient: its name is not pt_N", "take it out")
        for place in sorted(places, key=lambda place: int(place.name[3:])):
            if place.name in found:
                raise DataError(
                    f"{place.name} is in two splits: {found[place.name][1]} and {place}",
                    "keep it in the one that was published",
                )
            found[place.name] = split, place
    if not found:
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{root} holds no patient: looked for {', '.join(SPLITS)} with folders pt_N, found "
            f"{there}",
            "name the folder provided-data of the repository open-kbp",
        )
    return list(found.values())


def _values(path: Path) -> np.ndarray:
    """Volume float32 [128^3] of a sparse file."""
    table = _table(path, "float64")
    index, values = _ascending(path, table), table["value"].to_numpy()
    if len(bad := np.flatnonzero(~((values >= 0) & np.isfinite(values)))):
        said = f"{values[bad[0]]:g} is no CT or dose, which are numbers from 0 on"
        raise _bad(path, int(bad[0]), said)
    dense = np.zeros(SIDE**3, np.float32)
    dense[index] = values
    return dense


def _indices(path: Path) -> np.ndarray:
    """Voxels of a mask, int64 [n] into the flat volume."""
    return _ascending(path, _table(path, "null"))


def _table(path: Path, kind: str) -> Any:
    """Columns index and value of a sparse file, whose header is ``,data``."""
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as handle:
        head = handle.readline(64).strip()
    if head != b",data":
        raise DataError(
            f"{path}: line 1: the header is {head.decode(errors='replace')!r}, not ',data'",
            "bring the published file anew",
        )
    types = {"index": pa.int64(), "value": pa.type_for_alias(kind)}
    try:
        return csv.read_csv(
            path,
            # One thread: it is as fast for files of this size, and errors name the row.
            csv.ReadOptions(use_threads=False, skip_rows=1, column_names=list(types)),
            csv.ParseOptions(ignore_empty_lines=False),
            csv.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        said = re.sub(r"Row #(\d+)", lambda m: f"line {m[1]}", str(error))
        raise DataError(f"{path}: {said}", "bring the published file anew") from error


def _ascending(path: Path, table: Any) -> np.ndarray:
    """Indices of a file, each of them once and in order."""
    if table["index"].null_count:
        raise _bad(path, table["index"].to_pylist().index(None), "has no index")
    index: np.ndarray = table["index"].to_numpy()
    if len(outside := np.flatnonzero((index < 0) | (index >= SIDE**3))):
        row = int(outside[0])
        raise _bad(path, row, f"index {index[row]} is outside of 0 to {SIDE**3 - 1}")
    if len(down := np.flatnonzero(np.diff(index) <= 0)):
        row = int(down[0]) + 1
        raise _bad(path, row, f"index {index[row]} does not ascend: {index[row - 1]} is before it")
    return index


def _voxel(path: Path) -> tuple[float, float, float]:
    """Sides of a voxel along i, j and k, mm."""
    try:
        i, j, k = (float(line) for line in path.read_text().split())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} does not hold three numbers ({error})",
            "write the sides of a voxel in mm along index 0, 1 and 2, one a line",
        ) from error
    if not all(0 < side < 100 for side in (i, j, k)):
        raise DataError(
            f"{path}: {i:g} x {j:g} x {k:g} mm is no voxel", "write its sides in mm, above 0"
        )
    return round(i, 4), round(j, 4), round(k, 4)


def _bad(path: Path, row: int, problem: str) -> DataError:
    """Error about a row of a sparse file; its first line is the header."""
    return DataError(f"{path}: line {row + 2}: {problem}", "bring the published file anew")
