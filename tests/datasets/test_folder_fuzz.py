"""Damaged files of every kind: each check ends, and says of each mistake where it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import folders
from folders import describe, picture, table, write
from medfiles import write_dicom
from medtaskatlas.datasets.folder.check import check_folder

# What numbers in headers and tables are changed to.
ODD = b" -1 0 1e400 nan inf 3.0 x 99999999999999999999 2001-99-99 [ \0".split(b" ")
VOLUME = folders.head((9, 8, 9))
GREY = picture(0, (12, 12))


def _flat(suffix, pixels=GREY):
    return lambda root: write(root / "images" / f"a{suffix}", pixels)


def _nifti(suffix):
    return lambda root: folders.write_nifti(root / "images" / f"a{suffix}", VOLUME)


def _nrrd(**keys):
    return lambda root: folders.write_nrrd(root / "images" / "a.nrrd", VOLUME, **keys)


def _dicom(root):
    (root / "images").mkdir()
    return write_dicom(
        root / "images" / "a.dcm",
        GREY.astype(np.uint16),
        PixelSpacing=[1, 1],
        WindowCenter=100,
        WindowWidth=200,
        RescaleSlope=1,
        RescaleIntercept=0,
        Modality="CT",
    )


def _series(root):
    folders.write_series(root / "images" / "s", VOLUME[..., :3], Modality="CT", RescaleSlope=1)
    return root / "images" / "s" / "000.dcm"


def _cine(root):
    (root / "images").mkdir()
    return write_dicom(root / "images" / "a.dcm", picture(0, (5, 12, 12)), Modality="US")


def _detached(root):
    return folders.write_nrrd(root / "images" / "a.nhdr", VOLUME, detached="a.raw.gz")


def _npz(root, save=np.savez):
    save(root / "x.npz", train_images=picture(0, (3, 12, 12)), train_labels=np.zeros(3, int))
    describe(root, images="x.npz", labels="x.npz", label_names={0: "none"})
    return root / "x.npz"


def _mask(suffix):
    def make(root):
        write(root / "images" / "a.png", GREY)
        describe(root, masks="masks", classes={1: "lesion"})
        return write(root / "masks" / f"a{suffix}", (GREY > 120).astype(np.uint8))

    return make


def _volume_mask(root):
    folders.write_nifti(root / "images" / "a.nii", VOLUME)
    describe(root, masks="masks", classes={1: "lesion"})
    return folders.write_nifti(root / "masks" / "a.nii", (VOLUME > 300).astype(np.uint8))


def _map(root):
    write(root / "images" / "a.png", GREY)
    describe(root, maps={"dose": {"folder": "maps", "scale": 1, "unit": "Gy"}})
    return write(root / "maps" / "a.tif", picture(1, (12, 12)).astype(np.float32))


def _table(key, *lines):
    def make(root):
        write(root / "images" / "a.png", GREY)
        describe(root, **{key: f"{key}.csv"})
        return table(root, f"{key}.csv", *lines) / f"{key}.csv"

    return make


def _description(root):
    write(root / "images" / "a.png", GREY)
    describe(root, window=[40, 400], slices=3, content={"min_std": 4}, exclude={})
    return root / "dataset.yaml"


KINDS = {
    "png": _flat(".png"),
    "png16": _flat(".png", GREY.astype(np.uint16) * 200),
    "colour": _flat(".png", picture(0, (12, 12, 3))),
    "jpeg": _flat(".jpg"),
    "bmp": _flat(".bmp"),
    "tiff": _flat(".tif"),
    "float tiff": _flat(".tif", GREY.astype(np.float32)),
    "nifti": _nifti(".nii"),
    "nifti gz": _nifti(".nii.gz"),
    "nrrd": _nrrd(encoding="raw"),
    "nrrd gzip": _nrrd(),
    "dicom": _dicom,
    "series": _series,
    "cine": _cine,
    "detached nrrd": _detached,
    "npz": _npz,
    "packed npz": lambda root: _npz(root, np.savez_compressed),
    "mask": _mask(".png"),
    "mask tiff": _mask(".tif"),
    "volume mask": _volume_mask,
    "map": _map,
    "labels": _table("labels", "image,label,group,split", "a.png,x,p1,train"),
    "boxes": _table("boxes", "image,x0,y0,x1,y1,label", "a.png,1,2,8,9,x"),
    "splits": _table("splits", "image,split,subject", "a.png,train,p1"),
    "description": _description,
}
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["byte", "byte", "cut", "double", "number", "number"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, changes) -> bytes:
    """Bytes of a file with some bytes changed, cut off, said twice, or numbers replaced."""
    for what, where, value in changes:
        at = int(where * len(data))
        if what == "byte":
            data = data[:at] + bytes([value]) + data[at + 1 :]
        elif what == "cut":
            data = data[:at]
        elif what == "double":
            data = data[:at] + data[at : at + value] + data[at:]
        elif numbers := list(re.finditer(rb"[\d.]+", data[:4096])):
            one = numbers[int(where * len(numbers))]
            data = data[: one.start()] + ODD[value % len(ODD)] + data[one.end() :]
    return data


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("nrrd", b"sizes: 9 8 9", b"sizes: 9 8 3.0"),
        ("nrrd", b"sizes: 9 8 9", b"sizes: 9 8 nan"),
        ("nrrd", b"sizes: 9 8 9", b"sizes: 9 8 1e400"),
        ("nrrd", b"sizes: 9 8 9", b"sizes: 9 8 -9"),
        ("nrrd", b"(0,0,0)", b"(0,0,x)"),
        ("dicom", b"1.0\\1.0 ", b"abc\\x.0 "),
        ("dicom", b"1.0\\1.0 ", b"1.0     "),
        ("dicom", b"100.0 ", b"centre"),
        ("dicom", b"200.0 ", b"1e999 "),
        ("series", b"0.0\\0.0\\0.0 ", b"a.0\\0.0\\0.0 "),
        ("series", b"0.0\\0.0\\0.0 ", b"nan\\0.0\\0.0 "),
        ("series", b"1.0\\1.0 ", b"1.0\\1.0.0"),
        ("npz", b"(3, 12, 12)", b"(-3, 12,12)"),
        ("npz", b"(3, 12, 12)", b"(3.0,12,12)"),
        ("png", b"IHDR", b"IHDX"),
    ],
)
def test_numbers_that_are_none_stop_no_check(tmp_path, kind, old, new):
    root = describe(tmp_path / "mine")
    path = KINDS[kind](root)
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new))
    findings = check_folder(root)
    assert all(f.file for f in findings if f.severity == "error" and "is left" not in f.problem)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_a_finding(tmp_path, kind):
    """Nothing is unforeseen: an error without a file would be one of the check as a whole."""
    root = describe(tmp_path / "mine")
    path = KINDS[kind](root)
    whole = path.read_bytes()
    assert not [f for f in check_folder(root) if f.severity == "error"]

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(CHANGES)
    def check(changes):
        path.write_bytes(damaged(whole, changes))
        for finding in check_folder(root):
            if finding.severity == "error":
                assert finding.file or finding.problem == "no image is left", finding
                assert finding.remedy

    check()
