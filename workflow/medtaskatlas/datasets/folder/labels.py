"""Volumes and label maps of a folder dataset, loaded and held against the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import AtlasError, DataError, unreadable
from medtaskatlas.core.limits import check_stretch
from medtaskatlas.datasets.folder.files import Item
from medtaskatlas.datasets.folder.match import Survey
from medtaskatlas.datasets.io.frame import Excluded
from medtaskatlas.datasets.io.volume import canonical, furthest, spacings

# Folder key: (field of a frame, its type).
KINDS: dict[str, tuple[str, type]] = {
    "masks": ("mask", np.uint8),
    "instances": ("instances", np.uint16),
}
Reader = Callable[[Path], list[np.ndarray]]


@dataclass(frozen=True)
class Loaded:
    """A volume: [X, Y, Z] in RAS+, or [I, J, K] as stored where there is no affine."""

    values: np.ndarray | None  # None where nothing is left
    affine: np.ndarray | None = None  # to millimetres
    group: str | None = None  # patient, or examination that it belongs to
    subject: str | None = None  # patient
    inverted: bool = False  # whether large values mean dark
    sides: tuple[float, float] | None = None  # distances of rows and columns, without an affine
    left: list[Excluded] = field(default_factory=list)


def remedy(item: Item) -> str:
    """What to do about a file that is damaged."""
    return (
        "replace the file, or leave the image out on purpose: "
        f"`exclude: {{{item.name}: <reason>}}` in dataset.yaml"
    )


def load(found: Survey, item: Item, kind: str = "images") -> Loaded:
    """Load a volume (NIfTI, NRRD or a DICOM series) from the folder of images or label maps."""
    path = found.path(item, kind)
    index = found.description.index if kind == "images" else 0
    try:
        if item.kind == "nifti":
            loaded = _nifti(found, item, kind, index)
        elif item.kind == "nrrd":
            loaded = _nrrd(path, item, kind, index)
        else:
            loaded = _series(found, item, kind)
    except DataError as error:
        # Readers that serve fetched files say "delete and fetch anew": never of a user's own data.
        said = error.remedy
        if item.kind == "nifti" and (not said or said.startswith("delete ")):
            said = remedy(item)
        raise DataError(error.problem, said) from error
    except Exception as error:  # libraries raise anything on a damaged file
        raise unreadable(path, error, remedy(item)) from error
    if loaded.affine is not None:
        check_stretch(path, spacings(loaded.affine))
    if loaded.values is not None and loaded.values.dtype.kind not in "iuf":
        raise DataError(f"{path}: values of {loaded.values.dtype} are no grey values", remedy(item))
    return loaded


def flat_labels(
    found: Survey, item: Item, kind: str, count: int, size: tuple[int, ...]
) -> list[np.ndarray]:
    """Label map of each of `count` pages of `size` [H, W]; zeros where a map is optional.

    uint8 class numbers or uint16 object numbers [H, W]. One that does not fit the image, or holds a
    value that is not declared, is an error.
    """
    from medtaskatlas.datasets.io.flat import read_labels

    if item.stem not in found.beside[kind]:
        return [np.zeros(size, KINDS[kind][1])] * count
    path = found.path(found.beside[kind][item.stem], kind)
    planes = pages_beside(found, item, kind, (count, *size), read_labels)
    # One bit says where the only class is, whatever its number; formats write True as 1 or 255.
    only = next(iter(found.description.classes)) if _one_class(found, kind) else 1
    planes = [p.astype(np.uint16) * np.uint16(only) if p.dtype == bool else p for p in planes]
    table = _table(found, kind, planes, path)
    # Most masks hold the numbers that they are to hold.
    same = bool((table == np.arange(len(table))).all())
    return [plane if same and plane.dtype == table.dtype else table[plane] for plane in planes]


def pages_beside(
    found: Survey, item: Item, kind: str, shape: tuple[int, ...], read: Reader
) -> list[np.ndarray]:
    """Pages of what lies beside a picture, of `shape` [N, H, W] as those of the picture."""
    count, *size = shape
    other = found.beside[kind][item.stem]
    path = found.path(other, kind)
    if other.kind != "flat":
        said = f"{path} is a volume, but {found.path(item)} is a picture"
        raise DataError(said, "save it as PNG or TIFF")
    try:
        planes = read(path)
    except AtlasError:
        raise
    except Exception as error:
        raise unreadable(path, error, remedy(item)) from error
    if len(planes) != count:
        said = f"{path} has {len(planes)} pages, {found.path(item)} has {count}"
        raise DataError(said, "give it as many")
    for plane in planes:
        if plane.shape != tuple(size):
            what = "label map" if kind in KINDS else "map"
            raise DataError(
                f"{path} is {plane.shape[1]} x {plane.shape[0]} pixels, "
                f"{found.path(item)} is {size[1]} x {size[0]}",
                f"a {what} must be drawn on its image as a viewer shows it (EXIF orientation "
                f"applied); mend it, or leave {item.name} out by `exclude` in dataset.yaml",
            )
    return planes


def volume_labels(
    found: Survey, item: Item, kind: str, shape: tuple[int, ...], affine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Label map of a volume on the grid of `shape` and `affine` in RAS+.

    Stored integers [X, Y, Z] and the table that makes class or object numbers of them. One on
    another grid, or with a value that is not declared, is an error.
    """
    if item.stem not in found.beside[kind]:
        return np.broadcast_to(np.uint8(0), shape), np.zeros(1, KINDS[kind][1])
    path = found.path(found.beside[kind][item.stem], kind)
    values = volume_beside(found, item, kind, shape, affine)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.floor(values)).any():
            raise DataError(f"{path} holds values that are no whole numbers", "save it as integers")
        values = values.astype(np.int32)
    return values, _table(found, kind, values, path)


def volume_beside(
    found: Survey, item: Item, kind: str, shape: tuple[int, ...], affine: np.ndarray
) -> np.ndarray:
    """Volume that lies beside another, on the same grid."""
    what, way = ("mask", "nearest neighbour") if kind in KINDS else ("map", "linear")
    other = found.beside[kind][item.stem]
    path = found.path(other, kind)
    if other.kind not in ("nifti", "nrrd", "series"):
        said = f"{path} is no volume, but {found.path(item)} is"
        raise DataError(said, "save it as NIfTI or NRRD")
    loaded = load(found, other, kind)
    values = loaded.values
    if values is None or values.shape != shape:
        has = "no slices" if values is None else " x ".join(str(n) for n in values.shape)
        wanted = " x ".join(str(n) for n in shape)
        raise DataError(
            f"{path} has {has} voxels (right, front, top), {found.path(item)} has {wanted}",
            f"resample the {what} onto the image's grid ({way})",
        )
    if loaded.affine is None:  # by index alone, it might be mirrored
        raise DataError(
            f"{path.parent} has no positions of its slices, {found.path(item)} has",
            f"save the {what} as NIfTI or NRRD with the image's header",
        )
    gap = furthest(shape, affine, loaded.affine) / (min(spacings(affine)) or 1e-6)
    if not gap <= 0.5:
        raise DataError(
            f"{path} lies {gap:.1f} voxels away from {found.path(item)}",
            f"resample the {what} onto the image's grid ({way}), or copy the image's header if the "
            "arrays are known to match",
        )
    return values


def _table(found: Survey, kind: str, planes: Iterable[np.ndarray], path: Any) -> np.ndarray:
    """Table from stored to wanted numbers, after all stored ones were found to be declared."""
    import cv2

    seen = np.zeros(65536, bool)
    for plane in planes:  # plane by plane: indexing makes 8 bytes of each pixel
        if plane.size and (plane.min() < 0 or plane.max() >= len(seen)):
            raise DataError(
                f"{path} holds the value {plane.min() if plane.min() < 0 else plane.max()}",
                "ids are 0 to 65535; 0 is background",
            )
        if plane.dtype == np.uint8 and plane.ndim == 2:  # ten times faster than indexing
            seen[:256] |= cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel() > 0
        else:
            seen[plane] = True
    stored = np.flatnonzero(seen)
    if kind == "instances":
        return np.arange(max(stored.max(initial=0) + 1, 1), dtype=np.uint16)
    ids = sorted(found.description.classes)
    if undeclared := [int(v) for v in stored if v and v not in found.description.classes]:
        told = ", ".join(str(v) for v in undeclared[:10])
        raise DataError(
            f"{path} holds the id {told}{' ...' if len(undeclared) > 10 else ''}, "
            f"but `classes` declares {', '.join(str(i) for i in ids)}",
            "declare it in `classes` of dataset.yaml, or mend the mask",
        )
    table = np.zeros(int(max(ids)) + 1, np.uint8)
    table[ids] = np.arange(1, len(ids) + 1)
    return table


def _one_class(found: Survey, kind: str) -> bool:
    """Whether label maps tell one class from the background."""
    return kind == "masks" and len(found.description.classes) == 1


def _nifti(found: Survey, item: Item, kind: str, index: int) -> Loaded:
    """A NIfTI volume."""
    from medtaskatlas.datasets.io.nifti import load_volume, volume_shape

    path = found.path(item, kind)
    shape = volume_shape(path)
    many = shape[3] if len(shape) == 4 else 1
    if len(shape) not in (3, 4) or (kind != "images" and many > 1):
        wanted = "3, or 4 with `index`, are" if kind == "images" else "a map needs 3, which is"
        raise DataError(f"{path} has {len(shape)} dimensions {shape}; {wanted} understood")
    if index >= many > 1:
        raise DataError(f"{path} holds {many} volumes, `index` is {index}")
    transform = found.description.nifti_transform
    values, affine = load_volume(path, index if many > 1 else 0, transform)
    return Loaded(values, affine, left=_others(item, many, index))


def _nrrd(path: Path, item: Item, kind: str, index: int) -> Loaded:
    """A NRRD volume."""
    from medtaskatlas.datasets.io.nrrd import n_volumes, read_nrrd

    many = n_volumes(path)
    if kind != "images" and many > 1:
        raise DataError(
            f"{path} holds {many} layers, of which a label map or map has one",
            "export it as one label map (3D Slicer: Segmentations, export to labelmap); segments "
            "that overlap need a file and a dataset each",
        )
    return Loaded(*canonical(*read_nrrd(path, index)), left=_others(item, many, index))


def _others(item: Item, many: int, index: int) -> list[Excluded]:
    """Volumes of a 4-D file that are not read."""
    return [
        Excluded(f"{item.stem}-volume{i}", "another volume of a 4-D file (key `index`)")
        for i in range(many)
        if i != index
    ]


def _series(found: Survey, item: Item, kind: str) -> Loaded:
    """A DICOM series; files of no image are left out."""
    from medtaskatlas.datasets.io import dicom

    paths = [found.place(kind) / name for name in item.files]
    headers = [dicom.read_header(path) for path in paths]
    reasons = [dicom.no_image(header) for header in headers]
    left = [
        Excluded(name, reason)
        for name, reason in zip(item.files, reasons, strict=True)
        if reason is not None
    ]
    if left and kind != "images":
        said = f"{found.place(kind) / left[0].image_id}: {left[0].reason}"
        raise DataError(said, "save it as NIfTI or NRRD, e.g. a segmentation with dcmqi")
    kept = [(p, h) for p, h, why in zip(paths, headers, reasons, strict=True) if why is None]
    if not kept:
        return Loaded(None, left=left)
    values, affine = dicom.read_series([p for p, _ in kept], [h for _, h in kept])
    if affine is not None:
        values, affine = canonical(values, affine)
    header = kept[0][1]
    return Loaded(
        values,
        affine,
        dicom.group(header),
        dicom.patient(header),
        dicom.inverted(header),
        dicom.sides(header),
        left,
    )
