"""Folder datasets that are as they should be."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import folders
from folders import describe, flat, head, load, picture, read_all, table, write
from medfiles import write_dicom
from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.catalogue import dataset_from_entry
from medtaskatlas.datasets.dataset import Content
from medtaskatlas.datasets.download import MANIFEST, fetch
from medtaskatlas.datasets.folder.read import read
from medtaskatlas.datasets.io import volume, window
from medtaskatlas.datasets.io.flat import read_flat, read_labels
from medtaskatlas.datasets.io.frame import Frame
from medtaskatlas.datasets.own import find_folder_datasets, folder_messages

SHARED = REPOSITORY.parent / "shared" / "datasets"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/datasets is not there")


def windowed(values, centre, width):
    return window.between(values, *window.centre_width(centre, width))


# --- what a dataset is


def test_import_is_light():
    code = "import medtaskatlas.datasets.sources.folder, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pandas", "cv2", "nibabel", "pydicom", "PIL"} & set(loaded.stdout.split())


def test_what_it_provides(tmp_path):
    flat(tmp_path, masks=True, labels="labels.csv", modality="DERMOSCOPY")
    table(tmp_path, "labels.csv", "image,label", "a0.png,zoster", "a1.png,acne", "a2.png,acne")
    dataset = load(tmp_path)
    assert dataset.source == "folder"
    assert dataset.provides == ["mask", "label", "colour"]
    assert dataset.labels == ["acne", "zoster"]
    assert dataset.annotation == "ground_truth"
    frames, _ = read_all(tmp_path)
    assert [f.label for f in frames] == [1, 0, 0, None]  # the last one has no label and is kept


def test_without_annotation(tmp_path):
    dataset = load(flat(tmp_path))
    assert (dataset.provides, dataset.annotation) == ([], "none")


def test_derived_annotation_keeps_its_note(tmp_path):
    dataset = load(flat(tmp_path, masks=True, annotation="derived", annotation_note="by Otsu"))
    assert (dataset.annotation, dataset.annotation_note) == ("derived", "by Otsu")


def test_survives_the_way_through_a_rule(tmp_path):
    dataset = load(flat(tmp_path, masks=True, window=[40, 80], exclude={"a0.png": "bad"}))
    entry = json.loads(json.dumps(dataset.model_dump(mode="json")))
    assert dataset_from_entry(entry) == dataset


def test_fingerprint_follows_the_files_that_belong(tmp_path):
    flat(tmp_path)
    first = load(tmp_path).fingerprint
    (tmp_path / "notes.txt").write_text("mine")  # belongs to nothing
    (tmp_path / "images" / ".hidden").write_text("")
    assert load(tmp_path).fingerprint == first
    os.utime(tmp_path / "images" / "a0.png", ns=(1, 1))
    touched = load(tmp_path).fingerprint
    write(tmp_path / "images" / "b.png", picture(9))
    assert len({first, touched, load(tmp_path).fingerprint}) == 3


def test_manifest_names_what_belongs(tmp_path):
    flat(tmp_path, n=1, masks=True)
    for name in ("README.md", "notes.txt", "labels.csv"):
        (tmp_path / name).write_text("")
    fetch(load(tmp_path), tmp_path / "data")
    listed = json.loads((tmp_path / "data" / MANIFEST).read_text())["files"]
    names = [entry["file"] for entry in listed]
    assert names == ["README.md", "dataset.yaml", "images/a0.png", "masks/a0.png"]


def test_find_and_what_is_no_dataset(tmp_path):
    flat(tmp_path / "b", name="b", overlaps=["a", "elsewhere"])
    flat(tmp_path / "a", name="a")
    (tmp_path / "c").mkdir()
    (tmp_path / ".git").mkdir()
    found = find_folder_datasets(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["a"].overlaps == ["b"]  # said by one side, it holds for both
    assert found["b"].overlaps == ["a", "elsewhere"]
    (message,) = folder_messages(tmp_path)
    assert re.search("c is no dataset: it has no dataset.yaml", message)
    assert list(find_folder_datasets(tmp_path / "a")) == ["a"]


def test_two_of_one_name_and_none_at_all(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no folder with a dataset\.yaml"):
        find_folder_datasets(tmp_path)
    flat(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match=r"b/dataset\.yaml: name: mine is also the name of .*a"):
        find_folder_datasets(tmp_path)


def test_datasets_of_several_folders(tmp_path):
    flat(tmp_path / "mine/a", name="a", overlaps=["b"])
    flat(tmp_path / "theirs/b", name="b")
    (tmp_path / "theirs/c").mkdir()
    places = [tmp_path / "mine", tmp_path / "theirs"]
    found = find_folder_datasets(*places, places[0])
    assert list(found) == ["a", "b"]
    assert found["b"].overlaps == ["a"]
    (message,) = folder_messages(*places)
    assert "theirs/c is no dataset" in message
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty holds no folder"):
        find_folder_datasets(*places, tmp_path / "empty")
    flat(tmp_path / "theirs/c", name="a")
    with pytest.raises(ConfigError, match=r"theirs/c/dataset\.yaml: name: a is also .*mine/a"):
        find_folder_datasets(*places)


# --- groups, labels and splits


def test_groups_by_who_knows_best(tmp_path):
    flat(tmp_path, labels="labels.csv", group_pattern=r"^(a\d)")
    table(tmp_path, "labels.csv", "image,label,group", "a0.png,x,P1", "a1.png,y,P1")
    frames, _ = read_all(tmp_path)
    assert [(f.group_id, f.group_source) for f in frames] == [
        ("P1", "published"),
        ("P1", "published"),
        ("a2", "pattern"),
        ("a3", "pattern"),
    ]


def test_nothing_known_of_groups(tmp_path):
    frames, _ = read_all(flat(tmp_path))
    assert {f.group_source for f in frames} == {"unknown"}
    assert len({f.group_id for f in frames}) == 4


@pytest.mark.parametrize("where", ["labels.csv", "splits.csv"])
def test_published_split(tmp_path, where):
    rows = ["train,g", "train,g", "test,h", "val,i"]
    if where == "labels.csv":
        flat(tmp_path, labels="labels.csv")
        lines = ["image,label,split,group", *(f"a{i}.png,x,{row}" for i, row in enumerate(rows))]
    else:  # found without a key
        flat(tmp_path)
        lines = ["image,split,group", *(f"a{i}.png,{row}" for i, row in enumerate(rows))]
    frames, _ = read_all(table(tmp_path, where, *lines))
    assert [f.split for f in frames] == ["train", "train", "test", "val"]
    assert [f.group_id for f in frames] == ["g", "g", "h", "i"]


def test_label_names_give_the_order(tmp_path):
    flat(tmp_path, labels="labels.csv", label_names={2: "late", 10: "last", 1: "early"})
    table(tmp_path, "labels.csv", "image,label", "a0.png,10", "a1.png,2", "a2.png,1", "a3.png,1")
    assert load(tmp_path).labels == ["early", "late", "last"]
    assert [f.label for f in read_all(tmp_path)[0]] == [2, 1, 0, 0]


def test_byte_order_mark_and_quotes_are_no_mistake(tmp_path):
    flat(tmp_path, n=1, labels="labels.csv")
    write(tmp_path / "images" / "b, c.png", picture(5))
    (tmp_path / "labels.csv").write_bytes(
        '\ufeffimage,label\r\na0.png,"x, y"\r\n"b, c.png",z\r\n\r\n'.encode()
    )
    assert load(tmp_path).labels == ["x, y", "z"]
    assert [f.label for f in read_all(tmp_path)[0]] == [0, 1]


def test_names_with_spaces_and_any_letters(tmp_path):
    flat(tmp_path, n=0, masks=True)
    name = "Größe é 眼 1"
    write(tmp_path / "images" / f"{name}.png", picture())
    # The same name as a Mac writes it, letter and accent apart.
    apart = "Gro\u0308ße e\u0301 眼 1"
    write(tmp_path / "masks" / f"{apart}.png", np.eye(24, 32, dtype=np.uint8))
    (frame,), _ = read_all(tmp_path)
    assert frame.image_id == name
    assert frame.mask.sum() == 24


def test_exclude_is_counted_with_its_reason(tmp_path):
    flat(tmp_path, masks=True, exclude={"a1.png": "out of focus"})
    (tmp_path / "images" / "a1.png").write_bytes(b"broken, but never read")
    frames, left = read_all(tmp_path)
    assert [f.image_id for f in frames] == ["a0", "a2", "a3"]
    assert [(e.image_id, e.reason) for e in left] == [
        ("a1", "excluded in dataset.yaml: out of focus")
    ]
    assert load(tmp_path).left_out == {"a1.png": "out of focus"}


def test_loose_images_beside_their_masks(tmp_path):
    flat(tmp_path, n=2, masks=True, images=".")
    for path in (tmp_path / "images").iterdir():
        path.rename(tmp_path / path.name)
    (tmp_path / "README.md").write_text("about")
    frames, left = read_all(tmp_path)
    assert [f.image_id for f in frames] == ["a0", "a1"]
    assert not left


def test_other_files_among_the_images_are_counted(tmp_path):
    flat(tmp_path, n=1)
    (tmp_path / "images" / "notes.docx").write_text("")
    (tmp_path / "images" / "Thumbs.db").write_text("")
    _, left = read_all(tmp_path)
    assert [e.reason for e in left] == ["no image: files of type .docx are not read"]


# --- pictures


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_colours_come_back_as_they_went(tmp_path, suffix):
    pixels = np.stack([picture(i) for i in range(3)], axis=-1)
    path = write(tmp_path / f"a{suffix}", pixels)
    (page,) = read_flat(path)
    np.testing.assert_array_equal(page, pixels)


def test_jpeg_in_colour(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 220
    (page,) = read_flat(write(tmp_path / "a.jpg", pixels))
    assert np.abs(page.astype(int) - pixels).max() <= 3


def test_grey_stored_as_rgb_is_grey(tmp_path):
    grey = picture()
    (page,) = read_flat(write(tmp_path / "a.png", np.repeat(grey[..., None], 3, -1)))
    np.testing.assert_array_equal(page, grey)
    almost = np.repeat(grey[..., None], 3, -1)
    almost[0, 0, 0] ^= 1
    assert read_flat(write(tmp_path / "b.png", almost))[0].shape == (24, 32, 3)


def test_transparency_is_laid_over_black(tmp_path):
    pixels = np.full((9, 9, 4), 200, np.uint8)
    pixels[..., 1] = 100
    pixels[..., 3] = 255
    pixels[:3, :, 3] = 0
    pixels[3:6, :, 3] = 128
    (page,) = read_flat(write(tmp_path / "a.png", pixels))
    assert page[0, 0].tolist() == [0, 0, 0]
    assert page[4, 0].tolist() == [100, 50, 100]  # half of it
    assert page[8, 0].tolist() == [200, 100, 200]


def test_palette_is_colour_in_a_picture_and_number_in_a_mask(tmp_path):
    numbers = np.array([[0, 1, 2]] * 9, np.uint8).repeat(3, axis=1)
    image = Image.fromarray(numbers, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    (page,) = read_flat(tmp_path / "a.png")
    assert page[0, 3].tolist() == [255, 0, 0]
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], numbers)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_masks_of_few_bits_keep_their_numbers(tmp_path, bits):
    numbers = (np.arange(64).reshape(8, 8) % 2**bits).astype(np.uint8)
    if bits == 1:
        Image.fromarray(numbers.astype(bool)).save(tmp_path / "a.png")
    else:
        image = Image.fromarray(numbers, "P")
        image.putpalette([v for i in range(2**bits) for v in (9 * i, i, 255 - i)])
        image.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], numbers)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    """The oracle is Pillow's own transposition."""
    from PIL import ImageOps

    image = Image.fromarray(np.stack([picture(i) for i in range(3)], axis=-1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind.lower()}"
    image.save(path, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    (page,) = read_flat(path)
    assert page.shape == expected.shape
    assert np.abs(page.astype(int) - expected).mean() < 2


def test_sixteen_bits_are_scaled_by_their_own_range(tmp_path):
    """Gain and offset of a detector change nothing; 8 bits are taken as they are."""
    grey = picture(size=(64, 64)).astype(np.uint16)
    write(tmp_path / "images" / "a.png", grey * 13 + 700)
    write(tmp_path / "images" / "b.png", grey * 200)
    write(tmp_path / "images" / "c.png", grey.astype(np.uint8))
    (a, b, c), _ = read_all(describe(tmp_path, modality="XR"))
    np.testing.assert_array_equal(a.pixels, b.pixels)
    black, white = np.percentile(grey, (0.5, 99.5))
    np.testing.assert_array_equal(a.pixels, window.between(grey, black, white))
    np.testing.assert_array_equal(c.pixels, grey)


def test_window_in_dataset_yaml(tmp_path):
    values = np.arange(10000, dtype=np.uint16).reshape(100, 100)
    write(tmp_path / "images" / "a.png", values)
    (frame,), _ = read_all(describe(tmp_path, window=[5000, 2000]))
    np.testing.assert_array_equal(frame.pixels, windowed(values, 5000, 2000))


def test_float_tiff(tmp_path):
    values = picture(size=(40, 40)).astype(np.float32) / 1000
    write(tmp_path / "images" / "a.tif", values)
    (frame,), _ = read_all(describe(tmp_path, percentiles=[0, 100]))
    assert (frame.pixels.min(), frame.pixels.max()) == (0, 255)


def test_pages_of_a_tiff_are_a_stack(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    pages = [picture(i, (40, 40)) for i in range(5)]
    masks = [np.full((40, 40), i % 2, np.uint8) for i in range(5)]
    cv2.imwritemulti(str(tmp_path / "images" / "a.tif"), pages)
    cv2.imwritemulti(str(tmp_path / "masks" / "a.tif"), masks)
    describe(tmp_path, masks="masks", classes={1: "x"}, slices=3)
    frames, left = read_all(tmp_path)
    assert [f.slice_index for f in frames] == [0, 2, 4]
    assert {(f.group_id, f.group_source) for f in frames} == {("a", "derived")}
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, pages[frame.slice_index])
        assert (frame.mask == frame.slice_index % 2).all()
    assert len(left) == 2


# --- masks, instances, boxes


def test_values_with_holes_are_numbered_anew(tmp_path):
    flat(tmp_path, n=1, masks=True, classes={255: "tumour", 7: "organ"})
    stored = np.zeros((24, 32), np.uint8)
    stored[:5], stored[10:] = 255, 7
    write(tmp_path / "masks" / "a0.png", stored)
    assert load(tmp_path).classes == {1: "organ", 2: "tumour"}
    (frame,), _ = read_all(tmp_path)
    assert frame.mask.dtype == np.uint8
    np.testing.assert_array_equal(frame.mask, np.select([stored == 7, stored == 255], [1, 2]))


def test_instances_of_sixteen_bits(tmp_path):
    flat(tmp_path, n=1, instances="instances")
    objects = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 80
    write(tmp_path / "instances" / "a0.png", objects)
    (frame,), _ = read_all(tmp_path)
    assert frame.instances.dtype == np.uint16
    np.testing.assert_array_equal(frame.instances, objects)
    assert load(tmp_path).provides == ["instances"]


def test_optional_masks_are_empty(tmp_path):
    flat(tmp_path, n=2, masks=True, masks_optional=True)
    (tmp_path / "masks" / "a1.png").unlink()
    frames, _ = read_all(tmp_path)
    assert [bool(f.mask.any()) for f in frames] == [True, False]


def test_boxes_and_their_clipping(tmp_path):
    flat(tmp_path, n=2, boxes="boxes.csv")
    lines = ("a0.png,1,2,3.5,4,x", "a0.png,-5,20,10,30,y")
    table(tmp_path, "boxes.csv", "image,x0,y0,x1,y1,label", *lines)
    notes = []
    (a, b), _ = read_all(tmp_path, notes.append)
    assert a.boxes.dtype == np.float32
    assert a.boxes.tolist() == [[1, 2, 3.5, 4], [0, 20, 10, 24]]
    assert b.boxes.shape == (0, 4)
    assert [(n.file, n.where) for n in notes] == [("boxes.csv", "line 3")]


# --- volumes

SHAPE = (24, 28, 20)


def volume_frames(root: Path, **keys):
    frames, _ = read_all(describe(root, modality="MR", slices=5, **keys))
    return frames


def nifti(root: Path, codes: str) -> None:
    folders.write_nifti(root / "images" / "v.nii.gz", head(SHAPE), codes=codes)


def nrrd(root: Path, **how) -> None:
    folders.write_nrrd(root / "images" / "v.nrrd", head(SHAPE), **how)


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (nifti, {"codes": "LPS"}),
        (nifti, {"codes": "PIR"}),
        (nrrd, {}),
        (nrrd, {"space": "RAS", "encoding": "raw"}),
        (nrrd, {"space": "LAS", "endian": "big"}),
        (nrrd, {"encoding": "raw", "endian": "big"}),
        (nrrd, {"detached": "v.raw.gz"}),
        (nrrd, {"detached": "v.raw", "encoding": "raw"}),
    ],
)
def test_a_volume_looks_the_same_however_it_is_stored(tmp_path, make, how):
    nifti(tmp_path / "wanted", codes="RAS")
    wanted = volume_frames(tmp_path / "wanted")
    make(tmp_path / "found", **how)
    found, left = read_all(describe(tmp_path / "found", modality="MR", slices=5))
    assert {e.reason for e in left} <= {volume.beyond(5), "more than 98% of it black or white"}
    assert len(wanted) == len(found) == 5
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert (a.axis, a.slice_index, a.spacing_mm) == (b.axis, b.slice_index, b.spacing_mm)


def test_a_dicom_series_is_a_volume(tmp_path):
    nifti(tmp_path / "wanted", codes="RAS")
    wanted = volume_frames(tmp_path / "wanted")
    folders.write_series(tmp_path / "found" / "images" / "p1", head(SHAPE))
    found = volume_frames(tmp_path / "found")
    assert len(wanted) == 5
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    assert {f.volume_id for f in found} == {"p1"}


def test_series_of_one_examination_are_one_group(tmp_path):
    for name, uid in (("p1", "1.1"), ("p2", "1.2")):
        folders.write_series(
            tmp_path / "images" / name, head(), SeriesInstanceUID=uid, StudyInstanceUID="9.9"
        )
    frames = volume_frames(tmp_path)
    assert len({f.group_id for f in frames}) == 1
    assert not any("9.9" in f.group_id for f in frames)  # no identifier leaves the file
    assert {f.volume_id for f in frames} == {"p1", "p2"}


def test_masks_of_volumes_lie_on_them(tmp_path):
    values = head()
    bright = (values == 900).astype(np.uint8)
    folders.write_nifti(tmp_path / "images" / "v.nii.gz", values, codes="LPS")
    folders.write_nrrd(tmp_path / "masks" / "v.nrrd", bright, space="RAS")
    # Grids of one place: the NIfTI's origin follows from its flips, the NRRD's is its corner.
    frames = volume_frames(tmp_path, masks="masks", classes={1: "rod"}, axis="axial")
    assert len(frames) == 5
    for frame in frames:
        assert frame.mask.sum() == 1
        assert frame.pixels[frame.mask == 1] == frame.pixels.max()


@pytest.mark.parametrize(
    ("mm", "choice", "axis"),
    [
        ((1, 1, 1), "thickest", "axial"),
        ((1, 1, 5), "thickest", "axial"),
        ((1.05, 1, 1), "thickest", "axial"),
        ((4, 1, 1), "thickest", "sagittal"),
        ((1, 3, 1), "thickest", "coronal"),
        ((4, 1, 1), "coronal", "coronal"),
    ],
)
def test_plane_of_the_slices(tmp_path, mm, choice, axis):
    folders.write_nifti(tmp_path / "images" / "v.nii", head(), mm)
    frames = volume_frames(tmp_path, axis=choice)
    assert {f.axis for f in frames} == {axis}


def test_pixels_become_square(tmp_path):
    """A ball in millimetres is round in the picture; labels stay labels."""
    shape, mm = (40, 20, 6), (1.0, 2.0, 5.0)
    grid = np.meshgrid(*(np.arange(n) * m for n, m in zip(shape, mm, strict=True)), indexing="ij")
    ball = sum((g - c) ** 2 for g, c in zip(grid, (19.5, 19, 12.5), strict=True)) < 15**2
    values = (ball * (400 + 10 * grid[0])).astype(np.int16)
    folders.write_nifti(tmp_path / "images" / "v.nii", values, mm)
    folders.write_nifti(tmp_path / "masks" / "v.nii", ball.astype(np.uint8) * 3, mm)
    frames = volume_frames(tmp_path, masks="masks", classes={3: "ball"})
    assert len(frames) == 5
    for frame in frames:
        inside = frame.pixels > 100
        assert (inside == (frame.mask == 1)).mean() > 0.95
        assert frame.pixels.shape == frame.mask.shape == (40, 40)
        assert frame.spacing_mm == 1.0
        assert set(np.unique(frame.mask)) <= {0, 1}
        rows, columns = (np.ptp(np.nonzero(frame.mask)[i]) for i in (0, 1))
        assert rows > 8
        assert abs(rows - columns) <= 2


def test_pixels_of_a_series_become_square(tmp_path):
    """PixelSpacing is the distance of rows first, then of columns (PS3.3 10.7.1.3)."""
    mm = (1.0, 2.0, 5.0)
    folders.write_series(tmp_path / "images" / "p1", head((40, 20, 9)), mm)
    frames = volume_frames(tmp_path)
    assert len(frames) == 5
    assert {f.pixels.shape for f in frames} == {(40, 40)}
    assert {f.spacing_mm for f in frames} == {1.0}


def test_square_leaves_nearly_square_pixels_alone():
    plane = picture()
    assert volume.square(plane, 1.0, 1.005) is plane
    assert volume.square(plane, 2.0, 1.0).shape == (48, 32)
    assert volume.square(plane, 1.0, 2.0).shape == (24, 64)
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8)[:, None], (1, 20))
    ids = np.array([[1], [2]], np.uint8).repeat(8, axis=1)
    assert volume.square(ids, 3.0, 1.0, labels=True)[:, 0].tolist() == [1, 1, 1, 2, 2, 2]
    three = np.array([[1], [2], [3]], np.uint8).repeat(8, axis=1)
    assert volume.square(three, 4.0, 3.0, labels=True)[:, 0].tolist() == [1, 2, 2, 3]
    stretched = volume.square(ramp, 2.0, 1.0).astype(int)
    assert stretched[0, 0] == 0
    assert stretched[-1, 0] == 190
    assert set(np.diff(stretched[1:-1, 0])) == {5}


@pytest.mark.parametrize(
    ("body_part", "centre", "width"),
    [("brain", 40, 80), ("Head and neck", 40, 80), ("chest", -600, 1500), ("abdomen", 40, 400)],
)
def test_ct_is_windowed_in_hu_by_body_part(tmp_path, body_part, centre, width):
    values = np.tile(np.linspace(-1000, 1000, 32).astype(np.int16)[:, None, None], (1, 32, 10))
    folders.write_nifti(tmp_path / "images" / "v.nii", values)
    frames, _ = read_all(describe(tmp_path, modality="CT", body_part=body_part, content={}))
    expected = windowed(values[:, 0, 0], centre, width)
    np.testing.assert_array_equal(frames[0].pixels[0], expected[::-1])


def test_ct_without_air_is_not_taken_for_hu():
    values = np.linspace(0, 4000, 1000).astype(np.int16)
    assert volume.grey_range(values, "CT", "chest") == tuple(np.percentile(values, (0.5, 99.5)))


def test_mr_has_the_levels_of_the_foreground_window():
    values = head().astype(np.float32)
    assert volume.grey_range(values, "MR", "brain") == window.foreground(values, 99.5)


def test_tracers_ignore_a_hot_spot():
    values = np.random.default_rng(0).gamma(2, 1, 10000)
    hot = values.copy()
    hot[:5] = 1000
    plain, hot = (volume.grey_range(v, "PET", "body")[1] for v in (values, hot))
    assert hot < 1.2 * plain


def test_slices_are_even_and_blind_to_masks(tmp_path):
    values = np.zeros((32, 32, 40), np.int16)
    values[8:24, 8:24, 10:34] = 300
    values[10:20, 10:20, 10:34] = 500
    mask = np.zeros(values.shape, np.uint8)
    mask[12:14, 12:14, 33] = 1  # the last slice with content, which is not taken
    folders.write_nifti(tmp_path / "images" / "v.nii", values)
    folders.write_nifti(tmp_path / "masks" / "v.nii", mask)
    describe(tmp_path, modality="MR", masks="masks", classes={1: "x"}, slices=4)
    frames, left = read_all(tmp_path)
    assert [f.slice_index for f in frames] == [13, 19, 25, 31]
    assert not any(f.mask.any() for f in frames)
    assert Counter(e.reason for e in left) == {
        "constant: all pixels are the same": 16,
        volume.beyond(4): 20,
    }


def test_content_is_told_by_share_and_spread():
    thin = np.zeros((100, 100), np.uint8)
    thin[0, :] = 128
    assert volume.poor(thin, volume.CONTENT) == "more than 98% of it black or white"
    dull = np.full((100, 100), 128, np.uint8)
    dull[::2] = 130
    assert "flat" in str(volume.poor(dull, volume.CONTENT))
    assert volume.poor(dull, Content()) is None
    assert volume.poor(picture(), volume.CONTENT) is None


def test_index_of_a_4d_file(tmp_path):
    first, second = head(), head()[::-1]
    folders.write_nifti(tmp_path / "images" / "v.nii", np.stack([first, second], axis=-1))
    folders.write_nifti(tmp_path / "other" / "v.nii", np.ascontiguousarray(second))
    frames, left = read_all(describe(tmp_path, modality="MR", slices=3, index=1))
    shutil.rmtree(tmp_path / "images")
    wanted, _ = read_all(describe(tmp_path, modality="MR", slices=3, images="other"))
    assert len(frames) == 3
    for a, b in zip(frames, wanted, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    assert left[0].reason == "another volume of a 4-D file (key `index`)"


def test_modality_exceptions_are_windowed_as_they_are(tmp_path):
    values = np.tile(np.linspace(-1000, 1000, 32).astype(np.int16)[:, None, None], (1, 32, 10))
    for name in ("ct", "mr"):
        folders.write_nifti(tmp_path / "images" / f"{name}.nii", values)
    describe(tmp_path, modality="MR", slices=1, content={}, modality_exceptions={"ct.nii": "CT"})
    (ct, mr), _ = read_all(tmp_path)
    np.testing.assert_array_equal(ct.pixels[0], windowed(values[::-1, 0, 0], 40, 400))
    assert (mr.pixels != ct.pixels).any()


# --- DICOM pictures and cines


def test_loose_dicom_files_are_pictures(tmp_path):
    (tmp_path / "images").mkdir()
    values = picture(size=(32, 32)).astype(np.uint16) * 8
    write_dicom(tmp_path / "images" / "a.dcm", values, WindowCenter=1000, WindowWidth=1500)
    write_dicom(
        tmp_path / "images" / "b",
        values,
        "MONOCHROME1",
        WindowCenter=1000,
        WindowWidth=1500,
        StudyInstanceUID="1.2",
    )  # without a suffix
    (a, b), _ = read_all(describe(tmp_path, modality="XR"))
    np.testing.assert_array_equal(a.pixels, windowed(values, 1000, 1500))
    np.testing.assert_array_equal(b.pixels, 255 - a.pixels)
    assert [f.group_source for f in (a, b)] == ["unknown", "derived"]


def test_ct_picture_in_hu(tmp_path):
    (tmp_path / "images").mkdir()
    hu = np.tile(np.linspace(-1000, 1000, 32).astype(np.int16), (32, 1))
    write_dicom(tmp_path / "images" / "a.dcm", hu + 1024, RescaleIntercept=-1024, RescaleSlope=1)
    (frame,), _ = read_all(describe(tmp_path, modality="CT", body_part="chest"))
    np.testing.assert_array_equal(frame.pixels, windowed(hu, -600, 1500))


def test_frames_of_a_cine_are_spread(tmp_path):
    (tmp_path / "images").mkdir()
    cine = np.stack([picture(i, (32, 32)) for i in range(9)])
    write_dicom(tmp_path / "images" / "a.dcm", cine)
    frames, _ = read_all(describe(tmp_path, slices=3, window=[128, 256]))
    assert [f.slice_index for f in frames] == [1, 4, 7]
    assert {f.group_id for f in frames} == {"a"}
    np.testing.assert_array_equal(frames[0].pixels, windowed(cine[1], 128, 256))


# --- npz


def test_npz_is_read_by_its_own_reader(tmp_path):
    arrays = {}
    for i, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"] = np.stack([picture(10 * i + j, (28, 28)) for j in range(3)])
        arrays[f"{split}_labels"] = np.array([[0], [1], [0]], np.uint8)
    np.savez(tmp_path / "x.npz", **arrays)
    names = {0: "sick", 1: "well"}
    describe(tmp_path, images="x.npz", labels="x.npz", label_names=names)
    assert load(tmp_path).labels == ["sick", "well"]
    frames, _ = read_all(tmp_path)
    assert Counter(f.split for f in frames) == {"train": 3, "val": 3, "test": 3}
    assert Counter(f.label for f in frames) == {0: 6, 1: 3}


# --- real data


@needs_shared
@pytest.mark.parametrize(
    "folder", sorted(SHARED.glob("*/dataset.yaml")), ids=lambda p: p.parent.name
)
def test_real_datasets_are_read(folder):
    dataset = load(folder.parent)
    found = list(read(dataset.description, folder.parent, print))
    frames = [f for f in found if isinstance(f, Frame)]
    assert len(frames) >= 6
    for frame in frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.std() > 1
        for plane in (frame.mask, frame.instances):
            assert plane is None or plane.shape == frame.pixels.shape[:2]
    kept = {n for f in frames if f.mask is not None for n in np.unique(f.mask).tolist()}
    assert kept - {0} == set(dataset.classes)
    assert ("boxes" in dataset.provides) == any(f.boxes is not None for f in frames)
    assert {f.label for f in frames} - {None} == set(range(len(dataset.labels)))


def test_bytes_of_an_image_are_enough(tmp_path):
    """Nothing but the file is used: an image and its copy under any name are the same."""
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    for name in ("a.png", "ä b.png"):
        (tmp_path / name).write_bytes(buffer.getvalue())
    one, other = (read_flat(tmp_path / name)[0] for name in ("a.png", "ä b.png"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "file",
    [
        "@eaDir/a0.png/SYNOFILE_THUMB_M.png",
        "#recycle/a0.png",
        "@Recycle/a0.png",
        "$RECYCLE.BIN/a0.png",
        "System Volume Information/a0.png",
        "a0.png@SynoEAStream",
        "a0.png:Zone.Identifier",
        "~$a0.png",
    ],
)
def test_what_disks_and_programs_leave_behind_is_no_image(tmp_path, file):
    root = flat(tmp_path, n=2)
    path = root / "images" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((root / "images" / "a0.png").read_bytes())
    frames, left = read_all(root)
    assert [frame.image_id for frame in frames] == ["a0", "a1"]
    assert not left
