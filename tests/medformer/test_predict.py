"""Trained arms of Medformer on pictures and volumes of one's own."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from cubes import write_cubes
from medformer.test_training import OPTIONS
from typer.testing import CliRunner

from folders import picture, write, write_nifti, write_series
from medtaskatlas.cli import app
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.datasets.io.volume import from_display
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.multitask import read_multitask_predictions, statistics_of
from medtaskatlas.formats.volumes import VolumeSet
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.medformer.predict import _rows, predict_arm
from medtaskatlas.medformer.train import Job, train_arm
from medtaskatlas.medformer.trained import choose, load_arm
from medtaskatlas.problems.ensemble import Ensemble, Member
from medtaskatlas.problems.files import described, survey_images
from medtaskatlas.problems.native import Reader
from medtaskatlas.problems.predict import predict_files
from medtaskatlas.problems.targets.labels import Labels
from medtaskatlas.problems.targets.ordinal import Ordinal

ARMS = {
    "single": {},
    "multi": {"sets": "all"},
    "blind": {"sets": "all", "latents": "none"},
    "resnet18": {"model": "resnet18"},
    "pixels": {"model": "pixels"},
}
PICTURES = ["label", "mask", "value.area"]
TARGETS = {"shapes": PICTURES, "cubes": ["label"]}


def trained(run, sets):
    """Arms of a run: of `single` two seeds, and one with half of the labels."""
    options = Medformer.model_validate(OPTIONS | {"steps": 2, "look_every": 1, "arms": ARMS})
    for arm, names, share, seed in (
        ("single", ["shapes"], 1.0, 0),
        ("single", ["shapes"], 1.0, 1),
        ("single", ["shapes"], 0.5, 0),
        ("single", ["cubes"], 1.0, 0),
        ("multi", ["shapes", "cubes"], 1.0, 0),
        ("blind", ["shapes", "cubes"], 1.0, 0),
        ("resnet18", ["cubes"], 1.0, 0),
        ("pixels", ["cubes"], 1.0, 0),
    ):
        name = names[0] if len(names) == 1 else "all_sets"
        folder = run / f"medformer/{name}/{arm}/labels{round(100 * share)}/seed{seed}"
        job = Job(options, arm, {n: TARGETS[n] for n in names}, share, seed, 0)
        train_arm(
            [sets[n] for n in names], folder / "model.safetensors", job=job, run="r", start=None,
            states=run / "states", threads=1,
        )  # fmt: skip


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder of this module."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def run(tmp_path, once, dataset, monkeypatch):
    """A copy of a run; the folder that it is in is the working folder."""
    if not (once / "r").exists():
        sets = {"shapes": dataset(n=40, axis=None), "cubes": write_cubes(tmp_path / "cubes.arrow")}
        trained(once / "r", sets)
        for file in sets.values():
            shutil.copy(file, once)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(once / "r", tmp_path / "results/r"))


def predict(model, path, out, **options):
    said = []
    whole = predict_arm(Path(model), path, out, say=said.append, **options)
    return whole, "\n".join(said)


def table(out):
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def probabilities(rows, classes):
    rows = [row for row in rows if row["target"] == "label"]
    return np.array([[float(row[f"label.{name}"]) for name in classes] for row in rows])


def expected(folder, target, images):
    """Probabilities that the training wrote of images."""
    rows, _ = read_multitask_predictions(folder / "predictions.parquet")
    own = ~rows["system"].str.contains("wrong_latents")
    rows = rows[own & (rows["split"] == "test") & (rows["target"] == target)]
    return statistics_of(rows.set_index("image_id").loc[images].reset_index())[:, :-1]


def of_test(file):
    """Pixels and names of the test images of a prepared file."""
    kind = "volume" if "volume" in file else "image"
    rows = [i for i, s in enumerate(file.column("split").to_pylist()) if s == "test"]
    names = file.column(f"{kind}_id").to_pylist()
    return file.numpy(kind)[rows], [names[i] for i in rows]


def test_pictures_are_told_what_the_training_wrote_of_them(run, once, tmp_path):
    pixels, names = of_test(ImageSet(once / "shapes.arrow"))
    for name, image in zip(names, pixels, strict=True):
        write(tmp_path / "in" / f"{name}.png", image[..., 0])
    seed = run / "medformer/shapes/single/labels100/seed1"
    whole, said = predict(seed, tmp_path / "in", tmp_path / "out")
    assert whole
    assert "seed 1, targets of shapes" in said
    rows = table(tmp_path / "out")
    assert [row["image"] for row in rows if row["target"] == "label"] == sorted(names)
    found = probabilities(rows, ("none", "one", "two"))
    np.testing.assert_allclose(found, expected(seed, "label", sorted(names)), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    best = [row["predicted"] for row in rows if row["target"] == "label"]
    assert best == [("none", "one", "two")[i] for i in found.argmax(axis=1)]
    areas = [row for row in rows if row["target"] == "value.area"]
    assert all(np.isfinite(float(row["value.area [pixels]"])) for row in areas)
    masks = {row["image"]: row["file"] for row in rows if row["target"] == "mask"}
    assert masks[names[0]] == f"mask/{names[0]}.png"
    assert (tmp_path / "out" / masks[names[0]]).is_file()
    assert len(rows) == 3 * len(names)


@pytest.mark.parametrize("arm", ["single", "multi", "resnet18"])
def test_volumes_are_told_what_the_training_wrote_of_them(run, once, tmp_path, arm):
    voxels, names = of_test(VolumeSet(once / "cubes.arrow"))
    np.savez(tmp_path / "all.npz", test_images=voxels)
    for name, cube in zip(names, voxels, strict=True):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", from_display(cube, "axial"), codes="LPS")
    folder = "all_sets" if arm == "multi" else "cubes"
    of = expected(run / f"medformer/{folder}/{arm}/labels100/seed0", "label", sorted(names))
    # Values of a volume of MR would be stretched.
    predict(f"medformer/{arm}", tmp_path / "in", tmp_path / "nifti", window=(128, 256))
    rows = table(tmp_path / "nifti")
    assert [row["image"] for row in rows] == sorted(names)
    np.testing.assert_allclose(probabilities(rows, ("left", "right")), of, atol=1e-5)
    predict(f"medformer/{arm}", tmp_path / "all.npz", tmp_path / "npz")
    rows = table(tmp_path / "npz")
    assert [row["image"] for row in rows] == [f"all/test-{i:06d}" for i in range(len(names))]
    order = [sorted(names).index(name) for name in names]
    np.testing.assert_allclose(probabilities(rows, ("left", "right")), of[order], atol=1e-5)


def test_seeds_are_averaged_and_most_labels_taken(run, tmp_path):
    for i in range(3):
        write(tmp_path / "in" / f"{i}.png", picture(i, (40, 50)))
    found = {}
    for name, model, labels in (
        ("both", "medformer/shapes/single", None),
        ("0", "medformer/shapes/single/labels100/seed0", None),
        ("1", "medformer/shapes/single/labels100/seed1", None),
        ("half", "medformer/single", 50),
    ):
        _, said = predict(model, tmp_path / "in", tmp_path / name, labels=labels, run=run)
        assert ("mean of seeds 0, 1" in said) == (name == "both")
        found[name] = probabilities(table(tmp_path / name), ("none", "one", "two"))
    np.testing.assert_allclose(found["both"], (found["0"] + found["1"]) / 2, atol=1e-5)
    assert np.abs(found["0"] - found["1"]).max() > 1e-3
    assert np.abs(found["half"] - found["both"]).max() > 1e-4
    about = json.loads((tmp_path / "half/predictions.json").read_text())
    assert (about["share"], about["seeds"], about["set"]) == (0.5, [0], "shapes")
    mask = cv2.imread(str(tmp_path / "both/mask/0.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (40, 50)
    with pytest.raises(ConfigError, match=r"not trained with 10 %[^$]*50, 100"):
        predict("medformer/single", tmp_path / "in", tmp_path / "x", labels=10)


def test_the_set_is_that_of_the_kind_of_image_or_named(run, tmp_path):
    write(tmp_path / "in/a.png", picture(0, (40, 50)))
    ball = write_nifti(tmp_path / "in/b.nii", np.arange(8000, dtype=np.int16).reshape(20, 20, 20))
    for path, name in ((tmp_path / "in/a.png", "shapes"), (ball, "cubes")):
        _, said = predict("results/r/medformer/multi", path, tmp_path / name)
        assert f"targets of {name}" in said
        assert len(table(tmp_path / name)) == len(TARGETS[name])
    for arm in ("multi", "single"):
        with pytest.raises(ConfigError, match=r"cubes \(volumes\), shapes \(pictures\)[^$]*--set"):
            predict(f"medformer/{arm}", tmp_path / "in", tmp_path / "x")
        whole, said = predict(
            f"medformer/{arm}", tmp_path / "in", tmp_path / f"{arm}2", set_name="cubes"
        )
        assert not whole
        assert "a.png is left out" in said
    with pytest.raises(ConfigError, match=r"not learned 'cube'[^$]*did you mean cubes"):
        predict("medformer/multi", ball, tmp_path / "x", set_name="cube")


def test_latents_are_replaced(run, tmp_path):
    path = write(tmp_path / "a.png", picture(0, (40, 50)))
    found = {}
    for name, options in {
        "own": {},
        "named": {"modality": "CT", "body_part": "none", "task": "shapes.label"},
        "other": {"modality": "MR"},
        "mean": {"body_part": "mean"},
        "task": {"task": "cubes.label"},
    }.items():
        predict("medformer/multi", path, tmp_path / name, **options)
        found[name] = probabilities(table(tmp_path / name), ("none", "one", "two"))
    np.testing.assert_array_equal(found["own"], found["named"])
    for name in ("other", "mean", "task"):
        assert np.abs(found[name] - found["own"]).max() > 1e-7, name
    about = json.loads((tmp_path / "other/predictions.json").read_text())
    assert about["latents"] == {"modality": "MR"}
    assert about["preparation"]["modality"] == "MR"
    for options, said in (
        ({"modality": "MRI"}, r"latent of the modality 'MRI'[^$]*MR[^$]*`mean`"),
        ({"body_part": "brian"}, r"latent of the body part 'brian'[^$]*brain[^$]*`mean`"),
        ({"task": "cubes"}, r"latent of the task 'cubes'[^$]*cubes.label"),
    ):
        with pytest.raises(ConfigError, match=said):
            predict("medformer/multi", path, tmp_path / "x", **options)
    for arm, options in (
        ("blind", {"modality": "mean"}),
        ("resnet18", {"task": "mean"}),
    ):
        with pytest.raises(ConfigError, match=f"the arm {arm} looks at no latent"):
            predict(f"medformer/{arm}", path, tmp_path / "x", set_name=None, **options)
    predict("medformer/blind", path, tmp_path / "blind", task="mean")


def test_the_run_is_found_or_asked_for(run, tmp_path):
    path = write(tmp_path / "a.png", picture(0, (40, 50)))
    for model, options, said in (
        ("medformer/sinlge", {"run": run}, "no trained arm sinlge[^$]*did you mean single"),
        ("medformer/sinlge", {}, r"sinlge is in no run[^$]*--run"),
        ("results/q/medformer/multi", {}, "no run results/q[^$]*r"),
        ("medformer/pixels", {}, "pixels keeps no weights"),
        ("medformer/shapes/single/labels100/seed0/model.safetensors", {}, "no trained arm|no run"),
    ):
        with pytest.raises((ConfigError, DataError), match=said):
            predict(model, path, tmp_path / "x", **options)
    config = run / "medformer/cubes/pixels/labels100/seed0/config.json"
    config.write_text(
        config.read_text().replace('"model": "pixels"', '"model": "efficientnet_lite0"')
    )
    with pytest.raises(ConfigError, match="pixels keeps no weights"):
        predict("medformer/pixels", path, tmp_path / "x")
    shutil.copytree(run, tmp_path / "results/medformer")
    with pytest.raises(ConfigError, match=r"several runs: results/medformer, results/r"):
        predict("medformer/multi", path, tmp_path / "x")
    _, said = predict("results/medformer/medformer/multi", path, tmp_path / "other")
    assert "results/medformer/medformer/all_sets/multi" in said
    shutil.copytree(run / "medformer/all_sets/multi", run / "medformer/shapes/multi")
    with pytest.raises(ConfigError, match="trained several times on shapes"):
        choose(Path("medformer/multi"), run, "shapes")


def test_a_model_that_does_not_fit_says_so(run):
    seed = run / "medformer/shapes/single/labels100/seed1"
    original = (seed / "config.json").read_text()

    def changed(change):
        config = json.loads(original)
        change(config)
        (seed / "config.json").write_text(json.dumps(config))

    for change, said in (
        (lambda c: c.update(format=0), r"seed1/config\.json: format: 0"),
        (lambda c: c["sets"]["shapes"].update(size=[16, 16]), "differ in size"),
        (lambda c: c["sets"]["shapes"]["targets"]["mask"].update(colours=3), "fit this version"),
        (lambda c: c.pop("sets"), "fit this version"),
        (lambda c: c["sets"]["shapes"]["targets"]["label"].update(classes=["a", "b", "c"]),
         "differ in the classes of label"),
    ):  # fmt: skip
        changed(change)
        with pytest.raises(DataError, match=said):
            load_arm(choose(run / "medformer/shapes/single"), {})
    (seed / "config.json").write_text(original)
    other = run / "medformer/cubes/single/labels100/seed0/model.safetensors"
    shutil.copy(other, seed / "model.safetensors")
    with pytest.raises(DataError, match=r"does not fit config\.json"):
        load_arm(choose(run / "medformer/shapes/single"), {})
    (seed / "model.safetensors").write_bytes(b"none")
    with pytest.raises(DataError, match="damaged"):
        load_arm(choose(run / "medformer/shapes/single"), {})


def ball(side=20):
    """A volume [X, Y, Z]."""
    return np.arange(side**3, dtype=np.float32).reshape(side, side, side)


def command(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_bad_volumes_are_named_and_the_rest_goes_on(run, tmp_path):
    folder = tmp_path / "in"
    good = write_nifti(folder / "good.nii.gz", ball())
    holes, few = ball(), ball()
    holes[:5], few[0, 0, 0] = np.nan, np.inf
    write_nifti(folder / "holes.nii", holes)
    write_nifti(folder / "few.nii", few)
    write_nifti(folder / "nothing.nii", np.full_like(few, np.nan))
    write_nifti(folder / "constant.nii", np.full((20, 20, 20), 7, np.int16))
    # Every voxel is brighter than the window's white.
    write_nifti(folder / "white.nii", (ball() > 4000) * np.float32(1e-3) + 5000)
    write_nifti(folder / "thin.nii", ball()[:, :, :3])
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[:-2000])
    (folder / "broken.nrrd").write_bytes(b"NRRD0004\n")
    (folder / "broken.npz").write_bytes(b"PK")
    (folder / "notes.txt").write_text("hello")
    np.savez(folder / "numbers.npz", weights=np.ones(3))
    np.savez(folder / "flat.npz", test_images=np.zeros((2, 16, 16, 16), np.uint8))
    np.savez(folder / "pictures.npz", test_images=np.zeros((2, 16, 16), np.uint8))
    write(folder / "flat.png", picture())
    done = command(
        "medformer/multi", folder, "--set", "cubes", "-o", tmp_path / "out", "--window", 2500, 5000
    )
    assert done.exit_code == 1
    assert [row["image"] for row in table(tmp_path / "out")] == ["few", "good", "holes"]
    left = json.loads((tmp_path / "out/predictions.json").read_text())["left_out"]
    for name, why in {
        "nothing.nii": "NaN",
        "constant.nii": "constant: all values are the same",
        "white.nii": "standard deviation below 1 in grey levels",
        "thin.nii": "fewer than 8 voxels",
        "cut.nii.gz": "cannot be read as NIfTI",
        "broken.nrrd": "broken.nrrd",
        "broken.npz": "no whole npz file",
        "flat/test-000000": "standard deviation below 1",
        "flat/test-000001": "standard deviation below 1",
        "pictures.npz": "holds pictures (16 x 16)",
        "flat.png": "no volume with a place in space",
    }.items():
        assert why in left.pop(name), name
    assert not left
    assert "few.nii: 1 values are NaN or infinite" in done.output
    assert "holes.nii: 2000 values are NaN or infinite" in done.output
    assert "notes.txt: no image" in done.output
    assert "numbers.npz: no image" in done.output
    assert "dataset.yaml" not in done.output


def test_bad_pictures_are_named_and_the_rest_goes_on(run, tmp_path):
    folder = tmp_path / "in"
    write(folder / "good.png", picture(0, (40, 50)))
    write(folder / "colour.png", picture(1, (40, 50, 3)) // 2 * np.uint8([0, 1, 2]))
    write(folder / "small.png", picture(0, (5, 50)))
    write(folder / "constant.png", np.full((40, 50), 9, np.uint8))
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:200])
    write_nifti(folder / "volume.nii", ball())
    np.savez(folder / "volumes.npz", test_images=np.zeros((2, 16, 16, 16), np.uint8))
    pixels = np.stack([picture(i, (32, 32)) for i in range(3)])
    pixels[1] = 4
    np.savez(folder / "pictures.npz", train_images=pixels)
    done = command(
        "medformer/single", folder, "--run", run, "--set", "shapes", "--out", tmp_path / "out"
    )
    assert done.exit_code == 1
    labels = [row for row in table(tmp_path / "out") if row["target"] == "label"]
    names = ["good", "pictures/train-000000", "pictures/train-000002"]
    assert [row["image"] for row in labels] == names
    left = json.loads((tmp_path / "out/predictions.json").read_text())["left_out"]
    for name, why in {
        "colour.png": "in colour",
        "small": "smaller than 8 pixels",
        "constant": "constant: all pixels are the same",
        "cut.png": "cut.png",
        "volumes.npz": "holds volumes (16 x 16 x 16)",
        "pictures/train-000001": "flat",
        "volume.nii": "is a volume, and the network was trained on pictures",
    }.items():
        assert why in left.pop(name), name
    assert not left


def test_a_file_that_may_not_be_read_is_named(run, tmp_path, monkeypatch):
    for i in range(3):
        write(tmp_path / f"in/{i}.png", picture(i, (40, 50)))
    read = Reader.read

    def refused(self, item, note):
        if item.name == "1.png":
            raise PermissionError(13, "Permission denied", item.name)
        return read(self, item, note)

    monkeypatch.setattr(Reader, "read", refused)
    whole, said = predict("medformer/shapes/single", tmp_path / "in", tmp_path / "out")
    assert not whole
    assert "1.png is left out: Permission denied" in said
    assert {row["image"] for row in table(tmp_path / "out")} == {"0", "2"}


def test_one_file_is_told_alone(run, tmp_path):
    volume = write_nifti(tmp_path / "in/volume.nii", ball())
    write(tmp_path / "in/beside.png", picture(0, (40, 50)))
    done = command("medformer/cubes/single", volume, "--run", run)
    assert done.exit_code == 0, done.output
    assert [row["image"] for row in table(tmp_path / "predictions")] == ["volume"]
    with pytest.raises(ConfigError, match="plane of slices is not known"):
        predict("medformer/shapes/single", volume, tmp_path / "x")
    predict("medformer/shapes/single", volume, tmp_path / "slices", axis="axial")
    assert [row["slice"] for row in table(tmp_path / "slices")[:6]] == [*"000111"]
    for name, said in (("none.png", "no file or folder"), ("notes.txt", "is no image")):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(DataError, match=said):
            predict("medformer/shapes/single", tmp_path / name, tmp_path / "x")


def test_a_series_is_a_volume_in_its_own_folder_too(run, tmp_path):
    write_series(tmp_path / "in/scan", ball().astype(np.int16))
    found = []
    for folder in ("in", "in/scan"):
        out = tmp_path / "out" / folder
        whole, _ = predict("medformer/cubes/single", tmp_path / folder, out)
        assert whole
        found += table(out)
    assert [row["image"] for row in found] == ["scan", "scan"]
    assert found[0] == found[1]
    # Cut off before its pixels.
    file = tmp_path / "in/scan/003.dcm"
    file.write_bytes(file.read_bytes()[:300])
    _, said = predict("medformer/cubes/single", tmp_path / "in", tmp_path / "cut")
    assert "scan/003.dcm: DICOM file without pixels" in said


def test_options_of_the_other_kind_of_model_are_refused(run, tmp_path):
    for model, options in (
        ("medformer/multi", ["--targets-dir", "mine"]),
        ("multitask/p/hps", ["--set", "shapes"]),
        ("multitask/p/hps", ["--labels", "10"]),
    ):
        done = command(model, tmp_path, *options)
        assert isinstance(done.exception, ConfigError)
        assert f"{options[0]}: models of {model.split('/')[0]}" in str(done.exception)
    done = command("results/medformer/multitask/p/hps", tmp_path)
    assert "there is no folder results/medformer/multitask/p/hps" in str(done.exception)


def test_voxels_of_an_npz_file_come_back_where_they_were(tmp_path):
    voxels = np.zeros((1, 16, 12, 8), np.uint8)
    voxels[0, 2:6, 3:7, 1:5] = 200
    np.savez(tmp_path / "v.npz", val_images=voxels)
    found, _ = survey_images(tmp_path / "v.npz")
    found = described(found, {"modality": "MR", "body_part": "head"})
    (seen,) = Reader(found, (16, 16, 16), 1).read(found.items[0], print)
    np.testing.assert_array_equal(
        seen.native((seen.pixels[:, 0] > 100).astype(np.uint8)), voxels[0] > 0
    )
    np.testing.assert_array_equal(seen.affine, np.eye(4))


def test_grades_and_findings_are_decided(tmp_path):
    grade = Ordinal(name="label", channels=2, classes=("no", "mild", "severe"), counts=(1, 1, 1))
    findings = Labels(
        name="labels", channels=3, classes=("a", "b", "c"), weights=(1.0,) * 3, counts=(1,) * 3
    )
    targets = {"label": grade, "labels": findings}
    outputs = {"label": [[9.0, 9.0]], "labels": [[3.0, -3.0, 0.1]]}

    def forward(images, rows):
        return {name: torch.tensor(outputs[name]) for name in rows}

    prepared = {"modality": ["US"], "body_part": ["breast"], "windowing": [{}], "axes": []}
    ensemble = Ensemble([], list(targets), (32, 32), 1, prepared, [Member(forward, targets)], [0])
    write(tmp_path / "a.png", picture(0, (40, 50)))
    predict_files(
        ensemble, tmp_path / "a.png", tmp_path / "out", told="", code="", rows_of=_rows, say=print
    )
    one, other = table(tmp_path / "out")
    assert (one["predicted"], one["grade"], one["labels.a"]) == ("severe", "2", "")
    assert sum(float(one[f"label.{c}"]) for c in grade.classes) == pytest.approx(1, abs=1e-5)
    assert (other["predicted"], other["grade"], other["label.no"]) == ("a|c", "", "")
    assert [round(float(other[f"labels.{c}"]), 2) for c in "abc"] == [0.95, 0.05, 0.52]
