"""DICOM files as scanners, archives and planning systems write them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless

import folders
from folders import describe, picture, read_all, table, write
from medfiles import write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.folder.read import read_volumes
from medtaskatlas.datasets.io import window
from medtaskatlas.datasets.io.dicom import read_dicom, read_header, read_series, to_grey
from medtaskatlas.datasets.io.frame import Cube
from medtaskatlas.datasets.sources.folder import load_folder_dataset
from medtaskatlas.problems.files import described, survey_images
from medtaskatlas.problems.native import Reader

SEGMENTATION, DOSE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.2"
MAP = "1.2.840.10008.5.1.4.1.1.30"


def images(root: Path) -> Path:
    """Folder of the images."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    return root / "images"


def item(**tags) -> list[Dataset]:
    """Sequence of one item."""
    one = Dataset()
    for name, value in tags.items():
        setattr(one, name, value)
    return [one]


def write_enhanced(path: Path, stored: np.ndarray, rescale, **tags) -> Path:
    """A multi-frame file [F, H, W] whose geometry and grey values are in functional groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = []
    for k, (slope, intercept) in enumerate(rescale):
        (frame,) = item(
            PixelValueTransformationSequence=item(
                RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU"
            ),
            PlanePositionSequence=item(ImagePositionPatient=[0, 0, 5.0 * k]),
        )
        frames.append(frame)
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[0.8, 0.8], SliceThickness=5),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    tags = {"PerFrameFunctionalGroupsSequence": frames, **tags}
    return write_dicom(path, stored, SharedFunctionalGroupsSequence=shared, **tags)


def body(n: int = 12, size: int = 32) -> np.ndarray:
    """Slices [F, H, W] in HU: air, and tissue of -60 to 140 HU that is different in each."""
    hu = np.full((n, size, size), -1000)
    for k in range(n):
        hu[k, 4:-4, 4:-4] = picture(k, (size - 8, size - 8)) / 1.2 - 60
    return hu


def pixels(root: Path) -> list[np.ndarray]:
    """Pictures of a dataset."""
    return [frame.pixels for frame in read_all(root)[0]]


def refused(root: Path) -> DataError:
    """The error that reading a dataset ends with."""
    with pytest.raises(DataError) as caught:
        read_all(root)
    return caught.value


# --- multi-frame files


def test_an_enhanced_file_is_the_volume_of_its_series(tmp_path):
    hu, keys = body(), {"modality": "CT", "body_part": "abdomen"}
    for k, plane in enumerate(hu):
        folder = images(tmp_path / "a") / "p"
        folder.mkdir(exist_ok=True)
        write_dicom(
            folder / f"{k}.dcm",
            (plane + 1024).astype(np.uint16),
            RescaleSlope=1,
            RescaleIntercept=-1024,
            ImagePositionPatient=[0, 0, 5 * k],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.8, 0.8],
            SeriesInstanceUID="1.2",
        )
    # Each frame has a scale of its own, and the frames lie in the file in another order.
    scales = [(1, -1024), (0.5, -1100)] * 6
    stored = [(p - i) / s for p, (s, i) in zip(hu, scales, strict=True)]
    write_enhanced(tmp_path / "b/images/p.dcm", np.array(stored).astype(np.uint16), scales)
    describe(tmp_path / "a", **keys)
    describe(tmp_path / "b", **keys)
    (wanted, _), (found, _) = read_all(tmp_path / "a"), read_all(tmp_path / "b")
    assert len(found) == 12
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.axis, one.slice_index) == (other.axis, other.slice_index)
        assert one.spacing_mm == other.spacing_mm == 0.8
    tissue = hu[wanted[0].slice_index][::-1] if wanted[0].pixels[0, 0] else hu[0]
    np.testing.assert_array_equal(
        found[0].pixels, window.between(tissue, *window.centre_width(40, 400))
    )
    (cube,) = read_volumes(load_folder_dataset(tmp_path / "b").description, tmp_path / "b", print)
    assert isinstance(cube, Cube)
    assert cube.voxels.shape == (12, 32, 32)
    assert cube.spacing_mm == (5, 0.8, 0.8)


def test_frames_at_one_place_stay_a_cine_each_with_its_window(tmp_path):
    stored = np.stack([picture(i, (32, 32)).astype(np.uint16) * 4 for i in range(3)])
    frames = [
        item(
            PlanePositionSequence=item(ImagePositionPatient=[0, 0, 7]),
            FrameVOILUTSequence=item(WindowCenter=400 + 100 * k, WindowWidth=600),
        )[0]
        for k in range(3)
    ]
    rescale = [(1, 0)] * 3
    write_enhanced(
        images(tmp_path) / "a.dcm", stored, rescale, PerFrameFunctionalGroupsSequence=frames
    )
    found = pixels(describe(tmp_path))
    for k in range(3):
        wanted = window.between(stored[k], *window.centre_width(400 + 100 * k, 600))
        np.testing.assert_array_equal(found[k], wanted)


def test_functional_groups_that_do_not_fit(tmp_path):
    write_enhanced(images(tmp_path) / "a.dcm", np.ones((3, 32, 32), np.uint16), [(1, 0)] * 2)
    assert "a.dcm: PerFrameFunctionalGroupsSequence has 2 items" in str(refused(describe(tmp_path)))


def test_a_real_enhanced_file_has_its_places():
    path = Path(get_testdata_file("eCT_Supplemental.dcm", download=False))
    values, affine = read_series([path], [read_header(path)])
    assert values.shape == (512, 512, 2)
    header = pydicom.dcmread(path)
    first, second = (
        np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for frame in header.PerFrameFunctionalGroupsSequence
    )
    np.testing.assert_allclose(np.linalg.norm(affine[:3, 2]), np.linalg.norm(second - first))
    slope = header.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    stored = pixel_array(path)[0].astype(float)  # the frame that lies further along the normal
    np.testing.assert_array_equal(
        values[..., 1].T, stored * slope.RescaleSlope + slope.RescaleIntercept
    )


# --- grey values


def test_monochrome1_is_turned_after_the_window(tmp_path):
    """A series, its cube and a single picture: large values are dark, and HU stay HU."""
    hu, keys = body(), {"modality": "CT", "body_part": "abdomen"}
    tags = {"photometric": "MONOCHROME1", "RescaleSlope": 1, "RescaleIntercept": -1024}
    values = (hu + 1024).transpose(2, 1, 0)[::-1, ::-1].astype(np.int16)
    folders.write_series(images(tmp_path) / "p", values, **tags)
    write_dicom(tmp_path / "images/s.dcm", (hu[5] + 1024).astype(np.int16), **tags)
    frames, _ = read_all(describe(tmp_path, **keys))
    series, (single,) = [[f for f in frames if f.image_id.startswith(n)] for n in ("p", "s")]
    np.testing.assert_array_equal(series[5].pixels, single.pixels)
    wanted = 255 - window.between(hu[5], *window.centre_width(40, 400))
    np.testing.assert_array_equal(single.pixels, wanted)
    (cube,) = read_volumes(load_folder_dataset(tmp_path).description, tmp_path, print)
    np.testing.assert_array_equal(cube.voxels, [f.pixels for f in series])
    found, _ = survey_images(tmp_path / "images")
    found = described(found, keys)
    one = next(i for i in found.items if i.kind == "series")
    (seen,) = Reader(found, (32, 32), 1).read(one, print)
    np.testing.assert_array_equal(seen.pixels[:, 0], [f.pixels for f in series])


def test_a_mask_in_monochrome1_keeps_its_classes(tmp_path):
    values, mask = folders.head((24, 24, 12)), np.zeros((24, 24, 12), np.int16)
    mask[8:12, 8:12] = 1
    folders.write_series(images(tmp_path) / "p", values)
    folders.write_series(tmp_path / "masks" / "p", mask, photometric="MONOCHROME1")
    frames, _ = read_all(describe(tmp_path, modality="MR", masks="masks", classes={1: "one"}))
    assert {int(frame.mask.sum()) for frame in frames} == {16}


def test_a_series_of_two_photometric_interpretations(tmp_path):
    folders.write_series(images(tmp_path) / "p", folders.head((24, 24, 12)))
    file = tmp_path / "images/p/003.dcm"
    header = pydicom.dcmread(file)
    header.PhotometricInterpretation = "MONOCHROME1"
    header.save_as(file)
    assert "MONOCHROME1" in str(refused(describe(tmp_path, modality="MR")))


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint8])
def test_a_radiograph_without_window_is_as_its_png(tmp_path, kind):
    """A robust range: a burnt-in marker leaves the patient his grey levels; 8 bits stay as is."""
    values = picture(size=(64, 64)).astype(kind)
    values = values if kind is np.uint8 else values * 2 + 200
    values[2:4, 2:5] = np.iinfo(kind).max
    tags = {"RescaleSlope": 1, "RescaleIntercept": 0}
    write_dicom(images(tmp_path) / "a.dcm", values, **tags)
    if kind is not np.int16:
        write(tmp_path / "images/b.png", values)
    found = pixels(describe(tmp_path, modality="XR"))
    assert all(len(np.unique(one)) > 100 for one in found)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("series", [False, True])
def test_padding_is_no_measurement(tmp_path, photometric, series):
    """Values outside of the field of view shift no grey range, and are as dark as the darkest."""
    rng = np.random.default_rng(0)
    values = rng.integers(500, 1000, (24, 24, 12)).astype(np.int16)
    padded = values.copy()
    padded[:10] = -2000
    tags = {"photometric": photometric, "PixelPaddingValue": -2000}
    write_one = folders.write_series if series else _write_pictures
    write_one(images(tmp_path) / "p", padded, **tags)
    frames, _ = read_all(describe(tmp_path, modality="US", content={}, slices=12))
    assert frames
    for frame in frames:
        outside = frame.pixels == 0
        assert 0.35 < outside.mean() < 0.5
        assert len(np.unique(frame.pixels)) > 150


def _write_pictures(folder: Path, values: np.ndarray, **tags) -> None:
    """Loose pictures of the planes of a volume."""
    for k in range(3):
        path = folder.with_name(f"a{k}.dcm")
        write_dicom(path, np.ascontiguousarray(values[..., k]), **tags)


def test_a_range_of_padding_written_as_unsigned(tmp_path):
    values = np.array([[-2000, -1990, 0, 5]] * 8, np.int16)
    header = write_dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-2000)
    header = pydicom.dcmread(tmp_path / "a.dcm")
    header.add_new("PixelPaddingRangeLimit", "US", 63546)  # -1990
    header.save_as(tmp_path / "a.dcm")
    assert read_dicom(tmp_path / "a.dcm").padding[0, 0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("LINEAR", lambda x: (x - 499.5) / 199 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 500) / 200 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 500) / 200))),
    ],
)
def test_functions_of_the_window(tmp_path, function, wanted):
    """PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    values = np.arange(300, 700, dtype=np.uint16).reshape(20, 20)
    tags = {"WindowCenter": 500, "WindowWidth": 200, "VOILUTFunction": function}
    write_dicom(images(tmp_path) / "a.dcm", values, **tags)
    (found,) = pixels(describe(tmp_path))
    np.testing.assert_allclose(
        found, np.clip(wanted(values.astype(float)), 0, 1) * 255, atol=0.5001
    )


def test_an_unknown_function_of_the_window(tmp_path):
    tags = {"WindowCenter": 500, "WindowWidth": 200, "VOILUTFunction": "CUBIC"}
    write_dicom(images(tmp_path) / "a.dcm", picture(), **tags)
    error = refused(describe(tmp_path))
    assert "a.dcm" in error.problem
    assert "CUBIC" in error.problem
    assert "`window`" in error.remedy


def test_a_window_of_no_width_is_none(tmp_path):
    values = picture(size=(32, 32))
    write_dicom(images(tmp_path) / "a.dcm", values, WindowCenter=10, WindowWidth=0)
    np.testing.assert_array_equal(pixels(describe(tmp_path))[0], values)


def test_tables_whose_entries_have_fewer_bits_than_they_say(tmp_path):
    """Palettes of 8 bits and VOI LUTs of 12 that say 16 are not black."""
    ramp = np.arange(256, dtype="<u2")
    colours = zip(("Red", "Green", "Blue"), (ramp, ramp[::-1], ramp // 2), strict=True)
    tags = {}
    for colour, entries in colours:
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = entries.tobytes()
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_dicom(tmp_path / "a.dcm", values, "PALETTE COLOR", **tags)
    found = read_dicom(tmp_path / "a.dcm").values[0]
    np.testing.assert_array_equal(found, np.stack([values, 255 - values, values // 2], axis=-1))
    lut = item(LUTDescriptor=[256, 0, 16], LUTData=(ramp * 16 + 15).tobytes())
    write_dicom(tmp_path / "b.dcm", values, VOILUTSequence=lut)
    decoded = read_dicom(tmp_path / "b.dcm")
    found = to_grey(decoded.headers[0], decoded.values[0])
    np.testing.assert_allclose(found, values, atol=1)


@pytest.mark.parametrize(
    ("tag", "series"),
    [
        ("WindowCenter", False),
        ("PixelSpacing", False),
        ("ImagePositionPatient", True),
        ("ImageOrientationPatient", True),
        ("InstanceNumber", True),
    ],
)
@pytest.mark.parametrize("text", ["abcd", "1e999"])
def test_tags_that_are_no_numbers_are_named(tmp_path, tag, series, text):
    place = images(tmp_path) / "p"
    if series:
        folders.write_series(place, folders.head((24, 24, 12)))
    else:
        place.mkdir()
        write_dicom(place / "000.dcm", picture(), WindowWidth=5)
    file = place / "000.dcm"
    header = pydicom.dcmread(file)
    if tag == "InstanceNumber":
        for each in place.iterdir():
            bare = pydicom.dcmread(each)
            del bare.ImagePositionPatient
            bare.save_as(each)
        header = pydicom.dcmread(file)
    header.add_new(tag, "LO", text)
    header.save_as(file)
    error = refused(describe(tmp_path, modality="US"))
    assert "000.dcm" in error.problem
    assert f"{tag} is no number" in error.problem


# --- what belongs together


def test_a_patient_is_one_group_with_all_examinations(tmp_path):
    for i in range(6):
        folders.write_series(
            images(tmp_path) / f"p{i}",
            folders.head((24, 24, 12)),
            SeriesInstanceUID=f"1.{i}",
            StudyInstanceUID=f"2.{i}",
            PatientID=f"P{i // 2}" if i < 4 else "",
        )
    frames, _ = read_all(describe(tmp_path, modality="MR", slices=2))
    groups = [frame.group_id for frame in frames[::2]]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert groups[4] != groups[5]  # who has no PatientID is told by the examination
    assert {frame.group_source for frame in frames} == {"derived"}
    assert not any("P0" in group for group in groups)  # no identifier leaves the file


# --- series


def scout(folder: Path, name: str, **tags) -> None:
    """A coronal picture in a series of axial ones."""
    tags = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]} | tags
    header = {"SeriesInstanceUID": "1.2.3", "PixelSpacing": [1, 1]}
    place = {"ImagePositionPatient": [0, 0, 52]}
    write_dicom(folder / name, picture(1, (24, 24)).astype(np.int16), **(header | place | tags))


@pytest.mark.parametrize("name", ["0.dcm", "zz.dcm"])
def test_a_slice_of_another_orientation_is_named(tmp_path, name):
    folders.write_series(images(tmp_path) / "p", folders.head((24, 24, 12)))
    scout(tmp_path / "images/p", name)
    error = refused(describe(tmp_path, modality="MR"))
    assert f"images/p: {name} cannot be a slice" in error.problem
    assert "ImageOrientationPatient is 1 0 0 0 0 -1, of the others 1 0 0 0 1 0" in error.problem
    assert "scout" in error.remedy


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelSpacing": [2, 2]}, "PixelSpacing is 2 2, of the others 1 1"),
        ({"ImagePositionPatient": None}, "zz.dcm has no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient is absent"),
    ],
)
def test_a_slice_that_does_not_fit_is_named(tmp_path, tags, words):
    folders.write_series(images(tmp_path) / "p", folders.head((24, 24, 12)))
    scout(tmp_path / "images/p", "zz.dcm", **{"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]} | tags)
    assert words in refused(describe(tmp_path, modality="MR")).problem


def test_orientations_may_differ_in_their_last_digits(tmp_path):
    folders.write_series(images(tmp_path) / "p", folders.head((24, 24, 12)))
    file = tmp_path / "images/p/003.dcm"
    header = pydicom.dcmread(file)
    header.ImageOrientationPatient = [1, 0.0004, 0, 0, 0.9999, 0]
    header.save_as(file)
    assert len(pixels(describe(tmp_path, modality="MR"))) == 10


# --- what is no image


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SOPClassUID": UID(SEGMENTATION)}, "DICOM file of no image (Segmentation Storage)"),
        ({"SOPClassUID": UID(DOSE)}, "DICOM file of no image (RT Dose Storage)"),
        ({"SOPClassUID": UID(MAP)}, "DICOM file of no image (Parametric Map Storage)"),
        ({"Modality": "SEG"}, "DICOM file of no image (SEG)"),
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
            "MOSAIC: tiles of a volume in one picture; convert it with dcm2niix",
        ),
    ],
)
def test_masks_doses_and_mosaics_are_left_out(tmp_path, tags, reason):
    """Loose among pictures, and among the slices of a series."""
    write_dicom(images(tmp_path) / "a.dcm", picture(size=(24, 24)))
    write_dicom(tmp_path / "images/b.dcm", picture(size=(24, 24)), **tags)
    folders.write_series(tmp_path / "images/p", folders.head((24, 24, 12)))
    write_dicom(tmp_path / "images/p/b.dcm", picture(size=(24, 24)), **tags)
    frames, left = read_all(describe(tmp_path, modality="MR"))
    assert Counter(frame.volume_id for frame in frames) == {None: 1, "p": 10}
    told = {e.image_id: e.reason for e in left if e.image_id not in ("p-000", "p-011")}  # blank
    assert told == {"b": reason, "p/b.dcm": reason}


def test_mosaics_are_warned_of(tmp_path):
    """They are of patients, and would be missed, unlike masks and doses."""
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}
    write_dicom(images(tmp_path) / "a.dcm", picture(size=(24, 24)), **tags)
    folders.write_series(tmp_path / "images/p", folders.head((24, 24, 12)), **tags)
    notes = []
    frames, _ = read_all(describe(tmp_path, modality="MR"), notes.append)
    assert not frames
    assert [(n.file, n.problem.rpartition(" ")[2], n.remedy) for n in notes] == [
        ("images/a.dcm", "1)", "convert it with dcm2niix"),
        ("images/p", "12)", "convert it with dcm2niix"),
    ]


def test_a_segmentation_as_mask_is_refused(tmp_path):
    folders.write_series(images(tmp_path) / "p", folders.head((24, 24, 12)))
    mask = np.zeros((24, 24, 12), np.int16)
    folders.write_series(tmp_path / "masks/p", mask, SOPClassUID=UID(SEGMENTATION))
    error = refused(describe(tmp_path, modality="MR", masks="masks", classes={1: "one"}))
    assert "Segmentation Storage" in error.problem
    assert "NIfTI" in error.remedy


# --- pixels that are not square


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": [1, 0.5]},
        {"ImagerPixelSpacing": [1, 0.5]},
        {"PixelAspectRatio": [2, 1]},
        {"PixelAspectRatio": [2, 1], "colour": True},
        {"PixelSpacing": [1, 0.5], "frames": 2},
    ],
)
def test_pictures_get_square_pixels(tmp_path, tags):
    """A disc is round, with its mask, boxes and maps on it."""
    tags = dict(tags)
    colour, count = tags.pop("colour", False), tags.pop("frames", 1)
    y, x = np.mgrid[:40, :80]
    disc = ((y - 20) / 10) ** 2 + ((x - 40) / 20) ** 2 < 1
    values = np.where(disc, 220, picture(size=(40, 80)) // 4).astype(np.uint8)
    stored = np.stack([values] * 3, axis=-1) if colour else values
    stored = stored if count == 1 else np.stack([stored] * count)
    photometric = "RGB" if colour else "MONOCHROME2"
    write_dicom(images(tmp_path) / "a.dcm", stored, photometric, **tags)
    keys = {"masks": "masks", "classes": {1: "disc"}}
    if count == 1:
        write(tmp_path / "masks/a.png", disc.astype(np.uint8))
        write(tmp_path / "maps/a.png", disc.astype(np.uint8))
        table(tmp_path, "boxes.csv", "image,x0,y0,x1,y1", "a.dcm,20,10,60,30")
        keys |= {"boxes": "boxes.csv"}
        keys |= {"maps": {"dose": {"folder": "maps", "scale": 1, "unit": "Gy"}}}
    else:
        keys = {}
    frames, _ = read_all(describe(tmp_path, **keys))
    assert len(frames) == count
    for frame in frames:
        bright = (frame.pixels if not colour else frame.pixels[..., 0]) > 150
        assert bright.shape == (80, 80)
        assert (
            abs(np.ptp(np.flatnonzero(bright.any(1))) - np.ptp(np.flatnonzero(bright.any(0)))) < 3
        )
        assert frame.spacing_mm == (None if "PixelAspectRatio" in tags else 0.5)
        if count == 1:
            assert ((frame.mask > 0) ^ bright).mean() < 0.02
            assert ((frame.maps["dose"][0] > 0.5) ^ bright).mean() < 0.02
            assert frame.boxes.tolist() == [[20, 20, 60, 60]]


def test_predictions_have_the_pixels_of_the_file(tmp_path):
    write_dicom(images(tmp_path) / "a.dcm", picture(size=(40, 80)), PixelSpacing=[1, 0.5])
    found, _ = survey_images(tmp_path / "images")
    found = described(found, {"modality": "US", "body_part": "none"})
    (seen,) = Reader(found, (32, 32), 1).read(found.items[0], print)
    assert seen.native(np.ones((1, 32, 32), np.uint8)).shape[-2:] == (40, 80)


def test_a_series_without_places_gets_square_pixels(tmp_path):
    place = images(tmp_path) / "p"
    place.mkdir()
    for k in range(3):
        tags = {"InstanceNumber": k, "PixelSpacing": [1, 0.5], "SeriesInstanceUID": "1.2"}
        write_dicom(place / f"{k}.dcm", picture(k, (20, 40)), **tags)
    assert {one.shape for one in pixels(describe(tmp_path))} == {(40, 40)}


# --- encodings


@pytest.mark.parametrize(
    ("syntax", "encode", "kinds"),
    [
        (JPEGLosslessSV1, imagecodecs.ljpeg_encode, [np.uint16]),
        (JPEGLSLossless, imagecodecs.jpegls_encode, [np.uint8, np.uint16]),
    ],
)
def test_lossless_jpeg_is_decoded(tmp_path, syntax, encode, kinds):
    """Pictures of 8 and 12 bits, cines, and numbers below 0."""
    for kind in kinds:
        cine = np.stack([picture(i, (24, 32)).astype(kind) for i in range(3)])
        cine = cine * 16 if kind is np.uint16 else cine
        header = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", cine))
        header.BitsStored, header.HighBit = (8, 7) if kind is np.uint8 else (12, 11)
        header.PixelData = encapsulate([encode(one) for one in cine])
        header["PixelData"].VR = "OB"
        header.file_meta.TransferSyntaxUID = syntax
        header.save_as(tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_dicom(tmp_path / "a.dcm").stored, cine)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),  # JPEG Lossless
    ],
)
def test_real_lossless_files_are_as_their_originals(name, same):
    one, other = (read_dicom(Path(get_testdata_file(n, download=False))) for n in (name, same))
    np.testing.assert_array_equal(one.stored, other.stored)


def test_jpeg_of_12_bits_is_decoded():
    found = read_dicom(Path(get_testdata_file("JPGExtended.dcm", download=False))).stored[0]
    assert found.shape == (1024, 256)
    assert 255 < found.max() < 4096
    assert np.abs(np.diff(found.astype(int), axis=1)).mean() < 5  # a picture, and no noise


def test_a_picture_of_another_size_than_its_header(tmp_path):
    source = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    source.Rows = 63
    source.save_as(images(tmp_path) / "a.dcm")
    assert "a.dcm cannot be decoded" in refused(describe(tmp_path)).problem


def test_lossy_jpeg_is_decoded_as_ever():
    """Lossy JPEG differs by its decoder."""
    for name, plugin in (
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", "pillow"),
        ("JPEG2000.dcm", "pylibjpeg"),
    ):
        path = Path(get_testdata_file(name, download=False))
        wanted = pixel_array(path, decoding_plugin=plugin)
        np.testing.assert_array_equal(read_dicom(path).stored[0], wanted)


def test_what_cannot_be_decoded_says_how(tmp_path):
    header = pydicom.dcmread(get_testdata_file("JPGExtended.dcm", download=False))
    header.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")  # MPEG-4
    header.save_as(images(tmp_path) / "a.dcm")
    error = refused(describe(tmp_path))
    assert "a.dcm cannot be decoded" in error.problem
    assert "MPEG-4" in error.problem
    assert "gdcmconv --raw" in error.remedy
    assert "exclude" in error.remedy
    assert "delete" not in error.remedy


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_preamble(tmp_path, implicit):
    values = picture(size=(32, 32))
    header = pydicom.dcmread(write_dicom(tmp_path / "x.dcm", values, StudyInstanceUID="1.2"))
    bare = Dataset()
    bare.update({element.tag: element for element in header})
    for name in ("a.dcm", "b"):  # with a suffix and without
        path = images(tmp_path) / name
        bare.save_as(path, implicit_vr=implicit, little_endian=True)
    frames, left = read_all(describe(tmp_path))
    assert [frame.image_id for frame in frames] == ["a", "b"]
    assert not left
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, values)


def test_meta_information_without_preamble(tmp_path):
    values = picture(size=(32, 32))
    path = write_dicom(images(tmp_path) / "a.dcm", values)
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    header.save_as(path, implicit_vr=True)
    (tmp_path / "images/b").write_bytes(path.read_bytes()[132:])
    for found in pixels(describe(tmp_path)):
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    "content", [b"", b"no DICOM at all" * 50, b"\x08\x00\x16\x00" + b"\xff" * 9]
)
def test_what_is_no_dicom_is_told_without_advice_for_programmers(tmp_path, content):
    (images(tmp_path) / "a.dcm").write_bytes(content)
    error = refused(describe(tmp_path))
    assert "a.dcm cannot be" in error.problem
    assert "force" not in str(error)
