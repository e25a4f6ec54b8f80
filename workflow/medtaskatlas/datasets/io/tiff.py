"""TIFF pictures and label maps, decoded by tifffile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.limits import BYTES, PIXELS

# Photometric interpretations (tag 262) and how many of the channels are grey or colours.
_COLOURS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "PALETTE": 1, "YCBCR": 3}
_JPEG = (6, 7)  # of the tag Compression (259)
# Their other pages are reduced copies, a label and an overview without a tag that says so.
_WHOLE_SLIDES = {"svs", "ndpi", "scn", "bif", "philips", "qpi"}
_REMEDY = (
    "replace the file, or leave it out on purpose: `exclude: {<file>: <reason>}` in dataset.yaml"
)
_OTHER_FORMAT = "save it as grey or RGB of 8 or 16 bits, uncompressed or with LZW"


def read_tiff(path: Path, *, stored: bool = False) -> list[tuple[np.ndarray, int]]:
    """Pages, [H, W] or [H, W, 3], as viewers show them but for the second value, the orientation.

    `stored`: the numbers in the file, [H, W] or [H, W, C], whatever white or a palette mean. Pages
    that are reduced copies or transparency masks of others are no pictures of their own.
    """
    import tifffile

    try:
        # Formats that look for more files by names that stand in this one are not followed.
        flags = {"is_ome": False, "is_mmstack": False, "is_ndtiff": False}
        with tifffile.TiffFile(path, **flags) as file:
            _refuse_lost_pages(file, path)
            pages = list(_pictures(file))
            for page in pages:
                PIXELS.check(path, page.imagewidth * page.imagelength)
            BYTES.check(path, sum(page.nbytes for page in pages))
            for page in pages:
                _refuse_others(page, path, tifffile.TIFF.DECOMPRESSORS, stored)
                _refuse_lost_parts(page, file.filehandle.size, path)
            planes = [two for page in pages for two in _planes(file, page)]
            return [
                (plane if stored else _shown(plane, page, path), _orientation(page))
                for page, plane in planes
            ]
    except DataError:
        raise
    except Exception as error:  # tifffile, its codecs and struct each have their own errors
        raise DataError(
            f"{path} is damaged: it cannot be decoded as TIF ({type(error).__name__}: {error})",
            _REMEDY,
        ) from error


def over_black(colours: np.ndarray, alpha: np.ndarray, top: int) -> np.ndarray:
    """Colours [H, W, C] times opacity [H, W, 1], rounded; most pictures are opaque."""
    if (alpha == top).all():
        return colours
    if colours.dtype.kind == "f":
        return colours * (alpha / top)
    return ((colours.astype(np.int64) * alpha + top // 2) // top).astype(colours.dtype)


def _refuse_lost_pages(file: Any, path: Path) -> None:
    """Tifffile stops without an error where the next page lies beyond the end of the file."""
    file.filehandle.seek(file.pages.next_page_offset)
    if any(file.filehandle.read(file.tiff.offsetsize)):
        raise DataError(
            f"{path} is damaged: after {len(file.pages)} pages there should be more",
            _REMEDY,
        )


def _refuse_lost_parts(page: Any, size: int, path: Path) -> None:
    """Tifffile fills up strips and tiles that are missing, libjpeg those that are cut short."""
    ends = [at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if len(page.dataoffsets) < np.prod(page.chunked) or max(ends, default=0) > size:
        raise DataError(f"{path} is damaged: strips or tiles are missing or cut short", _REMEDY)


def _pictures(file: Any) -> Iterator[Any]:
    """Pages that are pictures of their own."""
    if file.series and file.series[0].kind in _WHOLE_SLIDES:
        yield from file.series[0].levels[0].pages
        return
    own = [page for page in file.pages if not (page.is_reduced or page.is_mask)]
    yield from own or file.pages[:1]


def _refuse_others(page: Any, path: Path, decoders: Any, stored: bool) -> None:
    """Kinds of TIFF that are not understood, each by its tag."""
    photometric = getattr(page.photometric, "name", str(page.photometric))
    compression = int(page.compression)
    if stored and compression in _JPEG and page.dtype == np.uint8:
        raise DataError(
            f"{path} is compressed as JPEG (Compression {compression}), which changes the numbers",
            "save it anew from the original, uncompressed or with LZW",
        )
    odd = None
    if compression not in decoders:
        odd = f"Compression {compression}"
    elif photometric not in _COLOURS or (photometric == "YCBCR" and compression not in _JPEG):
        odd = f"PhotometricInterpretation {photometric}"
    elif page.dtype is None or page.dtype.kind not in "biuf" or not _bits(page):
        odd = f"BitsPerSample {page.bitspersample}, SampleFormat {page.sampleformat}"
    elif photometric == "MINISWHITE" and not stored and page.dtype.kind not in "bu":
        odd = f"PhotometricInterpretation MINISWHITE of {page.dtype}"
    if odd:
        raise DataError(f"{path} is a TIFF of a kind that is not understood: {odd}", _OTHER_FORMAT)


def _bits(page: Any) -> int:
    """Bits of a value; 0 where channels differ in them."""
    return page.bitspersample if isinstance(page.bitspersample, int) else 0


def _planes(file: Any, page: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """The page with each plane in it, [H, W] or [H, W, C]: one, unless it holds a whole stack."""
    series = file.series[0] if file.series else None
    axes, values = page.axes, page.asarray()
    if series is not None and series.is_truncated and series.keyframe is page:
        axes = "Z" + axes  # all pages lie behind the only one that is described
        values = series.asarray().reshape(-1, *page.shape)
    if "S" in axes:
        values = np.moveaxis(values, axes.index("S"), -1)
    size = values.shape[-3:] if "S" in axes else values.shape[-2:]
    for plane in values.reshape(-1, *size):
        yield page, np.ascontiguousarray(plane)


def _orientation(page: Any) -> int:
    """Tag Orientation, whose values are those of EXIF."""
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None else 1


def _shown(values: np.ndarray, page: Any, path: Path) -> np.ndarray:
    """Grey or RGB of stored numbers: white, palettes, few bits and opacity are applied."""
    photometric, bits, top = page.photometric.name, _bits(page), 1
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if photometric == "PALETTE" and values.ndim == 2:
        table = np.asarray(page.colormap)
        return (table >> 8 if table.max() > 255 else table).astype(np.uint8).T[values]
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.dtype.kind != "f":
        top = (1 << (bits - (values.dtype.kind == "i"))) - 1
    if bits < 8:
        values, top = (values.astype(np.uint16) * 255 // top).astype(np.uint8), 255
    if values.ndim == 3:
        values = _opaque(values, top, page, path)
    return values.dtype.type(top) - values if photometric == "MINISWHITE" else values


def _opaque(values: np.ndarray, top: int, page: Any, path: Path) -> np.ndarray:
    """Grey or RGB of channels [H, W, C], of which the last one may be opacity."""
    count, colours = values.shape[2], _COLOURS[page.photometric.name]
    said = [int(extra) for extra in page.extrasamples]
    shown, last = values[..., :colours], values[..., colours:]
    # ExtraSamples: 0 unspecified, 1 opacity by which colours are multiplied already, 2 opacity.
    opacity = count == colours + 1 and (said in ([], [1], [2]) or bool((last == top).all()))
    if count != colours and not opacity:
        raise DataError(
            f"{path} has {count} channels (PhotometricInterpretation "
            f"{page.photometric.name}, ExtraSamples {said}); grey and RGB, with opacity or "
            "without, are understood",
            "save one channel, or RGB",
        )
    if count > colours and said != [1]:
        shown = over_black(shown, last, top)
    return np.ascontiguousarray(shown[..., 0] if colours == 1 else shown)
