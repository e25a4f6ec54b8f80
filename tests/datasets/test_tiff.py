"""TIFF of all kinds: right, or refused by the tag that is not understood."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from folders import describe, picture, read_all, write
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io.flat import read_flat, read_labels, read_numbers

GREY = picture()
RGB = np.stack([picture(i) for i in range(3)], axis=-1)
CELL = np.zeros((24, 32), bool)
CELL[5:14, 8:20] = True


def save(path, values, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, **how)
    return path


def patch(path, tag, code, value):
    """Another value of a tag of the first page, of as many bytes."""
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[tag].valueoffset
    data = bytearray(path.read_bytes())
    data[at : at + struct.calcsize(code)] = struct.pack(code, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (CELL, {}),  # tifffile writes boolean arrays with 0 as white
        (CELL, {"photometric": "minisblack"}),
        (CELL.astype(np.uint8) * 255, {"photometric": "miniswhite"}),
        (CELL.astype(np.uint16) * 255, {"photometric": "miniswhite"}),
        (CELL.astype(np.int16) * 255, {"photometric": "miniswhite"}),
        (CELL.astype(np.uint8) * 255, {"photometric": "palette", "colormap": "reversed"}),
    ],
    ids=["bool", "bool black", "8 bits", "16 bits", "signed", "palette"],
)
def test_a_mask_is_what_is_stored_whatever_white_is(tmp_path, values, how):
    if "colormap" in how:
        how["colormap"] = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
    save(tmp_path / "masks" / "a.tif", values, **how)
    write(tmp_path / "images" / "a.png", GREY)
    frames, _ = read_all(describe(tmp_path, masks="masks", classes={255: "cell"}))
    np.testing.assert_array_equal(frames[0].mask, CELL.astype(np.uint8))


@pytest.mark.parametrize(("suffix", "numbers"), [(".png", (1, 255)), (".bmp", (1,))])
def test_palettes_where_0_is_white_turn_no_mask_round(tmp_path, suffix, numbers):
    write(tmp_path / "images" / "a.png", GREY)
    mask = Image.fromarray(CELL.astype(np.uint8), "P")
    mask.putpalette([255, 255, 255, 0, 0, 0])
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks" / f"a{suffix}", bits=1)  # of BMP, Pillow makes 8 bits
    for number in numbers:
        frames, _ = read_all(describe(tmp_path, masks="masks", classes={number: "cell"}))
        np.testing.assert_array_equal(frames[0].mask, CELL.astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_with_0_as_white_are_turned_round(tmp_path, dtype):
    top = np.iinfo(dtype).max
    values = GREY.astype(dtype) * (top // 255)
    [seen] = read_flat(save(tmp_path / "a.tif", values, photometric="miniswhite"))
    np.testing.assert_array_equal(seen, top - values)
    [seen] = read_flat(save(tmp_path / "b.tif", CELL))
    np.testing.assert_array_equal(seen, np.where(CELL, 0, 255))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("how", [{}, {"tile": (16, 16)}, {"compression": "lzw"}])
def test_separate_planes_are_the_picture(tmp_path, dtype, how):
    planes = np.ascontiguousarray(np.moveaxis(RGB.astype(dtype), -1, 0))
    path = save(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", **how)
    [seen] = read_flat(path)
    np.testing.assert_array_equal(seen, RGB.astype(dtype))


@pytest.mark.parametrize("levels", ["subfiletype", "whole slide"])
def test_reduced_copies_are_no_pictures_of_their_own(tmp_path, levels):
    said = "Aperio Image Library v1\n1x1 [0,0 1x1]|AppMag = 20" if levels != "subfiletype" else None
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for step in (1, 2, 4):
            reduced = int(step > 1) if said is None else 0
            file.write(
                np.ascontiguousarray(np.tile(RGB, (4, 4, 1))[::step, ::step]),
                photometric="rgb",
                tile=(16, 16),
                subfiletype=reduced,
                description=said,
                metadata=None,
            )
    [seen] = read_flat(tmp_path / "a.tif")
    np.testing.assert_array_equal(seen, np.tile(RGB, (4, 4, 1)))


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "packbits", "webp"])
def test_lossless_compressions(tmp_path, compression):
    how = {"photometric": "rgb", "compression": compression}
    np.testing.assert_array_equal(read_flat(save(tmp_path / "a.tif", RGB, **how))[0], RGB)


def test_few_bits_are_spread_in_pictures_and_kept_in_masks(tmp_path):
    path = save(tmp_path / "a.tif", GREY // 16, bitspersample=4)
    np.testing.assert_array_equal(read_flat(path)[0], GREY // 16 * 17)
    np.testing.assert_array_equal(read_labels(path)[0], GREY // 16)
    twelve = GREY.astype(np.uint16) * 16
    assert (read_flat(save(tmp_path / "b.tif", twelve, bitspersample=12))[0] == twelve).all()


def test_half_floats_and_stacks(tmp_path):
    [seen] = read_flat(save(tmp_path / "a.tif", GREY.astype(np.float16)))
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, GREY)
    stack = np.stack([picture(i) for i in range(4)])
    for how in ({}, {"truncate": True}, {"imagej": True}, {"tile": (16, 16, 16), "volumetric": 1}):
        pages = read_flat(save(tmp_path / "b.tif", stack, photometric="minisblack", **how))
        np.testing.assert_array_equal(np.stack(pages), stack)


def test_opacity_is_applied_where_the_tag_says_it_is_one(tmp_path):
    alpha = np.full_like(GREY, 51)
    four = np.dstack([RGB, alpha])
    how = {"photometric": "rgb"}
    straight = save(tmp_path / "a.tif", four, extrasamples=["unassalpha"], **how)
    np.testing.assert_array_equal(read_flat(straight)[0], np.round(RGB / 5).astype(np.uint8))
    multiplied = save(tmp_path / "b.tif", four, extrasamples=["assocalpha"], **how)
    np.testing.assert_array_equal(read_flat(multiplied)[0], RGB)
    two = np.dstack([GREY, np.full_like(GREY, 255)])
    grey = {"photometric": "minisblack", "planarconfig": "contig"}
    path = save(tmp_path / "c.tif", two, extrasamples=["unassalpha"], **grey)
    np.testing.assert_array_equal(read_flat(path)[0], GREY)


def test_orientation_turns_picture_and_mask(tmp_path):
    path = save(tmp_path / "a.tif", GREY, extratags=[(274, "H", 1, 6, True)])
    for read in (read_flat, read_labels):
        np.testing.assert_array_equal(read(path)[0], np.rot90(GREY, 3))


@pytest.mark.parametrize(
    ("values", "how", "says"),
    [
        (np.dstack([RGB, RGB[..., :2]]), {"photometric": "minisblack"}, "5 channels"),
        (np.dstack([RGB, GREY]), {"photometric": "minisblack"}, "4 channels"),
        (RGB[..., :2], {"photometric": "minisblack"}, r"2 channels .*ExtraSamples \[0\]"),
        (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": [0]}, "4 channels"),
        (np.dstack([RGB, GREY]), {"photometric": "separated"}, "PhotometricInterpretation SEP"),
        (RGB, {"photometric": "cielab"}, "PhotometricInterpretation CIELAB"),
        (GREY.astype(np.float32), {"photometric": "miniswhite"}, "MINISWHITE of float32"),
        (GREY.astype(np.complex64), {}, "BitsPerSample 64, SampleFormat 6"),
    ],
)
def test_kinds_that_are_not_understood_are_named(tmp_path, values, how, says):
    planes = {"planarconfig": "contig"} if values.ndim == 3 else {}
    path = save(tmp_path / "a.tif", values, metadata=None, **planes, **how)
    with pytest.raises(DataError, match=says) as caught:
        read_flat(path)
    assert "save " in caught.value.remedy


def test_unknown_compression_is_named(tmp_path):
    path = patch(save(tmp_path / "a.tif", GREY, metadata=None), 259, "<H", 50999)
    with pytest.raises(DataError, match="not understood: Compression 50999"):
        read_flat(path)


def test_numbers_that_jpeg_changed_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", GREY, compression="jpeg")
    with pytest.raises(DataError, match="compressed as JPEG"):
        read_numbers(path, "a map")


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg"])
@pytest.mark.parametrize("share", [0.6, 0.99])
def test_data_that_are_cut_short(tmp_path, compression, share):
    path = save(tmp_path / "a.tif", GREY, metadata=None, compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"a\.tif is damaged"):
        read_flat(path)


def test_a_chain_of_pages_that_breaks_off(tmp_path):
    path = save(tmp_path / "a.tif", np.stack([GREY] * 3), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        at = file.pages[1].offset
    data = bytearray(path.read_bytes())
    entries = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<I", data, at + 2 + 12 * entries, 1 << 30)  # where the third one begins
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tif is damaged: after 2 pages there should be more"):
        read_flat(path)


def test_more_rows_than_there_are_strips(tmp_path):
    path = save(tmp_path / "a.tif", GREY, metadata=None, compression="zlib", rowsperstrip=24)
    with pytest.raises(DataError, match="strips or tiles are missing"):
        read_flat(patch(path, 257, "<H", 48))


def test_a_header_that_promises_more_than_can_be(tmp_path):
    path = save(tmp_path / "a.tif", GREY, metadata=None, compression="zlib")
    for tag in (256, 257):
        patch(path, tag, "<I", 1 << 20)
    with pytest.raises(DataError, match="MEDTASKATLAS_MAX_PIXELS"):
        read_flat(path)


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path):
    tiff = save(tmp_path / "a.tif", CELL.astype(np.uint8) * 255, photometric="miniswhite")
    tiff.rename(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], CELL * 255)
    write(tmp_path / "b.png", GREY).rename(tmp_path / "b.tif")
    np.testing.assert_array_equal(read_flat(tmp_path / "b.tif")[0], GREY)
    write(tmp_path / "c.jpg", GREY).rename(tmp_path / "c.png")
    with pytest.raises(DataError, match="label map in JPEG"):
        read_labels(tmp_path / "c.png")


def test_pages_of_several_sizes_are_told_with_what_a_pyramid_needs(tmp_path):
    (tmp_path / "images").mkdir()
    with tifffile.TiffWriter(tmp_path / "images" / "a.tif") as file:
        for step in (1, 2):
            file.write(np.ascontiguousarray(GREY[::step, ::step]))
    with pytest.raises(DataError, match=r"differ in size or colour \(32 x 24, 16 x 12\)") as said:
        read_all(describe(tmp_path))
    assert "NewSubfileType 1" in said.value.remedy
