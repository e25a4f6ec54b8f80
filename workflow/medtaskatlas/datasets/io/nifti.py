"""NIfTI volumes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medtaskatlas.core.errors import DataError, unreadable
from medtaskatlas.core.limits import check_array
from medtaskatlas.datasets.io.volume import Grid, canonical, furthest, spacings, with_thickness

Transform = Literal["qform", "sform"]
_MM = {"meter": 1e3, "micron": 1e-3}  # of xyzt_units; all others are millimetres
_FAR = 0.5  # sides of a voxel: less is rounding


def volume_shape(path: Path) -> tuple[int, ...]:
    """Shape of the values: three numbers, of a single slice too, and those of more dimensions."""
    return _shape(_load(path))


def load_volume(path: Path, index: int = 0, transform: Transform | None = None) -> Grid:
    """A volume, or the `index`-th one of a 4-D file, in the nearest RAS+ orientation."""
    image = _load(path)
    try:
        scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
        check_array(path, image.shape, np.float64 if scaled else image.get_data_dtype())
        values = np.asanyarray(image.dataobj).reshape(_shape(image))
    except DataError:
        raise
    except Exception as error:  # gzip, zlib, nibabel and numpy each have their own errors
        raise unreadable(path, error, _anew(path), "NIfTI") from error
    if values.ndim == 4:
        values = values[..., index]
    return canonical(values, _affine(image, path, transform))


def affine_of(path: Path, transform: Transform | None = None) -> np.ndarray:
    """Affine [4, 4] of a file as it is stored, to millimetres in RAS+.

    Two transforms that disagree are an error, unless `transform` says which one holds.
    """
    return _affine(_load(path), path, transform)


def _shape(image: Any) -> tuple[int, ...]:
    """Shape without dimensions of one that come last, filled up to three."""
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return (*shape, 1) if len(shape) == 2 else shape


def _affine(image: Any, path: Path, transform: Transform | None) -> np.ndarray:
    """Affine of a file whose header is read."""
    try:
        both = {"sform": image.get_sform(coded=True)[0], "qform": image.get_qform(coded=True)[0]}
    except Exception as error:  # a quaternion that is none
        raise unreadable(path, error, _anew(path), "NIfTI") from error
    shape = _shape(image)[:3]
    given = {name: affine for name, affine in both.items() if affine is not None}
    if len(given) == 2 and transform is None:
        _refuse_contradiction(path, shape, given)
    first = next(iter(given.values()), image.affine)
    affine = np.asarray(given.get(transform or "sform", first), np.float64)
    scale = _MM.get(image.header.get_xyzt_units()[0], 1.0)
    return with_thickness(np.diag([scale, scale, scale, 1]) @ affine, shape, path)


def _refuse_contradiction(path: Path, shape: tuple[int, ...], given: dict[str, np.ndarray]) -> None:
    """Which of two transforms masks were drawn by cannot be known."""
    away = furthest(shape, *given.values())
    sides = [side for affine in given.values() for side in spacings(affine) if side > 0]
    if not away <= _FAR * min(sides, default=0):
        raise DataError(
            f"{path}: its qform and sform disagree by {away:.4g} mm: tools based on ITK place it "
            "by the one, nibabel and FSL by the other",
            "write `nifti_transform: qform` or `nifti_transform: sform` into dataset.yaml, "
            "whichever the masks were drawn by, or mend the header (nibabel: "
            "image.set_qform(image.get_sform()), or the other way round)",
        )


def _load(path: Path) -> Any:
    """The file with its header read."""
    import nibabel

    # It prints what it puts right without naming the file: sides that are 0 or negative, which
    # `with_thickness` judges, and transforms of unknown codes, which count as absent.
    logging.getLogger("nibabel.global").setLevel(logging.ERROR)
    try:
        return nibabel.load(path)
    except Exception as error:  # gzip, zlib and nibabel each have their own errors
        raise unreadable(path, error, _anew(path), "NIfTI") from error


def _anew(path: Path) -> str:
    """What to do about a damaged file that was fetched."""
    return f"delete {path.parent} and start the run again"
