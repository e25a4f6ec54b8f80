"""The contact sheet that `datasets check` draws."""

from __future__ import annotations

import errno

import cv2
import numpy as np

import folders
from folders import describe, flat, picture, table, write
from medtaskatlas.datasets.folder.check import check_folder
from medtaskatlas.datasets.folder.sheet import _SIDE, Sheet
from medtaskatlas.datasets.io.frame import Frame

ORANGE = (230, 159, 0)


def drawn(root, path):
    """The sheet, RGB."""
    said = [f.problem for f in check_folder(root, path) if f.severity == "info"]
    assert f"look at {path}: " in said[0]
    return cv2.imread(str(path))[..., ::-1]


def columns(sheet, colour):
    """Columns in which a colour is, of the first tile."""
    tile = sheet[6 : 6 + _SIDE, 6 : 6 + _SIDE]
    return np.flatnonzero((tile == colour).all(axis=2).any(axis=0))


def test_a_mirrored_mask_is_seen(tmp_path):
    for side in ("left", "right"):
        root = tmp_path / side
        mask = np.zeros((24, 24), np.uint8)
        mask[8:16, 2:8] = 255
        write(root / "images" / "a.png", picture(0, (24, 24)))
        write(root / "masks" / "a.png", mask if side == "left" else mask[:, ::-1])
        describe(root, masks="masks", classes={255: "lesion"})
        marked = columns(drawn(root, tmp_path / f"{side}.png"), ORANGE)
        assert (marked.max() < _SIDE / 2) == (side == "left")
        assert (marked.min() > _SIDE / 2) == (side == "right")


def test_boxes_maps_and_names_of_any_letters(tmp_path):
    root = flat(tmp_path / "mine", n=3)
    for i in range(3):
        (root / "images" / f"a{i}.png").rename(root / "images" / f"ä{i}.png")
        write(root / "maps" / f"ä{i}.png", picture(9))
    describe(root, boxes="boxes.csv", maps={"dose": {"folder": "maps", "scale": 1, "unit": "Gy"}})
    table(root, "boxes.csv", "image,x0,y0,x1,y1", "ä0.png,2,2,9,9")
    sheet = drawn(root, tmp_path / "new" / "sheet.png")
    white = columns(sheet, (255, 255, 255))
    assert abs(white.min() - 2 * _SIDE / 32) < 3
    assert abs(white.max() - 9 * _SIDE / 32) < 3
    assert (np.ptp(sheet.astype(int), axis=2) > 30).mean() > 0.1  # colours of the map


def test_of_a_volume_the_slice_with_most_annotation(tmp_path):
    values = folders.head()
    mask = np.zeros(values.shape, np.uint8)
    mask[8:16, 8:16, 10] = 1
    folders.write_nifti(tmp_path / "images" / "v.nii.gz", values)
    folders.write_nifti(tmp_path / "masks" / "v.nii.gz", mask)
    describe(tmp_path, masks="masks", classes={1: "lesion"}, slices=20)
    assert len(columns(drawn(tmp_path, tmp_path / "x.png"), ORANGE))


def test_many_images_are_spread_evenly():
    """Every fourth of 96, and no more kept in memory than twice what is shown."""
    sheet = Sheet()
    for i in range(1000):
        sheet.take(Frame(np.zeros((9, 9), np.uint8), f"{i:04d}", "g", "unknown"))
        assert len(sheet.tiles) <= 48
    numbers = [int(name) for name in sheet.tiles]
    assert len(numbers) >= 24
    assert len(set(np.diff(numbers))) == 1
    assert numbers[-1] > 900


def test_without_images_there_is_no_sheet(tmp_path):
    root = describe(tmp_path / "mine")
    (root / "images").mkdir()
    (root / "images" / "a.png").write_bytes(b"")
    check_folder(root, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_where_no_picture_can_be_written_the_check_goes_on(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("PIL.Image.Image.save", refuse)
    findings = check_folder(flat(tmp_path / "mine", n=1), tmp_path / "x.png")
    assert any("Read-only file system" in f.problem and "--pictures" in f.remedy for f in findings)
    assert findings[-1].problem == "1 images in 1 groups can be used"
