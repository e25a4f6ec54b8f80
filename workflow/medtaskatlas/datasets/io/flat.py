"""Pictures of 8 and 16 bits: PNG, JPEG, BMP and TIFF, and label maps in them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core import limits
from medtaskatlas.core.errors import DataError

# Values of the EXIF tag Orientation: quarter turns counter-clockwise, then mirrored left to right.
_UPRIGHT = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True)}
_UPRIGHT |= {6: (3, False), 7: (1, True), 8: (1, False)}
_REMEDY = (
    "replace the file, or leave it out on purpose: `exclude: {<file>: <reason>}` in dataset.yaml"
)


def read_flat(path: Path) -> list[np.ndarray]:
    """Decode a picture, [H, W] or [H, W, 3] in RGB order; several pages of a TIFF are a stack.

    EXIF orientation is applied: the picture is as a viewer shows it, and masks and boxes are taken
    to be drawn on that. Where a picture is transparent it is laid over black. A grey picture that
    is stored as RGB is grey. Values are uint8, uint16, or what a TIFF holds.
    """
    data = _bytes(path)
    pages = _decode(data, path)
    # OpenCV turns a TIFF by its own tag, but leaves the EXIF of others alone.
    turns, mirrored = (
        (0, False) if _is_tiff(path) else _UPRIGHT.get(_orientation(data, path), (0, False))
    )
    return [_upright(_channels(page, path), turns, mirrored) for page in pages]


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
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DataError(
            f"{path} is {what} in JPEG, whose compression changes the numbers",
            "save it anew as PNG from the original",
        )
    data = _bytes(path)
    if _packed(data):
        return [_indices(path, int(data[24]))]
    planes = []
    for page in _decode(data, path):
        plane = page
        if page.ndim == 3:
            opaque = page.shape[2] == 3 or bool((page[..., 3] == np.iinfo(page.dtype).max).all())
            if not opaque or not _same_channels(page):
                raise DataError(
                    f"{path} is a colour picture, not {what}",
                    "save it with one channel that holds the numbers",
                )
            plane = np.ascontiguousarray(page[..., 0])
        planes.append(plane)
    return planes


def _bytes(path: Path) -> np.ndarray:
    """Content of a file, as OpenCV decodes it: its own reading fails on names beyond ASCII."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "give yourself permission (chmod u+r)"
        ) from error
    if not data.size:
        raise DataError(f"{path} is empty", _REMEDY)
    _check_size(path)
    return data


def _check_size(path: Path) -> None:
    """Refuse a picture that is too large, by its header; what has none that is read is damaged."""
    if _is_tiff(path):
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                pages = [(page.imagewidth * page.imagelength, page.nbytes) for page in file.pages]
        except Exception:  # tifffile raises almost anything on damaged files
            return
        limits.PIXELS.check(path, max((pixels for pixels, _ in pages), default=0))
        limits.BYTES.check(path, sum(size for _, size in pages))
        return
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our limit can be set
    with suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:
        limits.PIXELS.check(path, image.width * image.height)


def _is_tiff(path: Path) -> bool:
    """Whether a file may hold several pages."""
    return path.suffix.lower() in (".tif", ".tiff")


def _decode(data: np.ndarray, path: Path) -> list[np.ndarray]:
    """Pages as OpenCV gives them; it finds out by itself where a file is cut short."""
    import cv2

    try:
        if _is_tiff(path):
            whole, several = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)
            pages = list(several) if whole else []
        else:
            page = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            pages = [] if page is None else [page]
    except cv2.error as error:  # e.g. more pixels than OpenCV allows
        raise DataError(f"{path} cannot be decoded: {error.err}", _REMEDY) from error
    if not pages:
        raise _damaged(path)
    return pages


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
        page = _over_black(page)
    if _same_channels(page):
        return np.ascontiguousarray(page[..., 0])
    if page.dtype in (np.uint8, np.uint16):  # several times faster than numpy's negative stride
        return cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(page[..., 2::-1])


def _over_black(page: np.ndarray) -> np.ndarray:
    """Colours times opacity, rounded; most pictures with alpha are opaque and stay as they are."""
    alpha, top = page[..., 3:], 1
    if page.dtype.kind != "f":
        top = int(np.iinfo(page.dtype).max)
    if (alpha == top).all():
        return page[..., :3]
    if page.dtype.kind == "f":
        return page[..., :3] * alpha
    product = page[..., :3].astype(np.int64) * alpha
    return ((product + top // 2) // top).astype(page.dtype)


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


def _upright(page: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """A picture turned and mirrored."""
    if not turns and not mirrored:
        return page
    turned = np.rot90(page, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _packed(data: np.ndarray) -> bool:
    """Whether a PNG has a palette, or fewer than 8 bits, which OpenCV would spread over 0..255."""
    head = data[:26].tobytes()
    return head[:4] == b"\x89PNG" and (head[25:26] == b"\x03" or head[24] < 8)


def _indices(path: Path, bits: int) -> np.ndarray:
    """Numbers of a PNG with a palette or of few bits."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            plane: Any = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(path) from error
    if image.mode == "1":
        return np.asarray(plane, np.uint8)
    # Pillow spreads grey of 2 and 4 bits over 0..255, too; palettes it leaves alone.
    return plane if image.mode == "P" else (plane // (255 // (2**bits - 1))).astype(np.uint8)
