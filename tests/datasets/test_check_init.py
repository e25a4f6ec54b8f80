"""What `datasets check` and `datasets init` say and write."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import folders
from folders import describe, flat, head, load, picture, read_all, table, write
from medfiles import write_dicom
from medtaskatlas.core.errors import DataError
from medtaskatlas.datasets.folder.check import check_folder, folded, write_findings
from medtaskatlas.datasets.folder.init import init_folder
from medtaskatlas.datasets.folder.survey import survey


def found(root, severity="error"):
    return [f for f in check_folder(root) if f.severity == severity]


def places(root, severity="error"):
    return [(f.file, f.where) for f in found(root, severity)]


# --- check


def test_a_good_dataset_has_no_mistakes(tmp_path):
    root = tmp_path / "mine"
    flat(root, n=12, masks=True, group_pattern=r"^(a\d+)")
    findings = check_folder(root)
    assert not any(finding.severity == "error" for finding in findings)
    assert [str(f) for f in findings] == ["info: 12 images in 12 groups can be used"]


def test_goes_on_after_each_mistake(tmp_path):
    """One run tells of the description, both tables, a mask and two broken pictures."""
    root = flat(tmp_path / "mine", n=6, masks=True, labels="labels.csv", boxes="boxes.csv")
    describe(
        root,
        masks="masks",
        classes={1: "lesion"},
        labels="labels.csv",
        boxes="boxes.csv",
        modality="MRI",
        slics=3,
        title="TODO",
    )
    table(root, "labels.csv", "image,label", "a0.png,x", "a0.png,y", "q.png,x")
    table(root, "boxes.csv", "image,x0,y0,x1,y1", "a5.png,90,0,99,9", "a5.png,1,2,x,4")
    for name in ("a1.png", "a2.png"):
        (root / "images" / name).write_bytes((root / "images" / name).read_bytes()[:90])
    write(root / "masks" / "a3.png", np.full((24, 32), 9, np.uint8))
    (root / "masks" / "a4.png").unlink()
    write(root / "masks" / "b.png", picture())
    assert places(root) == [
        ("dataset.yaml", "title"),
        ("dataset.yaml", "modality"),
        ("dataset.yaml", "slics"),
        ("masks", ""),
        ("masks", ""),
        ("labels.csv", "line 3"),
        ("labels.csv", "line 4"),
        ("boxes.csv", "line 3"),
        ("images/a1.png", ""),
        ("images/a2.png", ""),
        ("images/a3.png", ""),
        ("images/a5.png", "boxes.csv"),
    ]
    assert all(f.remedy for f in found(root))
    assert not any(str(tmp_path) in f.problem for f in found(root))


def test_missing_folders_do_not_stop_the_rest(tmp_path):
    root = flat(tmp_path / "mine", n=3, masks=True, labels="labels.csv")
    shutil.rmtree(root / "masks")
    (root / "images" / "a1.png").write_bytes(b"")
    assert places(root) == [
        ("dataset.yaml", "masks"),
        ("dataset.yaml", "labels"),
        ("images/a1.png", ""),
    ]


def test_masks_are_checked_though_classes_have_no_names_yet(tmp_path):
    root = flat(tmp_path / "mine", n=2, masks=True, classes={1: "TODO name of class 1"})
    write(root / "masks" / "a1.png", np.full((24, 32), 9, np.uint8))
    assert places(root) == [("dataset.yaml", "classes"), ("images/a1.png", "")]
    assert not [f for f in found(root, "warning") if f.where == "masks"]


def test_keys_that_contradict_each_other(tmp_path):
    root = flat(tmp_path / "mine", n=2, window=[1, 2], percentiles=[1, 99])
    (root / "images" / "a1.png").write_bytes(b"")
    assert places(root) == [("dataset.yaml", ""), ("images/a1.png", "")]


def test_without_images_there_is_nothing_to_read(tmp_path):
    root = describe(tmp_path / "mine")
    assert places(root) == [("dataset.yaml", "images")]
    assert places(tmp_path) == [("dataset.yaml", "")]


def test_warnings(tmp_path):
    root = flat(
        tmp_path / "folder",
        n=3,
        masks=True,
        classes={1: "lesion", 2: "never"},
        licence=None,
        citation=None,
    )
    write(root / "images" / "copy.png", picture(0))
    write(root / "masks" / "copy.png", np.ones((24, 32), np.uint8))
    table(root, "labels.csv", "image,label", "a0.png,x")
    said = {f.where or f.file: f.problem for f in found(root, "warning")}
    assert said["licence"] == "no licence is given"
    assert "citation" in said
    assert said["name"] == "is 'mine', the folder is 'folder'"
    assert said["labels"] == "is not given, though there is labels.csv"
    assert said["copy and a0"] == "one picture under two names, in two groups"
    assert said["classes.2"] == "never is in no mask"
    groups = [f.problem for f in found(root, "warning") if f.where == "groups"]
    assert re.match("no groups are known for 4 of 4 images", groups[0])
    assert re.match("4 groups are few to split: val and test get one or two", groups[1])
    assert not found(root)


def test_a_file_is_named_once_and_equal_findings_are_folded(tmp_path):
    """Twelve files of one mistake are one finding; the list has a line for each."""
    root = flat(tmp_path / "mine", n=12, masks=True)
    for i in range(12):
        write(root / "masks" / f"a{i}.png", np.ones((9, 9), np.uint8))
    for i in range(3):
        (root / "images" / f"a{i}.png").write_bytes(b"")
    findings = check_folder(root)
    shown = [str(f) for f in folded(findings) if f.severity == "error"]
    assert len(shown) == 3, shown  # the third: no image is left
    empty = "error: images/a0.png: is empty (and 2 more: images/a1.png, images/a2.png)"
    assert shown[0].startswith(empty)
    size = "error: images/a10.png: masks/a10.png is 9 x 9 pixels, images/a10.png is 32 x 24 (and 8 "
    assert shown[1].startswith(size + "more: images/a11.png, images/a3.png, ")
    path = tmp_path / "out" / "mine.csv"
    assert write_findings(findings, path) == f"each in {path}"
    rows = list(csv.reader(path.open(encoding="utf-8")))
    assert rows[0] == ["severity", "file", "where", "problem", "remedy"]
    assert sum(row[0] == "error" for row in rows[1:]) == 13
    assert write_findings(findings, Path("/proc/mine.csv")).startswith("no list of each: ")


def test_a_damaged_picture_is_told_by_its_finding_alone(tmp_path, capfd):
    root = flat(tmp_path / "mine", n=2)
    (root / "images" / "a0.png").write_bytes((root / "images" / "a0.png").read_bytes()[:90])
    assert places(root) == [("images/a0.png", "")]
    assert capfd.readouterr().err == ""  # OpenCV names no file


def test_a_name_that_is_no_name_is_told_once(tmp_path):
    root = flat(tmp_path / "1_mine", n=2, name="1_mine")
    assert places(root) == [("dataset.yaml", "name")]
    assert not [f for f in found(root, "warning") if f.where == "name"]


def test_two_groups_cannot_be_split(tmp_path):
    root = flat(tmp_path / "mine", n=2, group_pattern="^(a.)")
    (warning,) = found(root, "warning")
    assert "2 groups are few to split: all of them become test images" in warning.problem


def test_images_without_label_and_clipped_boxes_are_told(tmp_path):
    root = flat(tmp_path / "mine", n=12, group_pattern=r"^(a\d+)", labels="labels.csv")
    describe(root, group_pattern=r"^(a\d+)", labels="labels.csv", boxes="boxes.csv")
    table(root, "labels.csv", "image,label,remark", *(f"a{i}.png,x,y" for i in range(10)))
    table(root, "boxes.csv", "image,x0,y0,x1,y1", "a1.png,-3,2,8,9")
    said = [(f.file, f.where, f.problem) for f in found(root, "warning")]
    assert said == [
        ("labels.csv", "", "2 images have no label: a10.png, a11.png"),
        ("labels.csv", "line 1", "column remark is not used"),
        (
            "boxes.csv",
            "line 2",
            "the box -3,2,8,9 reaches out of a1.png (32 x 24 pixels) and is clipped",
        ),
    ]
    assert not found(root)


def test_what_is_left_out_is_counted(tmp_path):
    root = flat(tmp_path / "mine", n=2, exclude={"a0.png": "blurred"})
    write(root / "images" / "b.png", np.zeros((20, 20), np.uint8))
    assert [f.problem for f in found(root, "info")] == [
        "1 images in 1 groups can be used",
        "1 left out: constant: all pixels are the same",
        "1 left out: excluded in dataset.yaml: blurred",
    ]


def test_a_dataset_of_which_nothing_is_left(tmp_path):
    root = describe(tmp_path / "mine")
    write(root / "images" / "b.png", np.zeros((20, 20), np.uint8))
    assert [f.problem for f in found(root)] == ["no image is left"]


# --- init


def keys_of(root):
    return yaml.safe_load((root / "dataset.yaml").read_text())


def test_what_is_written_is_filled_in_and_checked(tmp_path):
    root = flat(tmp_path / "My Set-1", n=4, masks=True)
    table(root, "labels.csv", "image,label", *(f"a{i}.png,x" for i in range(4)))
    (root / "dataset.yaml").unlink()
    text = init_folder(root)
    assert "masks: masks (4 files; ids [1])" in text
    assert "labels: labels.csv" in text
    keys = keys_of(root)
    assert (keys["name"], keys["images"], keys["masks"]) == ("my_set_1", "images", "masks")
    assert keys["classes"] == {1: "TODO name of class 1"}
    todo = {where for _, where in places(root)}
    assert todo == {"title", "modality", "body_part", "licence", "source", "citation", "classes"}
    # Filled in, it is a dataset.
    filled = (root / "dataset.yaml").read_text().replace("TODO name of", "name of")
    filled = re.sub(r"modality: TODO.*", "modality: US", filled).replace("TODO", "")
    filled = re.sub(r"licence: .*", "licence: CC0-1.0", filled)
    (root / "dataset.yaml").write_text(re.sub(r"(?m)^# Replace.*\n", "", filled))
    assert not found(root)
    assert len(read_all(root)[0]) == 4


def test_every_key_that_is_offered_is_one(tmp_path):
    """The commented lines, taken out of their comments, are valid keys with valid values."""
    root = tmp_path / "mine"
    write(root / "images" / "patient1_a.png", picture())
    init_folder(root)
    offered = re.findall(r"(?m)^# ([a-z_]+: [^#\n]+)", (root / "dataset.yaml").read_text())
    keys = [line.split(":")[0] for line in offered]
    assert {"group_pattern", "window", "slices", "exclude", "content", "axis"} <= set(keys)
    for line in offered:
        describe(root)
        with (root / "dataset.yaml").open("a") as handle:
            handle.write(f"{line}\n")
        assert not found(root), line


def test_never_writes_over(tmp_path):
    root = flat(tmp_path, n=1)
    before = (root / "dataset.yaml").read_bytes()
    with pytest.raises(DataError, match="is there already"):
        init_folder(root)
    assert (root / "dataset.yaml").read_bytes() == before


def test_nothing_to_describe(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"(?s)holds no image.*folder images/"):
        init_folder(tmp_path)
    assert not (tmp_path / "dataset.yaml").exists()


def test_loose_pictures_and_their_patients(tmp_path):
    for i in range(3):
        for side in "lr":
            write(tmp_path / f"pat{i}_{side}.png", picture(i))
    text = init_folder(tmp_path)
    assert keys_of(tmp_path)["images"] == "."
    assert "would make 3 groups of 6 images" in text
    assert "group_pattern" not in keys_of(tmp_path)  # a guess is not in force


def test_many_numbers_are_objects(tmp_path):
    for i in range(2):
        write(tmp_path / "img" / f"a{i}.png", picture(i))
        write(tmp_path / "mask" / f"a{i}.png", np.arange(768, dtype=np.uint16).reshape(24, 32))
    assert "objects, not classes" in init_folder(tmp_path)
    keys = keys_of(tmp_path)
    assert (keys["images"], keys["instances"]) == ("img", "mask")
    assert "masks" not in keys


def test_dicom_says_what_it_is(tmp_path):
    place = tmp_path / "images" / "p1"
    folders.write_series(place, head(), Modality="PT", BodyPartExamined="CHEST")
    text = init_folder(tmp_path)
    keys = keys_of(tmp_path)
    assert (keys["modality"], keys["body_part"]) == ("PET", "chest")
    assert "(1 images or volumes)" in text


def test_volumes_with_masks(tmp_path):
    folders.write_nifti(tmp_path / "scans" / "v.nii.gz", head())
    folders.write_nrrd(tmp_path / "labels" / "v.nrrd", (head() > 800).astype(np.uint8) * 4)
    init_folder(tmp_path)
    keys = keys_of(tmp_path)
    assert (keys["images"], keys["masks"]) == ("scans", "labels")
    assert list(keys["classes"]) == [4]


def test_sub_folders_that_look_like_labels(tmp_path):
    for name in ("sick", "well"):
        write(tmp_path / "images" / name / "a.png", picture())
    text = init_folder(tmp_path)
    assert "sub-folders of images (sick, well)" in text
    assert "sick/a.png,sick" in text


def test_packed_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", train_images=np.zeros((1, 28, 28), np.uint8))
    init_folder(tmp_path)
    assert keys_of(tmp_path)["images"] == "x.npz"


def test_damaged_files_do_not_stop_it(tmp_path):
    (tmp_path / "images").mkdir()
    path = write_dicom(tmp_path / "images" / "a.dcm", picture())
    path.write_bytes(path.read_bytes()[:150])
    write(tmp_path / "masks" / "a.png", picture())
    (tmp_path / "masks" / "a.png").write_bytes(b"")
    assert "could not look into" in init_folder(tmp_path)
    assert keys_of(tmp_path)["masks"] == "masks"


# --- init, then check


def fill(root):
    """What a user does: write something for every TODO, and say which images are one patient's."""
    path = root / "dataset.yaml"
    text = path.read_text()
    text = re.sub(r"modality: TODO.*", "modality: US", text)
    text = re.sub(r"(licence|'?\d+'?|[a-z_]+): ['\"]?TODO ([^'\"\n]*)['\"]?", r"\1: '\2'", text)
    if "# group_pattern: ^([A-Za-z]" in text:
        text = text.replace("# group_pattern: ", "group_pattern: ")
    path.write_text(text)


def pictures(root, patients=12, **more):
    """Two pictures of each of some patients, and label maps by folder: number to pixels."""
    for i in range(2 * patients):
        name = f"case{i // 2}_{i % 2}.png"
        write(root / more.get("images", "images") / name, picture(i))
        for folder, pixels in more.get("maps", {}).items():
            write(root / folder / name, pixels(i))
    return [f"case{i // 2}_{i % 2}.png" for i in range(2 * patients)]


def objects(i):
    """Thirty numbered objects, other numbers in each picture."""
    numbers = np.repeat(np.repeat(np.arange(24, dtype=np.uint16).reshape(4, 6), 6, 0), 5, 1)
    return np.pad(np.where(numbers > 0, numbers + 24 * i, 0).astype(np.uint16), ((0, 0), (0, 2)))


def one_class(i):
    return (picture(i) > 125).astype(np.uint8)


def noisy_head(i):
    """A volume that no other one has a slice of."""
    noise = np.random.default_rng(i).integers(0, 60, head().shape)
    return np.where(head() > 0, head() + noise, 0).astype(np.int16)


def volumes(root, write_one, suffix):
    for i in range(12):
        values = noisy_head(i)
        write_one(root / "images" / f"case{i}{suffix}", values)
        write_one(root / "masks" / f"case{i}{suffix}", (values > 600).astype(np.uint8))


def layout_masks(root):
    pictures(root, maps={"masks": one_class})


def layout_rare_class_in_the_last_mask(root):
    pictures(root, 40, maps={"masks": lambda i: one_class(i) * (1 if i < 79 else 7)})


def layout_numbered_objects_in_masks(root):
    pictures(root, maps={"masks": objects})


def layout_numbered_objects_in_capitals(root):
    pictures(root, maps={"Masks": objects})


def layout_many_classes_and_objects(root):
    pictures(root, maps={"masks": lambda i: objects(0), "instances": objects})


def layout_maps(root):
    pictures(root, maps={"masks": one_class, "maps": lambda i: picture(i + 50)})


def layout_boxes(root):
    names = pictures(root)
    table(root, "boxes.csv", "image,x0,y0,x1,y1,label", *(f"{n},2,3,9,9,thing" for n in names))


def layout_labels(root):
    names = pictures(root)
    table(root, "labels.csv", "image,label,group", *(f"{n},x,{n[:-6]}" for n in names))


def layout_published_splits(root):
    names = pictures(root)
    parts = ("train", "train", "val", "test")
    rows = [f"{n},{parts[i // 2 % 4]},{n[:-6]}" for i, n in enumerate(names)]
    table(root, "splits.csv", "image,split,group", *rows)


def layout_loose(root):
    pictures(root, images=".", maps={"masks": one_class})


def layout_folder_called_like_a_number(root):
    pictures(root, images="2023")


def layout_images_in_a_folder_called_labels(root):
    pictures(root, images="data", maps={"labels": one_class})


def layout_nifti(root):
    volumes(root, folders.write_nifti, ".nii.gz")


def layout_nrrd(root):
    volumes(root, folders.write_nrrd, ".nrrd")


def layout_dicom(root):
    for i in range(12):
        folders.write_series(
            root / "images" / f"case{i}",
            noisy_head(i),
            Modality="MR",
            BodyPartExamined="ON",
            SeriesInstanceUID=f"1.2.{i + 1}",
            PatientID=f"p{i}",
        )


def layout_npz(root):
    root.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (20, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = np.zeros((20, 1), np.uint8)
    np.savez(root / "x.npz", **arrays)


LAYOUTS = {n.removeprefix("layout_"): f for n, f in globals().items() if n.startswith("layout_")}


@pytest.mark.parametrize(
    ("layout", "folder"),
    [
        *((layout, "mine") for layout in LAYOUTS),
        *(("masks", f) for f in ("My Set-1", "2023", "no")),
    ],
)
def test_check_accepts_what_init_writes(tmp_path, layout, folder):
    root = tmp_path / folder
    LAYOUTS[layout](root)
    init_folder(root)
    # What is not filled in is all that there is to say.
    assert {f.problem for f in found(root)} == {"is not filled in"}
    fill(root)
    assert [str(f) for f in check_folder(root) if f.severity != "info"] == []
    assert isinstance(load(root).name, str)


@pytest.mark.parametrize("folder", ["masks", "instances", "maps", "labels.csv", "boxes.csv"])
def test_annotation_that_no_key_names_is_still_told(tmp_path, folder):
    root = flat(tmp_path / "mine", n=1)
    if folder.endswith(".csv"):
        table(root, folder, "image,label")
    else:
        write(root / folder / "a0.png", np.ones((24, 32), np.uint8))
    assert f"is not given, though there is {folder}" in [f.problem for f in found(root, "warning")]


def nested(depth):
    return "title: " + "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "line",
    [
        "title: 2001-99-99",
        f"title: {'9' * 5000}",
        f"slices: 0x{'f' * 5000}",
        "title: 1e9999999999999999",
        nested(900),
        "? [a, b]\n: c",
        "title: !!float x",
        "title: !!binary x",
        "a: &a [x, x]\nb: &b [*a, *a]\ntitle: [*b, *b]",
    ],
    ids=lambda line: line[:20],
)
def test_odd_values_of_dataset_yaml_are_findings(tmp_path, line):
    root = flat(tmp_path / "mine", n=1)
    with (root / "dataset.yaml").open("a") as handle:
        handle.write(f"{line}\n")
    errors = found(root)
    assert {f.file for f in errors} == {"dataset.yaml"}, errors
    assert all(f.remedy for f in errors)


def test_deep_folders_are_read(tmp_path, monkeypatch):
    root = flat(tmp_path / "mine", n=1)
    with monkeypatch.context() as moved:  # the whole path is longer than a system call takes
        moved.chdir(root / "images")
        for _ in range(1200):
            Path("d").mkdir()
            moved.chdir("d")
        write(Path("a.png"), picture(7))
    said = [f.problem for f in check_folder(root) if f.severity != "warning"]
    subprocess.run(["rm", "-rf", str(root)], check=True)  # shutil.rmtree would recurse
    assert said == ["2 images in 2 groups can be used"]


def test_what_nobody_foresaw_is_a_finding(tmp_path, monkeypatch):
    root = flat(tmp_path / "mine", n=1, licence=None)
    monkeypatch.setattr("medtaskatlas.datasets.folder.check.survey", lambda *_: 1 / 0)
    assert [f.where for f in found(root, "warning")] == ["licence"]
    (error,) = found(root)
    assert "ZeroDivisionError" in error.problem


def test_unknown_names_in_a_long_table_are_told_at_once(tmp_path):
    """Near names are sought for the first lines alone: for all of them it took minutes."""
    root = flat(tmp_path / "mine", n=1, labels="labels.csv")
    for i in range(1500):
        (root / "images" / f"patient_{i:05d}.png").write_bytes(b"")
    table(root, "labels.csv", "image,label", *(f"patient_{i:05d}_x,y" for i in range(20_000)))
    started = time.perf_counter()
    errors = [f for f in survey(root, load(root).description).findings if f.severity == "error"]
    assert len(errors) == 20_000
    assert "did you mean patient_00000.png" in errors[0].remedy
    assert time.perf_counter() - started < 10


# --- layouts of published data


def mask_of(i):
    return one_class(i) * 255


def place(root, *paths, kind=picture):
    """Files with these paths; the name's last number says which picture it is."""
    for path in paths:
        seed = int(re.findall(r"\d+", path.rsplit("/", 1)[-1].split(".")[0])[0])
        write(root / path, kind(seed))


def nnunet(root):
    for i in range(4):
        for channel in range(2):
            name = f"x_{i:03d}_{channel:04d}.nii.gz"
            folders.write_nifti(root / "imagesTr" / name, noisy_head(10 * i + channel))
        mask = (noisy_head(10 * i) > 600).astype(np.uint8)
        folders.write_nifti(root / "labelsTr" / f"x_{i:03d}.nii.gz", mask)
    folders.write_nifti(root / "imagesTs" / "x_900_0000.nii.gz", noisy_head(900))
    return {f"x_{i:03d}" for i in range(4)}


def decathlon(root):
    for i in range(4):
        folders.write_nifti(root / "imagesTr" / f"x_{i}.nii.gz", noisy_head(i))
        mask = (noisy_head(i) > 600).astype(np.uint8)
        folders.write_nifti(root / "labelsTr" / f"x_{i}.nii.gz", mask)
    return {f"x_{i}" for i in range(4)}


def brats(root):
    for i in range(4):
        for k, end in enumerate(("flair", "t1", "t1ce", "t2")):
            name = f"B_{i}/B_{i}_{end}.nii.gz"
            folders.write_nifti(root / name, noisy_head(10 * i + k))
        mask = (noisy_head(10 * i) > 600).astype(np.uint8) * 4
        folders.write_nifti(root / f"B_{i}/B_{i}_seg.nii.gz", mask)
    return {f"B_{i}/B_{i}" for i in range(4)}


def kaggle(root):
    names = [
        f"{half}/KIND/a{i + 4 * k}.png"
        for k, half in enumerate(("train", "test"))
        for i in range(4)
    ]
    place(root, *(name.replace("KIND", "images") for name in names))
    place(root, *(name.replace("KIND", "masks") for name in names), kind=mask_of)
    return {name.replace("/KIND", "")[:-4] for name in names}


def busi(root):
    names = [
        f"{kind}/{kind} ({i + 9 * k})"
        for k, kind in enumerate(("benign", "malign"))
        for i in range(4)
    ]
    place(root, *(f"{name}.png" for name in names))
    place(root, *(f"{name}_mask.png" for name in names), kind=mask_of)
    return set(names)


def isic(root):
    place(root, *(f"ISIC_Input/ISIC_{i}.jpg" for i in range(4)))
    place(root, *(f"ISIC_GroundTruth/ISIC_{i}_segmentation.png" for i in range(4)), kind=mask_of)
    return {f"ISIC_{i}" for i in range(4)}


def carvana(root):
    place(root, *(f"train/{i}.jpg" for i in range(4)), "test/9.jpg")
    place(root, *(f"train_masks/{i}_mask.png" for i in range(4)), kind=mask_of)
    return {str(i) for i in range(4)}


def one_top_folder(root):
    place(root / "Some-Set", *(f"images/{i}.png" for i in range(4)))
    place(root / "Some-Set", *(f"masks/{i}.png" for i in range(4)), kind=mask_of)
    return {str(i) for i in range(4)}


@pytest.mark.parametrize(
    "layout", [nnunet, decathlon, brats, kaggle, busi, isic, carvana, one_top_folder]
)
def test_masks_of_published_layouts_are_recognised(tmp_path, layout):
    root = tmp_path / "mine"
    wanted = layout(root)
    init_folder(root)
    root = next(path.parent for path in root.rglob("dataset.yaml"))
    fill(root)
    assert not found(root)
    assert not [f for f in found(root, "warning") if "grey values" in f.problem]
    frames, _ = read_all(root)
    assert {frame.volume_id or frame.image_id for frame in frames} == wanted
    # Each mask is that of its own picture.
    for frame in frames:
        inside, outside = frame.pixels[frame.mask > 0], frame.pixels[frame.mask == 0]
        assert not inside.size or inside.mean() > outside.mean() + 20


def test_folders_of_splits_and_classes_become_tables(tmp_path):
    kaggle(tmp_path / "kaggle")
    assert "wrote splits.csv" in init_folder(tmp_path / "kaggle")
    fill(tmp_path / "kaggle")
    frames, _ = read_all(tmp_path / "kaggle")
    assert {(f.image_id.split("/")[0], f.split) for f in frames} == {
        ("train", "train"),
        ("test", "test"),
    }
    busi(tmp_path / "busi")
    assert "wrote labels.csv: folders as labels (benign, malign)" in init_folder(tmp_path / "busi")
    fill(tmp_path / "busi")
    frames, _ = read_all(tmp_path / "busi")
    assert {(f.image_id.split("/")[0], f.label) for f in frames} == {("benign", 0), ("malign", 1)}
    place(
        tmp_path / "both",
        *(
            f"{s}/{c}/{n}.png"
            for n, (s, c) in enumerate(
                [("train", "ill"), ("val", "ill"), ("train", "well"), ("val", "well")]
            )
        ),
    )
    init_folder(tmp_path / "both")
    assert (tmp_path / "both" / "labels.csv").read_text().splitlines()[:2] == [
        "image,label,split",
        "train/ill/0.png,ill,train",
    ]


def test_boxes_of_coco(tmp_path):
    place(tmp_path, *(f"images/a{i}.png" for i in range(3)))
    content = {
        "images": [{"id": i, "file_name": f"a{i}.png"} for i in range(4)],
        "categories": [{"id": 7, "name": "polyp"}],
        "annotations": [{"image_id": i, "category_id": 7, "bbox": [2, 3, 10, 4]} for i in range(4)],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances.json").write_text(json.dumps(content))
    said = init_folder(tmp_path)
    assert "3 boxes of COCO, 1 left out" in said
    fill(tmp_path)
    assert not found(tmp_path)
    frames, _ = read_all(tmp_path)
    np.testing.assert_array_equal([f.boxes for f in frames], [[[2, 3, 12, 7]]] * 3)


def test_boxes_of_yolo(tmp_path):
    place(tmp_path, "images/train/a0.png", "images/train/a1.png", "images/val/a2.png")
    for name in ("train/a0", "train/a1", "val/a2"):
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [polyp, tool]")
    init_folder(tmp_path)
    assert (tmp_path / "boxes.csv").read_text().splitlines()[1] == "train/a0.png,12,6,20,18,tool"
    fill(tmp_path)
    assert not found(tmp_path)
    frames, _ = read_all(tmp_path)
    np.testing.assert_array_equal([f.boxes for f in frames], [[[12, 6, 20, 18]]] * 3)
    assert [f.split for f in frames] == ["train", "train", "val"]


def test_polygons_of_yolo_are_refused_by_name(tmp_path):
    place(tmp_path, "images/a0.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a0.txt").write_text("1 0.5 0.5 0.25 0.5 0.1 0.1\n")
    assert "labels/a0.txt: is not read: not YOLO's" in init_folder(tmp_path)
    assert not (tmp_path / "boxes.csv").exists()


def test_label_maps_that_belong_to_nothing_are_told(tmp_path):
    place(
        tmp_path,
        *(f"images/a{i}.png" for i in range(3)),
        *(f"images/b{i}_mask.png" for i in range(3)),
        kind=mask_of,
    )
    assert "3 of the images look like label maps: " in init_folder(tmp_path)
    warned = [f.problem for f in found(tmp_path, "warning")]
    assert any(said.startswith("6 images have 3 grey values or fewer: a0, ") for said in warned)


def test_masks_in_the_folder_of_the_images_need_a_pattern(tmp_path):
    root = describe(flat(tmp_path / "mine", n=1), masks="images", classes={1: "x"})
    assert any("need a `mask_pattern`" in f.problem for f in found(root))
