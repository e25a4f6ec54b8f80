"""Pictures in PNG, JPEG, BMP and TIFF, and label maps in them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core import limits
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io.tiff import over_black, read_tiff

# Values of the tag Orientation (EXIF, TIFF): quarter turns counter-clockwise, then mirrored left to
# right.
_UPRIGHT = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True)}
_UPRIGHT |= {6: (3, False), 7: (1, True), 8: (1, False)}
# First bytes, whatever the file is called.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REMEDY = (
    "replace the file, or leave it out on purpose: `exclude: {<file>: <reason>}` in dataset.yaml"
)


def read_flat(path: Path) -> list[np.ndarray]:
    """Decode a picture, [H, W] or [H, W, 3] in RGB order; several pages of a TIFF are a stack.

    EXIF orientation is applied: the picture is as a viewer shows it, and masks and boxes are taken
    to be drawn on that. Where a picture is transparent it is laid over black. A grey picture that
    is stored as RGB is grey. Values are uint8, uint16, or what a TIFF holds.
    """
    if _bytes(path, 4).tobytes() in _TIFF:
        return [_upright(_grey_if_it_is(page), turn) for page, turn in read_tiff(path)]
    data = _bytes(path)
    return [_upright(_channels(_decode(data, path), path), _orientation(data, path))]


def read_labels(path: Path) -> list[np.ndarray]:
    """Integers [H, W] of each page of a label map, whatever colours a palette gives them."""
    planes = []
    for plane in read_numbers(path, "a label map"):
        if plane.dtype.kind == "f" and not (plane == np.floor(plane)).all():
            raise DataError(f"{path} holds values that are no whole numbers", "save it as integers")
        planes.append(plane.astype(np.int64) if plane.dtype.kind == "f" else plane)
    return planes


def read_numbers(path: Path, what: str) -> list[np.ndarray]:
    """Stored numbers [H, W] of each page of `what`, which has one channel; a palette is ignored."""
    begins = _bytes(path, 4).tobytes()
    if begins.startswith(b"\xff\xd8\xff"):
        raise DataError(
            f"{path} is {what} in JPEG, whose compression changes the numbers",
            "save it anew as PNG from the original",
        )
    if begins in _TIFF:
        pages = read_tiff(path, stored=True)
        return [_upright(_one_channel(page, path, what), turn) for page, turn in pages]
    data = _bytes(path)
    if (bits := _packed(data)) is not None:
        return [_indices(path, bits)]
    return [_one_channel(_decode(data, path), path, what)]


def _one_channel(page: np.ndarray, path: Path, what: str) -> np.ndarray:
    """Numbers [H, W] of stored channels [H, W, C], if all say the same and none is see-through."""
    if page.ndim == 2:
        return page
    colours = 3 if page.shape[2] >= 3 else 1
    top = 1 if page.dtype.kind == "f" else np.iinfo(page.dtype).max
    opaque = page.shape[2] == colours or (
        page.shape[2] == colours + 1 and bool((page[..., -1] == top).all())
    )
    if not opaque or (colours == 3 and not _same_channels(page)):
        raise DataError(
            f"{path} is a colour picture, not {what}",
            "save it with one channel that holds the numbers",
        )
    return np.ascontiguousarray(page[..., 0])


def _bytes(path: Path, most: int = -1) -> np.ndarray:
    """Content of a file, as OpenCV decodes it: its own reading fails on names beyond ASCII."""
    try:
        data = np.fromfile(path, np.uint8, most)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "give yourself permission (chmod u+r)"
        ) from error
    if not data.size:
        raise DataError(f"{path} is empty", _REMEDY)
    if most < 0:
        _check_size(path)
    return data


def _check_size(path: Path) -> None:
    """Refuse a picture that is too large, by its header; what has none that is read is damaged."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our limit can be set
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:
        limits.PIXELS.check(path, image.width * image.height)


def _decode(data: np.ndarray, path: Path) -> np.ndarray:
    """A picture as OpenCV gives it; it finds out by itself where a file is cut short."""
    import cv2

    # It would print, beside our error, that some file is cut short.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        page = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # e.g. more pixels than OpenCV allows
        raise DataError(f"{path} cannot be decoded: {error.err}", _REMEDY) from error
    if page is None:
        raise _damaged(path)
    return page


def _damaged(path: Path) -> DataError:
    """What is said of a file that does not decode."""
    kind = path.suffix.lstrip(".").upper()
    return DataError(f"{path} is damaged: it cannot be decoded as {kind}", _REMEDY)


def _channels(page: np.ndarray, path: Path) -> np.ndarray:
    """Grey or RGB from what OpenCV gives: BGR, with alpha or without."""
    import cv2

    if page.ndim == 2:
        return page
    if page.shape[2] not in (3, 4):
        raise DataError(f"{path} has {page.shape[2]} channels; 1, 3 and 4 are understood", _REMEDY)
    if page.shape[2] == 4:
        page = over_black(page[..., :3], page[..., 3:], int(np.iinfo(page.dtype).max))
    grey = _grey_if_it_is(page)
    return grey if grey.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_BGR2RGB)


def _grey_if_it_is(page: np.ndarray) -> np.ndarray:
    """One channel of a colour picture whose channels are the same."""
    if page.ndim == 3 and _same_channels(page):
        return np.ascontiguousarray(page[..., 0])
    return page


def _same_channels(page: np.ndarray) -> bool:
    """Whether three channels are one; the middle row tells most colour pictures at once."""
    middle = page[page.shape[0] // 2]
    return all(
        np.array_equal(part[..., 0], part[..., channel])
        for part in (middle, page)
        for channel in (1, 2)
    )


def _orientation(data: np.ndarray, path: Path) -> int:
    """EXIF orientation; only files that have EXIF pay for the parsing."""
    head = data[:65536].tobytes()
    if b"Exif\0\0" not in head and b"eXIf" not in head:
        return 1
    from PIL import Image

    try:
        with Image.open(path) as image:
            return int(image.getexif().get(0x0112, 1))
    except (OSError, ValueError, SyntaxError, TypeError):
        return 1  # broken EXIF of a picture that decodes: as if it had none


def _upright(page: np.ndarray, orientation: int) -> np.ndarray:
    """A picture turned and mirrored."""
    turns, mirrored = _UPRIGHT.get(orientation, (0, False))
    if not turns and not mirrored:
        return page
    turned = np.rot90(page, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _packed(data: np.ndarray) -> int | None:
    """Bits of a PNG or BMP whose numbers OpenCV changes: by a palette, or spread over 0..255."""
    head = data[:30].tobytes()
    if head[:4] == b"\x89PNG" and (head[25:26] == b"\x03" or 0 < head[24] < 8):
        return head[24]
    return head[28] if head[:2] == b"BM" and len(head) == 30 and 0 < head[28] <= 8 else None


def _indices(path: Path, bits: int) -> np.ndarray:
    """Numbers of a picture with a palette or of few bits; bool of one bit."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            plane: Any = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path) from error
    if image.mode == "1" or bits == 1:
        return plane.astype(bool)
    # Pillow spreads grey of a PNG of 2 and 4 bits over 0..255, too; palettes it leaves alone.
    spread = image.mode != "P" and image.format == "PNG"
    return (plane // (255 // (2**bits - 1))).astype(np.uint8) if spread else plane
