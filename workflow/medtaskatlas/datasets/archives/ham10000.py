"""HAM10000 as published: pictures and masks in zip archives, a table of diagnoses and lesions.

The archives are read as they are; nothing is unpacked to the disk.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from medtaskatlas.core.errors import DataError, nearest
from medtaskatlas.datasets.archives.members import (
    damage_errors,
    refusal,
    zip_directory,
    zip_name,
)
from medtaskatlas.datasets.io.frame import Frame

IMAGES = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip")
MASKS = "HAM10000_segmentations_lesion_tschandl.zip"
TABLE = "HAM10000_metadata.csv"
_COLUMNS = ("lesion_id", "image_id", "dx")
_LARGEST = 1 << 25  # bytes of a picture; the published ones have about 300,000
_ANEW = "bring the published file anew"
Decode = Callable[[], np.ndarray]


def read_ham10000(folder: Path, diagnoses: Sequence[str]) -> Iterator[Frame]:
    """All pictures of a folder by name, each with its lesion's mask and diagnosis.

    Parameters
    ----------
    folder
        The four published files: :data:`IMAGES`, :data:`MASKS` and :data:`TABLE`.
    diagnoses
        Values of the column ``dx``, in the order of their label numbers.

    Yields
    ------
    Frame
        A lesion is a group; which lesions are of one patient is not published.

    Raises
    ------
    DataError
        If a file is missing or damaged, an image lacks its picture, mask or row, a mask is of
        another size than its picture or shows more than one thing, or a diagnosis is unknown.
    """
    import cv2

    colour = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    rows = _rows(folder / TABLE, diagnoses)
    with ExitStack() as stack:
        pictures = _members(stack, [folder / name for name in IMAGES], r"(.+)\.jpg", colour)
        outlines = _members(
            stack, [folder / MASKS], r"(.+)_segmentation\.png", cv2.IMREAD_GRAYSCALE
        )
        for what, there in (("picture", pictures), ("mask", outlines)):
            if odd := sorted(rows.keys() ^ there.keys()):
                lacks = f"has no {what}" if odd[0] in rows else f"has a {what} and no row"
                raise DataError(
                    f"{folder}: {odd[0]} of {TABLE} {lacks} ({len(odd)} such images)",
                    "bring all four files of one version",
                )
        for name, (lesion, diagnosis) in sorted(rows.items()):
            pixels, mask = pictures[name](), outlines[name]()
            if mask.shape != pixels.shape[:2] or len(np.unique(mask[mask > 0])) > 1:
                raise DataError(
                    f"{folder / MASKS}: {name} is no mask of its picture: {mask.shape} for "
                    f"{pixels.shape[:2]}, values {np.unique(mask)[:8].tolist()}",
                    _ANEW,
                )
            yield Frame(
                pixels=cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB),
                image_id=name,
                group_id=lesion,
                group_source="published",
                mask=(mask > 0).astype(np.uint8),
                label=diagnosis,
            )


def _rows(path: Path, diagnoses: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Lesion and number of the diagnosis by image."""
    found: dict[str, tuple[str, int]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            table = csv.DictReader(handle, strict=True)
            if absent := [c for c in _COLUMNS if c not in (table.fieldnames or ())]:
                raise DataError(f"{path}: line 1: there is no column {absent[0]}", _ANEW)
            for row in table:
                lesion, image, dx = (row[column] or "" for column in _COLUMNS)
                problem, remedy = "", _ANEW
                if not (lesion and image):
                    problem = "lesion_id or image_id is empty"
                elif image in found:
                    problem = f"{image} is listed twice"
                elif dx not in diagnoses:
                    problem, remedy = f"dx: {dx!r} is no diagnosis", nearest(dx, diagnoses)
                if problem:
                    raise DataError(f"{path}: line {table.line_num}: {problem}", remedy)
                found[image] = lesion, diagnoses.index(dx)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}", _ANEW) from error
    return found


def _members(
    stack: ExitStack, archives: Sequence[Path], pattern: str, flags: int
) -> dict[str, Decode]:
    """Pictures of archives by what the pattern finds in their file names."""
    found: dict[str, Decode] = {}
    for archive in archives:
        if not archive.is_file():
            raise DataError(f"{archive} is missing", _ANEW)
        opened, infos = stack.enter_context(zip_directory(archive))
        for info in infos:
            path = PurePosixPath(zip_name(info))
            match = re.fullmatch(pattern, path.name)
            if match is None or path.name.startswith("."):  # folders, and what macOS leaves behind
                continue
            if match[1] in found:
                raise refusal(archive, f"{match[1]} is there twice")
            found[match[1]] = partial(_decode, archive, opened, info, flags)
    return found


def _decode(
    archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo, flags: int
) -> np.ndarray:
    """A picture of an archive as OpenCV gives it."""
    import cv2

    if info.file_size > _LARGEST:
        raise refusal(archive, f"member {info.filename!r} has {info.file_size} bytes")
    with damage_errors(archive, info.filename):
        data = opened.read(info)
    page = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if page is None:
        raise refusal(archive, f"member {info.filename!r} is damaged: it cannot be decoded")
    return page
