"""NRRD volumes (http://teem.sourceforge.net/nrrd/format.html): attached, detached, compressed.

Headers and values are parsed by pynrrd; what a file may make us read or unpack is decided here.
"""

from __future__ import annotations

import bz2
import gzip
import re
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.limits import BYTES
from medtaskatlas.datasets.io.volume import with_thickness

Header = dict[str, Any]
# To right, front and top. Spaces without anatomy, or none, are shown as they are stored.
_LPS = (-1, -1, 1)
_SPACES = {
    **dict.fromkeys(("right-anterior-superior", "ras"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1, 1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps"), _LPS),
    **dict.fromkeys(("scanner-xyz", "3d-right-handed", "3d-left-handed"), _LPS),
}
_MM = {
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-6),
    **dict.fromkeys(("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m"), 1e-3),
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometers"), 1e-3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("m", "meter", "meters"), 1e3),
}
# Others need not even be well-formed.
_FIELDS = {
    *("type", "dimension", "sizes", "endian", "encoding", "data file", "line skip", "byte skip"),
    *("space", "space dimension", "space directions", "space origin", "space units"),
    *("kinds", "spacings", "units"),
}
_ALSO = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
_HEADER_BYTES = 1 << 20
_DIGITS = 40  # bytes of a number in a file of text, at most
_REMEDY = (
    "save it anew (e.g. with 3D Slicer), or leave it out on purpose: "
    "`exclude: {<file>: <reason>}` in dataset.yaml"
)


def read_nrrd(path: Path, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A volume [I, J, K] as it is stored, and its affine [4, 4] to millimetres in RAS+.

    Data in another file must lie in the same folder or below it; `index` chooses a volume of a 4-D
    file. A file without a space is taken as left-posterior-superior, so that it is shown as it is
    stored.
    """
    try:
        BYTES.check(path, path.stat().st_size)  # a sparse file has any size
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", _REMEDY) from error
    header, start = _header(raw, path)
    spatial, affine = _space(header, path)
    shape = [int(size) for size in header["sizes"]]
    values = _values(raw[start:], header, path)
    if len(shape) == 4:
        along = next(axis for axis in range(4) if axis not in spatial)
        if index >= shape[along]:
            raise DataError(
                f"{path} holds {shape[along]} volumes, `index` is {index}", "lower `index`"
            )
        values = np.take(values, index, axis=along)
    return values, with_thickness(affine, values.shape, path)


def n_volumes(path: Path) -> int:
    """Number of volumes: 1, or the length of that axis of a 4-D file that is not in space."""
    with path.open("rb") as handle:
        header, _ = _header(handle.read(_HEADER_BYTES), path)
    sizes = [int(size) for size in header["sizes"]]
    if len(sizes) != 4:
        return 1
    spatial, _ = _space(header, path)
    return next(sizes[axis] for axis in range(4) if axis not in spatial)


def _header(raw: bytes, path: Path) -> tuple[Header, int]:
    """Fields by name, parsed and checked, and where the data begin."""
    import nrrd

    fields, start = _fields(raw, path)
    try:
        lines = [f"{name}: {value}" for name, value in fields.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are no numbers, which are refused below
            header: Header = dict(nrrd.read_header(["NRRD0005", *lines]))
    except Exception as error:  # pynrrd lets errors of numbers, vectors and quotes pass
        raise DataError(f"{path}: its header is not understood: {error}", _REMEDY) from error
    for name in ("dimension", "sizes", "type"):
        if name not in header:
            raise DataError(f"{path}: its header lacks `{name}`", _REMEDY)
    sizes, dimension = fields["sizes"], header["dimension"]
    whole = all(re.fullmatch("0*[1-9][0-9]{0,17}", size) for size in sizes.split())
    if len(sizes.split()) != dimension or not whole:
        raise DataError(f"{path}: sizes {sizes!r} and dimension {dimension} disagree", _REMEDY)
    if dimension not in (3, 4):
        also = ": save a picture as PNG or TIFF" if dimension == 2 else ""
        raise DataError(
            f"{path} has {dimension} dimensions; 3, or 4 with `index`, are understood{also}",
            _REMEDY,
        )
    if colours := [kind for kind in header.get("kinds", []) if re.search("color|complex", kind)]:
        raise DataError(
            f"{path}: a voxel is of kind {colours[0]}, not one number",
            "save one channel as a volume of its own",
        )
    return header, start


def _fields(raw: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Fields of the header that matter, as text by name, and where the data begin."""
    if not raw.startswith(b"NRRD000"):
        raise DataError(f"{path} is no NRRD file: it does not begin with NRRD000", _REMEDY)
    fields: dict[str, str] = {}
    at = raw.find(b"\n") + 1 or len(raw)
    while at < min(len(raw), _HEADER_BYTES):
        end = raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        line = raw[at:end].rstrip(b"\r").decode("utf-8", "replace")
        at = end + 1
        if not line:
            return fields, at
        if line.startswith("#") or ":=" in line:
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise DataError(f"{path}: {line[:40]!r} is no line of an NRRD header", _REMEDY)
        name = name.strip().lower()
        name = _ALSO.get(name, name)
        if name in fields:
            raise DataError(f"{path}: its header gives `{name}` twice", _REMEDY)
        if name in _FIELDS:
            fields[name] = value.strip()
    if "data file" in fields:
        return fields, len(raw)
    raise DataError(f"{path} ends within its header", _REMEDY)


def _values(attached: bytes, header: Header, path: Path) -> np.ndarray:
    """Values [I, J, K] or of four dimensions, of which no more is unpacked than they need."""
    import nrrd

    for name in ("type", "endian", "encoding"):
        if name in header:
            header[name] = header[name].lower()
    as_text = header.get("encoding") in ("ascii", "text", "txt")
    plain: Header = {name: header[name] for name in ("type", "endian") if name in header}
    plain |= {"encoding": header["encoding"] if as_text else "raw"}
    try:
        one = nrrd.read_data({**plain, "dimension": 1, "sizes": np.zeros(1, int)}, BytesIO())
    except Exception as error:  # pynrrd's own, or KeyError of an unknown type
        raise DataError(
            f"{path}: values of type {header['type']!r} are not understood ({error})", _REMEDY
        ) from error
    if one.dtype.kind not in "iuf":
        raise DataError(f"{path}: values of type {header['type']!r} are not understood", _REMEDY)
    if "encoding" not in header:
        raise DataError(f"{path}: its header lacks `encoding`", _REMEDY)
    count = int(np.prod(header["sizes"], dtype=object))
    BYTES.check(path, count * one.dtype.itemsize)
    data = _data(attached, header, path, count * (_DIGITS if as_text else one.dtype.itemsize))
    plain |= {"dimension": header["dimension"], "sizes": header["sizes"]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns of text that is no number
            values = nrrd.read_data(plain, BytesIO(data))
    except Exception as error:  # pynrrd and numpy each have their own errors
        raise DataError(f"{path} is damaged: {error}", _REMEDY) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _data(attached: bytes, header: Header, path: Path, wanted: int) -> bytes:
    """The bytes of the values, as many as the header says; of text at most so many."""
    source, data = path, attached
    if name := header.get("data file"):
        source = path.parent / name
        if name.upper().startswith("LIST") or "%" in name:
            raise DataError(f"{path}: data in several files are not understood", _REMEDY)
        if not source.resolve().is_relative_to(path.parent.resolve()):
            raise DataError(
                f"{path}: its data file {name} is outside of its folder", "put it beside the header"
            )
        if not source.is_file():
            raise DataError(f"{path}: its data file {name} is missing", "put it beside the header")
        BYTES.check(source, source.stat().st_size)
        data = source.read_bytes()
    begin = 0
    for _ in range(header.get("line skip", 0)):
        begin = data.find(b"\n", begin) + 1
        if not begin:
            raise DataError(f"{source} has fewer lines than `line skip` says", _REMEDY)
    data = data[begin:]
    skip = header.get("byte skip", 0)
    encoding = header["encoding"]
    packed = encoding in ("gzip", "gz", "bzip2", "bz2")
    if skip < (-1 if encoding == "raw" else 0):
        raise DataError(f"{path}: byte skip {skip} with {encoding} is not understood", _REMEDY)
    if packed:
        data = _unpacked(data, encoding, wanted + skip, source)
    elif encoding not in ("raw", "ascii", "text", "txt"):
        raise DataError(f"{path}: encoding {encoding!r} is not understood", "save it as gzip")
    data = data[-wanted:] if skip == -1 else data[skip:]
    if len(data) < wanted and (packed or encoding == "raw"):
        raise DataError(
            f"{source} is truncated: {len(data)} bytes of values, expected {wanted}", _REMEDY
        )
    return data[:wanted]


def _unpacked(data: bytes, encoding: str, most: int, source: Path) -> bytes:
    """At most so many bytes: a small file can unpack to any size. There may be several members."""
    opened = gzip.open if encoding in ("gzip", "gz") else bz2.open
    try:
        with opened(BytesIO(data), "rb") as file:
            return bytes(file.read(most + 1))  # the end is where checksums are
    except (zlib.error, OSError, EOFError) as error:
        raise DataError(f"{source} is damaged: {error}", _REMEDY) from error


def _space(header: Header, path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Which axes lie in space, and the affine to millimetres in RAS+."""
    dimension = header["dimension"]
    space = str(header.get("space", "lps")).lower().removesuffix("-time")
    if space not in _SPACES and len(space) == 4 and space.endswith("t"):
        space = space[:3]  # RAST, LAST, LPST
    if space not in _SPACES:
        raise DataError(f"{path}: space {header['space']!r} is not understood", _REMEDY)
    if (vectors := header.get("space directions")) is not None:
        spatial = _spatial(np.asarray(vectors, np.float64), header, path)
        directions = np.asarray(vectors, np.float64)[list(spatial), :3].T
        units = header.get("space units", [])
    else:
        spatial = _spatial_by_kind(header)
        sides = np.asarray(header.get("spacings", np.full(dimension, np.nan)), np.float64)
        if sides.shape != (dimension,) or (sides[list(spatial)] <= 0).any():
            raise DataError(f"{path}: spacings {sides.tolist()} are no sides of voxels", _REMEDY)
        directions = np.diag(np.where(np.isfinite(sides), sides, 1.0)[list(spatial)])
        units = header.get("units", [])
    origin = np.asarray(header.get("space origin", np.zeros(3)), np.float64)[:3]
    if origin.shape != (3,) or not np.isfinite(origin).all():
        raise DataError(f"{path}: space origin is no vector of three numbers", _REMEDY)
    scale = next((_MM[unit.lower()] for unit in units if unit.lower() in _MM), 1.0)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions * scale, origin * scale
    return spatial, np.diag([*_SPACES[space], 1]) @ affine


def _spatial(vectors: np.ndarray, header: Header, path: Path) -> tuple[int, ...]:
    """Axes with a direction in space: not `none`, and not along time, the fourth of the numbers."""
    # A direction of no length is that of a single slice.
    away = (~np.isnan(vectors)).all(axis=1)
    if vectors.shape[1:] == (4,):
        away &= vectors[:, 3] == 0
    axes = tuple(int(axis) for axis in np.flatnonzero(away))
    if len(vectors) != header["dimension"] or len(axes) != 3 or vectors.shape[1] not in (3, 4):
        raise DataError(
            f"{path}: space directions {vectors.tolist()} do not fit {header['dimension']} "
            "dimensions",
            _REMEDY,
        )
    return axes


def _spatial_by_kind(header: Header) -> tuple[int, ...]:
    """Axes in space of a file without directions: all but the last one of four, or that of kind."""
    dimension, kinds = header["dimension"], header.get("kinds", [])
    other = [axis for axis, kind in enumerate(kinds) if kind not in ("domain", "space")]
    along = other[0] if len(other) == 1 else 3
    return tuple(axis for axis in range(dimension) if dimension == 3 or axis != along)
