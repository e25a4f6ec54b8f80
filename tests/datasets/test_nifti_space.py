"""Where voxels of NIfTI files lie: two transforms, units, tiny voxels, slices without thickness."""

import struct
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from folders import describe, head, picture, read_all, write_nrrd
from medfiles import write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.folder.read import read_volumes
from medtaskatlas.datasets.io.nifti import load_volume
from medtaskatlas.datasets.io.volume import rounded
from medtaskatlas.datasets.own import load_own
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.formats.images import ImageSet

SPLITS = {"train": 0.6, "val": 0.2, "test": 0.2}
SFORM, QFORM = np.diag([2.0, 2, 4, 1]), np.diag([-2.0, 2, 4, 1])
QFORM[0, 3] = 46  # fills the same box of 24 voxels, mirrored


def save(path, values, sform=None, qform=None, unit="mm"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, None)
    image.set_sform(sform, 0 if sform is None else 1)
    image.set_qform(qform, 0 if qform is None else 1)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)


def lesion(root, image, mask):
    """A bright block and a mask on the same voxels, with the transforms of each."""
    values, where = head(), np.zeros((24, 28, 20), np.uint8)
    where[4:9, 8:16, 6:14] = 1
    values[where > 0] = 2000
    save(root / "images" / "v.nii.gz", values, **image)
    save(root / "masks" / "v.nii.gz", where, **mask)
    return {"masks": "masks", "classes": {1: "lesion"}, "modality": "MR"}


@pytest.mark.parametrize("spoilt", ["images", "masks"])
def test_transforms_that_disagree_are_an_error_that_names_the_key(tmp_path, spoilt):
    both, one = {"sform": SFORM, "qform": QFORM}, {"qform": QFORM}
    keys = lesion(tmp_path, *((both, one) if spoilt == "images" else (one, both)))
    with pytest.raises(DataError, match=rf"{spoilt}/v.*qform and sform disagree by 46 mm") as said:
        read_all(describe(tmp_path, **keys))
    assert "`nifti_transform: qform` or `nifti_transform: sform`" in said.value.remedy


@pytest.mark.parametrize("chosen", ["qform", "sform"])
def test_the_key_puts_the_mask_on_its_image(tmp_path, chosen):
    drawn = {"qform": QFORM} if chosen == "qform" else {"sform": SFORM}
    keys = lesion(tmp_path, {"sform": SFORM, "qform": QFORM}, drawn)
    frames, _ = read_all(describe(tmp_path, nifti_transform=chosen, **keys))
    shown = [f for f in frames if f.mask.any()]
    assert shown
    for frame in shown:
        np.testing.assert_array_equal(frame.pixels == 255, frame.mask == 1)
    # The other transform shows the mirror image.
    mirrored = {"qform": "sform", "sform": "qform"}[chosen]
    frames, _ = read_all(describe(tmp_path, nifti_transform=mirrored, **keys))
    assert not any(((f.pixels == 255) & (f.mask == 1)).any() for f in frames)


def test_a_mask_without_a_place_is_not_laid_on_by_index(tmp_path):
    keys = lesion(tmp_path, {"sform": SFORM}, {"sform": SFORM})
    (tmp_path / "masks" / "v.nii.gz").unlink()
    (tmp_path / "masks" / "v").mkdir()
    for z in range(20):
        plane = np.zeros((28, 24), np.uint16)
        write_dicom(tmp_path / "masks" / "v" / f"{z}.dcm", plane, SeriesInstanceUID="1.2")
    with pytest.raises(DataError, match="has no positions of its slices") as said:
        read_all(describe(tmp_path, **keys))
    assert "save the mask as NIfTI" in said.value.remedy


def test_rounding_and_one_transform_alone_are_no_contradiction(tmp_path):
    near = QFORM.copy()
    near[:3, 3] += 0.3
    for place in ({"sform": near, "qform": QFORM}, {"sform": QFORM}, {"qform": QFORM}, {}):
        save(tmp_path / "v.nii", head(), **place)
        values, _ = load_volume(tmp_path / "v.nii")
        np.testing.assert_array_equal(values, head()[::-1])  # x runs to the left


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1e-6), ("micron", 1e-3), ("meter", 1e-9)])
def test_voxels_of_nanometres(tmp_path, unit, scale):
    """4 x 4 x 40 nm, thick along x: sagittal slices, and lengths that are not rounded to 0."""
    values = np.ascontiguousarray(np.repeat(head((48, 48, 20)).transpose(2, 0, 1), 2, axis=1))
    affine = np.diag([40 * scale, 4 * scale, 4 * scale, 1])
    save(tmp_path / "em" / "images" / "v.nii.gz", values, affine, unit=unit)
    where = (values > 600).astype(np.uint8)
    save(tmp_path / "em" / "masks" / "v.nii.gz", where, np.diag([4e-5, 4e-6, 4e-6, 1]))
    describe(tmp_path / "em", name="em", modality="EM", masks="masks", classes={1: "axon"})
    frames, _ = read_all(tmp_path / "em")
    assert {(f.axis, f.spacing_mm, f.pixels.shape) for f in frames} == {
        ("sagittal", 4e-6, (48, 96))
    }
    dataset = load_own(tmp_path / "em")
    [cube] = read_volumes(dataset.description, tmp_path / "em", print)
    assert cube.spacing_mm == (4e-6, 4e-6, 4e-5)
    fetch(dataset, tmp_path / "data")
    prepare(dataset, tmp_path / "em", tmp_path / "em.arrow", image_size=64, splits=SPLITS, seed=0,
            manifest=tmp_path / "data" / "MANIFEST.json")  # fmt: skip
    images = ImageSet(tmp_path / "em.arrow")
    assert images.column("spacing_mm").to_pylist() == [pytest.approx(3e-6)] * len(frames)


def test_masks_of_tiny_voxels_are_compared_in_their_voxels(tmp_path):
    affine, moved = np.diag([4e-9, 4e-9, 4e-9, 1]), np.diag([4e-9, 4e-9, 4e-9, 1])
    moved[0, 3] = 8e-9
    keys = lesion(tmp_path, {"sform": affine}, {"sform": moved})
    with pytest.raises(DataError, match=r"masks/v\.nii\.gz lies 2\.0 voxels away"):
        read_all(describe(tmp_path, **keys))


def test_nrrd_of_tiny_voxels_and_units(tmp_path):
    for unit, scale in ((None, 1e-6), ("um", 1e-3), ("\u00b5m", 1e-3), ("nm", 1.0)):
        fields = (f'space units: "{unit}" "{unit}" "{unit}"',) if unit else ()
        mm = (40 * scale, 4 * scale, 4 * scale)
        write_nrrd(tmp_path / "images" / "v.nrrd", head(), mm, fields=fields)
        frames, _ = read_all(describe(tmp_path, modality="EM"))
        assert {(f.axis, f.spacing_mm) for f in frames} == {("sagittal", 4e-6)}


def test_lengths_of_usual_size_are_rounded_as_ever():
    assert rounded(0.70312512, 4) == 0.7031
    assert rounded(0.97656251, 4) == 0.9766
    assert rounded(12.000049, 4) == 12.0
    assert rounded(0.4394531251, 6) == 0.439453
    assert rounded(4.0000001e-6, 4) == 4e-6
    assert rounded(0, 4) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_without_thickness_is_one_slice(tmp_path, axis):
    plane = picture(size=(24, 32)).astype(np.int16)
    affine = np.diag([2.0, 3.0, 1.5, 1.0])
    affine[axis, axis] = 0
    path = tmp_path / "images" / "v.nii"
    save(path, np.expand_dims(plane, axis), np.eye(4))
    data = bytearray(path.read_bytes())
    struct.pack_into("<12f", data, 280, *affine[:3].ravel())  # srow_x, srow_y, srow_z
    struct.pack_into("<f", data, 80 + 4 * axis, 0)  # pixdim
    path.write_bytes(data)
    [frame], _ = read_all(describe(tmp_path, modality="MR"))
    assert frame.axis == ("sagittal", "coronal", "axial")[axis]
    assert min(frame.pixels.shape) >= 24


def test_single_slices_of_any_thickness_and_two_dimensions(tmp_path):
    plane = picture(size=(24, 32)).astype(np.int16)
    for thickness in (0.1, 1, 50):
        save(tmp_path / "images" / "v.nii", plane[..., None], np.diag([2, 2, thickness, 1]))
        [thin], _ = read_all(describe(tmp_path, modality="MR"))
        assert (thin.axis, thin.spacing_mm) == ("axial", 2)
        assert thin.pixels.shape == (32, 24)
    save(tmp_path / "images" / "v.nii", plane, np.diag([2, 2, 1, 1]))
    [flat], _ = read_all(tmp_path)
    np.testing.assert_array_equal(flat.pixels, thin.pixels)
    save(tmp_path / "images" / "v.nii", plane[..., None, None, None], np.diag([2, 2, 1, 1]))
    [many], _ = read_all(tmp_path)
    np.testing.assert_array_equal(many.pixels, thin.pixels)


@pytest.mark.parametrize("wrong", ["no size", "parallel", "nan"])
def test_axes_that_span_no_space(tmp_path, wrong):
    affine = np.eye(4)
    affine[:3, 2] = {"no size": 0, "parallel": affine[:3, 1], "nan": np.nan}[wrong]
    path = tmp_path / "images" / "v.nii"
    save(path, head(), np.eye(4))
    data = bytearray(path.read_bytes())
    struct.pack_into("<12f", data, 280, *affine[:3].ravel())
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"v\.nii: its axes span no space") as said:
        read_all(describe(tmp_path, modality="MR"))
    assert "mend its header" in said.value.remedy


def test_what_nibabel_puts_right_is_not_printed_without_the_file_s_name(tmp_path):
    """In a process of its own: pytest hears what a library prints at its import or not at all."""
    path = tmp_path / "v.nii"
    save(path, np.zeros((8, 9, 1), np.int16), np.eye(4))
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, 80 + 4 * 2, 0)  # pixdim
    path.write_bytes(data)
    code = "import sys; from medtaskatlas.datasets.io.nifti import volume_shape as shape\n"
    command = [sys.executable, "-c", f"{code}print(shape(sys.argv[1]))", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(8, 9, 1)\n", "")
