"""NRRD volumes (http://teem.sourceforge.net/nrrd/format.html): raw and gzip, attached, detached."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.limits import BYTES

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPE = {name: code for code, names in _TYPES.items() for name in names}
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_HEADER_BYTES = 1 << 20
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
    fields, start = _header(raw, path)
    sizes = _numbers(fields, "sizes", path)
    dimension = int(_one(fields, "dimension", path))
    if len(sizes) != dimension or min(sizes) < 1:
        raise DataError(f"{path}: sizes {fields['sizes']!r} and dimension disagree", _REMEDY)
    if dimension not in (3, 4):
        raise DataError(
            f"{path} has {dimension} dimensions; 3, or 4 with `index`, are understood", _REMEDY
        )
    kind = _one(fields, "type", path).lower()
    if kind not in _DTYPE:
        raise DataError(f"{path}: values of type {kind!r} are not understood", _REMEDY)
    dtype = np.dtype(_DTYPE[kind])
    if dtype.itemsize > 1:
        endian = _one(fields, "endian", path).lower()
        dtype = dtype.newbyteorder(">" if endian == "big" else "<")
    shape = tuple(int(size) for size in sizes)
    wanted = int(np.prod(shape, dtype=object)) * dtype.itemsize
    BYTES.check(path, wanted)
    data = _data(raw[start:], fields, path, wanted)
    values = np.frombuffer(data, dtype).reshape(shape[::-1]).T
    values = values.astype(dtype.newbyteorder("="), copy=False)
    spatial, affine = _space(fields, dimension, path)
    if dimension == 4:
        along = next(axis for axis in range(4) if axis not in spatial)
        if index >= shape[along]:
            raise DataError(
                f"{path} holds {shape[along]} volumes, `index` is {index}", "lower `index`"
            )
        values = np.take(values, index, axis=along)
    return values, affine


def n_volumes(path: Path) -> int:
    """Number of volumes: 1, or the length of that axis of a 4-D file that is not in space."""
    with path.open("rb") as handle:
        fields, _ = _header(handle.read(_HEADER_BYTES), path)
    sizes = _numbers(fields, "sizes", path)
    if len(sizes) != 4:
        return 1
    spatial, _ = _space(fields, 4, path)
    return int(next(sizes[axis] for axis in range(4) if axis not in spatial))


def _header(raw: bytes, path: Path) -> tuple[dict[str, str], int]:
    """Fields by name, and where the data begin."""
    if not raw.startswith(b"NRRD000"):
        raise DataError(f"{path} is no NRRD file: it does not begin with NRRD000", _REMEDY)
    fields: dict[str, str] = {}
    at = 0
    while at < min(len(raw), _HEADER_BYTES):
        end = raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        line = raw[at:end].rstrip(b"\r").decode("utf-8", "replace")
        at = end + 1
        if not line:
            return fields, at
        if line.startswith(("NRRD000", "#")) or ":=" in line:
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise DataError(f"{path}: {line[:40]!r} is no line of an NRRD header", _REMEDY)
        name = name.strip().lower()
        fields[{"datafile": "data file"}.get(name, name)] = value.strip()
    if "data file" in fields:
        return fields, len(raw)
    raise DataError(f"{path} ends within its header", _REMEDY)


def _data(attached: bytes, fields: dict[str, str], path: Path, wanted: int) -> bytes:
    """The bytes of the values, as many as the header says."""
    source, data = path, attached
    if name := fields.get("data file"):
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
    if lines := _skip(fields, "line skip", path):
        *skipped, data = data.split(b"\n", min(lines, len(data) + 1))
        if len(skipped) < lines:
            raise DataError(f"{source} has no {lines} lines to skip", _REMEDY)
    encoding = _one(fields, "encoding", path).lower()
    if encoding in ("gzip", "gz"):
        try:
            # Never more than the header promises: a small file can unpack to any size.
            data = zlib.decompressobj(wbits=31).decompress(data, wanted + 1)
        except zlib.error as error:
            raise DataError(f"{source} is damaged: {error}", _REMEDY) from error
    elif encoding != "raw":
        raise DataError(f"{path}: encoding {encoding!r} is not understood", "save it as gzip")
    skip = _skip(fields, "byte skip", path)
    data = data[-wanted:] if skip == -1 else data[skip:]
    if len(data) < wanted:
        raise DataError(
            f"{source} is truncated: {len(data)} bytes of values, expected {wanted}", _REMEDY
        )
    return data[:wanted]


def _space(
    fields: dict[str, str], dimension: int, path: Path
) -> tuple[tuple[int, ...], np.ndarray]:
    """Which axes lie in space, and the affine to RAS+."""
    spatial = tuple(range(3))
    if vectors := fields.get("space directions"):
        parts = vectors.replace(") (", ")|(").replace("none ", "none|").replace(" none", "|none")
        columns = [_vector(part, path) for part in parts.split("|")]
        axes = [axis for axis, column in enumerate(columns) if column is not None]
        if len(columns) != dimension or len(axes) != 3:
            raise DataError(f"{path}: space directions {vectors!r} do not fit", _REMEDY)
        spatial = tuple(axes)
        directions = np.stack([column for column in columns if column is not None], axis=1)
    else:
        if dimension == 4 and (kinds := fields.get("kinds", "").split()):
            other = [axis for axis, kind in enumerate(kinds) if kind not in ("domain", "space")]
            along = other[0] if len(other) == 1 else 3
            spatial = tuple(axis for axis in range(4) if axis != along)
        spacings = np.ones(dimension)
        if "spacings" in fields:
            given = np.array(_numbers(fields, "spacings", path))
            spacings = np.where(np.isfinite(given) & (given > 0), given, 1.0)
        directions = np.diag(spacings[list(spatial)])
    if not np.isfinite(directions).all() or abs(np.linalg.det(directions)) < 1e-9:
        raise DataError(f"{path}: its space directions span no space", _REMEDY)
    origin = _vector(fields["space origin"], path) if "space origin" in fields else None
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = 0 if origin is None else origin
    space = fields.get("space", "lps").lower()
    return spatial, np.diag([*_SPACES.get(space, _SPACES["lps"]), 1]) @ affine


def _vector(text: str, path: Path) -> np.ndarray | None:
    """Three numbers in parentheses; None for `none`."""
    if text.strip() == "none":
        return None
    try:
        vector = np.array([float(part) for part in text.strip().strip("()").split(",")])
    except ValueError:
        vector = np.empty(0)
    if vector.shape != (3,):
        raise DataError(f"{path}: {text!r} is no vector of three numbers", _REMEDY)
    return vector


def _one(fields: dict[str, str], name: str, path: Path) -> str:
    """A field that must be there."""
    if name not in fields:
        raise DataError(f"{path}: its header lacks `{name}`", _REMEDY)
    return fields[name]


def _numbers(fields: dict[str, str], name: str, path: Path) -> list[float]:
    """Numbers of a field."""
    try:
        return [float(part) for part in _one(fields, name, path).split()]
    except ValueError:
        raise DataError(f"{path}: {name} {fields[name]!r} are no numbers", _REMEDY) from None


def _skip(fields: dict[str, str], name: str, path: Path) -> int:
    """Bytes or lines to skip."""
    return int(_numbers(fields, name, path)[0]) if name in fields else 0
