"""DICOM pictures, cines and series."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io import window


@dataclass(frozen=True)
class Decoded:
    """Decoded pixels of a file."""

    # As decoded, native byte order, [F, H, W] or [F, H, W, 3]: what two encodings of one picture
    # have in common.
    stored: np.ndarray
    values: np.ndarray  # [F, H, W] after the modality LUT (CT: HU), or uint8 RGB [F, H, W, 3]
    spacing_mm: float | None = None  # side of a pixel
    header: Any = None  # the pydicom dataset, or None where the file is no DICOM


def read_dicom(path: Path) -> Decoded:
    """Decode a DICOM file of any transfer syntax that pydicom and its plugins decode.

    YBR is turned into RGB, palettes are applied (16-bit ones scaled to 8 bits), grey values have
    gone through the modality LUT.
    """
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, iter_pixels

    try:
        with warnings.catch_warnings():
            # The JPEG 2000 files have fewer bits than their headers say; pydicom copes and warns.
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path)
            many = int(header.get("NumberOfFrames", 1) or 1) > 1
            # Frame by frame: the colour conversion of a whole cine takes a gigabyte.
            stored = np.stack(list(iter_pixels(header))) if many else header.pixel_array
            if header.PhotometricInterpretation == "PALETTE COLOR":
                values = _eight_bits(apply_color_lut(stored, header), header)
            elif header.SamplesPerPixel == 3:
                values = stored
            else:
                values = apply_modality_lut(stored, header)
    except Exception as error:  # pydicom and its plugins raise almost anything on damaged files
        raise DataError(
            f"{path} cannot be decoded as DICOM ({type(error).__name__}: {error})",
            f"delete {path.parent} and start the run again",
        ) from error
    if not many:
        stored, values = stored[None], values[None]
    if header.SamplesPerPixel == 3 and values.dtype != np.uint8:
        raise DataError(f"{path}: colour of {values.dtype} is not understood", "list another file")
    return Decoded(stored.astype(stored.dtype.newbyteorder("=")), values, _spacing(header), header)


def to_grey(decoded: Decoded, values: np.ndarray) -> np.ndarray:
    """Window one frame [H, W] of :attr:`Decoded.values` as its file says; uint8, not yet inverted.

    The file's VOI LUT is taken, else its first window, else its whole range.
    """
    from pydicom.pixels import apply_voi

    header = decoded.header
    if "VOILUTSequence" in header:
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        return window.between(apply_voi(values.astype(np.int64), header), 0, 2**bits - 1)
    centre, width = header.get("WindowCenter"), header.get("WindowWidth")
    if centre is not None and width is not None:
        # Several windows may be given; the first is the one that a viewer opens with.
        first = [float(v[0]) if hasattr(v, "__iter__") else float(v) for v in (centre, width)]
        return window.between(values, *window.centre_width(*first))
    return window.between(values, float(values.min()), float(values.max()))


def inverted(header: Any) -> bool:
    """Whether large values mean dark (MONOCHROME1)."""
    return header is not None and str(header.PhotometricInterpretation) == "MONOCHROME1"


def read_header(path: Path) -> Any:
    """Header of a DICOM file; large values, such as pixels, stay on the disk."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, defer_size=1024)
    except Exception as error:  # pydicom raises almost anything on damaged files
        raise DataError(
            f"{path} cannot be read as DICOM ({type(error).__name__}: {error})",
            "replace the file or take it out of the folder",
        ) from error


def has_pixels(header: Any) -> bool:
    """Whether a DICOM file holds a picture, and not a report, a plan or contours."""
    return "PixelData" in header and "Rows" in header


def study(header: Any) -> str | None:
    """Hash of the StudyInstanceUID, so that no identifier leaves the file; None without one."""
    return _hashed("study", header.get("StudyInstanceUID"))


def patient(header: Any) -> str | None:
    """Hash of the PatientID; None without one."""
    return _hashed("patient", header.get("PatientID"))


def _hashed(what: str, identifier: Any) -> str | None:
    """Name of a study or patient that tells nothing but whether two are the same."""
    text = str(identifier or "").strip()
    return f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:10]}" if text else None


def read_series(
    paths: Sequence[Path], headers: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """One volume [I, J, K] (columns, rows, slices) from the slices of a series, sorted by position.

    Values are after the modality LUT; the affine [4, 4] is to RAS+ millimetres, or None where the
    files have no position (then they are sorted by InstanceNumber). Several series or sizes,
    colour, and two slices at one place are errors.
    """
    folder = paths[0].parent
    _one_series(folder, headers)
    places = _places(headers)
    if places is None:
        order = np.argsort([int(h.get("InstanceNumber") or 0) for h in headers], kind="stable")
    else:
        order = np.argsort(places, kind="stable")
        steps = np.diff(places[order])
        if len(steps) and steps.min() < 1e-3:
            first = int(steps.argmin())
            one, other = (paths[order[i]].name for i in (first, first + 1))
            raise DataError(
                f"{folder}: {one} and {other} are slices of one series at the same position",
                "give each time point, echo or reconstruction a folder of its own",
            )
    slices = []
    for i in order:
        values = read_dicom(paths[i]).values
        if values.ndim == 4 or len(values) > 1:
            raise DataError(
                f"{paths[i]} is {'in colour' if values.ndim == 4 else 'a cine'}, not a slice",
                "put pictures and cines straight into the folder of the images",
            )
        slices.append(values[0].T)
    volume = np.stack(slices, axis=-1)
    if inverted(headers[0]):
        volume = volume.max() + volume.min() - volume
    if places is None:
        return volume, None
    return volume, _series_affine([headers[i] for i in order], places[order])


def _one_series(folder: Path, headers: Sequence[Any]) -> None:
    """Files of a folder belong together and fit on each other."""
    series: dict[str, int] = {}
    for header in headers:
        number, text = header.get("SeriesNumber"), header.get("SeriesDescription")
        name = " ".join(str(part) for part in (number, text) if part not in (None, ""))
        uid = str(header.get("SeriesInstanceUID", "(no UID)"))
        series[f"{name} [{uid}]".strip()] = series.get(f"{name} [{uid}]".strip(), 0) + 1
    if len(series) > 1:
        told = "; ".join(f"{name}: {n} files" for name, n in sorted(series.items()))
        raise DataError(
            f"{folder} holds {len(series)} series: {told}",
            "give each series a folder of its own, or put single pictures straight into the "
            "folder of the images",
        )
    sizes = {(int(h.Rows), int(h.Columns)) for h in headers}
    if len(sizes) > 1:
        told = " and ".join(f"{columns} x {rows}" for rows, columns in sorted(sizes))
        raise DataError(
            f"{folder} holds slices of different sizes: {told}",
            "give each series a folder of its own (localizers often differ)",
        )


def _places(headers: Sequence[Any]) -> np.ndarray | None:
    """Position of each slice along the normal of the first one, mm."""
    if not all(h.get("ImagePositionPatient") and h.get("ImageOrientationPatient") for h in headers):
        return None
    cosines = np.array(headers[0].ImageOrientationPatient, np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    return np.array([np.array(h.ImagePositionPatient, np.float64) @ normal for h in headers])


def _series_affine(headers: Sequence[Any], places: np.ndarray) -> np.ndarray:
    """Indices (column, row, slice) to RAS+ millimetres (PS3.3 C.7.6.2.1.1)."""
    first, last = headers[0], headers[-1]
    cosines = np.array(first.ImageOrientationPatient, np.float64)
    rows_mm, columns_mm = (float(v) for v in first.get("PixelSpacing") or (1.0, 1.0))
    origin = np.array(first.ImagePositionPatient, np.float64)
    if len(headers) > 1:
        step = (np.array(last.ImagePositionPatient, np.float64) - origin) / (len(headers) - 1)
    else:
        step = np.cross(cosines[:3], cosines[3:]) * float(first.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    affine[:3] = np.stack([cosines[:3] * columns_mm, cosines[3:] * rows_mm, step, origin], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _eight_bits(colour: np.ndarray, header: Any) -> np.ndarray:
    """Colours of a palette in 8 bits; entries of 16 bits are scaled by their high byte."""
    bits = int(header.RedPaletteColorLookupTableDescriptor[2])
    if bits > 8:
        # Many 16-bit palettes hold 8-bit colours in the high byte: 65535 and 65280 are both white.
        colour = colour >> (bits - 8)
    return colour.astype(np.uint8)


def _spacing(header: Any) -> float | None:
    """Side of a pixel in mm; None where it is absent or no number above zero."""
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not spacing or not float(spacing[0]) > 0:
        return None
    return float(spacing[0])
