"""Folder datasets with mistakes: each is told with the file, the place and what to do."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import folders
from folders import describe, flat, head, load, picture, read_all, table, write
from medfiles import write_dicom
from medtaskatlas.core.errors import AtlasError, ConfigError, DataError
from medtaskatlas.datasets.io.nrrd import read_nrrd
from medtaskatlas.datasets.sources.folder import load_folder_dataset


def stops(root: Path, problem: str, remedy: str, kind: type[AtlasError] = DataError) -> None:
    """Reading stops with an error whose problem and remedy match."""
    with pytest.raises(kind) as caught:
        read_all(root)
    assert re.search(problem, caught.value.problem), caught.value.problem
    assert re.search(remedy, caught.value.remedy), caught.value.remedy
    assert "start the run again" not in caught.value.remedy  # never "delete" a user's own data


def cut(path: Path, share: float = 0.5) -> None:
    """Truncate a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


# --- dataset.yaml


@pytest.mark.parametrize(
    ("keys", "problem", "remedy"),
    [
        ({"maks": "masks"}, r"dataset\.yaml: maks: is an unknown key", "did you mean masks"),
        ({"modality": "MRI"}, r"dataset\.yaml: modality: .*\(is 'MRI'\)", "did you mean MR"),
        ({"modality": None}, r"dataset\.yaml: modality: is missing", "write `modality: "),
        ({"name": "My Data"}, r"name: .*\(is 'My Data'\)", "small letters"),
        ({"title": 3}, r"title: .*valid string \(is 3\)", "in quotes: title: '3'"),
        ({"title": "TODO one line"}, "title: is not filled in", "or delete the line"),
        ({"slices": 0}, r"slices: .*greater than or equal to 1 \(is 0\)", "correct"),
        ({"window": [40]}, r"window\.1: ", "missing|correct|write"),
        ({"window": [40, -1]}, r"window: .*width above 0", "correct"),
        ({"percentiles": [99, 1]}, r"percentiles: .*low < high", "correct"),
        ({"window": [1, 2], "percentiles": [1, 2]}, "not both", "correct"),
        ({"axis": "axal"}, r"axis: ", "did you mean axial"),
        ({"group_pattern": "(a"}, "group_pattern: is no regular expression", "correct"),
        ({"group_pattern": "^a"}, "group_pattern: needs a group in parentheses", "correct"),
        ({"masks": "masks"}, "`masks` and `classes` belong together", "correct"),
        ({"masks": "masks", "classes": {1: False}}, r"classes\.1: .*\(is False\)", "in quotes"),
        ({"masks": "masks", "classes": {0: "x"}}, "0 is background", "correct"),
        ({"images": "../other"}, "images: must be a path within", "correct"),
        ({"images": "/etc"}, "images: must be a path within", "correct"),
        ({"images": "pics"}, "images: there is no folder with files 'pics'", "there are images/"),
        ({"labels": "label.csv"}, r"labels: there is no file 'label\.csv'", "put it there"),
        ({"annotation": "derived"}, "needs an `annotation_note`", "correct"),
        ({"content": {"min_sd": 3}}, r"content\.min_sd: is an unknown key", "did you mean min_std"),
        ({"images": "x.npz", "labels": "labels.csv"}, r"same \.npz file", "correct"),
        ({"maps": {"dose": {"folder": "maps"}}}, r"maps\.dose\.unit: is missing", "write `unit: "),
        (
            {"maps": {"dose": {"unit": "Gy", "folder": "maps", "scal": 2}}},
            r"scal: is",
            "mean scale",
        ),
        (
            {"maps": {"dose": {"unit": "Gy", "folder": "maps", "scale": 0}}},
            "other than 0",
            "correct",
        ),
        ({"maps": {"dose": {"unit": "Gy", "folder": "../maps"}}}, "path within", "correct"),
        ({"maps": {"dose": {"unit": "Gy", "folder": "images"}}}, "folder of their own", "correct"),
        ({"maps": {"Dose": {"unit": "Gy", "folder": "maps"}}}, "'Dose' is no name", "correct"),
        (
            {"maps": {"dose": {"unit": "Gy", "folder": "maps"}}},
            r"maps\.dose\.folder: there is no folder with files 'maps'",
            "there are images/",
        ),
        ({"values": {"age": {"file": "a.csv"}}}, r"values\.age\.unit: is missing", "write `unit: "),
        ({"values": {"age": {"file": "a.csv", "unit": "y"}}}, r"no file 'a\.csv'", "put it there"),
        ({"label_kind": "ordered"}, "label_kind: ", "valid names: multi_label, ordinal"),
        ({"label_kind": "ordinal"}, "without `labels`", "correct"),
        ({"labels": "l.csv", "label_kind": "ordinal"}, "needs `label_names`", "correct"),
        ({"subject_pattern": "^a"}, "subject_pattern: needs a group in parentheses", "correct"),
        ({"subjects": "My people"}, "subjects: ", "small letters"),
        ({"images": "x.npz", "subject_pattern": "(a)"}, "`subject_pattern` cannot go", "correct"),
        (
            {"images": "x.npz", "masks": "m", "classes": {1: "x"}},
            "`masks` cannot go with",
            "correct",
        ),
        (
            {"images": "x.npz", "labels": "x.npz", "label_names": {1: "a", 2: "b"}},
            r"0, 1, \.\.\. without holes",
            "correct",
        ),
    ],
)
def test_mistakes_in_dataset_yaml(tmp_path, keys, problem, remedy):
    flat(tmp_path, n=1)
    stops(describe(tmp_path, **keys), problem, remedy, ConfigError)


def test_all_mistakes_in_dataset_yaml_at_once(tmp_path):
    flat(tmp_path, n=1, modality="MRI", slices=0, licens="MIT")
    with pytest.raises(ConfigError) as caught:
        load_folder_dataset(tmp_path)
    assert all(key in caught.value.problem for key in ("modality:", "slices:", "licens:"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\n", r"dataset\.yaml: is not YAML"),
        ("- a\n", "must be keys with values"),
        ("", "must be keys with values"),
        ("name: a\nname: b\n", "name: is given twice"),
    ],
)
def test_dataset_yaml_that_is_no_mapping(tmp_path, text, says):
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_folder_dataset(tmp_path)


def test_dataset_yaml_is_missing_or_no_text(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)dataset\.yaml: cannot be read.*datasets init"):
        load_folder_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"(?s)is not UTF-8 text.*save it as UTF-8"):
        load_folder_dataset(tmp_path)


def test_exclude_and_exceptions_must_name_images(tmp_path):
    flat(tmp_path, exclude={"b.png": "x"})
    stops(tmp_path, r"exclude\.b\.png: there is no such image", "mend")
    describe(tmp_path, modality_exceptions={"b.png": "CT"})
    stops(tmp_path, r"modality_exceptions\.b\.png: there is no such image", "mend")


# --- damaged files


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0, 0.5, 0.97])
def test_truncated_picture(tmp_path, suffix, share):
    flat(tmp_path, n=2)
    cut(write(tmp_path / "images" / f"b{suffix}", picture(size=(90, 90))), share)
    stops(
        tmp_path,
        rf"images/b{re.escape(suffix)} is (empty|damaged)",
        r"exclude: \{.*: <reason>\}` in dataset\.yaml",
    )


def test_a_broken_picture_can_be_left_out_on_purpose(tmp_path):
    flat(tmp_path, n=2, exclude={"a0.png": "broken"})
    cut(tmp_path / "images" / "a0.png")
    frames, left = read_all(tmp_path)
    assert [f.image_id for f in frames] == ["a1"]
    assert [e.reason for e in left] == ["excluded in dataset.yaml: broken"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.97])
def test_truncated_nifti(tmp_path, suffix, share):
    cut(folders.write_nifti(tmp_path / "images" / f"v{suffix}", head()), share)
    describe(tmp_path, modality="MR")
    stops(tmp_path, r"images/v\.nii.* cannot be read as NIfTI", r"exclude: \{v\.nii")


def test_gzip_that_is_none(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "v.nii.gz").write_bytes(b"no gzip at all")
    stops(describe(tmp_path, modality="MR"), r"v\.nii\.gz cannot be read as NIfTI", "exclude")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_truncated_nrrd(tmp_path, encoding):
    folders.write_nrrd(tmp_path / "images" / "v.nrrd", head(), encoding=encoding, cut=40)
    stops(describe(tmp_path, modality="MR"), r"v\.nrrd is (truncated|damaged)", "exclude")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("P5\n\n", "is no NRRD file"),
        ("NRRD0004\ntype: short\n", "ends within its header"),
        ("NRRD0004\ntype: short\nnonsense\n\n", "'nonsense' is no line"),
        ("NRRD0004\ntype: block\ndimension: 3\nsizes: 2 2 2\n\n", "type 'block'"),
        ("NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2\n\n", "sizes '2 2' and dimension"),
        ("NRRD0004\ntype: short\ndimension: 2\nsizes: 2 2\n\n", "has 2 dimensions"),
        ("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: hex\n\n", "'hex'"),
        ("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\n\n", "lacks `encoding`"),
        (
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: LIST\n\n",
            "several files",
        ),
        (
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
            "data file: ../secret\n\n",
            "outside of its folder",
        ),
        (
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
            "data file: gone.raw\n\n",
            "gone.raw is missing",
        ),
        (
            "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
            "space directions: (1,0,0) (1,0,0) (0,0,1)\n\n12345678",
            "span no space",
        ),
    ],
)
def test_nrrd_headers_that_are_not_understood(tmp_path, header, says):
    (tmp_path.parent / "secret").write_bytes(bytes(8))
    path = tmp_path / "v.nrrd"
    path.write_text(header)
    with pytest.raises(DataError, match=re.escape(says)):
        read_nrrd(path)


def test_nrrd_that_unpacks_to_more_than_it_says(tmp_path):
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: gzip\n\n"
    path = tmp_path / "v.nrrd"
    path.write_bytes(header.encode() + gzip.compress(bytes(range(8)) + bytes(50_000_000)))
    values, _ = read_nrrd(path)  # the rest is never unpacked
    assert values.ravel("F").tolist() == list(range(8))


def test_file_without_permission(tmp_path, monkeypatch):
    flat(tmp_path, n=1)
    real = np.fromfile

    def refuse(path, *rest, **options):
        if Path(path).name == "a0.png":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **options)

    monkeypatch.setattr(np, "fromfile", refuse)
    stops(tmp_path, r"images/a0\.png cannot be read: Permission denied", r"chmod u\+r")


def test_folder_without_permission(tmp_path, monkeypatch):
    flat(tmp_path, n=1)
    real = os.scandir

    def refuse(path):
        if Path(path).name == "images":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    stops(tmp_path, r"images cannot be read: Permission denied", r"chmod u\+rx")


# --- pictures that show nothing


def test_constant_and_tiny_pictures_are_left_out(tmp_path):
    flat(tmp_path, n=1)
    write(tmp_path / "images" / "b.png", np.full((30, 30), 7, np.uint8))
    write(tmp_path / "images" / "c.png", np.ones((1, 1), np.uint8))
    write(tmp_path / "images" / "d.png", picture(size=(7, 90)))
    frames, left = read_all(tmp_path)
    assert [f.image_id for f in frames] == ["a0"]
    assert [(e.image_id, e.reason) for e in left] == [
        ("b", "constant: all pixels are the same"),
        ("c", "smaller than 8 pixels"),
        ("d", "smaller than 8 pixels"),
    ]


def test_a_few_values_that_are_not_finite_become_the_smallest(tmp_path):
    values = head().astype(np.float32) + 5
    clean = values.copy()
    values[12, 14, :3], values[12, 14, 3:5] = np.nan, np.inf
    clean[12, 14, :5] = 5
    folders.write_nifti(tmp_path / "a" / "images" / "v.nii", values)
    folders.write_nifti(tmp_path / "b" / "images" / "v.nii", clean)
    notes = []
    frames, _ = read_all(describe(tmp_path / "a", modality="MR"), notes.append)
    wanted, _ = read_all(describe(tmp_path / "b", modality="MR"))
    assert len(frames) == 12
    for a, b in zip(frames, wanted, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    assert [(n.file, n.problem.split()[0]) for n in notes] == [("images/v.nii", "5")]


def test_background_of_nan_is_the_smallest_value(tmp_path):
    """SPM and others write NaN outside of their mask, in volumes and in pictures."""
    values = head().astype(np.float32) + 5
    clean, hole = values.copy(), np.zeros(values.shape, bool)
    hole[:14] = True
    values[hole], clean[hole] = np.nan, clean[~hole].min()
    for name, stored in (("a", values), ("b", clean)):
        folders.write_nifti(tmp_path / name / "images" / "v.nii", stored)
        folders.write_nrrd(tmp_path / name / "images" / "w.nrrd", stored)
        write(tmp_path / name / "images" / "x.tif", stored[:, :, 10])
        describe(tmp_path / name, modality="MR")
    notes = []
    frames, _ = read_all(tmp_path / "a", notes.append)
    wanted, _ = read_all(tmp_path / "b")
    assert len(frames) == len(wanted) == 25
    for a, b in zip(frames, wanted, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    assert [n.problem.split()[0] for n in notes] == [str(14 * 28 * 20)] * 2 + [str(14 * 28)]


def test_nothing_but_nan(tmp_path):
    values = np.full((9, 9, 9), np.nan, np.float32)
    folders.write_nifti(tmp_path / "images" / "v.nii", values)
    stops(describe(tmp_path, modality="MR"), r"v\.nii: all of its values are NaN", "exclude")


@pytest.mark.parametrize("shape", [(9,), (9, 9, 9, 2, 3)])
def test_nifti_of_other_dimensions(tmp_path, shape):
    folders.write_nifti(tmp_path / "images" / "v.nii", head((9, 9, 9)))
    import nibabel

    image = nibabel.Nifti1Image(np.ones(shape, np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "images" / "v.nii")
    stops(describe(tmp_path, modality="MR"), rf"v\.nii has {len(shape)} dimensions", "exclude")


def test_index_beyond_a_4d_file(tmp_path):
    folders.write_nifti(tmp_path / "images" / "v.nii", np.stack([head()] * 2, axis=-1))
    stops(describe(tmp_path, modality="MR", index=2), r"v\.nii holds 2 volumes, `index` is 2", "")


# --- DICOM


def test_dicom_without_pixels_is_left_out(tmp_path):
    flat(tmp_path, n=1)
    path = write_dicom(tmp_path / "images" / "plan.dcm", picture(), Modality="RTSTRUCT")
    import pydicom

    header = pydicom.dcmread(path)
    del header.PixelData, header.Rows, header.Columns
    header.save_as(path)
    frames, left = read_all(tmp_path)
    assert [f.image_id for f in frames] == ["a0"]
    assert [(e.image_id, e.reason) for e in left] == [
        ("plan", "DICOM file without pixels (RTSTRUCT)")
    ]


def test_a_folder_of_two_series(tmp_path):
    place = tmp_path / "images" / "p1"
    folders.write_series(place, head(), SeriesInstanceUID="1.1", SeriesDescription="T1")
    write_dicom(place / "zz.dcm", picture(), SeriesInstanceUID="1.2", SeriesDescription="localizer")
    stops(
        describe(tmp_path, modality="MR"),
        r"images/p1 holds 2 series: T1 \[1\.1\]: 20 files; localizer \[1\.2\]: 1 files",
        "a folder of its own",
    )


def test_two_slices_at_one_position(tmp_path):
    place = tmp_path / "images" / "p1"
    folders.write_series(place, head())
    (place / "copy.dcm").write_bytes((place / "000.dcm").read_bytes())
    stops(describe(tmp_path, modality="MR"), r"000\.dcm.*at the same position", "time point")


def test_slices_of_two_sizes(tmp_path):
    place = tmp_path / "images" / "p1"
    place.mkdir(parents=True)
    write_dicom(place / "a.dcm", picture(size=(20, 30)))
    write_dicom(place / "b.dcm", picture(size=(24, 30)))
    stops(describe(tmp_path, modality="MR"), "different sizes: 30 x 20 and 30 x 24", "localizers")


def test_truncated_dicom(tmp_path):
    (tmp_path / "images").mkdir()
    cut(write_dicom(tmp_path / "images" / "a.dcm", picture(size=(64, 64))), 0.7)
    stops(describe(tmp_path), r"a\.dcm cannot be (decoded|read) as DICOM", "exclude")


# --- masks


def test_mask_without_image_and_image_without_mask(tmp_path):
    flat(tmp_path, n=3, masks=True)
    (tmp_path / "masks" / "a1.png").rename(tmp_path / "masks" / "b1.png")
    stops(tmp_path, r"masks: 1 of its files belong to no image: b1\.png", "like its image")
    (tmp_path / "masks" / "b1.png").unlink()
    stops(tmp_path, r"masks: 1 images have no mask: a1\.png", "masks_optional: true")


def test_many_missing_masks_are_not_all_listed(tmp_path):
    flat(tmp_path, n=14, masks=True)
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    write(tmp_path / "masks" / "a0.png", picture())
    stops(tmp_path, r"13 images have no mask: a1\.png, .* and 3 more", "")


def test_sizes_that_differ(tmp_path):
    flat(tmp_path, n=1, masks=True)
    write(tmp_path / "masks" / "a0.png", np.ones((32, 24), np.uint8))
    stops(
        tmp_path,
        r"masks/a0\.png is 24 x 32 pixels, .*images/a0\.png is 32 x 24",
        "EXIF orientation",
    )


def test_ids_that_are_not_declared(tmp_path):
    flat(tmp_path, n=1, masks=True, classes={1: "a", 2: "b"})
    plane = np.zeros((24, 32), np.uint8)
    plane[0, :2] = (3, 255)
    write(tmp_path / "masks" / "a0.png", plane)
    stops(tmp_path, r"masks/a0\.png holds the id 3, 255, but `classes` declares 1, 2", "declare it")


def test_ids_of_volumes_that_are_not_declared(tmp_path):
    folders.write_nifti(tmp_path / "images" / "v.nii", head())
    for values, says in (
        (np.full(head().shape, 4, np.uint8), "holds the id 4, but `classes` declares 1"),
        (np.full(head().shape, -1, np.int16), "holds the value -1"),
        (np.full(head().shape, 0.5, np.float32), "holds values that are no whole numbers"),
    ):
        folders.write_nifti(tmp_path / "masks" / "v.nii", values)
        stops(describe(tmp_path, masks="masks", classes={1: "x"}), rf"masks/v\.nii {says}", ".")


def test_mask_on_another_grid(tmp_path):
    values = head()
    folders.write_nifti(tmp_path / "images" / "v.nii", values)
    describe(tmp_path, masks="masks", classes={1: "x"})
    folders.write_nifti(tmp_path / "masks" / "v.nii", np.ones((5, 6, 7), np.uint8))
    stops(tmp_path, r"masks/v\.nii has 5 x 6 x 7 voxels .*has 24 x 28 x 20", "resample")
    folders.write_nifti(tmp_path / "masks" / "v.nii", np.ones(values.shape, np.uint8), (2, 1, 1))
    stops(tmp_path, r"masks/v\.nii lies 23\.0 voxels away", "resample")


def test_masks_of_the_wrong_kind(tmp_path):
    flat(tmp_path, n=1, masks=True)
    for name, pixels, says in (
        ("a0.jpg", picture(), "in JPEG, whose compression changes"),
        ("a0.png", np.stack([picture(i) for i in range(3)], -1), "is a colour picture"),
        ("a0.tif", picture().astype(np.float32) / 7, "no whole numbers"),
    ):
        for path in (tmp_path / "masks").iterdir():
            path.unlink()
        write(tmp_path / "masks" / name, pixels)
        stops(tmp_path, rf"masks/{name} .*{says}", "save it")


def test_volume_masks_of_pictures(tmp_path):
    flat(tmp_path, n=1, masks=True)
    (tmp_path / "masks" / "a0.png").unlink()
    folders.write_nifti(tmp_path / "masks" / "a0.nii", head())
    stops(tmp_path, r"a0\.nii is a volume, but .*a0\.png is a picture", "PNG")


# --- names and links


def test_two_images_of_one_name(tmp_path):
    flat(tmp_path, n=1)
    write(tmp_path / "images" / "a0.jpg", picture(3))
    stops(tmp_path, r"images: a0\.jpg and a0\.png have one name", "rename one")


def test_names_that_differ_in_capitals_only(tmp_path):
    flat(tmp_path, n=1)
    write(tmp_path / "images" / "A0.png", picture(3))
    stops(tmp_path, r"A0\.png and a0\.png have one name but for capital letters", "rename one")


def test_name_that_is_not_utf8(tmp_path):
    flat(tmp_path, n=1)
    name = os.fsencode(tmp_path / "images") + b"/gr\xf6n.png"
    try:
        Path(os.fsdecode(name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    stops(tmp_path, r"gr\\xf6n\.png' is not UTF-8", "rename it")


@pytest.mark.parametrize("what", ["file", "folder", "gone"])
def test_links_out_of_the_folder_are_refused(tmp_path, what):
    flat(tmp_path / "d", n=1)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = {"file": write(outside / "x.png", picture()), "folder": outside}.get(
        what, tmp_path / "d" / "nothing"
    )
    (tmp_path / "d" / "images" / "link.png").symlink_to(target)
    says = "is not there" if what == "gone" else "such links are refused"
    stops(tmp_path / "d", rf"images/link\.png is a link to .*{says}", "put the files|remove it")


def test_links_within_the_folder_are_followed(tmp_path):
    flat(tmp_path / "d", n=1)
    (tmp_path / "d" / "images" / "b.png").symlink_to("a0.png")
    (tmp_path / "link").symlink_to(tmp_path / "d")  # the dataset itself may be one
    assert len(read_all(tmp_path / "link")[0]) == 2


# --- tables


@pytest.mark.parametrize(
    ("lines", "problem", "remedy"),
    [
        (["image;label", "a0.png;x"], r"labels\.csv: line 1: .*semicolons", "use commas"),
        (["image\tlabel"], "line 1: .*tabs", "use commas"),
        (["file,label"], "line 1: lacks the column image; it has file, label", "image,label"),
        ([], "line 1: lacks the column image, label", "image,label"),
        (["image,label,label"], "line 1: has the column label twice", ""),
        (["image,label", "a0.png,x", "a0.png"], "line 3: has 1 columns, the header 2", "quotes"),
        (["image,label", "a0.png,x", ",y"], "line 3: names no image", "fill in"),
        (["image,label", "a0.png,x", "a0.png,y"], r"line 3: a0\.png is listed twice .*line 2", ""),
        (["image,label", "", "a9.png,x"], r"line 3: there is no image a9\.png", r"mean a\d\.png"),
        (["image,label", "a0,x"], "line 2: there is no image a0", "with its suffix"),
        (["image,label", '"a0.png,x'], "labels.csv: line 2: is no CSV", "quotes"),
        (["image,label,group", "a0.png,x,"], r"line 2: a0\.png has no group", "fill in"),
        (["image,label,split", "a0.png,x,valid"], "line 2: split 'valid' is unknown", "val"),
        (
            ["image,label,group,split", "a0.png,x,g,train", "a1.png,x,g,test"],
            r"group g is in two splits: a0\.png in train, a1\.png in test",
            "one split",
        ),
    ],
)
def test_mistakes_in_labels(tmp_path, lines, problem, remedy):
    flat(tmp_path, labels="labels.csv")
    stops(table(tmp_path, "labels.csv", *lines), problem, remedy)


def test_labels_that_are_no_text(tmp_path):
    flat(tmp_path, labels="labels.csv")
    (tmp_path / "labels.csv").write_bytes(b"image,label\na0.png,x\na1.png,gr\xf6n\n")
    stops(tmp_path, r"labels\.csv: line 3: is not UTF-8", "UTF-8")


def test_label_without_a_name(tmp_path):
    flat(tmp_path, labels="labels.csv", label_names={0: "a"})
    table(tmp_path, "labels.csv", "image,label", "a0.png,0", "a1.png,1")
    stops(tmp_path, r"labels\.csv: line 3: label '1' is not in `label_names`", "add it")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a0.png,40,0,50,9", r"line 2: lies outside of a0\.png \(32 x 24 pixels\): 40,0,50,9"),
        ("a0.png,-9,-9,0,5", "line 2: lies outside"),
        ("a0.png,5,5,5,9", "line 2: the box 5,5,5,9 is empty"),
        ("a0.png,9,9,5,5", "line 2: the box 9,9,5,5 is empty"),
        ("a0.png,1,2,x,4", "line 2: a corner of the box is no number"),
        ("a0.png,1,2,nan,4", "line 2: a corner of the box is no number"),
        ("a0.png,0.25,0.3,0.6,0.75", r"line 2: the corners of 1 boxes .* are these shares of the"),
        ("a0.png,0,0,1,1", r"line 2: the corners of 1 boxes lie between 0 and 1"),
        ("b.png,1,2,3,4", r"line 2: there is no image b\.png"),
    ],
)
def test_mistakes_in_boxes(tmp_path, line, problem):
    flat(tmp_path, n=1, boxes="boxes.csv")
    stops(table(tmp_path, "boxes.csv", "image,x0,y0,x1,y1", line), rf"boxes\.csv: {problem}", ".")


def test_boxes_of_a_volume(tmp_path):
    folders.write_nifti(tmp_path / "images" / "v.nii", head())
    table(tmp_path, "boxes.csv", "image,x0,y0,x1,y1", "v.nii,1,2,3,4")
    stops(describe(tmp_path, boxes="boxes.csv"), r"v\.nii is a volume", "save the slices as PNG")


def test_pattern_that_finds_no_group(tmp_path):
    stops(
        flat(tmp_path, group_pattern=r"^a([0-2])"),
        r"group_pattern: '\^a\(\[0-2\]\)' finds no group in 1 names: a3\.png",
        "widen",
    )


def test_the_first_mistake_says_how_many_there_are(tmp_path):
    flat(tmp_path, labels="labels.csv")
    table(tmp_path, "labels.csv", "image,label", "x.png,1", "y.png,2", "z.png,3")
    stops(tmp_path, r"line 2: .*\(and 2 more mistakes\)", "medtaskatlas datasets check")


def test_npz_label_beyond_its_names(tmp_path):
    np.savez(
        tmp_path / "x.npz",
        train_images=np.stack([picture(i, (28, 28)) for i in range(3)]),
        train_labels=np.array([[0], [1], [2]], np.uint8),
    )
    names = {0: "a", 1: "b"}
    describe(tmp_path, images="x.npz", labels="x.npz", label_names=names)
    stops(tmp_path, r"x\.npz: .* has the label 2, which is not in `label_names`", "add it")


@pytest.mark.parametrize(
    ("labels", "says", "remedy"),
    [
        (np.eye(3, dtype=np.uint8), r"train_labels is \[3, 3\]: one number an image", "argmax"),
        (np.zeros((3, 2)), r"train_labels is \[3, 2\]: one number an image", "argmax"),
        (np.array(["a", "b", "a"]), "train_labels are U1, not numbers", "`label_names`"),
        (np.array([b"a", b"b", b"a"]), "train_labels are S1, not numbers", "`label_names`"),
        (np.array([0, 1, np.nan]), "train_labels holds nan in row 2", "leave out"),
        (np.array([[0], [np.inf], [1]]), "train_labels holds inf in row 1", "leave out"),
        (np.array([0, 0.5, 1]), r"train_labels holds 0\.5 in row 1", "integers"),
        (np.array([0, 1j, 1]), "train_labels are c16, not numbers", "`label_names`"),
    ],
)
def test_npz_labels_that_are_no_numbers(tmp_path, labels, says, remedy):
    images = np.stack([picture(i, (28, 28)) for i in range(3)])
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=labels)
    describe(tmp_path, images="x.npz", labels="x.npz", label_names={0: "a", 1: "b", 2: "c"})
    stops(tmp_path, rf"x\.npz: {says}", remedy)


@pytest.mark.parametrize("shape", [(3, 3, 28, 28), (3, 1, 28, 28), (3, 28, 28, 4)])
def test_npz_channels_that_are_no_slices(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "x.npz", train_images=images)
    stops(describe(tmp_path, images="x.npz"), "'train_images' is .* too thin", "channels last")


def test_yaml_never_builds_objects(tmp_path):
    (tmp_path / "dataset.yaml").write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_folder_dataset(tmp_path)


def test_a_good_dataset_has_none_of_these(tmp_path):
    """The helpers make a dataset without mistakes, so that each test above finds its own."""
    flat(tmp_path, masks=True, labels="labels.csv", boxes="boxes.csv")
    table(tmp_path, "labels.csv", "image,label", *(f"a{i}.png,x" for i in range(4)))
    table(tmp_path, "boxes.csv", "image,x0,y0,x1,y1", "a0.png,1,2,3,4")
    frames, left = read_all(tmp_path)
    assert (len(frames), len(left)) == (4, 0)
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["name"] == load(tmp_path).name


def test_picture_beyond_all_bounds(tmp_path):
    """A header that promises more pixels than can be: told, and nothing is allocated."""
    import struct
    import zlib

    flat(tmp_path, n=1)
    size = struct.pack(">IIBBBBB", 2**20, 2**20, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + size
    front = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"\x89PNG\r\n\x1a\n" + front + b"\0\0\0\0IEND\xaeB`\x82"
    (tmp_path / "images" / "b.png").write_bytes(data)
    stops(tmp_path, r"images/b\.png: .* pixels are more", "exclude")
