"""Any pair of any set is made again from its row and its image, bit for bit."""

import json
import shutil

import numpy as np
import pytest

from generated import SPLITS, make_sample
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet, write_images
from medtaskatlas.formats.pairs import SETS, PairSet
from medtaskatlas.pairs.replay import open_pairs, replay, verify
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import REGISTRY

BANK = load_bank()
AMOUNTS = Amounts(12, failures=16, trajectories=1, levels=11)
every_task = pytest.mark.parametrize("name", list(BANK))


def write_full(path, n=9, side=32):
    """Colour images with everything that a task may need."""
    samples = [make_sample(side, colour=True, seed=i) for i in range(n)]
    write_images(
        path,
        {
            "image_id": [f"image{i}" for i in range(n)],
            "group_id": [f"group{i}" for i in range(n)],
            "group_source": ["published"] * n,
            "split": [("train", "val", "test")[i % 3] for i in range(n)],
            "image": np.stack([s.image for s in samples]),
            "mask": np.stack([s.mask for s in samples]),
            "instances": np.stack([s.instances for s in samples]),
            "boxes": [s.boxes for s in samples],
            "label": [i % 3 for i in range(n)],
        },
        {
            "dataset": path.stem,
            "source": "test",
            "modality": "CT",
            "body_part": "none",
            "licence": "CC0-1.0",
            "classes": ["one", "two"],
            "labels": ["a", "b", "c"],
            "annotation": "ground_truth",
            "manifest_sha256": "0" * 64,
        },
    )


def make(run, task):
    outs = {s: run / "pairs" / s / task.name / "toy.arrow" for s in SETS}
    images = run / "images" / "toy.arrow"
    make_sets(images, task, outs, amounts=AMOUNTS, splits=SPLITS, seed=0)
    return outs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run with the images of one dataset, and the pairs of two tasks."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "images").mkdir()
    write_full(folder / "images" / "toy.arrow")
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


def test_a_users_task_is_found_by_the_runs_configuration(run, tmp_path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "from medtaskatlas.tasks.task import task, no_params\n"
        "@task(family='transformation', draw=no_params)\n"
        "def posterise_more(sample, params):\n"
        "    '''Keep the two highest bits.'''\n"
        "    return sample.image, sample.image & 0xC0\n"
    )
    folder = tmp_path / "run"
    shutil.copytree(run / "images", folder / "images")
    try:
        make(folder, load_bank(own)["posterise_more"])
        REGISTRY.pop("posterise_more")
        with pytest.raises(DataError, match=r"posterise_more[\s\S]*tasks_dir"):
            verify(folder, "main/posterise_more/toy/3")
        load_bank.__globals__["_LOADED"].clear()
        (folder / "config.json").write_text(json.dumps({"tasks_dir": str(own)}))
        verify(folder, "main/posterise_more/toy/3")
    finally:
        REGISTRY.pop("posterise_more", None)
