"""NRRD of all kinds: right, or refused by the field that is not understood."""

import bz2
import gzip
import re
import time

import numpy as np
import pytest

from folders import describe, head, read_all, write_nifti
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io.nrrd import n_volumes, read_nrrd

VALUES = head((9, 10, 11))
RAW = VALUES.tobytes(order="F")
HEADER = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "9 10 11",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
AFFINE = np.diag([-2.0, -3, 4, 1])
AFFINE[:3, 3] = (-1, -2, 3)
FOUR = {"dimension": "4", "sizes": "9 10 11 2"}
TIME = {
    "space": "left-posterior-superior-time",
    "space directions": "(2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,1)",
    "space origin": "(1,2,3,0)",
}


def save(path, data=RAW, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {**HEADER, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = [f"{name}: {value}" for name, value in header.items() if value is not None]
    path.write_bytes(("\n".join(["NRRD0005", *lines]) + "\n\n").encode() + data)
    return path


def text(values):
    return " ".join(str(v) for v in values.ravel(order="F")).encode()


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (RAW, {}),
        (RAW, {"space directions": "(2,0,0)  (0,3,0)   (0,0,4) "}),
        (RAW, {"labels": '"x" "y'}),  # what is not needed need not be well-formed
        (gzip.compress(RAW), {"encoding": "GZIP"}),
        (gzip.compress(RAW[:700]) + gzip.compress(RAW[700:]), {"encoding": "gzip"}),
        (gzip.compress(b"12345" + RAW), {"encoding": "gz", "byte skip": "5"}),
        (bz2.compress(RAW), {"encoding": "bzip2"}),
        (bz2.compress(RAW[:700]) + bz2.compress(RAW[700:]), {"encoding": "bz2"}),
        (text(VALUES), {"encoding": "text", "endian": None}),
        (b"a\nb\n" + RAW, {"lineskip": "2"}),
        (b"junk" + RAW, {"byte skip": "-1"}),
        (VALUES.astype(">i2").tobytes(order="F"), {"endian": "Big"}),
        (RAW, {"space": "LPS"}),
        (RAW, {"space": "scanner-xyz"}),
        (RAW, {"space": "RAS", "space directions": "(-2,0,0) (0,-3,0) (0,0,4)",
               "space origin": "(-1,-2,3)"}),
    ],
)  # fmt: skip
def test_what_is_valid_is_read(tmp_path, data, fields):
    values, affine = read_nrrd(save(tmp_path / "v.nrrd", data, **fields))
    np.testing.assert_array_equal(values, VALUES)
    np.testing.assert_array_equal(affine, AFFINE)
    assert values.dtype == np.int16


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (RAW * 2, {**FOUR, **TIME}),
        (RAW * 2, {**FOUR, **TIME, "space": "LPST"}),
        (RAW * 2, {**FOUR, "space directions": "(2,0,0) (0,3,0) (0,0,4) none"}),
        (np.stack([VALUES] * 2).tobytes(order="F"),
         {**FOUR, "sizes": "2 9 10 11", "space directions": "none (2,0,0) (0,3,0) (0,0,4)"}),
        (np.stack([VALUES] * 2).tobytes(order="F"),
         {**FOUR, "sizes": "2 9 10 11", "space directions": None, "spacings": "nan 2 3 4",
          "kinds": "list domain domain domain"}),
    ],
)  # fmt: skip
def test_an_axis_that_is_not_in_space_counts_volumes(tmp_path, data, fields):
    path = save(tmp_path / "images" / "v.nrrd", data, **fields)
    for index in (0, 1):
        values, affine = read_nrrd(path, index)
        np.testing.assert_array_equal(values, VALUES)
        np.testing.assert_array_equal(affine, AFFINE)
    assert n_volumes(path) == 2
    # As a mask, the second layer (segments that overlap) would be dropped.
    write_nifti(tmp_path / "scans" / "v.nii", VALUES)
    describe(tmp_path, images="scans", masks="images", classes={1: "x"})
    with pytest.raises(DataError, match="holds 2 layers") as said:
        read_all(tmp_path)
    assert "export it as one label map" in said.value.remedy


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"space": "right-posterior-superior"}, "space 'right-posterior-superior' is not"),
        ({"space directions": "(2,0,0) (0,3,0)"}, "do not fit 3 dimensions"),
        ({"space directions": "(2,0) (0,3) (0,0)"}, "do not fit 3 dimensions"),
        ({"space directions": "(2,0,0) none (0,0,4)"}, "do not fit 3 dimensions"),
        ({"space directions": "(2,0,0) (0,x,0) (0,0,4)"}, "its header is not understood"),
        ({"space directions": "(2,0,0) (0,0,0) (0,0,4)"}, "span no space"),
        ({"space directions": None, "spacings": "2 -3 4"}, "are no sides of voxels"),
        ({"space directions": None, "spacings": "2 3"}, "are no sides of voxels"),
        ({"space origin": "(1,nan,3)"}, "space origin is no vector"),
        ({**FOUR, "sizes": "3 9 10 11", "kinds": "RGB-color domain domain domain"}, "RGB-color"),
        ({**FOUR, "kinds": "domain domain domain complex"}, "is of kind complex"),
        ({"sizes": "9 10 11.5"}, "sizes '9 10 11.5' and dimension 3 disagree"),
        ({"sizes": "nan 10 11"}, "and dimension 3 disagree"),
        ({"sizes": "1e400 10 11"}, "and dimension 3 disagree"),
        ({"sizes": "9 10 \u00b2"}, "its header is not understood"),
        ({"sizes": "900000 100000 110000"}, "MEDTASKATLAS_MAX_BYTES"),
        ({"dimension": "3.0"}, "its header is not understood"),
        ({"line skip": "1e15"}, "its header is not understood"),
        ({"line skip": "1000000000000000"}, "fewer lines than `line skip` says"),
        ({"byte skip": "-2"}, "byte skip -2 with raw"),
        ({"encoding": "gzip", "byte skip": "-1"}, "byte skip -1 with gzip"),
        ({"endian": None}, "endian"),
        ({"endian": "middle"}, "middle"),
        ({"encoding": "text"}, "is damaged"),
        ({"encoding": "hex"}, "encoding 'hex' is not understood"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, fields, says):
    began = time.monotonic()
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_nrrd(save(tmp_path / "v.nrrd", **fields))
    assert caught.value.remedy
    assert time.monotonic() - began < 2


def test_a_field_that_is_given_twice(tmp_path):
    path = save(tmp_path / "v.nrrd")
    path.write_bytes(path.read_bytes().replace(b"endian", b"sizes: 1 1 1\nendian", 1))
    with pytest.raises(DataError, match="gives `sizes` twice"):
        read_nrrd(path)


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2")])
def test_a_bit_that_flipped_is_told_by_the_checksum(tmp_path, pack, name):
    data = bytearray(pack(RAW))
    data[-6] ^= 1
    with pytest.raises(DataError, match=r"v\.nrrd is damaged"):
        read_nrrd(save(tmp_path / "v.nrrd", bytes(data), encoding=name))
