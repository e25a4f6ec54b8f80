"""Maps, values, subjects and kinds of labels of folder datasets."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

import folders
from folders import describe, flat, load, picture, read_all, table, write
from generated import SPLITS
from medfiles import write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.folder.check import check_folder
from medtaskatlas.datasets.own import load_own
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.formats.images import ImageSet

DOSE = {"folder": "maps", "scale": 0.002, "unit": "Gy"}
SHARED = REPOSITORY.parent / "shared" / "datasets_maps" / "ct_openkbp_dose"


def dose(seed: int) -> np.ndarray:
    """Stored values of a map, uint16 [24, 32]."""
    return np.random.default_rng(seed).integers(0, 40_000, (24, 32)).astype(np.uint16)


def with_maps(root, n=4, valid=False, **keys):
    """Pictures a0.png, a1.png, ..., each with a map and, if wanted, where it counts."""
    for i in range(n):
        write(root / "maps" / f"a{i}.png", dose(i))
        if valid:
            write(root / "counts" / f"a{i}.png", (picture(i) > 100).astype(np.uint8))
    about = {**DOSE, **keys, **({"valid": "counts"} if valid else {})}
    return flat(root, n, maps={"dose": about})


def told(root, severity="error"):
    """What check says, a line each."""
    return [str(f).replace("\n  ", "; ") for f in check_folder(root) if f.severity == severity]


def prepared(root, out, size=24):
    """The dataset through fetching and preparing."""
    dataset = load_own(root)
    fetch(dataset, out / "data")
    prepare(dataset, root, out / "x.arrow", image_size=size, splits=SPLITS, seed=0,
            manifest=out / "data" / "MANIFEST.json")  # fmt: skip
    return ImageSet(out / "x.arrow")


# --- maps


@pytest.mark.parametrize("valid", [False, True])
def test_a_map_is_stored_value_times_scale(tmp_path, valid):
    frames, _ = read_all(with_maps(tmp_path, valid=valid))
    for i, frame in enumerate(frames):
        values, counts = frame.maps["dose"]
        assert (values.dtype, counts.dtype) == (np.float32, bool)
        np.testing.assert_array_equal(counts, picture(i) > 100 if valid else True)
        np.testing.assert_allclose(values, np.where(counts, dose(i) * 0.002, 0), rtol=1e-6)


def test_maps_reach_the_prepared_file_with_their_unit(tmp_path):
    images = prepared(with_maps(tmp_path / "mine", n=6, description="planned"), tmp_path)
    about = images.meta["maps"]["dose"]
    assert (about["unit"], about["description"]) == ("Gy", "planned")
    assert about["high"] == pytest.approx(images.numpy("map.dose").max())
    assert images.numpy("valid.dose").all()
    # The square in the middle, as of the picture.
    name = images.column("image_id").to_pylist()[0]
    stored = dose(int(name[1:]))[:, 4:28]
    np.testing.assert_allclose(images.numpy("map.dose")[0], stored * 0.002, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_eight_bits_and_fractions(tmp_path, suffix):
    """A float TIFF counts where it is a number; 8 bits count everywhere."""
    values = picture(1) if suffix == ".png" else picture(1).astype(np.float32) / 7
    if suffix == ".tiff":
        values[:3] = np.nan
        values[5, 5] = -2
    write(tmp_path / "maps" / f"a0{suffix}", values)
    flat(tmp_path, 1, maps={"depth": {"folder": "maps", "unit": "mm"}})
    (frame,), _ = read_all(tmp_path)
    stored, counts = frame.maps["depth"]
    np.testing.assert_array_equal(counts, np.isfinite(values))
    np.testing.assert_array_equal(stored[counts], values[counts].astype(np.float32))


def test_maps_of_volumes_follow_their_slices(tmp_path):
    """A map that is the volume itself looks like it on each slice, stored in another way."""
    values = folders.head((20, 22, 10)).astype(np.float32)
    folders.write_nifti(tmp_path / "images" / "v.nii.gz", values, (1, 1, 3))
    folders.write_nrrd(tmp_path / "maps" / "v.nrrd", values, (1, 1, 3), space="RAS")
    folders.write_nifti(tmp_path / "in" / "v.nii", (values > 0).astype(np.uint8), (1, 1, 3), "LPS")
    about = {"folder": "maps", "unit": "1", "valid": "in", "scale": 2.0}
    describe(tmp_path, modality="MR", slices=3, window=[500, 1001], maps={"t": about})
    frames, _ = read_all(tmp_path)
    assert len(frames) == 3
    for frame in frames:
        stored, counts = frame.maps["t"]
        assert counts.any()
        grey = np.clip(stored / 2 * 255 / 1000, 0, 255)
        assert np.abs(grey[counts] - frame.pixels[counts]).max() <= 1
        assert not stored[~counts].any()


def test_square_pixels_keep_a_linear_map(tmp_path):
    """Rows of 2 mm become twice as many; a map that is linear in y stays so inside."""
    shape = (16, 16, 12)
    values = np.broadcast_to(np.arange(12, dtype=np.float32), shape).copy()
    noise = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    folders.write_nifti(tmp_path / "images" / "v.nii", noise, (1, 1, 2))
    folders.write_nifti(tmp_path / "maps" / "v.nii", values, (1, 1, 2))
    about = {"folder": "maps", "unit": "mm"}
    describe(tmp_path, modality="MR", axis="coronal", slices=1, maps={"height": about})
    (frame,), _ = read_all(tmp_path)
    stored, counts = frame.maps["height"]
    assert stored.shape == frame.pixels.shape == (24, 16)
    assert counts.all()
    np.testing.assert_allclose(np.diff(stored[1:-1, 0]), -0.5, atol=1e-5)


def test_a_map_may_be_absent_only_if_that_is_written(tmp_path):
    root = with_maps(tmp_path / "a")
    (root / "maps" / "a2.png").unlink()
    (line,) = told(root)
    assert re.search(r"maps: 1 images have no map of dose: a2\.png.*optional: true", line)
    root = with_maps(tmp_path / "b", valid=True, optional=True)
    (root / "maps" / "a2.png").unlink()
    (root / "counts" / "a2.png").unlink()
    assert not told(root)
    assert "info: maps: 1 images have no map of dose: a2.png" in told(root, "info")
    assert [set(frame.maps) for frame in read_all(root)[0]] == [{"dose"}, {"dose"}, set(), {"dose"}]
    (root / "counts" / "a1.png").unlink()
    assert "1 images have no mask of where dose counts: a1.png" in told(root)[0]


def test_check_reports_what_maps_hold(tmp_path):
    stored = np.stack([dose(i) for i in range(4)])
    low, high = stored.min() * 0.002, stored.max() * 0.002
    said = f"info: dose: 4 of 4 images have it, {low:g} to {high:g} Gy"
    assert said in told(with_maps(tmp_path), "info")


def spoil_size(root):
    write(root / "maps" / "a1.png", dose(1)[:20])


def spoil_colour(root):
    write(root / "maps" / "a1.png", picture(1, (24, 32, 3)))


def spoil_extra(root):
    write(root / "maps" / "b.png", dose(1))


def spoil_jpeg(root):
    (root / "maps" / "a1.png").unlink()
    write(root / "maps" / "a1.jpg", picture(1))


def spoil_valid(root):
    write(root / "counts" / "a1.png", np.full((24, 32), 255, np.uint8))


def spoil_nan(root):
    (root / "maps" / "a1.png").unlink()
    write(root / "maps" / "a1.tiff", np.full((24, 32), np.nan, np.float32))


def spoil_volume(root):
    (root / "maps" / "a1.png").unlink()
    folders.write_nifti(root / "maps" / "a1.nii", dose(1)[..., None].astype(np.int32))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_size, r"maps/a1\.png is 32 x 20 pixels, images/a1\.png is 32 x 24.*a map must"),
        (spoil_colour, r"maps/a1\.png is a colour picture, not a map"),
        (spoil_extra, r"maps: 1 of its files belong to no image: b\.png"),
        (spoil_jpeg, r"maps/a1\.jpg is a map in JPEG"),
        (spoil_valid, r"counts/a1\.png holds the value 255.*1 where the map counts"),
        (spoil_nan, r"maps/a1\.tiff has \d+ values that are NaN.*set the mask to 0"),
        (spoil_volume, r"maps/a1\.nii is a volume, but images/a1\.png is a picture"),
    ],
)
def test_mistakes_in_maps(tmp_path, spoil, problem):
    root = with_maps(tmp_path, valid=True)
    spoil(root)
    (line,) = told(root)
    assert re.search(problem, line), line
    with pytest.raises(DataError):
        read_all(root)


# --- values


def test_values_are_columns(tmp_path):
    age, given = {"file": "labels.csv", "unit": "years"}, {"file": "d.csv", "unit": "Gy"}
    flat(tmp_path, labels="labels.csv", values={"age": age, "dose": given})
    table(tmp_path, "labels.csv", "image,label,age", "a0.png,x,70.5", "a1.png,y,", "a2.png,x,-1")
    table(tmp_path, "d.csv", "dose,remark,image", "3e1,none,a3.png")
    frames, _ = read_all(tmp_path)
    assert [f.values for f in frames] == [{"age": 70.5}, {}, {"age": -1}, {"dose": 30}]
    assert "info: age: 2 of 4 images have it, -1 to 70.5 years" in told(tmp_path, "info")
    assert not told(tmp_path)
    images = prepared(tmp_path, tmp_path / "out")
    of = dict(zip(images.column("image_id").to_pylist(), images.column("value.age").to_pylist(),
                  strict=True))  # fmt: skip
    assert of == {"a0": 70.5, "a1": None, "a2": -1, "a3": None}
    assert images.meta["values"]["age"]["unit"] == "years"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["image,label,age", "a0.png,x,old"], r"labels\.csv: line 2: age of a0\.png is 'old'"),
        (["image,label,age", "a0.png,x,3", "a1.png,x,nan"], r"line 3: age of a1\.png is 'nan'"),
        (["image,label,age", 'a0.png,x,"70,5"'], r"line 2: age of a0\.png is '70,5'"),
        (["image,label,aeg", "a0.png,x,3"], r"line 1: lacks the column age"),
    ],
)
def test_mistakes_in_values(tmp_path, lines, problem):
    about = {"age": {"file": "labels.csv", "unit": "years"}}
    table(flat(tmp_path, labels="labels.csv", values=about), "labels.csv", *lines)
    assert any(re.search(problem, line) for line in told(tmp_path)), told(tmp_path)


# --- kinds of labels


def test_ordinal_labels_are_in_the_order_of_their_names(tmp_path):
    names = {"mild": "Mild", "moderate": "Moderate", "bad": "Severe"}
    flat(tmp_path, labels="labels.csv", label_kind="ordinal", label_names=names)
    table(tmp_path, "labels.csv", "image,label", "a0.png,bad", "a1.png,mild", "a2.png,moderate")
    dataset = load(tmp_path)
    assert (dataset.labels_are, dataset.labels) == ("ordinal", ["Mild", "Moderate", "Severe"])
    assert [f.label for f in read_all(tmp_path)[0]] == [2, 0, 1, None]


def test_ordinal_numbers_are_in_the_order_of_the_numbers(tmp_path):
    flat(tmp_path, labels="labels.csv", label_kind="ordinal", label_names={10: "c", 2: "b", 0: "a"})
    table(tmp_path, "labels.csv", "image,label", "a0.png,10", "a1.png,0", "a2.png,2")
    assert load(tmp_path).labels == ["a", "b", "c"]
    assert [f.label for f in read_all(tmp_path)[0]] == [2, 0, 1, None]


def test_an_image_may_have_several_labels(tmp_path):
    flat(tmp_path, labels="labels.csv", label_kind="multi_label")
    rows = ["a0.png,effusion|mass", "a1.png,", "a2.png, mass "]
    table(tmp_path, "labels.csv", "image,label", *rows)
    assert load(tmp_path).labels == ["no finding", "effusion", "mass"]
    frames, _ = read_all(tmp_path)
    assert [f.label for f in frames] == [None, 0, 2, None]
    expected = [(True, True), (False, False), (False, True), None]
    assert [f.labels for f in frames] == expected
    images = prepared(tmp_path, tmp_path / "out")
    assert images.meta["findings"] == ["effusion", "mass"]
    assert images.meta["label_kind"] == "multi_label"


def test_names_of_several_labels(tmp_path):
    names = {"m": "Mass", "e": "Effusion", "n": "Nodule"}
    flat(tmp_path, labels="labels.csv", label_kind="multi_label", label_names=names)
    table(tmp_path, "labels.csv", "image,label", "a0.png,m|e", "a1.png,e")
    assert load(tmp_path).labels == ["no finding", "Effusion", "Mass", "Nodule"]
    doubts = " ".join(told(tmp_path, "warning"))
    assert re.findall(r"no image is \w+", doubts) == ["no image is Nodule"]
    table(tmp_path, "labels.csv", "image,label", "a0.png,m|x")
    assert "labels.csv: line 2: label 'x' is not in `label_names`" in told(tmp_path)[0]


# --- subjects


@pytest.mark.parametrize("where", ["labels.csv", "splits.csv", "pattern"])
def test_subjects_are_written_or_found_in_names(tmp_path, where):
    keys = {"labels.csv": {"labels": "labels.csv"}, "pattern": {"subject_pattern": r"^(a[0-3])"}}
    flat(tmp_path, n=4, subjects="clinic", **keys.get(where, {}))
    if where == "labels.csv":
        rows = [f"a{i}.png,x,g{i},p{i // 2}" for i in range(4)]
        table(tmp_path, where, "image,label,group,subject", *rows)
    elif where == "splits.csv":
        rows = [f"a{i}.png,{'train' if i < 2 else 'test'},g{i},p{i // 2}" for i in range(4)]
        table(tmp_path, where, "image,split,group,subject", *rows)
    frames, _ = read_all(tmp_path)
    wanted = [f"a{i}" for i in range(4)] if where == "pattern" else ["p0", "p0", "p1", "p1"]
    assert [f.subject for f in frames] == wanted
    assert not told(tmp_path)
    images = prepared(tmp_path, tmp_path / "out")
    assert set(images.column("subject_id").to_pylist()) == {f"clinic/{s}" for s in wanted}


def test_subjects_are_whole(tmp_path):
    flat(tmp_path, n=3)
    rows = ["a0.png,train,g0,p", "a1.png,test,g1,p", "a2.png,test,g2,q"]
    table(tmp_path, "splits.csv", "image,split,group,subject", *rows)
    (line,) = told(tmp_path)
    assert "subject p is in two splits: a0.png in train, a1.png in test" in line
    rows = ["a0.png,train,g,p", "a1.png,train,g,q", "a2.png,test,h,"]
    table(tmp_path, "splits.csv", "image,split,group,subject", *rows)
    one, other = told(tmp_path)
    assert "line 4: a2.png has no subject" in one
    assert "group g belongs to two subjects: a0.png to p, a1.png to q" in other


def test_a_pattern_that_finds_no_subject(tmp_path):
    (line,) = told(flat(tmp_path, subject_pattern=r"^b(\d)"))
    assert "subject_pattern: '^b(\\\\d)' finds no subject in 4 names" in line


def test_a_patient_of_dicom_is_group_and_subject(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(4):
        write_dicom(
            tmp_path / "images" / f"a{i}.dcm",
            picture(i),
            StudyInstanceUID=f"1.{i}",
            PatientID=f"p{i // 2}",
        )
    describe(tmp_path)
    frames, _ = read_all(tmp_path)
    assert len({f.group_id for f in frames}) == 2
    assert [f.subject == frames[0].subject for f in frames] == [True, True, False, False]
    assert not any("p0" in str(f.subject) for f in frames)
    rows = [f"a{i}.dcm,{'test' if i == 1 else 'train'}" for i in range(4)]
    table(tmp_path, "splits.csv", "image,split", *rows)
    (line,) = told(tmp_path)
    assert "images/a1.dcm: its patient is in two splits: train and test" in line
    table(tmp_path, "splits.csv", "image,split,group", *(f"{row},g{i // 2}" for i, row in
          enumerate(r.replace("test", "train") for r in rows)))  # fmt: skip
    assert {f.subject for f in read_all(tmp_path)[0]} == {None}


# --- real data


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/datasets_maps is absent")
def test_published_maps_are_read_whole(tmp_path):
    shutil.copytree(SHARED, tmp_path / SHARED.name)
    root = tmp_path / SHARED.name
    assert not [f for f in check_folder(root) if f.severity != "info"]
    images = prepared(root, tmp_path, size=64)
    columns = {name: images.column(name).to_pylist() for name in ("split", "subject_id")}
    assert len(columns["split"]) == 720
    assert [columns["split"].count(s) for s in ("train", "val", "test")] == [480, 96, 144]
    assert len(set(columns["subject_id"])) == 120
    about = images.meta["maps"]["dose"]
    assert about["low"] == 0
    assert 70 < about["high"] < 85
    assert len(images.meta["classes"]) == 10
    assert not images.numpy("map.dose")[images.numpy("valid.dose") == 0].any()
