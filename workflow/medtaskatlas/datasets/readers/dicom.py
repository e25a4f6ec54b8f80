"""DICOM pictures and cines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.datasets.readers import window
from medtaskatlas.errors import DataError


@dataclass(frozen=True)
class Decoded:
    """Decoded pixels of a file.

    Attributes
    ----------
    stored
        Pixels as they were decoded, native byte order, [F, H, W] or [F, H, W, 3]: what two
        encodings of one picture have in common.
    values
        [F, H, W] after the modality LUT (CT: HU), or uint8 RGB [F, H, W, 3].
    spacing_mm
        Side of a pixel, or None.
    header
        The pydicom dataset, or None where the file is no DICOM.
    """

    stored: np.ndarray
    values: np.ndarray
    spacing_mm: float | None = None
    header: Any = None


def read_dicom(path: Path) -> Decoded:
    """Decode a DICOM file.

    Parameters
    ----------
    path
        The file, of any transfer syntax that pydicom and its plugins decode.

    Returns
    -------
    Decoded
        YBR is turned into RGB, palettes are applied (16-bit ones scaled to 8 bits), grey values
        have gone through the modality LUT.

    Raises
    ------
    DataError
        If the file is damaged or cannot be decoded.
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
    """Window one frame as its file says.

    The file's VOI LUT is taken, else its first window, else its whole range.

    Parameters
    ----------
    decoded
        The file.
    values
        [H, W] of :attr:`Decoded.values`.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W], not yet inverted.
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
        return window.centre_width(values, *first)
    return window.between(values, float(values.min()), float(values.max()))


def inverted(header: Any) -> bool:
    """Whether large values mean dark.

    Parameters
    ----------
    header
        The pydicom dataset.

    Returns
    -------
    bool
        True for MONOCHROME1.
    """
    return header is not None and str(header.PhotometricInterpretation) == "MONOCHROME1"


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
