"""Batches and evaluation sets of a problem."""

import numpy as np
import pytest
import torch

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.problems.augment import draw_augmentation
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.problem import Problem
from medtaskatlas.problems.targets import load_kinds

ALL = ("mask", "label", "map.dose", "value.area", "objects", "plane")
DENOISING = "denoising_gaussian"


def data_of(path, targets=ALL, **options):
    name = path.stem
    folds = options.pop("folds", None)
    problem = Problem("p", (name,), tuple(targets), folds)
    return ProblemData(problem, {name: path}, load_kinds(), **{"batch_size": 12, **options})


def same(a, b):
    assert a.names == b.names
    assert torch.equal(a.images, b.images)
    assert a.truths.keys() == b.truths.keys()
    for name in a.truths:
        assert torch.equal(a.truths[name], b.truths[name])
        assert torch.equal(a.rows[name], b.rows[name])


def test_a_batch_is_a_function_of_seed_and_step(dataset):
    path = dataset()
    one, other = data_of(path, (*ALL, DENOISING)), data_of(path, (*ALL, DENOISING))
    for step in (5, 0, 3):
        same(one.batch(step), other.batch(step))
    assert not torch.equal(one.batch(0).images, one.batch(1).images)
    assert not torch.equal(one.batch(0).images, data_of(path, seed=1).batch(0).images)


def test_a_batch_is_what_the_file_says_up_to_augmentation(dataset):
    path = dataset()
    images, data = ImageSet(path), data_of(path)
    seen = set()
    for step in range(4):
        batch = data.batch(step)
        assert batch.images.shape == (12, 1, 32, 32)
        assert 0 <= batch.images.min() < batch.images.max() <= 1
        assert len(batch) == len(batch.names) == 12
        for name, rows in batch.rows.items():
            assert len(batch.truths[name]) == len(rows)
        rows = batch.places[:, 1]
        seen |= set(rows.tolist())
        assert batch.truths["label"].tolist() == images.numpy("label")[rows].tolist()
        with_value = rows[batch.rows["value.area"]]
        assert with_value.tolist() == [r for r in rows.tolist() if r % 5]
        target = data.targets["value.area"]
        back = batch.truths["value.area"].numpy() * target.sd + target.mean
        np.testing.assert_allclose(back, images.numpy("value.area")[with_value], rtol=1e-5)
    train = np.flatnonzero(images.column("split").to_numpy(zero_copy_only=False) == "train")
    assert seen == set(train.tolist())


def test_pixels_of_truths_move_with_the_image(dataset):
    """The mask of a picture that is its own mask is that picture, whatever the augmentation."""
    mask = np.random.default_rng(0).integers(0, 3, (40, 32, 32)).astype(np.uint8)
    drawn = np.repeat(mask[..., None] * 100, 3, axis=-1)
    dose = mask.astype(np.float32)
    data = data_of(dataset(image=drawn, mask=mask, **{"map.dose": dose}))
    batch = data.batch(0)
    levels = batch.images[:, 0]
    for i in range(12):
        by_class = [levels[i][batch.truths["mask"][i] == c] for c in range(3)]
        assert [len(v.unique()) for v in by_class] == [1, 1, 1]
        assert by_class[0][0] < by_class[1][0] < by_class[2][0]
    classes = batch.truths["mask"][batch.rows["map.dose"]]
    valid, target = batch.truths["map.dose"][:, 1] > 0, data.targets["map.dose"]
    assert target.low == 0
    said = batch.truths["map.dose"][:, 0][valid] * target.high
    assert torch.allclose(said, classes[valid].float())
    moved = [
        not torch.equal(t, torch.from_numpy(mask[r]))
        for t, r in zip(batch.truths["mask"], batch.places[:, 1], strict=True)
    ]
    assert any(moved)


def test_augmentation_mirrors_at_borders_and_knows_volumes():
    volume = np.arange(5 * 6 * 7, dtype=np.float32).reshape(1, 5, 6, 7)
    moves = draw_augmentation(np.random.default_rng(0), 1, (5, 6, 7))
    object.__setattr__(moves, "shift", np.array([[1, -2, 0]]))
    expected = np.pad(volume[0], ((0, 1), (2, 0), (0, 0)), mode="reflect")[1:, :6]
    np.testing.assert_array_equal(moves.moved(volume, np.array([0]))[0], expected)


def test_kinds_of_input_share_a_batch(dataset):
    data = data_of(dataset(colour=True), ("mask", DENOISING, "deblurring", "rotation"))
    batch = data.batch(0)
    # As many of each kind of input: a target sees as many images beside others as alone.
    assert batch.images.shape == (36, 3, 32, 32)
    assert {n: r.tolist() for n, r in batch.rows.items()} == {
        "mask": list(range(12)),
        "rotation": list(range(12)),
        DENOISING: list(range(12, 24)),
        "deblurring": list(range(24, 36)),
    }
    # A transformation starts from the image, a generative task ends with it.
    assert not torch.equal(batch.truths[DENOISING], batch.images[12:24])
    alone = data.batch(0, [DENOISING])
    assert alone.rows[DENOISING].tolist() == list(range(12))
    assert torch.equal(alone.images, batch.images[12:24])


def test_evaluation_gives_each_image_once_as_it_is(dataset):
    path = dataset()
    images, data = ImageSet(path), data_of(path, ("mask", "label", DENOISING))
    batches = list(data.evaluation("val"))
    plain = [b for b in batches if DENOISING not in b.rows]
    rows = np.concatenate([b.places[:, 1] for b in plain])
    assert sorted(rows.tolist()) == [i for i in range(40) if i % 20 % 5 == 2]
    groups = [images.column("group_id")[r].as_py() for r in rows]
    assert groups == sorted(groups)
    for batch in plain:
        expected = images.images[batch.places[:, 1]][..., 0]
        np.testing.assert_array_equal((batch.images[:, 0] * 255).round().numpy(), expected)
    noisy = [b for b in batches if DENOISING in b.rows]
    for a, b in zip(
        noisy,
        list(data_of(path, ("mask", "label", DENOISING), seed=3).evaluation("val"))[len(plain) :],
        strict=True,
    ):
        same(a, b)
        np.testing.assert_array_equal(
            (a.truths[DENOISING][:, 0] * 255).round(), images.images[a.places[:, 1]][..., 0]
        )
    assert sum(len(b) for b in data.evaluation("val", ["label"], most=3)) == 3


POISON = {
    "mask": ("mask", lambda column, test: np.where(test[:, None, None], 9, column)),
    "label": ("label", lambda column, test: np.where(test, 9, column).tolist()),
    "map.dose": ("map.dose", lambda column, test: np.where(test[:, None, None], np.nan, column)),
}


@pytest.mark.parametrize("target", POISON)
def test_the_test_split_is_not_read_before_it_is_opened(dataset, target):
    """Labels of the test split that raise when they are read change nothing until the end."""
    path = dataset()
    clean, images = data_of(path), ImageSet(path)
    test = np.array([s == "test" for s in images.column("split").to_pylist()])
    column, poison = POISON[target]
    values = np.asarray(poison(images.numpy(column), test))
    poisoned = values.tolist() if column == "label" else values.astype(images.numpy(column).dtype)
    extra = {"valid.dose": np.ones((40, 32, 32), np.uint8)} if target == "map.dose" else {}
    if extra:
        clean = data_of(dataset("clean", **extra))
    bad = data_of(dataset("poisoned", **{column: poisoned}, **extra))
    assert bad.targets == clean.targets
    for step in range(3):
        a, b = clean.batch(step), bad.batch(step)
        assert torch.equal(a.images, b.images)
        assert all(torch.equal(a.truths[n], b.truths[n]) for n in a.truths)
    for a, b in zip(clean.evaluation("val"), bad.evaluation("val"), strict=True):
        assert all(torch.equal(a.truths[n], b.truths[n]) for n in a.truths)
    with pytest.raises(RuntimeError, match="after training"):
        list(bad.evaluation("test"))
    bad.open_test()
    with pytest.raises(DataError):
        list(bad.evaluation("test"))
    clean.open_test()
    assert sum(len(b) for b in clean.evaluation("test")) == test.sum()


def test_folds_part_no_group_and_test_every_image_once(dataset):
    path = dataset()
    images = ImageSet(path)
    tested = []
    for fold in range(4):
        data = data_of(path, ("mask", "label"), folds=4, fold=fold)
        rows = {s: data.images.rows[s][0] for s in ("train", "val", "test")}
        subjects = {
            s: {images.column("subject_id")[int(i)].as_py() for i in r} for s, r in rows.items()
        }
        assert not subjects["train"] & subjects["test"]
        assert not subjects["train"] & subjects["val"]
        assert not subjects["val"] & subjects["test"]
        labels = images.numpy("label")
        assert all(len(set(labels[r].tolist())) >= 2 for r in rows.values())
        tested += rows["test"].tolist()
    assert sorted(tested) == list(range(40))
    with pytest.raises(DataError, match="20 subjects make no 21 folds"):
        data_of(path, ("mask", "label"), folds=21, fold=0)


def test_who_is_tested_in_one_dataset_is_not_trained_on_in_another(dataset):
    """A dataset of its own may part its subjects as it likes, as slices of one brain must be."""
    people = [f"clinic/{i % 20}" for i in range(40)]
    paths = {"one": dataset("one", subject_id=people)}
    for name, split, apart in (
        ("alike", None, False),
        ("apart", ["test" if i % 20 % 5 == 0 else "train" for i in range(40)], True),
    ):
        more = {"split": split} if split else {}
        both = paths | {name: dataset(name, subject_id=people, **more)}
        problem = Problem("p", tuple(both), ("mask", "label"))
        if not apart:
            ProblemData(problem, both, load_kinds())
            continue
        with pytest.raises(DataError, match=r"4 subjects that one tests are trained on in apart"):
            ProblemData(problem, both, load_kinds())
        ProblemData(Problem("p", tuple(both), ("mask", "label"), 3), both, load_kinds(), fold=0)
    one = dataset("brain", subject_id=["brain"] * 40)
    ProblemData(Problem("p", ("brain",), ("mask", "label")), {"brain": one}, load_kinds())


def test_two_datasets_count_by_their_size(dataset):
    small, large = dataset("small", n=20), dataset("large", n=80, groups=40, label=None)
    problem = Problem("p", ("small", "large"), ("mask", "label"))
    data = ProblemData(problem, {"small": small, "large": large}, load_kinds(), batch_size=12)
    steps = data.epoch_steps()
    drawn = np.concatenate([data.batch(s).places for s in range(steps)])
    share = (drawn[:, 0] == 0).mean()
    assert share == pytest.approx(0.2, abs=0.05)
    batch = data.batch(0)
    assert (batch.places[batch.rows["label"], 0] == 0).all()
    assert data.count("train", "label") == 12
    assert data.count("train", "mask") == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": np.zeros((40, 32, 32), np.uint8)}, "all masks of training images are empty"),
        ({"label": [1] * 40}, "all training images are one"),
        ({"label": [None] * 38 + [1, 0], "split": ["train"] * 30 + ["val"] * 5 + ["test"] * 5,
          "groups": 40},
         "no training image has the target label"),
        ({"valid.dose": np.zeros((40, 32, 32), np.uint8)}, "no training image has the target map"),
        ({"value.area": [3.0] * 40}, "have the value 3"),
        ({"split": ["test"] * 40}, "no image is in the split train"),
        ({"map.dose": np.full((40, 32, 32), 5, np.float32)}, "value 5 alone"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_an_error(dataset, changes, message):
    with pytest.raises(DataError, match=message) as error:
        data_of(dataset(**changes))
    assert "problem p" in str(error.value)


def test_a_quantity_without_unit_is_an_error(dataset):
    none = {"dose": {"unit": "", "low": 0, "high": 1}}
    with pytest.raises(ConfigError, match=r"map.dose has no unit"):
        data_of(dataset(meta={"maps": none}))


def test_a_class_that_training_lacks_is_noted(dataset):
    data = data_of(dataset(label=[i % 2 for i in range(40)]))
    assert data.notes() == {"label": "no training image has two: it is never predicted rightly"}


def test_volumes_are_read_whole(tmp_path):
    """A file of the contract of volumes: masks move with their volume along all axes."""
    mask = np.random.default_rng(0).integers(0, 3, (20, 24, 24, 24)).astype(np.uint8)
    ids = {
        name: [f"{name}{i}" for i in range(20)] for name in ("volume_id", "subject_id", "group_id")
    }
    split = ["train", "val", "test", "train"] * 5
    columns = {**ids, "split": split, "volume": mask * 100, "mask": mask, "label": [0, 1] * 10}
    meta = {"dataset": "cubes", "classes": ["a", "b"], "labels": ["x", "y"]}
    path = tmp_path / "cubes.arrow"
    write_arrow(path, columns, {**meta, "label_kind": "binary", "maps": {}, "values": {}})
    problem = Problem("p", ("cubes",), ("mask", "label"), volumes=True)
    data = ProblemData(problem, {"cubes": path}, load_kinds(), batch_size=4)
    assert (data.size, data.channels) == ((24, 24, 24), 1)
    batch = data.batch(0)
    assert batch.images.shape == (4, 1, 24, 24, 24)
    for image, truth in zip(batch.images[:, 0], batch.truths["mask"], strict=True):
        assert [len(image[truth == c].unique()) for c in range(3)] == [1, 1, 1]
    loss = data.targets["mask"].loss(torch.zeros(4, 3, 24, 24, 24), batch.truths["mask"])
    assert loss.isfinite()
    assert sum(len(b) for b in data.evaluation("val")) == 5
