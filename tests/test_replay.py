"""Any pair of any set is made again from its row and its image, bit for bit."""

import json
import shutil

import numpy as np
import pytest

from generated import SPLITS, make_sample, write_dataset, write_task
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import SETS, PairSet
from medtaskatlas.pairs.replay import open_pairs, replay, verify
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import REGISTRY

BANK = load_bank()
AMOUNTS = Amounts(12, failures=16, trajectories=1, levels=11)
every_task = pytest.mark.parametrize("name", list(BANK))


def make(run, task):
    outs = {s: run / "pairs" / s / task.name / "toy.arrow" for s in SETS}
    images = run / "images" / "toy.arrow"
    make_sets(images, task, outs, amounts=AMOUNTS, splits=SPLITS, seed=0)
    return outs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run with the images of one dataset, and the pairs of two tasks."""
    folder = tmp_path_factory.mktemp("run")
    boxes = [make_sample(32, seed=i).boxes for i in range(9)]
    write_dataset(
        folder / "images" / "toy.arrow", n=9, groups=9, splits="train val test", colour=True,
        labels=["a", "b", "c"], more={"boxes": boxes, "label": [i % 3 for i in range(9)]},
    )  # fmt: skip
    for name in ("rotation", "denoising_gaussian"):
        make(folder, BANK[name])
    return folder


@every_task
def test_every_pair_of_every_set(run, name) -> None:
    for set_name, path in make(run, BANK[name]).items():
        stored = open_pairs(run, path)
        assert len(stored.pairs) or set_name == "trajectory"
        for row in range(len(stored.pairs)):
            pair = stored.verify(row)
            for side, made in zip(("input", "output"), pair, strict=True):
                np.testing.assert_array_equal(stored.pairs.side(side, row), made)


@pytest.mark.parametrize("set_name", SETS)
def test_by_its_name(run, set_name) -> None:
    path = run / "pairs" / set_name / "rotation" / "toy.arrow"
    pairs = PairSet(path, ImageSet(run / "images" / "toy.arrow"))
    for row in (0, len(pairs) - 1):
        pair_id = pairs.column("pair_id")[row].as_py()
        source, result = replay(run, pair_id)
        np.testing.assert_array_equal(pairs.side("input", row), source)
        np.testing.assert_array_equal(pairs.side("output", row), result)
        verify(run, pair_id)


@pytest.mark.parametrize(
    ("pair_id", "words"),
    [
        ("rotation", "'rotation' is no pair_id"),
        ("mian/rotation/toy/0", "is no pair_id"),
        ("main/rotatoin/toy/0", r"no pairs of task 'rotatoin'[\s\S]*did you mean rotation"),
        ("main/rotation/tyo/0", r"no pairs on dataset 'tyo'[\s\S]*did you mean toy"),
        ("main/rotation/toy/99", r"no pair 'main/rotation/toy/99'[\s\S]*main/rotation/toy/0 to"),
    ],
)
def test_what_is_missing_is_named(run, pair_id, words) -> None:
    with pytest.raises(DataError, match=words):
        replay(run, pair_id)
    with pytest.raises(DataError, match="there is no run"):
        replay(run / "none", "main/rotation/toy/0")


def test_missing_images_are_named(run, tmp_path) -> None:
    shutil.copytree(run / "pairs", tmp_path / "pairs")
    with pytest.raises(DataError, match=r"images/toy\.arrow is missing"):
        replay(tmp_path, "main/rotation/toy/0")


def test_a_changed_task_is_found_out(run, monkeypatch) -> None:
    task = BANK["rotation"]

    def other(sample, params):
        source, result = task.apply(sample, params)
        return source, result ^ 1

    changed = {**BANK, "rotation": type(task)(**{**vars(task), "apply": other})}
    monkeypatch.setattr("medtaskatlas.pairs.replay.load_bank", lambda tasks_dir: changed)
    replay(run, "main/rotation/toy/0")
    with pytest.raises(DataError, match="values of the output of main/rotation/toy/0 are not what"):
        verify(run, "main/rotation/toy/0")


def test_a_users_task_is_found_by_the_runs_configuration(run, tmp_path, registry) -> None:
    write_task(tmp_path / "own" / "posterise_more.py", "sample.image & 0xC0")
    folder = tmp_path / "run"
    shutil.copytree(run / "images", folder / "images")
    make(folder, load_bank(tmp_path / "own")["posterise_more"])
    REGISTRY.pop("posterise_more")
    with pytest.raises(DataError, match=r"posterise_more[\s\S]*tasks_dir"):
        verify(folder, "main/posterise_more/toy/3")
    load_bank.__globals__["_LOADED"].clear()
    (folder / "config.json").write_text(json.dumps({"tasks_dir": str(tmp_path / "own")}))
    verify(folder, "main/posterise_more/toy/3")
