"""Predictions of trained systems for a folder of images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import torch
from multitask.test_training import Run
from typer.testing import CliRunner

from folders import (
    describe,
    head,
    load,
    picture,
    read_all,
    write,
    write_nifti,
    write_nrrd,
    write_series,
)
from medfiles import write_dicom
from medtaskatlas.cli import app
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.datasets.io.dicom import read_header, read_series
from medtaskatlas.datasets.io.nrrd import read_nrrd
from medtaskatlas.datasets.io.volume import AXES, display, from_display
from medtaskatlas.datasets.prepare import shape
from medtaskatlas.datasets.resample import to_cube
from medtaskatlas.formats.multitask_examples import read_examples
from medtaskatlas.formats.volumes import write_volumes
from medtaskatlas.learning.checkpoint import load_tensors, save_tensors
from medtaskatlas.multitask.ensemble import load_ensemble
from medtaskatlas.multitask.network import MultitaskNetwork
from medtaskatlas.multitask.predict import predict_folder
from medtaskatlas.problems.files import described, survey_images
from medtaskatlas.problems.native import Reader, resampled
from medtaskatlas.problems.problem import COMPANION, Problem
from medtaskatlas.problems.targets.segmentation import Segmentation

TARGETS = ("mask", "label", "map.dose", "value.area", "objects", COMPANION)
RAS, LPS = np.diag([1.0, 1.0, 5.0, 1.0]), np.diag([-1.0, -1.0, 5.0, 1.0])
LPS[:2, 3] = 100, -20
# Stored as (slice, row from front, column from left): other order, two axes reversed.
TURNED = np.array([[0, 0, -1.0, 7], [0, 1, 0, 3], [-5, 0, 0, 9], [0, 0, 0, 1.0]])


def trained(folder, path, seeds):
    run = Run(folder, path, targets=TARGETS, learning_rates=[])
    trials = run.tune("stl")
    for seed in seeds:
        run.train("hps", seed=seed, trials=trials)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder of this module."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def system(tmp_path, once, dataset):
    """A copy of a system with two seeds, trained on axial slices of 32 pixels."""
    if not (once / "hps").exists():
        path = dataset(axis=["axial"] * 40)
        trained(once, path, seeds=(0, 1))
    return Path(shutil.copytree(once / "hps", tmp_path / "multitask/hps"))


@pytest.fixture
def marking(monkeypatch):
    """Networks that say class 1, a full dose, an object and a white picture where it is bright."""

    def forward(self, images, rows):
        bright = (images[:, :1] - 0.5) * 200
        outputs = {}
        for target in self.targets:
            if target.layout == "vector":
                outputs[target.name] = torch.zeros(len(images), target.channels)
            elif target.name == "mask":
                lacking = torch.full_like(bright, -1e4)
                outputs["mask"] = torch.cat([-bright, bright, lacking], dim=1)
            else:
                outputs[target.name] = bright
        return {name: outputs[name] for name in rows if name in outputs}

    monkeypatch.setattr(MultitaskNetwork, "forward", forward)


def predict(model, folder, out, **options):
    said = []
    whole = predict_folder(model, folder, out, say=said.append, **options)
    return whole, "\n".join(said)


def table(out):
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def scene(scale, *, grey=60):
    """A wide picture: a disc in the centred square, and one outside of it."""
    pixels = np.full((32, 80), grey, np.uint8)
    cv2.circle(pixels, (30, 9), 4, 200, -1)
    cv2.circle(pixels, (70, 20), 6, 200, -1)
    return np.kron(pixels, np.ones((scale, scale), np.uint8))


@pytest.mark.parametrize("scale", [1, 3])
def test_pixels_come_back_where_they_were(tmp_path, system, marking, scale):
    pixels = scene(scale)
    write(tmp_path / "in" / "sub" / "wide.png", pixels)
    write(tmp_path / "in" / "tall.bmp", np.ascontiguousarray(pixels.T))
    whole, _ = predict(system, tmp_path / "in", tmp_path / "out")
    assert whole
    inside = np.zeros(pixels.shape, bool)
    inside[:, 24 * scale : 56 * scale] = True
    for name, turn in (("sub/wide", lambda a: a), ("tall", np.transpose)):
        mask = cv2.imread(str(tmp_path / f"out/mask/{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, turn((pixels > 128) & inside))
        dose = cv2.imread(str(tmp_path / f"out/map.dose/{name}.tif"), cv2.IMREAD_UNCHANGED)
        assert dose.dtype == np.float32
        assert np.isnan(dose[~turn(inside)]).all()
        unit = load_ensemble(system).targets["map.dose"]
        assert dose[turn(inside)].max() == pytest.approx(unit.high)
        assert dose[turn(inside)].min() == pytest.approx(unit.low)
        heat = cv2.imread(str(tmp_path / f"out/objects/{name}.tif"), cv2.IMREAD_UNCHANGED)
        assert heat[turn(inside)].max() == pytest.approx(1)
        assert heat[turn(inside)].min() == pytest.approx(0)
        made = cv2.imread(str(tmp_path / f"out/{COMPANION}/{name}.png"), cv2.IMREAD_UNCHANGED)
        assert (made.dtype, made.max(), made[~turn(inside)].max()) == (np.uint8, 255, 0)


def box_volume():
    """HU of a volume [X, Y, Z] in RAS+: a box in the centred square, one outside; empty slices."""
    values = np.full((32, 44, 6), -1000, np.int16)
    values[3:9, 10:30, 1:3] = 900
    values[20:28, 0:5, 4] = 900
    inside = np.zeros(values.shape, bool)
    inside[:, 6:38] = True
    return values, inside


@pytest.mark.parametrize("affine", [RAS, LPS, TURNED], ids=["RAS", "LPS", "turned"])
def test_volumes_come_back_voxel_by_voxel(tmp_path, system, marking, affine):
    values, inside = box_volume()
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(np.eye(4)), nibabel.orientations.io_orientation(affine)
    )
    stored, seen = (nibabel.orientations.apply_orientation(v, turn) for v in (values, inside))
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "in/ct.nii.gz")
    whole, _ = predict(system, tmp_path / "in", tmp_path / "out")
    assert whole
    mask = nibabel.load(tmp_path / "out/mask/ct.nii.gz")
    np.testing.assert_array_equal(mask.affine, affine)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(mask.dataobj), (stored > 0) & seen)
    dose = np.asarray(nibabel.load(tmp_path / "out/map.dose/ct.nii.gz").dataobj)
    np.testing.assert_array_equal(np.isnan(dose), ~seen)
    assert [(row["image"], row["slice"]) for row in table(tmp_path / "out")] == [
        ("ct", str(i)) for i in range(6)
    ]


def test_pixels_that_are_no_squares_come_back(tmp_path, system, marking):
    """Rows twice as far apart as columns: the network sees square pixels."""
    values = np.full((64, 32, 5), -1000, np.int16)
    values[8:20, 4:10, 2] = 900
    affine = np.diag([1.0, 2.0, 9.0, 1.0])
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "in/ct.nii")
    predict(system, tmp_path / "in", tmp_path / "out")
    mask = np.asarray(nibabel.load(tmp_path / "out/mask/ct.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, values > 0)


def millimetres(values, affine):
    """Places of the voxels above 0, sorted."""
    places = np.argwhere(values > 0) @ affine[:3, :3].T + affine[:3, 3]
    return sorted(map(tuple, places.round(3).tolist()))


@pytest.mark.parametrize("kind", ["nrrd", "series"])
def test_other_volumes_come_back_at_the_same_place(tmp_path, system, marking, kind):
    values, inside = box_volume()
    values[~inside] = -1000
    if kind == "nrrd":
        write_nrrd(tmp_path / "in/ct.nrrd", values, (1, 1, 5))
        stored, affine = read_nrrd(tmp_path / "in/ct.nrrd")
    else:
        write_series(tmp_path / "in/ct", values, (1, 1, 5))
        files = sorted((tmp_path / "in/ct").iterdir())
        stored, affine = read_series(files, [read_header(file) for file in files])
    predict(system, tmp_path / "in", tmp_path / "out")
    mask = nibabel.load(tmp_path / "out/mask/ct.nii.gz")
    found = millimetres(np.asarray(mask.dataobj), mask.affine)
    assert found == millimetres(stored, affine)
    assert len(found) == (values > 0).sum()


def test_a_plane_is_chosen(tmp_path, system, marking):
    values, _ = box_volume()
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values[:, :, [0, 1, 2, 3] * 8], RAS), tmp_path / "in/ct.nii")
    predict(system, tmp_path / "in", tmp_path / "out", axis="sagittal")
    assert len(table(tmp_path / "out")) == 32


@pytest.mark.parametrize("axis", AXES)
def test_slices_make_the_volume_again(axis):
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    shown = np.stack([display(values, axis, i) for i in range(values.shape[AXES[axis]])])
    np.testing.assert_array_equal(from_display(shown, axis), values)


def test_floats_between_centres_are_linear():
    ramp = np.arange(8, dtype=np.float32)
    found = resampled(ramp, [np.array([-0.1, 0.5, 3.0, 7.5, 8.0])])
    np.testing.assert_allclose(found, [np.nan, 0, 2.5, 7, np.nan])


def test_a_cube_comes_back_to_the_grid_of_its_volume(tmp_path):
    """What a network of volumes sees, thresholded, is the box again at the native voxels."""
    values = np.full((64, 32, 16), -1000, np.int16)
    values[8:24, 4:12, 2:6] = 900
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "in/ct.nii.gz")
    found, _ = survey_images(tmp_path / "in")
    found = described(found, {"modality": "CT", "body_part": "abdomen"})
    (seen,) = Reader(found, (32, 32, 32), 1).read(found.items[0], print)
    assert seen.pixels.shape == (1, 1, 32, 32, 32)
    np.testing.assert_array_equal(seen.affine, affine)
    np.testing.assert_array_equal(
        seen.native((seen.pixels[:, 0] > 128).astype(np.uint8)), values > 0
    )
    linear = seen.native(seen.pixels[:, 0].astype(np.float32))
    assert linear.shape == values.shape
    assert np.isfinite(linear).all()
    write(tmp_path / "in/flat.png", picture())
    with pytest.raises(DataError, match="is no volume"):
        list(Reader(found, (32, 32, 32), 1).read(survey_images(tmp_path / "in")[0].items[1], print))


@pytest.mark.parametrize(
    "keys",
    [
        {"modality": "MR"},
        {"modality": "CT", "window": [300, 500], "axis": "coronal"},
        {"modality": "PET", "percentiles": [5, 95]},
    ],
    ids=lambda keys: keys["modality"],
)
def test_networks_see_what_training_images_show(tmp_path, keys):
    """Slices and cubes are those that a run prepares of the same file as a folder dataset."""
    file = write_nifti(tmp_path / "mine/images/a.nii.gz", head(), (1, 1.5, 2), codes="PSL")
    write(tmp_path / "mine/images/b.png", picture(1, (40, 30)))
    describe(tmp_path / "mine", slices=99, **keys)
    dataset = load(tmp_path / "mine")
    frames, _ = read_all(tmp_path / "mine")
    survey = described(
        survey_images(file.parent)[0],
        {"modality": dataset.modality, "body_part": dataset.body_part, **dataset.windowing}
        | ({"axis": keys["axis"]} if "axis" in keys else {}),
    )
    volume, flat = (next(Reader(survey, (32, 32), 1).read(i, print)) for i in survey.items)
    prepared = [shape(frame, 32).image[..., 0] for frame in frames]
    for frame, image in zip(frames[:-1], prepared, strict=False):
        np.testing.assert_array_equal(volume.pixels[frame.slice_index, 0], image)
    assert len(prepared) > 10
    np.testing.assert_array_equal(flat.pixels[0, 0], prepared[-1])
    (cube,) = dataset.read_volumes(tmp_path / "mine", volume_size=16, note=print)
    seen = next(Reader(survey, (16, 16, 16), 1).read(survey.items[0], print))
    expected = to_cube(cube.voxels, cube.spacing_mm, 16)
    np.testing.assert_array_equal(seen.pixels[0, 0], expected)


def test_networks_of_volumes_are_applied_to_volumes(tmp_path):
    mask = np.zeros((20, 16, 16, 16), np.uint8)
    for i in range(20):
        mask[i, i % 8 : i % 8 + 6, 4:12, 3:9] = 1
    ids = {n: [f"{n}{i}" for i in range(20)] for n in ("subject_id", "group_id", "volume_id")}
    ids |= {"split": ["train", "train", "val", "train", "test"] * 4}
    ids |= {"group_source": ["published"] * 20}
    columns = {**ids, "volume": mask * 200, "mask": mask, "label": [0, 1] * 10}
    facts = {"dataset": "cubes", "modality": "CT", "body_part": "abdomen", "classes": ["box"]}
    facts |= {"labels": ["no", "yes"], "label_kind": "binary", "findings": [], "values": {}}
    facts |= {"source": "test", "licence": "CC0-1.0", "annotation": "ground_truth"}
    facts |= {"manifest_sha256": "0" * 64, "volume_size": 16}
    write_volumes(tmp_path / "cubes.arrow", columns, facts)
    run = Run(tmp_path / "run", tmp_path / "cubes.arrow", learning_rates=[], steps=2, look_every=1)
    run.problem = Problem("p", ("cubes",), ("mask", "label"), volumes=True)
    out = run.train("hps", trials=run.tune("stl"))
    values, _ = box_volume()
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values.repeat(2, 2), LPS), tmp_path / "in/ct.nii")
    write(tmp_path / "in/flat.png", picture())
    whole, said = predict(out, tmp_path / "in", tmp_path / "out")
    assert not whole
    assert "flat.png is left out" in said
    made = nibabel.load(tmp_path / "out/mask/ct.nii.gz")
    assert made.shape == (32, 44, 12)
    np.testing.assert_array_equal(made.affine, LPS)
    (row,) = table(tmp_path / "out")
    assert list(row) == ["image", "slice", "label.no", "label.yes"]
    assert (row["image"], row["slice"]) == ("ct", "")


def test_seeds_are_averaged(tmp_path, system):
    for i in range(3):
        write(tmp_path / "in" / f"{i}.png", picture(i, (40, 50)))
    found = {}
    for name, model in (("both", system), ("0", system / "seed0"), ("1", system / "seed1")):
        _, said = predict(model, tmp_path / "in", tmp_path / name)
        assert ("mean of seeds 0, 1" if name == "both" else f"seed {name}") in said
        found[name] = table(tmp_path / name)
    columns = {"image", "slice", "label.none", "label.one", "label.two", "value.area [pixels]"}
    assert set(found["both"][0]) == columns | {"objects"}
    for both, one, other in zip(found["both"], found["0"], found["1"], strict=True):
        for column in columns - {"image", "slice"}:
            mean = (float(one[column]) + float(other[column])) / 2
            assert float(both[column]) == pytest.approx(mean, rel=1e-4)
            assert one[column] != other[column]
        assert sum(float(both[f"label.{c}"]) for c in ("none", "one", "two")) == pytest.approx(
            1, abs=1e-5
        )
    assert [row["image"] for row in found["both"]] == ["0", "1", "2"]
    about = json.loads((tmp_path / "both/predictions.json").read_text())
    assert (about["seeds"], about["folds"], about["networks"]) == ([0, 1], [-1], 2)
    assert set(about["images"]) == {"0.png", "1.png", "2.png"}
    # Masks are those of the mean probabilities, not a mean of classes.
    with torch.inference_mode():
        networks = [load_ensemble(system / f"seed{i}").members[0] for i in (0, 1)]
        seen = torch.from_numpy(np.stack([picture(i, (32, 32)) for i in range(3)]))[:, None]
        rows = {"mask": torch.arange(3)}
        soft = [m.forward(seen.float() / 255, rows)["mask"].softmax(1) for m in networks]
    said = load_ensemble(system).predict(seen.numpy())["mask"]
    np.testing.assert_array_equal(said, sum(soft).argmax(1).numpy())


def test_classes_are_not_averaged(system, monkeypatch):
    monkeypatch.setattr(Segmentation, "belief", Segmentation.prediction)
    with pytest.raises(ConfigError, match=r"uint8, which have no mean[^$]*one seed"):
        load_ensemble(system)
    assert load_ensemble(system / "seed1").seeds == [1]


def test_a_restored_network_says_what_the_trained_one_said(tmp_path, dataset):
    """Predictions of a folder are those that the training wrote of the same images."""
    path, quick = dataset(axis=None), {"learning_rates": [], "steps": 2, "look_every": 1}
    run = Run(tmp_path / "run", path, targets=("mask", "label"), folds=3, **quick)
    for name, networks in (("wide", 6), ("pairs", 3)):
        out = run.train(name, trials=run.tune("stl"))
        ensemble = load_ensemble(out)
        assert ensemble.folds == [0, 1, 2]
        assert len(ensemble.members) == networks
        assert json.loads((out / "config.json").read_text())["axes"] == []
    run = Run(tmp_path / "one", path, targets=("mask", "label"), **quick)
    out = run.train("hps", trials=run.tune("stl"))
    examples = read_examples(out / "examples.arrow")
    images = examples.numpy("image")[..., 0][:, None]
    said = load_ensemble(out).predict(np.ascontiguousarray(images))
    np.testing.assert_array_equal(said["mask"], examples.numpy("output.mask"))
    np.testing.assert_allclose(said["label"], examples.numpy("output.label"), atol=1e-3)


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path, system):
    write(tmp_path / "in/good.png", picture(0, (40, 50)))
    write(tmp_path / "in/colour.png", picture(1, (40, 50, 3)) // 2 * [[[0, 1, 2]]])
    (tmp_path / "in/broken.jpg").write_bytes(b"no picture")
    (tmp_path / "in/notes.txt").write_text("hello")
    write_dicom(tmp_path / "in/slice.dcm", picture(3, (40, 50)))
    arguments = ["predict", str(system), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "broken.jpg is left out" in done.output
    assert "colour.png is in colour" in done.output
    assert "notes.txt: no image" in done.output
    assert [row["image"] for row in table(tmp_path / "out")] == ["good", "slice"]
    left = json.loads((tmp_path / "out/predictions.json").read_text())["left_out"]
    assert set(left) == {"broken.jpg", "colour.png"}


def test_one_file_of_a_system_in_a_run(tmp_path, system):
    file = write(tmp_path / "in/one.png", picture(0, (40, 50)))
    write(tmp_path / "in/beside.png", picture(1, (40, 50)))
    np.savez(tmp_path / "in/many.npz", val_images=np.stack([picture(i, (32, 32)) for i in (0, 1)]))
    arguments = ["predict", "multitask/hps", "--run", str(tmp_path), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, str(file)])
    assert done.exit_code == 0, done.output
    assert [row["image"] for row in table(tmp_path / "out")] == ["one"]
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "in"), "--overwrite"])
    assert done.exit_code == 0, done.output
    rows = [row["image"] for row in table(tmp_path / "out")]
    assert rows == ["beside", "many/val-000000", "many/val-000001", "one"]
    assert (tmp_path / "out/mask/many/val-000001.png").is_file()


def test_predictions_are_replaced_only_if_wanted(tmp_path, system):
    write(tmp_path / "in/old.png", picture(0, (40, 50)))
    predict(system, tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="holds predictions"):
        predict(system, tmp_path / "in", tmp_path / "out")
    (tmp_path / "in/old.png").rename(tmp_path / "in/new.png")
    (tmp_path / "out/mine.txt").touch()
    (tmp_path / "out/mask/rest.png").touch()
    predict(system, tmp_path / "in", tmp_path / "out", overwrite=True)
    assert [p.name for p in (tmp_path / "out/mask").iterdir()] == ["new.png"]
    assert (tmp_path / "out/mine.txt").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    with pytest.raises(DataError, match="holds other things"):
        predict(system, tmp_path / "in", tmp_path / "full", overwrite=True)
    with pytest.raises(ConfigError, match="lies within"):
        predict(system, tmp_path / "in", tmp_path / "in/out")


def edited(system, **keys):
    path = system / "seed0/config.json"
    config = json.loads(path.read_text())
    for key, value in keys.items():
        config[key] = value
        if value is None:
            del config[key]
    path.write_text(json.dumps(config))


def test_a_model_that_does_not_fit_says_so(tmp_path, system):
    with pytest.raises(ConfigError, match=r"holds no trained system[^$]*hps"):
        load_ensemble(system.parent)
    original = (system / "seed0/config.json").read_text()
    targets = json.loads(original)["targets"]
    targets["-1"]["mask"]["colours"] = 3
    other = json.loads(original)["targets"]
    other["-1"]["label"]["kind"] = "rank"
    for keys, said in (
        ({"format": 0}, r"config.json: format: 0, this version reads 1"),
        ({"size": [16, 16]}, "differ in size"),
        ({"windowing": None}, "key windowing is missing"),
        ({"targets": targets}, "keys do not fit this version.*colours"),
        ({"targets": other}, "kind rank, which is not known[^$]*--targets-dir"),
    ):
        edited(system, **keys)
        with pytest.raises((ConfigError, DataError), match=said):
            load_ensemble(system)
        (system / "seed0/config.json").write_text(original)
    tensors, facts = load_tensors(system / "seed0/model.safetensors")
    first = next(name for name in tensors if name.endswith("weight"))
    save_tensors(
        system / "seed0/model.safetensors", {k: t for k, t in tensors.items() if k != first}, facts
    )
    with pytest.raises(DataError, match=r"does not fit config\.json"):
        load_ensemble(system)


def test_what_training_images_do_not_tell_is_asked_for(tmp_path, system):
    values, _ = box_volume()
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, RAS), tmp_path / "in/ct.nii")
    shutil.rmtree(system / "seed1")
    narrow = {"window": [0.0, 10.0]}
    for keys, said, option in (
        ({"axes": []}, "plane of slices", {"axis": "axial"}),
        ({"axes": ["axial", "coronal"]}, "--axis", {"axis": "axial"}),
        ({"modality": ["CT", "MR"]}, "--modality", {"modality": "CT"}),
        ({"body_part": ["brain", "chest"]}, "--window", {"window": (0.0, 10.0)}),
        ({"windowing": [{}, narrow]}, "none, .*--window|--window", {"window": (0.0, 10.0)}),
    ):
        original = (system / "seed0/config.json").read_text()
        edited(system, **keys)
        with pytest.raises(ConfigError, match=said):
            predict(system, tmp_path / "in", tmp_path / "out")
        predict(system, tmp_path / "in", tmp_path / "out", overwrite=True, **option)
        (system / "seed0/config.json").write_text(original)
    with pytest.raises(ConfigError, match="width is 0"):
        predict(system, tmp_path / "in", tmp_path / "out", window=(0, 0))
    shutil.copy(tmp_path / "in/ct.nii", tmp_path / "in/ct.nii.gz")
    with pytest.raises(DataError, match="have one name"):
        predict(system, tmp_path / "in", tmp_path / "other")
