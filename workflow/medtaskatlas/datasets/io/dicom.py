"""DICOM pictures, cines and series."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from medtaskatlas.core.errors import AtlasError, DataError, unreadable
from medtaskatlas.core.limits import BYTES, PIXELS
from medtaskatlas.datasets.io import window

# What a frame of a multi-frame file may have of its own.
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
# Classes that hold pixels, but of a mask, a dose or a map, not of a patient.
_DERIVED = (
    "1.2.840.10008.5.1.4.1.1.30",  # parametric map
    "1.2.840.10008.5.1.4.1.1.66.4",  # segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # label map segmentation
    "1.2.840.10008.5.1.4.1.1.81.1",  # ophthalmic thickness map
    "1.2.840.10008.5.1.4.1.1.82.1",  # corneal topography map
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT dose
)
_REPLACE = "replace the file or take it out of the folder"
MOSAIC = "MOSAIC: tiles of a volume in one picture; convert it with dcm2niix"
_MOST_FRAMES = 2**16
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SAME = 0.01  # direction cosines that differ by no more are those of one orientation
Sides = tuple[float, float]  # distances of the rows and of the columns of a picture
P = ParamSpec("P")
T = TypeVar("T")


def _named(read: Callable[P, T]) -> Callable[P, T]:
    """A function of a header whose errors name the file."""

    @wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except AtlasError:
            raise
        except Exception as error:  # pydicom converts a value when it is asked for
            raise unreadable(getattr(args[0], "filename", ""), error, _REPLACE, "DICOM") from error

    return reading


@dataclass(frozen=True)
class Decoded:
    """Decoded pixels of a file."""

    # As decoded, native byte order, [F, H, W] or [F, H, W, 3]: what two encodings of one picture
    # have in common.
    stored: np.ndarray
    values: np.ndarray  # [F, H, W] after the modality LUT (CT: HU), or uint8 RGB [F, H, W, 3]
    spacing_mm: float | None = None  # side of a pixel, the shorter one
    # Of each frame the pydicom dataset, none where the file is no DICOM.
    headers: Sequence[Any] = field(default_factory=tuple)
    padding: np.ndarray | None = None  # bool [F, H, W], where nothing was measured


def read_dicom(path: Path) -> Decoded:
    """Decode a DICOM file of any transfer syntax that pydicom and its plugins decode.

    YBR is turned into RGB, palettes are applied (16-bit ones scaled to 8 bits), grey values have
    gone through the modality LUT of their frame.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut, iter_pixels, pixel_array
    from pydicom.uid import UID

    header = _open(path)
    _check_size(header)
    headers = frame_headers(header)
    many = len(headers) > 1
    how = {"decoding_plugin": _plugin(header)}
    try:
        with warnings.catch_warnings():
            # The JPEG 2000 files have fewer bits than their headers say; pydicom copes and warns.
            warnings.simplefilter("ignore")
            # Frame by frame: the colour conversion of a whole cine takes a gigabyte.
            frames = iter_pixels(header, **how) if many else [pixel_array(header, **how)]
            stored = np.stack(list(frames))
            if header.PhotometricInterpretation == "PALETTE COLOR":
                values = _eight_bits(apply_color_lut(stored, header), header)
            elif header.SamplesPerPixel == 3:
                values = stored
            elif headers[0] is header:
                values = apply_modality_lut(stored, header)
            else:
                pairs = zip(stored, headers, strict=True)
                values = np.stack([apply_modality_lut(frame, own) for frame, own in pairs])
    except Exception as error:  # pydicom and its plugins raise almost anything on damaged files
        syntax = UID(str(header.file_meta.get("TransferSyntaxUID", "")))
        packed = syntax.is_transfer_syntax and syntax.is_compressed
        said = f", transfer syntax {syntax.name}" if packed else ""
        remedy = f"delete {path.parent} and start the run again"
        if packed:
            remedy = f"decompress it (`gdcmconv --raw`, or `dcmdjpeg`), or {remedy}"
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{path} cannot be decoded as DICOM ({what}{said})", remedy) from error
    if header.SamplesPerPixel == 3 and values.dtype != np.uint8:
        raise DataError(f"{path}: colour of {values.dtype} is not understood", "list another file")
    if stored.dtype == np.uint8 and np.array_equal(values, stored):
        values = stored  # 8 bits stay 8 bits where the modality LUT changes nothing
    return Decoded(
        stored.astype(stored.dtype.newbyteorder("=")),
        values,
        spacing_mm(headers[0]),
        headers,
        _padding(stored, header) if values.ndim == 3 else None,
    )


def _check_deflated(path: Path) -> None:
    """Refuse a deflated file that unpacks to too much; pydicom unpacks it as a whole."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    with path.open("rb") as file:
        read_preamble(file, force=True)
        if _read_file_meta_info(file).get("TransferSyntaxUID") != _DEFLATED:
            return
        stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while not stream.eof and (chunk := stream.unconsumed_tail or file.read(1 << 16)):
            total += len(stream.decompress(chunk, 1 << 20))
            BYTES.check(path, total)


@_named
def _check_size(header: Any) -> int:
    """Bytes of a picture or cine, by its header; one that is too large is refused."""
    pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
    frames = int(header.get("NumberOfFrames") or 1)
    bits = int(header.get("SamplesPerPixel") or 1) * int(header.get("BitsAllocated") or 8)
    size = pixels * frames * bits // 8
    PIXELS.check(header.filename, pixels)
    BYTES.check(header.filename, size)
    return size


@_named
def frame_headers(header: Any) -> list[Any]:
    """Header of each frame, in which functional groups stand as in a file of one frame."""
    from pydicom.dataset import Dataset

    count = max(int(next(iter(_numbers(header, "NumberOfFrames")), 1)), 1)
    if count > _MOST_FRAMES:
        raise DataError(
            f"{header.filename}: NumberOfFrames is {count}, more than {_MOST_FRAMES}",
            "mend the tag, or take the file out of the folder",
        )
    shared = header.get("SharedFunctionalGroupsSequence") or []
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    if not shared and not own:
        return [header] * count
    if own and len(own) != count:
        raise DataError(
            f"{header.filename}: PerFrameFunctionalGroupsSequence has {len(own)} items, "
            f"NumberOfFrames is {count}",
            "export the file anew",
        )
    headers = []
    for number in range(count):
        merged = Dataset(dict(header.items()))
        for groups in (*shared[:1], *own[number : number + 1]):
            for name in _GROUPS:
                if group := groups.get(name):
                    merged.update(group[0])
        merged.filename = header.filename
        headers.append(merged)
    return headers


@_named
def to_grey(header: Any, values: np.ndarray) -> np.ndarray:
    """Window one frame [H, W] of :attr:`Decoded.values` as its header says; not yet inverted.

    The header's VOI LUT is taken, else its first window, else the whole range of the values.
    """
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_voi, apply_windowing

    if header.get("VOILUTSequence"):
        entries, lowest, bits = header.VOILUTSequence[0].LUTDescriptor
        highest = int(apply_voi(np.arange(lowest, lowest + (entries or 2**16)), header).max())
        # Entries of 12 bits in a table that says 16 would leave 16 grey levels.
        white = 2 ** min(int(bits), max(highest.bit_length(), 8)) - 1
        return window.between(apply_voi(values.astype(np.int64), header), 0, white)
    first = _first_window(header)
    if first is None:
        return window.between(values, float(values.min()), float(values.max()))
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if function == "LINEAR":
        return window.between(values, *window.centre_width(*first))
    # Of a file of 16 bits and no rescaling, so that 0 is black and 65535 white.
    plain = Dataset()
    plain.PhotometricInterpretation = "MONOCHROME2"
    plain.BitsStored, plain.PixelRepresentation = 16, 0
    plain.WindowCenter, plain.WindowWidth = first
    plain.VOILUTFunction = function
    try:
        return window.between(apply_windowing(values, plain), 0, 2**16 - 1)
    except ValueError as error:
        raise DataError(f"{header.filename}: {error}", "give `window` in dataset.yaml") from error


@_named
def has_window(header: Any) -> bool:
    """Whether a header says which values are black and white."""
    return bool(header.get("VOILUTSequence")) or _first_window(header) is not None


def _first_window(header: Any) -> tuple[float, float] | None:
    """Centre and width of the window that a viewer opens with; None without a usable one."""
    centres, widths = (_numbers(header, name) for name in ("WindowCenter", "WindowWidth"))
    return (centres[0], widths[0]) if centres and widths and widths[0] > 0 else None


@_named
def inverted(header: Any) -> bool:
    """Whether large values mean dark (MONOCHROME1); it is applied after the window (PS3.3 C.11)."""
    return str(header.get("PhotometricInterpretation")) == "MONOCHROME1"


def without_padding(
    values: np.ndarray, padding: np.ndarray | None, *, inverted: bool
) -> np.ndarray:
    """Values in which padding is as dark as the darkest that was measured."""
    if padding is None or not padding.any() or padding.all():
        return values
    measured = values[~padding]
    return np.where(padding, measured.max() if inverted else measured.min(), values)


def _padding(stored: np.ndarray, header: Any) -> np.ndarray | None:
    """Where stored values are PixelPaddingValue, or up to PixelPaddingRangeLimit."""
    ends = [
        # A negative value may be written as an unsigned one, and the other way round.
        int(np.array(int(end)).astype(stored.dtype))
        for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for end in _numbers(header, name)[:1]
    ]
    if not ends or "PixelPaddingValue" not in header:
        return None
    return (stored >= min(ends)) & (stored <= max(ends))


def _open(path: Path, **how: Any) -> Any:
    """A DICOM file, be it without preamble, as old scanners and planning systems write them."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_deflated(path)
            try:
                return pydicom.dcmread(path, **how)
            except InvalidDicomError:
                header = pydicom.dcmread(path, force=True, **how)
    except DataError:
        raise
    except Exception as error:  # pydicom raises almost anything on damaged files
        raise unreadable(path, error, _REPLACE, "DICOM") from error
    if not header.group_dataset(8):
        raise DataError(
            f"{path} cannot be read as DICOM: it begins with no DICOM header",
            _REPLACE,
        )
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return header


def read_header(path: Path) -> Any:
    """Header of a DICOM file; large values, such as pixels, stay on the disk."""
    return _open(path, defer_size=1024)


@_named
def no_image(header: Any) -> str | None:
    """Why a DICOM file holds no picture of a patient; None where it holds one."""
    modality = str(header.get("Modality") or "unknown modality")
    if "PixelData" not in header or "Rows" not in header:
        return f"DICOM file without pixels ({modality})"
    kind = header.get("SOPClassUID")
    if kind in _DERIVED or modality in ("SEG", "RTDOSE"):
        return f"DICOM file of no image ({kind.name if kind in _DERIVED else modality})"
    if "MOSAIC" in (header.get("ImageType") or ""):
        return MOSAIC
    return None


@_named
def is_volume(header: Any) -> bool:
    """Whether the frames of a file are slices at different places."""
    places = [_numbers(frame, "ImagePositionPatient") for frame in frame_headers(header)]
    return all(places) and len(set(places)) > 1


@_named
def group(header: Any) -> str | None:
    """Patient of a file, or its examination where it names no patient; None without either."""
    return patient(header) or _hashed("study", header.get("StudyInstanceUID"))


@_named
def patient(header: Any) -> str | None:
    """Hash of the PatientID, so that no identifier leaves the file; None without one."""
    return _hashed("patient", header.get("PatientID"))


def _hashed(what: str, identifier: Any) -> str | None:
    """Name of a study or patient that tells nothing but whether two are the same."""
    text = str(identifier or "").strip()
    return f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:10]}" if text else None


def read_series(
    paths: Sequence[Path], headers: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """One volume [I, J, K] (columns, rows, slices) from the slices of a series, sorted by position.

    A slice is a file, or a frame of a multi-frame file. Values are after the modality LUT, and not
    inverted; the affine [4, 4] is to RAS+ millimetres, or None where the files have no position
    (then they are sorted by InstanceNumber). Several series, sizes or orientations, colour, and two
    slices at one place are errors.
    """
    folder = paths[0].parent
    _one_series(folder, headers)
    BYTES.check(folder, sum(map(_check_size, headers)))
    slices = {
        f"{path.name} frame {k}" if len(frames) > 1 else path.name: frame
        for path, frames in zip(paths, map(frame_headers, headers), strict=True)
        for k, frame in enumerate(frames, start=1)
    }
    names, frames = list(slices), list(slices.values())
    _one_geometry(folder, slices)
    places = _places(folder, slices)
    if places is None:
        numbers = [next(iter(_numbers(frame, "InstanceNumber")), 0) for frame in frames]
        order = np.argsort(numbers, kind="stable")
    else:
        order = np.argsort(places, kind="stable")
        steps = np.diff(places[order])
        if len(steps) and steps.min() < 1e-3:
            first = int(steps.argmin())
            one, other = (names[order[i]] for i in (first, first + 1))
            raise DataError(
                f"{folder}: {one} and {other} are slices of one series at the same position",
                "give each time point, echo or reconstruction a folder of its own",
            )
    planes: list[np.ndarray] = []
    padding: list[np.ndarray] = []
    for path in paths:
        decoded = read_dicom(path)
        values = decoded.values
        if values.ndim == 4 or (len(values) > 1 and places is None):
            raise DataError(
                f"{path} is {'in colour' if values.ndim == 4 else 'a cine'}, not a slice",
                "put pictures and cines straight into the folder of the images",
            )
        planes += list(values)
        none = np.broadcast_to(False, values.shape)
        padding += list(none if decoded.padding is None else decoded.padding)
    volume, nothing = (np.stack([of[i].T for i in order], axis=-1) for of in (planes, padding))
    volume = without_padding(volume, nothing, inverted=inverted(headers[0]))
    if places is None:
        return volume, None
    return volume, _series_affine([frames[i] for i in order])


def _one_series(folder: Path, headers: Sequence[Any]) -> None:
    """Files of a folder belong together and fit on each other."""
    series: dict[str, int] = {}
    for header in headers:
        name = _series_name(header)
        series[name] = series.get(name, 0) + 1
    if len(series) > 1:
        told = "; ".join(f"{name}: {n} files" for name, n in sorted(series.items()))
        raise DataError(
            f"{folder} holds {len(series)} series: {told}",
            "give each series a folder of its own, or put single pictures straight into the "
            "folder of the images",
        )
    sizes = {_numbers(h, "Columns") + _numbers(h, "Rows") for h in headers}
    if len(sizes) > 1:
        told = " and ".join(_shown(size).replace(" ", " x ") for size in sorted(sizes))
        raise DataError(
            f"{folder} holds slices of different sizes: {told}",
            "give each series a folder of its own (localizers often differ)",
        )


@_named
def _series_name(header: Any) -> str:
    """Number, description and UID of a series."""
    number, text = header.get("SeriesNumber"), header.get("SeriesDescription")
    name = " ".join(str(part) for part in (number, text) if part not in (None, ""))
    return f"{name} [{header.get('SeriesInstanceUID', '(no UID)')}]".strip()


def _one_geometry(folder: Path, slices: dict[str, Any]) -> None:
    """Slices lie side by side: of one orientation and spacing, and shown the same way."""
    for name, tolerance in (("ImageOrientationPatient", _SAME), ("PixelSpacing", 1e-3)):
        told = {key: _numbers(header, name) for key, header in slices.items()}
        usual = Counter(told.values()).most_common(1)[0][0]
        odd = [key for key, own in told.items() if not _alike(own, usual, tolerance)]
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise DataError(
                f"{folder}: {odd[0]}{more} cannot be a slice of the volume: {name} is "
                f"{_shown(told[odd[0]])}, of the others {_shown(usual)}",
                "take it out of the folder, or give it a folder of its own (it may be a scout, a "
                "localizer or a reformat)",
            )
    if len({inverted(header) for header in slices.values()}) > 1:
        raise DataError(
            f"{folder} holds slices in MONOCHROME1 and others that are not",
            "give each kind a folder of its own",
        )


def _alike(one: tuple[float, ...], other: tuple[float, ...], tolerance: float) -> bool:
    """Whether two slices say the same, or nothing."""
    return len(one) == len(other) and np.allclose(one, other, rtol=0, atol=tolerance)


def _shown(numbers: tuple[float, ...]) -> str:
    """Numbers of a tag for a message."""
    return " ".join(f"{number:g}" for number in numbers) or "absent"


def _places(folder: Path, slices: dict[str, Any]) -> np.ndarray | None:
    """Position of each slice along their normal, mm; None where they have none."""
    cosines = _numbers(next(iter(slices.values())), "ImageOrientationPatient")
    found = {key: _numbers(header, "ImagePositionPatient") for key, header in slices.items()}
    absent = [key for key, position in found.items() if len(position) != 3]
    if len(cosines) != 6 or len(absent) == len(found):
        return None
    if absent:
        raise DataError(
            f"{folder}: {absent[0]} has no ImagePositionPatient, others of the series have one",
            "take it out of the folder, or give it a folder of its own",
        )
    return np.array(list(found.values())) @ np.cross(cosines[:3], cosines[3:])


def _series_affine(headers: Sequence[Any]) -> np.ndarray:
    """Indices (column, row, slice) to RAS+ millimetres (PS3.3 C.7.6.2.1.1)."""
    first, last = headers[0], headers[-1]
    cosines = np.array(_numbers(first, "ImageOrientationPatient"))
    rows_mm, columns_mm = _pair(first, "PixelSpacing") or (1.0, 1.0)
    origin = np.array(_numbers(first, "ImagePositionPatient"))
    if len(headers) > 1:
        step = (np.array(_numbers(last, "ImagePositionPatient")) - origin) / (len(headers) - 1)
    else:
        thick = next(iter(_numbers(first, "SliceThickness")), 0.0) or 1.0
        step = np.cross(cosines[:3], cosines[3:]) * thick
    affine = np.eye(4)
    affine[:3] = np.stack([cosines[:3] * columns_mm, cosines[3:] * rows_mm, step, origin], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _plugin(header: Any) -> str:
    """Decoder of a transfer syntax, of JPEG by name: what is lossy differs by its decoder."""
    from pydicom import uid

    from medtaskatlas.datasets.io import jpeg

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax in (uid.JPEG2000, uid.JPEG2000Lossless):
        return "pylibjpeg"
    eight = syntax == uid.JPEGExtended12Bit and header.get("BitsStored") == 8
    if eight or syntax == uid.JPEGBaseline8Bit:
        return "pillow"
    if syntax in (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes):
        jpeg.register()
        return jpeg.LABEL
    return ""


def _eight_bits(colour: np.ndarray, header: Any) -> np.ndarray:
    """Colours of a palette in 8 bits; entries beyond 255 are scaled by their high byte."""
    from pydicom.pixels import apply_color_lut

    entries, first, bits = header.RedPaletteColorLookupTableDescriptor
    table = apply_color_lut(np.arange(first, first + (entries or 2**16)), header)
    if bits > 8 and table.max() > 255:  # some say 16 bits and hold 8
        # Many 16-bit palettes hold 8-bit colours in the high byte: 65535 and 65280 are both white.
        colour = colour >> (bits - 8)
    return colour.astype(np.uint8)


@_named
def sides(header: Any) -> Sides | None:
    """Distances of the rows and of the columns: mm, or a ratio alone; None where it tells none."""
    names = (
        "PixelSpacing",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "PixelAspectRatio",
    )
    return next((pair for name in names if (pair := _pair(header, name))), None)


@_named
def spacing_mm(header: Any) -> float | None:
    """Shorter side of a pixel in mm; None where it is absent or no number above zero."""
    pair = _pair(header, "PixelSpacing") or _pair(header, "ImagerPixelSpacing")
    return min(pair) if pair else None


def _pair(header: Any, keyword: str) -> Sides | None:
    """Two numbers above zero; None where a tag is absent or holds others."""
    numbers = _numbers(header, keyword)
    return (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None


def _numbers(header: Any, keyword: str) -> tuple[float, ...]:
    """Numbers of a tag, none where it is absent or empty; what is no number is an error."""
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return ()
        several = hasattr(value, "__iter__") and not isinstance(value, str | bytes)
        numbers = tuple(float(v) for v in (value if several else [value]))
        if not np.isfinite(numbers).all():
            raise ValueError(f"it is {_shown(numbers)}")
    except Exception as error:  # pydicom converts a value when it is asked for, and raises anything
        raise DataError(
            f"{header.filename}: {keyword} is no number ({error})",
            "mend the tag, or take the file out of the folder",
        ) from error
    return numbers
