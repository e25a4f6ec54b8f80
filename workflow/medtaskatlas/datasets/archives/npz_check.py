"""Whether an npz file may be opened: told by its directory and the headers of its arrays."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from medtaskatlas.datasets.archives.members import bad, kind_of
from medtaskatlas.datasets.archives.zips import zip_directory, zip_name

MAX_BYTES = 64 * 2**30
# Deflate cannot pack better than 1:1032: blank images come near that, only a lie exceeds it.
MAX_RATIO = 1100.0
HEADER_MOST = 1 << 16


def check_npz(path: Path, *, max_bytes: int = MAX_BYTES, max_ratio: float = MAX_RATIO) -> None:
    """Refuse an npz file that is no plain set of arrays, before anything is unpacked.

    Reads the directory of the zip and the first bytes of each member; nothing is unpickled. CRC
    and content are the hash's matter.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Most bytes of all arrays together.
    max_ratio
        Most uncompressed bytes for one compressed byte of a member and of the whole.

    Raises
    ------
    DataError
        Names the file and the member: not a ``.npy``, a name with folders, two of one name,
        encrypted, too large, packed too well, an array of objects, or a size that its header
        contradicts.
    """
    path = Path(path)
    if kind_of(path) != "zip":
        raise bad(path, "is no npz file: it is no zip archive")
    with zip_directory(path) as (opened, infos):
        if not infos:
            raise bad(path, "holds no array")
        names = Counter(zip_name(info) for info in infos)
        total = 0
        for info in infos:
            name = zip_name(info)
            total += info.file_size
            if problem := _name_problem(name, names[name]):
                raise bad(path, f"member {name!r} {problem}", "use a file of plain arrays")
            if total > max_bytes:
                raise bad(
                    path,
                    f"unpacks to more than {max_bytes} bytes (at member {name!r})",
                    "if that is meant, raise max_bytes",
                )
            if info.file_size > max_ratio * max(info.compress_size, 1):
                raise bad(
                    path,
                    f"member {name!r} unpacks {info.compress_size} bytes to {info.file_size}, more "
                    f"than {max_ratio:g} for one: it looks like a bomb",
                    "do not use it",
                )
        for info in infos:
            if problem := _array_problem(opened, info):
                raise bad(path, f"member {zip_name(info)!r} {problem}", "use plain arrays only")


def _name_problem(name: str, count: int) -> str | None:
    """What is wrong with a member's name."""
    if "/" in name or "\\" in name or ".." in name or ":" in name or "\x00" in name:
        return "has a name with folders"
    if not name.endswith(".npy") or name == ".npy":
        return "is no .npy"
    return "is there twice" if count > 1 else None


def _array_problem(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str | None:
    """What is wrong with an array by its header."""
    from numpy.lib import format as npy

    try:
        with opened.open(info) as stream:
            head = io.BytesIO(stream.read(HEADER_MOST))
        version = npy.read_magic(head)
        if version not in ((1, 0), (2, 0)):
            return f"is of the npy version {version}, which images do not need"
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(head)
    except (ValueError, zlib.error, OverflowError, MemoryError, RecursionError) as error:
        return f"is no array: {str(error).splitlines()[0]}"
    if dtype.hasobject:
        return "holds Python objects, which would have to be unpickled"
    if any(side < 0 for side in shape):
        return f"has the impossible shape {shape}"
    size = head.tell() + math.prod(shape) * dtype.itemsize
    if size != info.file_size:
        return f"has {info.file_size} bytes, though its header wants {size}"
    return None
