"""The files of a folder dataset: listed safely, named and sorted into images; stdlib only."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.text import visible

FLAT = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd", ".nhdr")
DICOM = (".dcm", ".dicom", ".ima")
# Data that a detached NRRD header points to; the header is the image.
DETACHED = (".raw", ".raw.gz", ".img", ".img.gz", ".gz", ".bin")
_DOUBLE = (".nii.gz", ".raw.gz", ".img.gz")
# Left behind by file managers, network disks and office programs; like hidden files they are no
# part of a dataset.
_LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
        *("@recycle", "@recently-snapshot", "lost+found"),  # QNAP, Linux
    }
)
_LITTER_ENDS = ("@synoeastream", "@synoresource", ":zone.identifier")
Kind = Literal["flat", "nifti", "nrrd", "dicom", "series"]
VOLUMES: tuple[Kind, ...] = ("nifti", "nrrd", "series")


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a folder dataset."""

    # An error stops a run, a warning weakens what it can show, an info is worth knowing.
    severity: Literal["error", "warning", "info"]
    file: str  # relative to the dataset's folder; empty for the dataset as a whole
    where: str  # line (`line 7`) or key in that file, or empty
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.where) if part)
        said = f"{self.severity}: {visible(place, '') + ': ' if place else ''}{self.problem}"
        return visible(f"{said}\n  remedy: {self.remedy}" if self.remedy else said)

    def error(self, folder: Path) -> DataError:
        """The finding as an error, with the path of the file."""
        place = ": ".join(part for part in (str(folder / self.file), self.where) if part)
        return DataError(f"{place}: {self.problem}", self.remedy)


@dataclass(frozen=True)
class Entry:
    """A file: posix path relative to the dataset's folder, bytes, time of the last change."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Item:
    """An image or volume."""

    name: str  # as tables name it: relative to the folder of images; a DICOM series by its folder
    stem: str  # without suffix: what a mask must be called, and the image's id
    kind: Kind
    files: tuple[str, ...]  # relative to the folder of images


def list_files(folder: Path) -> list[Entry]:
    """All files below a folder, sorted by name.

    Hidden ones and litter of file managers are no part of it. A folder that cannot be read, a name
    that is not UTF-8 and a link that leads out of the folder are errors.
    """
    root = Path(folder)
    return sorted(_walk(root, root.resolve()), key=lambda entry: entry.name)


def _walk(root: Path, real: Path) -> Iterator[Entry]:
    """Files of a folder and its sub-folders, however deep these are."""
    folders = [""]
    while folders:
        below = folders.pop()
        try:
            with os.scandir(root / below) as scan:
                entries = [entry for entry in scan if not _is_litter(entry.name)]
        except OSError as error:
            raise DataError(
                f"{root / below} cannot be read: {error.strerror}",
                "give yourself permission to read it (chmod u+rx), or check the path",
            ) from error
        for entry in entries:
            _check_name(entry.path)
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_symlink():
                _check_link(root / name, real)
            if entry.is_dir():
                folders.append(name)
                continue
            facts = entry.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise DataError(
                    f"{entry.path} is no regular file, but a pipe, a socket or a device",
                    "remove it: reading it could wait for ever",
                )
            yield Entry(name, facts.st_size, facts.st_mtime_ns)


def _is_litter(name: str) -> bool:
    """Whether a file or folder is hidden, or was left behind by a program."""
    lower = name.lower()
    # Office programs lock what they have open with ~$NAME.
    return lower.startswith((".", "~$")) or lower in _LITTER or lower.endswith(_LITTER_ENDS)


def _check_name(path: str) -> None:
    """Names go into tables and JSON, so they must be text."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"the name of the file {os.fsencode(path)!r} is not UTF-8",
            "rename it, e.g. with `convmv -f latin1 -t utf8 --notest`",
        ) from None


def _check_link(link: Path, real: Path) -> None:
    """A dataset is its folder: what lies elsewhere would not be noticed when it changes."""
    target = Path(os.path.realpath(link))
    if not target.exists():
        raise DataError(f"{link} is a link to {target}, which is not there", "mend or remove it")
    if not target.is_relative_to(real) or target.is_dir():
        kind = "a folder" if target.is_dir() else "outside of the dataset's folder"
        raise DataError(
            f"{link} is a link to {target}, {kind}: such links are refused",
            "put the files themselves there (cp -L, or hard links: cp -rlL)",
        )


def fingerprint(entries: Iterable[Entry]) -> str:
    """SHA-256 over names, sizes and times of files; no content is read."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.name}\0{entry.size}\0{entry.mtime_ns}\n".encode())
    return digest.hexdigest()


def suffix(name: str) -> str:
    """Suffix of a file name in lower case, with its dot; ``.nii.gz`` is one suffix."""
    lower = PurePosixPath(name).name.lower()
    double = next((end for end in _DOUBLE if lower.endswith(end)), None)
    return double or PurePosixPath(lower).suffix


def stem(name: str) -> str:
    """Path without its suffix, which image and mask have in common, composed (NFC)."""
    return unicodedata.normalize("NFC", name[: len(name) - len(suffix(name))])


def within(entries: Iterable[Entry], below: str, but: Iterable[str] = ()) -> list[str]:
    """Names of the files in a folder of a dataset (``.``: its own), relative to it, sorted."""
    start = "" if below == "." else f"{below.rstrip('/')}/"
    out = tuple(f"{name}/" for name in but)
    return [
        entry.name[len(start) :]
        for entry in entries
        if entry.name.startswith(start) and not f"{entry.name}/".startswith(out)
    ]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: DICM behind its preamble or, without one, a first tag of it.

    That is of group 0002 or 0008, little endian, with a length in its implicit or explicit VR.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(132)
    except OSError:  # its reader will say why
        return True
    explicit = start[4:6] in (b"UL", b"CS", b"UI", b"OB", b"DA", b"SH", b"LO")
    implicit = len(start) > 8 and int.from_bytes(start[4:8], "little") <= 64
    element = int.from_bytes(start[2:4], "little")
    bare = start[:2] in (b"\x02\0", b"\x08\0") and element <= 0x20
    return start[128:] == b"DICM" or (bare and (explicit or implicit))


def to_items(folder: Path, names: Iterable[str]) -> tuple[list[Item], dict[str, str]]:
    """Images and volumes among the files of a folder, by name, and why the others are none.

    DICOM files of a sub-folder are one series; a DICOM file that lies loose is an image.
    """
    items: list[Item] = []
    left: dict[str, str] = {}
    series: dict[str, list[str]] = {}
    headers = False
    for name in names:
        end = suffix(name)
        kinds: Mapping[tuple[str, ...], Kind] = {FLAT: "flat", NIFTI: "nifti", NRRD: "nrrd"}
        kind = next((kind for ends, kind in kinds.items() if end in ends), None)
        headers |= kind == "nrrd"
        if kind is not None:
            items.append(Item(name, stem(name), kind, (name,)))
        elif end in DICOM or (_may_be_dicom(name, end) and is_dicom(folder / name)):
            parent = str(PurePosixPath(name).parent)
            if parent == ".":
                bare = stem(name) if end in DICOM else unicodedata.normalize("NFC", name)
                items.append(Item(name, bare, "dicom", (name,)))
            else:
                series.setdefault(parent, []).append(name)
        else:
            left[name] = f"no image: files of type {end or 'without suffix'} are not read"
    for parent, files in series.items():
        bare = unicodedata.normalize("NFC", parent)
        items.append(Item(parent, bare, "series" if len(files) > 1 else "dicom", tuple(files)))
    if headers:
        left = {name: why for name, why in left.items() if suffix(name) not in DETACHED}
    return sorted(items, key=lambda item: item.name), left


def _may_be_dicom(name: str, end: str) -> bool:
    """DICOM files often have no suffix, or end in the last number of a UID."""
    return end == "" or end[1:].isdigit() or PurePosixPath(name).name.startswith(("IM", "MR."))
