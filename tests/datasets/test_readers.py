from __future__ import annotations

import nibabel
import numpy as np
import pytest

from medfiles import make_dataset, write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.io import window
from medtaskatlas.datasets.io.dicom import read_dicom
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.io.nifti import load_volume
from medtaskatlas.datasets.io.volume import display, resample_nearest
from medtaskatlas.datasets.packaged.read import pixels_hash, read, tile_places
from medtaskatlas.datasets.packaged.recipes import Blocks, Tiles


def pictures(*entries, **keys):
    return {"kind": "pictures", "pictures": list(entries), **keys}


def only(dataset, folder) -> Frame:
    (frame,) = read(dataset.recipe, folder)
    assert isinstance(frame, Frame)
    return frame


# --- NIfTI


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR"])
def test_orientation_does_not_depend_on_storage(tmp_path, codes):
    """A mark at the front, right and top is where radiologists look for it."""
    values = np.zeros((6, 8, 10), np.int16)
    values[5, 7, 9] = 100  # right, anterior, superior in RAS
    image = nibabel.Nifti1Image(values, np.eye(4))
    wanted = nibabel.orientations.axcodes2ornt(codes)
    image = image.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted)
    )
    nibabel.save(image, tmp_path / "v.nii.gz")
    stored, _ = load_volume(tmp_path / "v.nii.gz")
    axial, coronal = display(stored, "axial", 9), display(stored, "coronal", 7)
    sagittal = display(stored, "sagittal", 5)
    assert axial.shape == (8, 6)
    assert axial[0, 0] == 100  # front at the top, patient's right on the left
    assert coronal.shape == (10, 6)
    assert coronal[0, 0] == 100  # head at the top, patient's right on the left
    assert sagittal.shape == (10, 8)
    assert sagittal[0, 0] == 100  # head at the top, front on the left


def test_real_brain_is_upright(raw):
    """The eyes' end of the head is narrower than the middle; the cerebellum lies below."""
    values, affine = load_volume(
        raw / "mni152_tissue" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    )
    x, z = (int(-affine[axis, 3]) + 4 for axis in (0, 2))
    sagittal = display(values, "sagittal", x) > 0
    half = sagittal.shape[0] // 2
    # In the lower half, the brain (cerebellum, brainstem) lies behind, that is on the right.
    columns = np.nonzero(sagittal[half + 30 :])[1]
    assert columns.mean() > sagittal.shape[1] / 2
    assert display(values, "axial", z).shape == (233, 197)


def test_labels_are_resampled_by_world_position():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 2, 3] = 7
    own = np.diag([2.0, 2.0, 2.0, 1.0])
    own[:3, 3] = (10, 20, 30)
    shape, affine = (20, 30, 40), np.eye(4)
    out = resample_nearest((labels, own), shape, affine)
    where = np.argwhere(out == 7)
    np.testing.assert_array_equal(where.mean(axis=0).round(), [12, 24, 36])
    assert len(where) == 8  # a voxel of 2 mm is 8 voxels of 1 mm
    assert set(np.unique(out)) == {0, 7}


def test_blocks_are_whole_and_apart():
    blocks = Blocks(axis="axial", first_mm=0, last_mm=40, step_mm=2, slices=4, gap_mm=8)
    found = blocks.positions()
    assert {b for b, _ in found} == {0, 1, 2}
    ends = {b: [p for c, p in found if c == b] for b in range(3)}
    assert all(min(ends[b + 1]) - max(ends[b]) == 8 for b in range(2))
    assert all(len(p) == 4 for p in ends.values())


def test_both_templates_agree_on_the_split_of_a_position(prepared):
    where = {}
    for name in ("mni152_tissue", "mni152_regions"):
        ids = [i.split("-", 1)[1] for i in prepared[name].numpy("image_id")]
        where[name] = dict(zip(ids, prepared[name].numpy("split"), strict=True))
    assert where["mni152_tissue"] == where["mni152_regions"]
    assert set(where["mni152_tissue"].values()) == {"train", "val", "test"}


def test_regions_lie_on_the_brain(prepared):
    images = prepared["mni152_regions"]
    inside = images.masks > 0
    assert (images.images[..., 0][inside] > 60).mean() > 0.97
    assert images.masks.max() == 8
    assert images.instances.max() == 83
    np.testing.assert_array_equal(images.masks > 0, images.instances > 0)


def test_tissue_classes_follow_the_grey_levels(prepared):
    """White matter is brighter than grey matter in T1."""
    images = prepared["mni152_tissue"]
    grey, white = (images.images[..., 0][images.masks == c].mean() for c in (1, 2))
    assert white > grey + 20


def test_damaged_nifti(tmp_path):
    (tmp_path / "v.nii.gz").write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match=r"(?s)v\.nii\.gz cannot be read.*delete"):
        load_volume(tmp_path / "v.nii.gz")


# --- DICOM


def test_window_in_hu(tmp_path):
    hu = np.array([[-1000, -60, 40, 140, 1000]], np.int16).repeat(5, axis=0)
    write_dicom(tmp_path / "a.dcm", hu + 1024, RescaleIntercept=-1024, RescaleSlope=1)
    entry = {"files": ["a.dcm"], "group": "g", "window": [40, 200]}
    frame = only(make_dataset(["a.dcm"], pictures(entry)), tmp_path)
    assert frame.pixels[0].tolist() == [0, 0, 128, 255, 255]


def test_file_window_is_used(tmp_path):
    values = np.arange(100, dtype=np.uint16).reshape(10, 10)
    write_dicom(tmp_path / "a.dcm", values, WindowCenter=[50, 1], WindowWidth=[21, 1])
    frame = only(make_dataset(["a.dcm"], pictures({"files": ["a.dcm"], "group": "g"})), tmp_path)
    expected = np.clip(((values - 49.5) / 20 + 0.5) * 255, 0, 255)  # DICOM PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(frame.pixels, expected, atol=0.5)


def test_monochrome1_is_inverted(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name, photometric in (("a", "MONOCHROME1"), ("b", "MONOCHROME2")):
        write_dicom(tmp_path / f"{name}.dcm", values, photometric)
    a, b = (
        only(make_dataset([f], pictures({"files": [f], "group": "g"})), tmp_path).pixels
        for f in ("a.dcm", "b.dcm")
    )
    np.testing.assert_array_equal(a, 255 - b)
    assert a[0, 0] == 255


def test_palette_of_16_bits_becomes_8_bits(tmp_path):
    ramp = (np.arange(256, dtype="<u2") * 257).tobytes()
    zero = np.zeros(256, "<u2").tobytes()
    tags = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")}
    tags |= {"RedPaletteColorLookupTableData": ramp, "GreenPaletteColorLookupTableData": zero}
    tags |= {"BluePaletteColorLookupTableData": zero}
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_dicom(tmp_path / "a.dcm", values, "PALETTE COLOR", **tags)
    decoded = read_dicom(tmp_path / "a.dcm").values[0]
    np.testing.assert_array_equal(decoded[..., 0], values)
    assert not decoded[..., 1:].any()


def test_ybr_becomes_rgb(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[:] = (76, 85, 255)  # pure red in YCbCr (PS3.3 C.7.6.3.1.2)
    write_dicom(tmp_path / "a.dcm", red, "YBR_FULL")
    np.testing.assert_allclose(read_dicom(tmp_path / "a.dcm").values[0, 0, 0], (254, 0, 0), atol=2)


def test_frames_of_a_cine(tmp_path):
    rng = np.random.default_rng(0)
    write_dicom(tmp_path / "a.dcm", rng.integers(0, 255, (10, 16, 16), dtype=np.uint8))
    entry = {"files": ["a.dcm"], "group": "g", "every": 3}
    frames = list(read(make_dataset(["a.dcm"], pictures(entry)).recipe, tmp_path))
    assert [f.slice_index for f in frames] == [0, 3, 6, 9]
    assert {f.group_id for f in frames} == {"g"}


def test_duplicate_under_another_encoding_is_kept_once(tmp_path):
    values = np.arange(400, dtype=np.uint16).reshape(20, 20)
    write_dicom(tmp_path / "a.dcm", values)
    write_dicom(tmp_path / "b.dcm", values, big_endian=True)
    entry = {"files": ["a.dcm", "b.dcm"], "group": "g"}
    kept, left = read(make_dataset(["a.dcm", "b.dcm"], pictures(entry)).recipe, tmp_path)
    assert kept.image_id == "a"
    assert left == Excluded("b-000", "duplicate of a.dcm")


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("ct_dicom", "693_J2KR", "693_UNCR"),
        ("mr_dicom", "MR2_J2KR", "MR2_UNCR"),
        ("us_stills", "US1_J2KR", "examples_jpeg2k"),
        ("nm_bone_scan", "JPEG2000_UNC", "JPEG2000"),
    ],
)
def test_real_encodings_decode_to_the_same(raw, name, one, other):
    a, b = (read_dicom(raw / name / f"{f}.dcm").stored for f in (one, other))
    assert pixels_hash(a) == pixels_hash(b)


def test_hash_sees_shape_and_values_only():
    a = np.arange(12).reshape(3, 4)
    assert pixels_hash(a.astype(">u2")) == pixels_hash(a.astype(np.int32))
    assert pixels_hash(a) != pixels_hash(a.reshape(4, 3))
    assert pixels_hash(a) != pixels_hash(a + 1)


def test_damaged_dicom(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"(?s)a\.dcm cannot be decoded.*delete"):
        read_dicom(path)


# --- tiles and windows


def test_tiles_stay_in_their_disjoint_region():
    tiles = Tiles(regions=(3, 2), tile=40, stride=17)
    found = list(tile_places(310, 205, tiles))
    assert {region for region, _, _ in found} == {(r, c) for r in range(3) for c in range(2)}
    for (row, column), top, left in found:
        assert row * 103 <= top
        assert top + 40 <= (row + 1) * 103
        assert column * 102 <= left
        assert left + 40 <= (column + 1) * 102


def test_region_too_small_gives_no_tile():
    assert list(tile_places(100, 100, Tiles(regions=(4, 4), tile=30, stride=5))) == []


def test_content_rule_counts_what_it_drops(tmp_path):
    values = np.zeros((64, 64), np.uint8)
    values[:, 32:] = np.random.default_rng(0).integers(20, 230, (64, 32))
    write_dicom(tmp_path / "a.dcm", values)
    entry = {"files": ["a.dcm"], "group": "g", "whole": False}
    entry["tiles"] = {"regions": [1, 2], "tile": 32, "stride": 32}
    recipe = pictures(entry, content={"min_std": 5, "max_extreme": 0.5})
    found = list(read(make_dataset(["a.dcm"], recipe).recipe, tmp_path))
    left = [f for f in found if isinstance(f, Excluded)]
    kept = [f for f in found if isinstance(f, Frame)]
    assert {f.reason for f in left} == {"more than 50% of it black or white"}
    assert {f.group_id for f in kept} == {"g-r0c1"}
    assert {f.group_source for f in kept} == {"region"}


def test_foreground_window_ignores_added_air():
    rng = np.random.default_rng(0)
    head = rng.integers(500, 1000, (20, 20, 20))
    aired = np.zeros((60, 60, 20), head.dtype)
    aired[:20, :20] = head
    little = np.zeros((30, 30, 20), head.dtype)
    little[:20, :20] = head
    assert window.foreground(aired, 99) == window.foreground(little, 99)
