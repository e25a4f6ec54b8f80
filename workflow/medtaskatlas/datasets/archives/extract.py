"""Archives that cannot escape their folder, fill the disk or leave half of themselves."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import shutil
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.text import visible
from medtaskatlas.datasets.archives.members import (
    Member,
    damage_errors,
    kind_of,
    refusal,
    tar_members,
    zip_directory,
    zip_members,
    zip_name,
)

CHUNK = 1 << 18
MAX_BYTES = 64 * 2**30
MAX_FILES = 1_000_000
# Deflate cannot pack better than 1:1032: blank images come near that, only a lie exceeds it.
MAX_RATIO = 1100.0
DEEPEST = 64
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)", re.IGNORECASE)
HEADER_MOST = 1 << 16  # bytes of an array's header


def extract(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    max_ratio: float = MAX_RATIO,
) -> list[Path]:
    """Unpack a zip, tar, tar.gz, tar.bz2 or tar.xz into a new folder, whole or not at all.

    Only plain files and folders are unpacked; anything else, and any name that leads out of the
    folder or means something else on another system, refuses the whole archive.

    Parameters
    ----------
    archive
        Its format is known by its content.
    folder
        Must not exist or be empty. The work is done in a hidden folder next to it.
    max_bytes
        Most bytes of all files together.
    max_files
        Most members, folders counted.
    max_ratio
        Most uncompressed bytes for one compressed byte: of each member of a zip, and of the whole.
        Blank images in tar.bz2 or tar.xz may honestly exceed the default.

    Returns
    -------
    list of pathlib.Path
        The files, sorted.

    Raises
    ------
    DataError
        If the archive is refused (names the member) or the folder cannot be written. Nothing is
        left behind then.
    """
    kind = kind_of(archive)
    is_new = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    if os.path.lexists(folder) and not is_new:
        raise DataError(
            f"{folder} exists and is not an empty folder, so {archive.name} is not unpacked there",
            "move it away",
        )
    members = zip_members(archive) if kind == "zip" else tar_members(archive, kind, max_bytes)
    budget = _Budget(archive, max_bytes, max_files, max_ratio)
    with _atomic_folder(folder) as part:
        return sorted(folder / path for path in _unpack(archive, members, part, budget))


def _unpack(archive: Path, members: Iterator[Member], part: Path, budget: _Budget) -> list[Path]:
    """Write all members below a folder; the files' paths relative to it."""
    names = _Names()
    files = []
    for member in members:
        budget.admit(member)
        try:
            parts = _parts(member.name)
            if (member.is_folder and member.size) or not (member.is_folder or parts):
                raise ValueError("it is a folder with content")
            names.add(parts, is_folder=member.is_folder)
        except ValueError as error:
            problem = f"member {member.name!r}: {error}"
            raise refusal(archive, problem, "pack it anew with plain names") from None
        path = part.joinpath(*parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with (
            damage_errors(archive, member.name),
            member.open() as source,
            path.open("xb") as handle,
        ):
            while size <= member.size and (chunk := source.read(CHUNK)):
                size += len(chunk)
                budget.spend(member, len(chunk))
                handle.write(chunk)
        if size != member.size:
            problem = f"is damaged: {member.size} bytes declared, {size} came"
            raise refusal(archive, f"member {member.name!r} {problem}")
        files.append(Path(*parts))
    return files


def _parts(name: str) -> tuple[str, ...]:
    """Parts of a member's name without ``.``; a ValueError says what is wrong with it."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    devices = [part for part in parts if DEVICES.fullmatch(part.partition(".")[0].rstrip(" "))]
    longest = max((len(part.encode(errors="surrogatepass")) for part in parts), default=0)
    problems = {
        "its name is empty": not name,
        "its name has a back-slash, which is a folder on some systems": "\\" in name,
        "its name is an absolute path": re.match(r"/|[A-Za-z]:", name),
        "its name leads out of the folder (..)": ".." in parts,
        f"it lies deeper than {DEEPEST} folders": len(parts) > DEEPEST,
        "its name is not UTF-8": re.search("[\ud800-\udfff]", name),
        "its name is longer than 255 bytes": longest > 255,
        "its name has control characters": visible(name, keep="") != name,
        f"{''.join(devices[:1])!r} is a reserved name on Windows": devices,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(problem)
    return parts


class _Names:
    """Names so far, each with its spelling, to find those that are one file on some system.

    Those differ in case, in the form of their accents, or in dots and spaces at their end.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}

    def add(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        """Add a path and the folders above; a ValueError says what it collides with."""
        key: tuple[str, ...] = ()
        for depth, part in enumerate(parts, 1):
            folded = unicodedata.normalize("NFD", part).casefold()
            key += (unicodedata.normalize("NFC", folded).rstrip(" ."),)
            new = parts[:depth], is_folder or depth < len(parts)
            known = self._known.setdefault(key, new)
            if known[0] != new[0]:
                other = "/".join(known[0])
                raise ValueError(
                    f"its name and {other} are the same on some systems (case, accents)"
                )
            if known[1] != new[1]:
                raise ValueError(f"{'/'.join(new[0])} is a file and a folder")
            if known is not new and not new[1]:
                raise ValueError("there are two members of this name")


class _Budget:
    """Bytes and members that an archive may still use."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int, max_ratio: float) -> None:
        self.archive, self.size = archive, max(archive.stat().st_size, 1)
        self.max_bytes, self.max_files, self.max_ratio = max_bytes, max_files, max_ratio
        self.members = self.declared = self.spent = 0

    def admit(self, member: Member) -> None:
        """Check what a member declares before a byte of it is unpacked."""
        self.members += 1
        self.declared += member.size
        packed = self.size if member.packed is None else max(member.packed, 1)
        ratio = max(member.size / packed, self.declared / self.size)
        self._check(member, self.members, self.max_files, "members", "max_files")
        self._check(member, self.declared, self.max_bytes, "bytes", "max_bytes")
        self._check(member, ratio, self.max_ratio, "bytes a packed byte", "max_ratio")

    def spend(self, member: Member, n: int) -> None:
        """Check what really came."""
        self.spent += n
        self._check(member, self.spent, self.max_bytes, "bytes", "max_bytes")

    def _check(self, member: Member, used: float, most: float, unit: str, key: str) -> None:
        if used > most:
            problem = f"unpacks to more than {most:.15g} {unit} (at member {member.name!r})"
            raise refusal(
                self.archive, problem, f"if that is meant, raise {key}; it looks like a bomb"
            )


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder under a hidden name next to it and rename it when it is whole."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)  # of a killed process that had this number
        part.mkdir()
        yield part
        part.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = f"the disk is full: could not unpack into {folder}"
            raise DataError(problem, "free some space") from error
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}",
            "check that it is new or empty and who owns the folder above",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_npz(path: Path, *, max_bytes: int = MAX_BYTES, max_ratio: float = MAX_RATIO) -> None:
    """Refuse an npz file that is no plain set of arrays, before anything is unpacked.

    Reads the directory of the zip and the first bytes of each member; nothing is unpickled. CRC
    and content are left to the file's hash. ``max_ratio`` holds for each member.
    """
    if kind_of(path) != "zip":
        raise refusal(path, "is no npz file: it is no zip archive")
    with zip_directory(path) as (opened, infos):
        if not infos:
            raise refusal(path, "holds no array")
        names = Counter(map(zip_name, infos))
        total = 0
        for info in infos:
            name = zip_name(info)
            total += info.file_size
            if problem := _name_problem(name, names[name]):
                raise refusal(path, f"member {name!r} {problem}", "use a file of plain arrays")
            if total > max_bytes:
                problem = f"unpacks to more than {max_bytes} bytes (at member {name!r})"
                raise refusal(path, problem, "if that is meant, raise max_bytes")
            if info.file_size > max_ratio * max(info.compress_size, 1):
                raise refusal(
                    path,
                    f"member {name!r} unpacks {info.compress_size} bytes to {info.file_size}, more "
                    f"than {max_ratio:g} for one: it looks like a bomb",
                    "do not use it",
                )
        for info in infos:
            if problem := _array_problem(opened, info):
                raise refusal(path, f"member {zip_name(info)!r} {problem}", "use plain arrays only")


def _name_problem(name: str, count: int) -> str | None:
    """Clause on what is wrong with an array's name."""
    if re.search(r"[/\\:\x00]|\.\.", name):
        return "has a name with folders"
    if not name.endswith(".npy") or name == ".npy":
        return "is no .npy"
    return "is there twice" if count > 1 else None


def _array_problem(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str | None:
    """Clause on what is wrong with an array by its header."""
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
