"""Pairs: replayable, the same in any order, balanced over splits."""

import hashlib
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from generated import SPLITS, write_dataset
from medtaskatlas.errors import DataError, TaskError
from medtaskatlas.imageset import ImageSet
from medtaskatlas.pairs import image_order, make_pairs
from medtaskatlas.pairset import PairSet
from medtaskatlas.shares import share_out
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import Task, no_params

BANK = load_bank()


def make(images, name, out, n=20, seed=0):
    make_pairs(images, BANK[name], out, pairs_per_cell=n, splits=SPLITS, seed=seed)
    return out


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["rotation", "inpainting", "instance_segmentation"])
def test_every_pair_can_be_made_again_from_its_row(tmp_path, name) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    pairs = PairSet(make(images.path, name, tmp_path / "p" / "toy.arrow"), images)
    for row in range(len(pairs)):
        params = json.loads(pairs.column("params")[row].as_py())
        source, result = BANK[name].make(images.sample(int(pairs.image_row[row])), params)
        np.testing.assert_array_equal(pairs.side("input", row), source)
        np.testing.assert_array_equal(pairs.side("output", row), result)


def test_one_image_a_pair_is_stored(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    for name, side in [("rotation", "output"), ("deblurring", "input")]:
        pairs = PairSet(make(images.path, name, tmp_path / name / "toy.arrow"), images)
        assert side in pairs
        assert ({"input", "output"} - {side}).pop() not in pairs


def test_bytes_depend_on_the_seed_only(tmp_path) -> None:
    images = write_dataset(tmp_path / "toy.arrow")
    names = ["rotation", "denoising_poisson", "inpainting", "elastic_deformation"]
    alone = [digest(make(images, n, tmp_path / "one" / f"{n}.arrow")) for n in names]
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(make, images, n, tmp_path / "two" / f"{n}.arrow") for n in names[::-1]]
        parallel = [digest(j.result()) for j in jobs][::-1]
    assert alone == parallel
    assert digest(make(images, "rotation", tmp_path / "s.arrow", seed=1)) != alone[0]


def test_splits_follow_the_images_and_share_the_pairs(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    pairs = PairSet(make(images.path, "rotation", tmp_path / "p.arrow", n=50), images)
    assert Counter(pairs.numpy("split")) == {"train": 30, "val": 10, "test": 10}
    split_of = dict(zip(images.numpy("image_id"), images.numpy("split"), strict=True))
    for image, split in zip(pairs.numpy("image_id"), pairs.numpy("split"), strict=True):
        assert split_of[image] == split


def test_tasks_share_their_images(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    first, second = (
        PairSet(make(images.path, n, tmp_path / n / "toy.arrow"), images).image_row.tolist()
        for n in ("rotation", "segmentation")
    )
    assert first == second
    assert sorted(image_order(images, "train", 0)) == list(
        np.flatnonzero(images.numpy("split") == "train")
    )


def test_a_task_that_no_image_can_use_gives_a_file_without_rows(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    pairs = PairSet(make(images.path, "colorization", tmp_path / "p.arrow"), images)
    assert len(pairs) == 0
    assert pairs.side("input", np.array([], int)).shape == (0, 32, 32, 3)


def test_errors_name_dataset_image_and_params(tmp_path) -> None:
    def fails(sample, params):
        raise ZeroDivisionError("division by zero")

    task = Task("fails", "transformation", "", frozenset(), None, False, no_params, fails)
    images = write_dataset(tmp_path / "toy.arrow")
    with pytest.raises(TaskError, match=r"dataset toy, image image\d+: task fails failed .*Zero"):
        make_pairs(images, task, tmp_path / "p.arrow", pairs_per_cell=5, splits=SPLITS, seed=0)
    assert not (tmp_path / "p.arrow").exists()

    def draws_array(rng, sample, severity):
        return {"x": np.zeros(3)}

    task = Task("odd", "transformation", "", frozenset(), None, False, draws_array, fails)
    with pytest.raises(TaskError, match="not plain JSON"):
        make_pairs(images, task, tmp_path / "p.arrow", pairs_per_cell=5, splits=SPLITS, seed=0)


def test_pairs_of_other_images_are_refused(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    path = make(images.path, "rotation", tmp_path / "p.arrow")
    other = ImageSet(write_dataset(tmp_path / "other" / "toy.arrow", seed=5))
    with pytest.raises(DataError, match="was made from other images"):
        PairSet(path, other)


def test_share_out() -> None:
    assert share_out(10, SPLITS) == {"train": 6, "val": 2, "test": 2}
    assert share_out(100, {"test": 0.2}) == {"test": 100}
    assert share_out(3, SPLITS) == {"train": 1, "val": 1, "test": 1}
    assert sum(share_out(101, SPLITS).values()) == 101
    assert share_out(3, {"a": 0.9, "b": 0.05, "c": 0.05}) == {"a": 1, "b": 1, "c": 1}
