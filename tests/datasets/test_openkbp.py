"""OpenKBP: its sparse files, its download, and a copy of the user's own."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from generated import SPLITS
from loopback import Reply, Site
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.archives.git_tree import tree_id
from medtaskatlas.datasets.catalogue import dataset_from_entry, listing, load_catalogue
from medtaskatlas.datasets.download import fetch
from medtaskatlas.datasets.folder.files import Finding
from medtaskatlas.datasets.io.frame import Excluded, Frame
from medtaskatlas.datasets.io.openkbp import STRUCTURES, read_openkbp, read_patient
from medtaskatlas.datasets.own import check_own, find_folder_datasets, load_own
from medtaskatlas.datasets.prepare import prepare
from medtaskatlas.datasets.remote.remote_file import Limits
from medtaskatlas.datasets.sources.openkbp import DATA
from medtaskatlas.formats.images import ImageSet

SIDE = 128
SHARED = REPOSITORY.parent / "shared"
PUBLISHED = {
    "pt_66": set(),
    "pt_108": {"Mandible"},
    "pt_104": {"Esophagus"},
    "pt_51": {"PTV63", "Esophagus", "Larynx", "Mandible"},
    "pt_201": set(),
    "pt_219": {"Esophagus", "Larynx"},
    "pt_302": {"Esophagus"},
    "pt_307": {"PTV63"},
}
needs_patients = pytest.mark.skipif(
    not (SHARED / "openkbp").is_dir(), reason="../shared/openkbp is absent"
)


def body(seed: int) -> dict[str, np.ndarray]:
    """A small patient: volumes [128, 128, 128] as stored, axes i (back), j (left), k (feet)."""
    rng = np.random.default_rng(seed)
    i, j, k = np.ogrid[:SIDE, :SIDE, :SIDE]
    skin = ((i - 64) / 40) ** 2 + ((j - 64) / 45) ** 2 + np.zeros((1, 1, SIDE)) < 1
    skin &= (k >= 30) & (k < 50)
    possible = skin & (k >= 32) & (k < 44)
    ct = np.where(skin, 900 + rng.integers(0, 300, skin.shape), 0)
    dose = np.where(possible, 70 * np.exp(-((j - 64.0) ** 2) / 2000), 0).round(3)

    def box(*corners: int) -> np.ndarray:
        a, b, c, d = corners
        return (i >= a) & (i < b) & (j >= c) & (j < d) & (k >= 33) & (k < 40)

    return {
        "ct": ct,
        "dose": dose,
        "possible_dose_mask": possible,
        "PTV70": box(50, 70, 50, 70),
        "RightParotid": box(60, 66, 40, 52),  # overlaps the target, and is smaller
        "LeftParotid": box(60, 66, 80, 90),
    }


def write_sparse(path: Path, values: np.ndarray) -> None:
    """A volume as OpenKBP has it."""
    index = np.flatnonzero(values)
    if values.dtype == bool:
        lines = [f"{i}," for i in index]
    else:
        lines = [f"{i},{float(v)}" for i, v in zip(index, values.reshape(-1)[index], strict=True)]
    path.write_text("\n".join([",data", *lines]) + "\n")


def write_patient(folder: Path, seed: int = 0, mm: tuple[float, ...] = (4, 4, 3)) -> Path:
    """A patient's folder."""
    folder.mkdir(parents=True)
    for name, values in body(seed).items():
        write_sparse(folder / f"{name}.csv", values)
    (folder / "voxel_dimensions.csv").write_text("".join(f"{side:.18e}\n" for side in mm))
    return folder


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """provided-data of three patients."""
    root = tmp_path_factory.mktemp("openkbp") / DATA
    for seed, place in enumerate(("train-pats/pt_2", "train-pats/pt_10", "test-pats/pt_1")):
        write_patient(root / place, seed)
    return root


@pytest.fixture
def data(published, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(published, tmp_path / DATA))


def frames_of(root: Path, slices: int = 4) -> list[Frame]:
    return [f for f in read_openkbp(root, (40, 400), slices) if isinstance(f, Frame)]


# --- reading


def test_volumes_come_back(published):
    patient = read_patient(published / "train-pats" / "pt_2")
    stored = {name: values.transpose(2, 0, 1) for name, values in body(0).items()}
    np.testing.assert_array_equal(patient.ct, stored["ct"] - 1000)
    np.testing.assert_array_equal(patient.dose, stored["dose"].astype(np.float32))
    np.testing.assert_array_equal(patient.possible, stored["possible_dose_mask"])
    assert patient.voxel_mm == (4, 4, 3)
    # The parotid is smaller than the target that it overlaps, and stays whole.
    np.testing.assert_array_equal(patient.mask == 6, stored["RightParotid"])
    np.testing.assert_array_equal(patient.mask == 7, stored["LeftParotid"])
    target = stored["PTV70"] & ~stored["RightParotid"]
    np.testing.assert_array_equal(patient.mask == 1, target)


def test_slices_are_spread_over_those_with_possible_dose(published):
    found = list(read_openkbp(published, (40, 400), 4))
    frames = [f for f in found if isinstance(f, Frame)]
    assert len(found) == 3 * SIDE
    assert [f.slice_index for f in frames] == [33, 36, 39, 42] * 3
    reasons = {f.reason for f in found if isinstance(f, Excluded)}
    assert len(reasons) == 2
    assert "outside of the possible dose" in reasons


def test_frames_know_whose_they_are(published):
    frames = frames_of(published, 1)
    facts = [(f.image_id, f.group_id, f.subject, f.split, f.volume_id, f.axis) for f in frames]
    assert [f[1:4] for f in facts] == [
        ("pt_2", "pt_2", "train"),
        ("pt_10", "pt_10", "train"),
        ("pt_1", "pt_1", "test"),
    ]
    assert facts[0] == ("pt_2-038", "pt_2", "pt_2", "train", "pt_2", "axial")
    assert {f.group_source for f in frames} == {"published"}
    assert {f.spacing_mm for f in frames} == {4}


def test_the_front_is_above_and_the_right_on_the_left(published):
    (frame, *_) = frames_of(published, 1)
    k = frame.slice_index
    np.testing.assert_array_equal(frame.mask == 7, body(0)["LeftParotid"][:, :, k])
    assert np.argwhere(frame.mask == 6)[:, 1].max() < np.argwhere(frame.mask == 7)[:, 1].min()


def test_the_window_is_in_hounsfield_units(published):
    (frame, *_) = frames_of(published, 1)
    hu = body(0)["ct"][:, :, frame.slice_index] - 1000
    assert frame.pixels.dtype == np.uint8
    np.testing.assert_allclose(frame.pixels, np.clip((hu + 160) / 399 * 255, 0, 255), atol=0.51)


def test_pixels_are_square(tmp_path):
    write_patient(tmp_path / "train-pats" / "pt_1", mm=(4, 2, 3))
    (frame,) = frames_of(tmp_path, 1)
    dose, valid = frame.maps["dose"]
    assert frame.pixels.shape == frame.mask.shape == dose.shape == valid.shape == (256, 128)
    assert frame.spacing_mm == 2
    k = frame.slice_index
    np.testing.assert_array_equal(valid, body(0)["possible_dose_mask"][:, :, k].repeat(2, axis=0))
    # The dose does not change along the rows that were stretched.
    np.testing.assert_allclose(dose[130, 20:108], body(0)["dose"][64, 20:108, k], atol=1e-4)


def change(name: str, edit: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Edit the lines of a file of pt_2."""

    def spoil(root: Path) -> None:
        path = root / "train-pats" / "pt_2" / name
        path.write_text("\n".join(edit(path.read_text().split("\n"))))

    return spoil


def swap(lines: list[str]) -> list[str]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def line_three(text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:2], text, *lines[3:]]


def value_three(text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:2], f"{lines[2].split(',')[0]},{text}", *lines[3:]]


def twice(root: Path) -> None:
    shutil.copytree(root / "train-pats" / "pt_2", root / "test-pats" / "pt_2")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda r: (r / "train-pats/pt_2/dose.csv").unlink(), r"pt_2/dose\.csv is missing"),
        (
            lambda r: (r / "train-pats/pt_2/ct.csv").rename(r / "train-pats/pt_2/CT.csv"),
            r"pt_2/ct\.csv is missing",
        ),
        (
            lambda r: (r / "train-pats/pt_2/Brainstm.csv").write_text(",data\n"),
            r"Brainstm\.csv is no file of OpenKBP\n.*did you mean Brainstem",
        ),
        (change("ct.csv", line_three(f"{SIDE**3},1.0")), r"ct\.csv: line 3: index 2097152 is out"),
        (change("dose.csv", line_three("-1,1.0")), r"dose\.csv: line 3: index -1 is outside"),
        (change("PTV70.csv", swap), r"PTV70\.csv: line 3: index \d+ does not ascend"),
        (change("PTV70.csv", lambda s: [*s[:3], s[2], *s[3:]]), r"line 4: index .* not ascend"),
        (change("ct.csv", line_three("5,grey")), r"ct\.csv: .*line 3: .*'grey'"),
        (change("ct.csv", line_three("five,5")), r"ct\.csv: .*line 3: .*'five'"),
        (change("PTV70.csv", line_three("5,1.0")), r"PTV70\.csv: .*line 3: .*'1.0'"),
        (change("ct.csv", line_three("1")), r"ct\.csv: .*line 3: .*Expected 2 columns, got 1"),
        (change("dose.csv", value_three("")), r"dose\.csv: line 3: nan is no CT or dose"),
        (change("dose.csv", value_three("-3")), r"dose\.csv: line 3: -3 is no CT or dose"),
        (change("dose.csv", line_three(",3")), r"dose\.csv: line 3: has no index"),
        (change("dose.csv", lambda s: ["index,data", *s[1:]]), r"line 1: the header is 'index,dat"),
        (change("voxel_dimensions.csv", lambda s: s[:2]), "does not hold three numbers"),
        (change("voxel_dimensions.csv", lambda s: ["a", "1", "1"]), "does not hold three numbers"),
        (change("voxel_dimensions.csv", lambda s: ["4", "0", "3"]), "4 x 0 x 3 mm is no voxel"),
        (change("voxel_dimensions.csv", lambda s: ["4", "nan", "3"]), "nan x 3 mm is no voxel"),
        (twice, r"pt_2 is in two splits: .*train-pats/pt_2 and .*test-pats/pt_2"),
        (lambda r: (r / "test-pats/patient3").mkdir(), "patient3 is no patient"),
        (
            lambda r: [p.rename(r / p.name[1:]) for p in r.iterdir()],
            r"holds no patient: looked for train-pats, .*found est-pats, rain-pats",
        ),
    ],
)
def test_bad_files(data, spoil, problem):
    spoil(data)
    with pytest.raises(DataError) as caught:
        list(read_openkbp(data, (40, 400), 1))
    assert re.search(problem, str(caught.value)), caught.value
    assert caught.value.remedy


# --- the download


def packed(data: Path, top: str = "open-kbp-abc") -> bytes:
    """An archive as GitHub makes it of a commit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{top}/README.md", "about")
        for path in sorted(data.rglob("*.csv")):
            archive.write(path, f"{top}/{DATA}/{path.relative_to(data)}")
    return buffer.getvalue()


def entry(tree: str):
    """The catalogue's dataset, of another tree."""
    dataset = load_catalogue()["openkbp"]
    return dataset.model_copy(
        update={"archive": dataset.archive.model_copy(update={"tree": tree}), "patients": {}}
    )


def path_of(dataset) -> str:
    """Where a mirror has the archive."""
    return "/" + dataset.archive.url.removeprefix("https://")


QUICK = Limits(tries=1, backoff=0.01, connect=2, stall=2)


def test_tree_is_that_of_git(tmp_path, published):
    (tmp_path / "empty").mkdir()
    assert tree_id(tmp_path / "empty") == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    if shutil.which("git") is None:
        pytest.skip("git is absent")
    copy = tmp_path / "copy"
    shutil.copytree(published, copy / "a")
    for name in ("a.b", "a0", "A", "ä"):  # a folder sorts behind `a.b` and before `a0`
        (copy / name).write_text(name)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "core.autocrlf=false", *words],
            cwd=copy, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    expected = git("write-tree")
    shutil.rmtree(copy / ".git")
    assert tree_id(copy) == expected


def test_download_is_verified_by_its_content(tmp_path, published):
    dataset = entry(tree_id(published))
    with Site() as site:
        site.serve(Reply(packed(published)), path=path_of(dataset))
        fetch(dataset, tmp_path, mirror=site.url(""), limits=QUICK)
        assert {p.name for p in tmp_path.iterdir()} == {DATA, "MANIFEST.json"}
        manifest = json.loads((tmp_path / "MANIFEST.json").read_text())
        assert len(manifest["files"]) == 3 * 7
        assert all(file["origin"] == dataset.archive.url for file in manifest["files"])
        count = len(site.asked)
        fetch(dataset, tmp_path, mirror=site.url(""), limits=QUICK)  # it is there
        assert len(site.asked) == count
        (tmp_path / DATA / "test-pats/pt_1/dose.csv").write_text(",data\n")
        fetch(dataset, tmp_path, mirror=site.url(""), limits=QUICK)  # spoilt, so fetched anew
        assert len(site.asked) == count + 1
    assert tree_id(tmp_path / DATA) == dataset.archive.tree


@pytest.mark.parametrize(
    ("body_of", "problem"),
    [
        (packed, "not what the catalogue says: expected the git tree 0{40}"),
        (lambda data: packed(data)[:-50], "damaged|truncated"),
        (lambda data: packed(data).replace(DATA.encode(), b"offered--data"), "holds no folder"),
        (lambda data: b"<html><title>Sign in</title>", "web page"),
    ],
)  # fmt: skip
def test_download_that_is_something_else(tmp_path, published, body_of, problem):
    dataset = entry("0" * 40)
    with Site() as site:
        site.serve(Reply(body_of(published)), path=path_of(dataset))
        with pytest.raises(DataError, match=problem):
            fetch(dataset, tmp_path, mirror=site.url(""), limits=QUICK)
    assert not (tmp_path / DATA).exists()
    assert not (tmp_path / "MANIFEST.json").exists()


def test_catalogue_entry(tmp_path):
    dataset = load_catalogue()["openkbp"]
    assert dataset_from_entry(json.loads(json.dumps(dataset.model_dump(mode="json")))) == dataset
    assert dataset.archive.tree == "a7790abbc6ba941661ff793f951a4a4342247b60"
    assert sum(dataset.patients.values()) == 340
    assert list(dataset.classes) == list(range(1, len(STRUCTURES) + 1))
    row = listing([dataset], tmp_path)[1][0]
    assert row[3:7] == ["340 patients", "mask, classes", "MIT", "no"]


# --- a copy of the user's own


def own(root: Path, **keys: object) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.yaml").write_text(yaml.safe_dump({"reader": "openkbp", **keys}))
    return root


def prepared(folder: Path, out: Path) -> ImageSet:
    dataset = load_own(folder)
    fetch(dataset, out / "raw")
    raw = Path(dataset.raw_folder(64))
    prepare(
        dataset_from_entry(dataset.model_dump(mode="json")), raw, out / "x.arrow", image_size=64,
        splits=SPLITS, seed=0, manifest=out / "raw" / "MANIFEST.json",
    )  # fmt: skip
    return ImageSet(out / "x.arrow")


def test_a_copy_is_a_dataset_beside_folders_of_images(tmp_path, data):
    folder = own(tmp_path / "mine" / "kbp", data=f"../../{DATA}", slices=2)
    (dataset,) = find_folder_datasets(tmp_path / "mine").values()
    assert (dataset.name, dataset.reader, dataset.slices) == ("kbp", "openkbp", 2)
    images = prepared(folder, tmp_path)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["MANIFEST.json"]
    assert len(images.column("image_id").to_pylist()) == 6
    assert images.meta["maps"]["dose"]["unit"] == "Gy"
    before = load_own(folder).fingerprint
    (data / "test-pats/pt_1/dose.csv").write_text(",data\n")
    assert load_own(folder).fingerprint != before


def test_check_reads_a_copy(tmp_path, data):
    folder = own(tmp_path / "kbp", data=str(data))
    said = [str(finding) for finding in check_own(folder)]
    assert "info: 18 images in 3 groups can be used" in said
    assert any(re.match(r"info: dose: 18 of 18 images have it, \S+ to 70 Gy", s) for s in said), (
        said
    )
    (data / "train-pats/pt_2/ct.csv").unlink()
    errors = [f for f in check_own(folder) if f.severity == "error"]
    assert isinstance(errors[0], Finding)
    assert errors[0].problem == "train-pats/pt_2/ct.csv is missing"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, r"dataset\.yaml: data: is None.*\n.*write `data: PATH`"),
        ({"data": "../nothing"}, r"data: there is no folder .*nothing"),
        ({"data": ".", "slices": 0}, r"kbp\.slices: .*\(is 0\)"),
        ({"data": ".", "slicse": 3}, r"kbp\.slicse: Extra"),
        ({"data": ".", "reader": "openkpb"}, r"'openkpb' is no reader\n.*did you mean openkbp"),
    ],
)
def test_mistakes_in_the_description_of_a_copy(tmp_path, keys, problem):
    folder = own(tmp_path / "kbp", **keys)
    with pytest.raises(ConfigError) as caught:
        load_own(folder)
    assert re.search(problem, str(caught.value)), caught.value
    assert [f.severity for f in check_own(folder)] == ["error"]


# --- real patients


@needs_patients
def test_real_patients_are_prepared(tmp_path):
    images = prepared(own(tmp_path / "kbp", data=str(SHARED / "openkbp")), tmp_path)
    subjects = np.array(images.column("subject_id").to_pylist())
    split = dict(zip(subjects, images.column("split").to_pylist(), strict=True))
    assert set(split) == {f"kbp/{patient}" for patient in PUBLISHED}
    assert [list(split.values()).count(s) for s in ("train", "val", "test")] == [4, 2, 2]
    about = images.meta["maps"]["dose"]
    assert 0 <= about["low"] < 1
    assert 65 < about["high"] < 82
    mask = images.numpy("mask")
    both = [m for m in mask if (m == 6).any() and (m == 7).any()]
    assert len(both) > 5
    for plane in both:
        assert np.argwhere(plane == 6)[:, 1].mean() < 32 < np.argwhere(plane == 7)[:, 1].mean()


@needs_patients
@pytest.mark.parametrize("patient", PUBLISHED)
def test_real_structures(patient):
    (place,) = (SHARED / "openkbp" / DATA).glob(f"*/{patient}")
    read = read_patient(place)
    seen = {STRUCTURES[number - 1] for number in np.unique(read.mask) if number}
    assert seen == set(STRUCTURES) - PUBLISHED[patient]
    assert not read.dose[~read.possible].any()
    assert 65 < read.dose.max() < 85


@needs_patients
@pytest.mark.skipif(
    not (SHARED / "datasets_maps").is_dir(), reason="../shared/datasets_maps is absent"
)
def test_real_slices_are_those_of_the_flat_set():
    """The same slices, saved as PNG by others: window, dose and masks agree."""
    flat, compared = SHARED / "datasets_maps" / "ct_openkbp_dose", 0
    for place in sorted((SHARED / "openkbp" / DATA).glob("*/pt_*")):
        read = read_patient(place)
        for path in sorted(flat.glob(f"images/{place.name}_z*.png")):
            k = int(path.stem[-3:])
            image, dose, valid, mask = (
                cv2.imread(str(flat / kind / path.name), cv2.IMREAD_UNCHANGED)
                for kind in ("images", "maps", "dose_mask", "masks")
            )
            grey = np.clip((read.ct[k] + 160) / 400 * 255, 0, 255)
            assert np.abs(grey - image).max() <= 1
            np.testing.assert_allclose(read.dose[k], dose * 0.002, atol=0.0011)
            np.testing.assert_array_equal(read.possible[k], valid > 0)
            np.testing.assert_array_equal(read.mask[k] > 0, mask > 0)
            # They differ only where an organ overlaps a target or another organ.
            differ = read.mask[k] != mask
            assert (read.mask[k][differ] > 3).all()
            compared += 1
    assert compared == 48
