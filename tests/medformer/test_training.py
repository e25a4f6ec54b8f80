"""Pre-training and arms of Medformer, on generated sets."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from cubes import write_cubes
from pydantic import ValidationError

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.multitask import read_multitask_predictions, statistics_of
from medtaskatlas.learning.checkpoint import load_tensors
from medtaskatlas.medformer import adaptation, regression, train
from medtaskatlas.medformer.adaptation import coral
from medtaskatlas.medformer.model import Shape
from medtaskatlas.medformer.options import Medformer
from medtaskatlas.medformer.pretexts import pretext_of
from medtaskatlas.medformer.pretraining import PretrainingObjective, pretrain
from medtaskatlas.medformer.sets import Unlabelled
from medtaskatlas.medformer.train import Job, train_arm
from medtaskatlas.problems.data import ProblemData

ARMS = {
    "single": {},
    "longer": {"matched": "unlabelled"},
    "multi": {"sets": "all"},
    "aligned": {"sets": "all", "align": "coral"},
    "ssl": {"start": "unlabelled"},
    "latents": {"start": "unlabelled", "adapt": "latents"},
    "probe": {"start": "unlabelled", "adapt": "probe"},
    "lora": {"start": "unlabelled", "adapt": "lora"},
    "resnet18": {"model": "resnet18"},
    "vit": {"model": "vit"},
    "pixels": {"model": "pixels"},
    "photographs": {"model": "efficientnet_lite0"},
}
OPTIONS = {
    "pretrainings": {"unlabelled": {"pretexts": ["masked", "turns"]}},
    "pretraining_steps": 3,
    "steps": 4,
    "look_every": 2,
    "batch_size": 4,
    "stem_width": 8,
    "arms": ARMS,
    "patch_volume": 8,
}


@pytest.fixture
def sets(tmp_path, dataset):
    """A set of pictures and one of volumes."""
    return [dataset(n=40), write_cubes(tmp_path / "cubes.arrow")]


class Run:
    """Arms on sets in a folder."""

    def __init__(self, folder, sets, **options):
        self.folder, self.sets = folder, sets
        self.options = Medformer.model_validate(OPTIONS | options)

    def pretrain(self, seed=0):
        out = self.folder / f"pretrained{seed}.safetensors"
        pretrain(
            self.sets, out, options=self.options, name="unlabelled", seed=seed,
            states=self.folder / "states", threads=1,
        )  # fmt: skip
        return out

    def job(self, arm, names, share=1.0, seed=0):
        return Job(self.options, arm, {n: ["label"] for n in names}, share, seed, 0)

    def train(self, arm, which=(0,), start=None, share=1.0, out="out"):
        folder = self.folder / out / arm
        folder.mkdir(parents=True, exist_ok=True)
        job = self.job(arm, [["shapes", "cubes"][i] for i in which], share)
        train_arm(
            [self.sets[i] for i in which], folder / "model.safetensors", job=job, run="r",
            start=start, states=self.folder / "states" / arm, threads=1,
        )  # fmt: skip
        return folder


def test_every_arm_predicts_every_test_image_once(tmp_path, sets, monkeypatch):
    monkeypatch.setattr(regression, "RESOLUTION", 32)
    run = Run(tmp_path, sets)
    start = run.pretrain()
    for arm, options in ARMS.items():
        which = (0, 1) if options.get("sets") == "all" else (1,)
        folder = run.train(arm, which, start if options.get("start") else None)
        rows, facts = read_multitask_predictions(folder / "predictions.parquet")
        own = rows[(rows["system"] == f"{arm}@100") & (rows["split"] == "test")]
        assert own.groupby("problem").size().to_dict() == dict(
            zip([["shapes", "cubes"][i] for i in which], [8, 6][which[0] :], strict=True)
        ), arm
        kinds = {name: len(of["label"]["classes"]) for name, of in facts["targets_of"].items()}
        for name, group in own.groupby("problem"):
            probabilities = statistics_of(group)[:, :-1]
            assert probabilities.shape[1] == kinds[name]
            assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        wrong = rows[rows["system"] == f"{arm}_wrong_latents@100"]
        assert len(wrong) == (14 if options.get("sets") == "all" else 0)
        config = json.loads((folder / "config.json").read_text())
        assert config["sets"]["cubes"]["labelled"] == {"label": 18}


def test_one_model_learns_a_set_at_two_sizes_beside_pictures(tmp_path, dataset):
    """The same subjects are labelled at both sizes, and those that one size tests none trains."""
    copy = {"name": "cubes_24", "side": 24, "copy_of": "cubes"}
    paths = [
        dataset(n=40),
        write_cubes(tmp_path / "cubes.arrow"),
        write_cubes(tmp_path / "cubes_24.arrow", **copy),
    ]
    run = Run(tmp_path, paths)
    start = run.pretrain()
    job = run.job("multi", ["shapes", "cubes", "cubes_24"], 0.3)
    small, large = (one.data.images.subjects("train") for one in job.sets(paths)[1:])
    assert small["cubes"] == large["cubes_24"]
    assert 0 < len(small["cubes"]) < 9
    out = tmp_path / "out"
    out.mkdir()
    train_arm(paths, out / "model.safetensors", job=job, run="r", start=start,
              states=tmp_path / "s", threads=1)  # fmt: skip
    rows, facts = read_multitask_predictions(out / "predictions.parquet")
    assert facts["copies"] == {"cubes_24": "cubes"}
    tested = rows[(rows["system"] == "multi@30") & (rows["split"] == "test")]
    assert tested.groupby("problem").size().to_dict() == {"shapes": 8, "cubes": 6, "cubes_24": 6}
    tensors = load_tensors(out / "model.safetensors")[0]
    assert {name.split(".")[1] for name in tensors if "stems" in name} == {"2d1", "3d1"}
    write_cubes(paths[2], **copy, cycle=["test", *["train"] * 3, "val"])
    with pytest.raises(DataError, match="that cubes_24 tests are trained on in cubes,"):
        run.job("multi", ["shapes", "cubes", "cubes_24"]).sets(paths)


@pytest.mark.parametrize("arm", ["latents", "probe", "lora"])
def test_what_is_frozen_stays(tmp_path, sets, arm):
    run = Run(tmp_path, sets)
    start = run.pretrain()
    before = load_tensors(start)[0]
    after = load_tensors(run.train(arm, (1,), start) / "model.safetensors")[0]
    moved = {
        name.split(".")[0]
        for name, value in before.items()
        if name in after and not torch.equal(value, after[name])
    }
    # New latents and heads are in neither.
    assert moved == {"latents": {"latents"}, "probe": set(), "lora": {"latents", "body"}}[arm]
    assert any(name.startswith("heads.of_cubes") for name in after)


@pytest.mark.parametrize("arm", ["latents", "probe", "lora"])
def test_a_stem_that_is_not_trained_must_have_been_learned(tmp_path, sets, arm):
    learned = load_tensors(Run(tmp_path, sets[:1]).pretrain())[0]

    def network(name, which, tensors, **options):
        changed = Run(tmp_path, sets, arms=ARMS | {arm: ARMS[arm] | options})
        job = changed.job(name, [["shapes", "cubes"][which]])
        return job.model(job.sets([sets[which]]), tensors)

    with pytest.raises(DataError, match=f"the arm {arm} trains no stem.*3d1[^$]*`adapt: full`"):
        network(arm, 1, learned)
    with pytest.raises(DataError, match="2d1_shapes"):
        network(arm, 0, learned, stems="set")
    lacking = {k: v for k, v in learned.items() if k != "stems.2d1.layers.0.weight"}
    with pytest.raises(DataError, match="2d1"):
        network(arm, 0, lacking)
    # It is there, all is trained, or a random body is meant.
    network(arm, 0, learned)
    network("ssl", 1, learned)
    network(arm, 1, None, start="scratch")


def test_a_new_task_starts_as_the_mean_of_those_learned(tmp_path, sets):
    run = Run(tmp_path, sets)
    start = run.pretrain()
    job = run.job("ssl", ["cubes"])
    learned = load_tensors(start)[0]
    model = job.model(job.sets([sets[1]]), learned)
    tasks = [v for k, v in learned.items() if k.startswith("latents.of.task.")]
    assert len(tasks) == 2
    assert torch.allclose(model.latents.get("task", "cubes.label"), sum(tasks) / 2)
    assert torch.equal(model.body[0].attention.out.weight, learned["body.0.attention.out.weight"])


def test_pretraining_reads_no_label_and_no_held_out_image(tmp_path, dataset):
    path = dataset(n=40)
    pool = Unlabelled(path)
    split = np.array(ImageSet(path).column("split").to_pylist())
    assert set(split[pool.rows]) == {"train"}
    names = {"label", "mask", "map.dose", "value.area"}
    asked = []
    column = pool.file.column
    pool.file.column = lambda name: asked.append(name) or column(name)
    run = Run(tmp_path, [path])
    model = train.Medformer(run.job("single", ["shapes"]).network, 0)
    objective = PretrainingObjective(
        model, [pool], [pretext_of("masked")], batch_size=4, batches=1, seed=0
    )
    for step in range(3):
        objective.loss(model, objective.batch(step))
    assert not names & set(asked)


def test_colour_that_is_rare_is_seen_whatever_is_labelled(tmp_path, dataset):
    """A stem of another kind would start from nothing of the pre-training."""
    plain = ImageSet(dataset(n=600, groups=300))
    dyed = plain.images.copy()
    split = np.array(plain.column("split").to_pylist())
    dyed[np.flatnonzero(split == "train")[7]] //= np.array([1, 1, 4], np.uint8)
    run = Run(tmp_path, [])
    job = run.job("ssl", ["shapes"], 0.1)

    def shapes(images):
        path = dataset(n=600, groups=300, image=images)
        return Unlabelled(path).shape, job.sets([path])[0].shape

    assert shapes(dyed) == (Shape(2, 3),) * 2
    labelled = set(job.sets([plain.path])[0].data.names("train"))
    assert f"shapes/image{np.flatnonzero(split == 'train')[7]}" not in labelled
    of_test = plain.images.copy()
    of_test[split == "test"] //= np.array([1, 1, 4], np.uint8)
    assert shapes(of_test) == (Shape(2, 1),) * 2
    meta = {k: v for k, v in plain.meta.items() if k != "channels"}
    write_arrow(tmp_path / "old.arrow", {n: plain.column(n) for n in plain.columns}, meta)
    with pytest.raises(DataError, match="an older version made it"):
        Unlabelled(tmp_path / "old.arrow")


def test_a_smaller_share_of_labels_is_part_of_a_larger_one_and_has_every_class(dataset):
    path = dataset(n=80, groups=40)

    def kept(share, seed=0):
        job = Job(
            Medformer.model_validate(OPTIONS), "single", {"shapes": ["label"]}, share, seed, 0
        )
        data: ProblemData = job.sets([path])[0].data
        return set(data.names("train")), data.targets["label"].counts

    (tenth, counts), (half, _), (every, _) = (kept(share) for share in (0.1, 0.5, 1.0))
    assert tenth < half < every
    assert min(counts) >= 1
    assert kept(0.1, seed=3)[0] == tenth  # drawn by the run's seed
    subjects = {i: ImageSet(path).column("subject_id")[i].as_py() for i in range(80)}
    chosen = {subjects[int(name.rpartition("image")[2])] for name in tenth}
    # Whole subjects.
    assert {f"shapes/image{i}" for i, s in subjects.items() if s in chosen} >= tenth
    assert sum(s in chosen for s in subjects.values()) == len(tenth)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, sets, monkeypatch):
    whole = Run(tmp_path / "whole", sets).train("multi", (0, 1))
    run = Run(tmp_path / "cut", sets)
    loss, taken = adaptation.AdaptationObjective.loss, []

    def stops(self, model, batch):
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, model, batch)

    monkeypatch.setattr(adaptation.AdaptationObjective, "loss", stops)
    with pytest.raises(SystemExit):
        run.train("multi", (0, 1))
    monkeypatch.undo()
    folder = run.train("multi", (0, 1))
    assert len(taken) == 3
    one, other = (load_tensors(f / "model.safetensors")[0] for f in (whole, folder))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_test_images_are_read_after_training(tmp_path, sets, monkeypatch):
    def poisoned(self):
        raise AssertionError("opened")

    monkeypatch.setattr(ProblemData, "open_test", poisoned)
    reached = []
    fit = train.fit
    monkeypatch.setattr(train, "fit", lambda *a, **k: reached.append(1) or fit(*a, **k))
    with pytest.raises(AssertionError, match="opened"):
        Run(tmp_path, sets).train("single")
    assert reached


def test_steps_of_an_arm_that_is_matched_count_those_of_pretraining(tmp_path, sets):
    run = Run(tmp_path, sets, pretraining_batches=2)
    assert run.job("single", ["shapes"]).steps == 4
    assert run.job("longer", ["shapes"]).steps == 4 + 3 * 2
    assert run.job("multi", ["shapes", "cubes"]).steps == 8


def test_coral_is_zero_for_features_of_one_covariance():
    one = torch.randn(50, 3)
    assert coral(one, one + 7) < 1e-9
    assert coral(one, 2 * one) > 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": {"start": "unlabeled"}}}, "`arms.a.start`: 'unlabeled'.*unlabelled"),
        ({"arms": {"a": {"matched": "none"}}}, "`arms.a.matched`: 'none'"),
        ({"arms": {"a": {"model": "vit", "adapt": "lora"}}}, "`adapt`: vit has no choice of it"),
        (
            {"arms": {"a": {"model": "efficientnet_lite0", "matched": "unlabelled"}}},
            "`matched`: efficientnet_lite0 takes no steps",
        ),
        ({"arms": {"a": {"align": "coral"}}}, "it needs `sets: all`"),
        ({"arms": {"a": {"sets": "all", "adapt": "probe"}}}, "probe is for one set"),
        ({"arms": {"a": {}}, "label_fractions": [0.0]}, "shares above 0"),
        ({"arms": {"a": {}}, "label_fractions": [0.101, 0.1]}, "names a share twice"),
        ({"arms": {"scratch": {}}}, "'scratch' is there twice"),
        (
            {"arms": {"m": {"sets": "all", "label_fractions": [1.0]}, "a": {"start": "m"}},
             "label_fractions": [0.1, 1.0]},
            "m, which it starts from, is not trained with 0.1",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Medformer.model_validate(OPTIONS | changes)
