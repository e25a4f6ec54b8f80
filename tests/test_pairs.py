"""Pairs: replayable, the same in any order, balanced over splits."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from generated import SPLITS, make_pairs, make_sample, write_dataset
from medtaskatlas.core.apportion import apportion
from medtaskatlas.core.errors import DataError, TaskError
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import COLUMNS, SETS, PairSet
from medtaskatlas.pairs.failed_cells import failed_cells
from medtaskatlas.pairs.plan import first_usable, image_order
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.task import Ladder, Task, no_params

BANK = load_bank()
AMOUNTS = Amounts(20, failures=16, trajectories=3, levels=11)
with_ladder = pytest.mark.parametrize("name", [n for n, t in BANK.items() if t.ladder])


def make(images, name, out, n=20, seed=0):
    make_pairs(images, BANK[name], out, pairs_per_cell=n, splits=SPLITS, seed=seed)
    return out


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_all(images, task, folder, **changes):
    """All three sets, by name."""
    task = BANK[task] if isinstance(task, str) else task
    outs = {s: folder / s / task.name / "toy.arrow" for s in SETS}
    make_sets(images, task, outs, **{"amounts": AMOUNTS, "splits": SPLITS, "seed": 0} | changes)
    return outs


def bare_task(name, apply, draw=no_params, family="transformation", ladder=None) -> Task:
    return Task(name, family, "", frozenset(), ladder, False, draw, apply)


@pytest.mark.parametrize("name", ["rotation", "inpainting", "segmentation", "horizontal_flip"])
def test_the_contract_of_all_sets(tmp_path, name) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    task = BANK[name]
    ids = set()
    for set_name, path in make_all(images.path, name, tmp_path / "pairs").items():
        pairs = PairSet(path, images)
        assert pairs.meta["set"] == set_name
        assert set(COLUMNS) <= set(pairs.columns)
        has = {c: pairs.column(c).null_count == 0 for c in COLUMNS}
        failure, trajectory = set_name == "failure", set_name == "trajectory"
        n = {"main": 20, "failure": 16, "trajectory": 33 if task.ladder else 0}[set_name]
        assert len(pairs) == n
        if n:
            assert has["failure_of"] is has["failure_kind"] is failure
            assert has["level"] is trajectory
            assert has["severity"] is (task.ladder is not None)
            assert set(pairs.numpy("family")) == {task.family}
            assert set(pairs.numpy("modality")) == {"CT"}
        ids |= set(pairs.numpy("pair_id"))
        for column in ("image_id", "group_id", "split"):
            assert (pairs.numpy(column) == images.numpy(column)[pairs.image_row]).all()
        for side in ("input", "output"):
            pixels = pairs.side(side, np.arange(n))
            assert (pixels.shape, pixels.dtype) == ((n, 32, 32, 3), np.uint8)
            assert not n or not pairs.side(side, 0).flags.owndata, "not a view of the file"
    assert len(ids) == 36 + (33 if task.ladder else 0), "pair_id names a pair of any set"


def test_one_image_a_pair_is_stored(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    for name, side in [("rotation", "output"), ("deblurring", "input")]:
        pairs = PairSet(make(images.path, name, tmp_path / name / "toy.arrow"), images)
        assert side in pairs
        assert ({"input", "output"} - {side}).pop() not in pairs


def test_all_sets_are_the_same_bytes_in_another_process_and_alone(tmp_path) -> None:
    images = write_dataset(tmp_path / "toy.arrow")
    names = ["rotation", "denoising_poisson", "segmentation", "inpainting", "elastic_deformation"]
    here = [make_all(images, n, tmp_path / "one") for n in names]
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(make_all, images, n, tmp_path / "two") for n in names[::-1]]
        there = [j.result() for j in jobs][::-1]
    for one, two, name in zip(here, there, names, strict=True):
        assert {s: digest(p) for s, p in one.items()} == {s: digest(p) for s, p in two.items()}
        for set_name, path in one.items():
            alone = tmp_path / "three" / "toy.arrow"
            make_sets(images, BANK[name], {set_name: alone}, amounts=AMOUNTS, splits=SPLITS, seed=0)
            assert digest(alone) == digest(path)
    assert digest(make(images, "rotation", tmp_path / "s.arrow", seed=1)) != digest(here[0]["main"])


def test_rows_are_packed_in_between_which_changes_nothing(tmp_path, monkeypatch) -> None:
    images = write_dataset(tmp_path / "toy.arrow")
    whole = digest(make(images, "rotation", tmp_path / "a.arrow", n=50))
    monkeypatch.setattr("medtaskatlas.pairs.write.ROWS_AT_ONCE", 7)
    assert digest(make(images, "rotation", tmp_path / "b.arrow", n=50)) == whole


@with_ladder
def test_trajectories_climb_with_the_same_draws(tmp_path, name) -> None:
    if "colour" in BANK[name].needs:
        pytest.skip("needs colour")
    images = ImageSet(write_dataset(tmp_path / "toy.arrow", side=48))
    path = make_all(images.path, name, tmp_path)["trajectory"]
    pairs = PairSet(path, images)
    assert set(pairs.numpy("split")) <= {"val", "test"}
    severity = pairs.numpy("severity").reshape(3, 11)
    np.testing.assert_allclose(severity, np.tile(np.linspace(0, 1, 11), (3, 1)), atol=1e-6)
    assert (pairs.numpy("level").reshape(3, 11) == np.arange(11)).all()
    assert (pairs.numpy("draw").reshape(3, 11) == np.arange(3)[:, None]).all()
    assert len(set(pairs.image_row)) == 3
    assert (pairs.image_row.reshape(3, 11) == pairs.image_row[::11, None]).all()
    change = np.abs(
        pairs.side("input", slice(None)).astype(int) - pairs.side("output", slice(None))
    )
    change = change.mean(axis=(1, 2, 3)).reshape(3, 11)
    assert (change[:, 0] == 0).all(), "severity 0 is the identity"
    assert (change[:, -1] > 0).all()
    # The same randomness: seeds, kinds and signs stay, and only what the severity sets goes on.
    for t in range(3):
        drawn = [json.loads(p) for p in pairs.numpy("params")[11 * t + 1 : 11 * (t + 1)]]
        for key in drawn[0]:
            values = [d[key] for d in drawn]
            if key == "aside":  # one direction, and its whole length from a fifth of the way on
                whole = np.array(values[-1])
                share = np.minimum(1, 5 * severity[0, 1:])[:, None]
                np.testing.assert_allclose(values, share * whole, atol=1e-6)
            elif key == "seed" or not isinstance(values[0], int | float):
                assert all(v == values[0] for v in values), key
            else:
                assert len({np.sign(v) for v in values if v}) <= 1, key
                steps = np.diff(values)
                assert (steps >= -1e-9).all() or (steps <= 1e-9).all(), key


def test_a_task_may_have_trajectories_alone(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    outs = {name: tmp_path / name / "toy.arrow" for name in ("main", "failure", "trajectory")}
    amounts = Amounts(0, trajectories=2, levels=11)
    task = BANK["noise_addition"]
    make_sets(images.path, task, outs, amounts=amounts, splits=SPLITS, seed=0)
    sizes = {name: len(PairSet(path, images)) for name, path in outs.items()}
    assert sizes == {"main": 0, "failure": 0, "trajectory": 22}


def test_a_heldout_dataset_gives_all_its_images_to_trajectories(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    amounts = Amounts(20, trajectories=100, levels=11)
    seen = {}
    for heldout in (False, True):
        outs = make_all(
            images.path, "brightness", tmp_path / str(heldout), amounts=amounts, heldout=heldout
        )
        seen[heldout] = set(PairSet(outs["trajectory"], images).numpy("image_id"))
    outside = images.numpy("split") != "train"
    assert seen[False] == set(images.numpy("image_id")[outside])
    assert seen[True] == set(images.numpy("image_id"))


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
    samples = Samples(images.path)
    assert sorted(image_order(samples, ["train"], 0)) == list(
        np.flatnonzero(images.numpy("split") == "train")
    )


def test_no_more_images_are_looked_at_than_are_needed(tmp_path) -> None:
    looked = []

    class Counting(Samples):
        def __getitem__(self, row):
            looked.append(row)
            return super().__getitem__(row)

    samples = Counting(write_dataset(tmp_path / "toy.arrow"))
    order = np.array([5, 3, 1, 0])
    assert first_usable(BANK["segmentation"], samples, order, 2) == [5, 3]
    assert looked == [5, 3]
    assert first_usable(BANK["rotation"], samples, order, 2) == [5, 3]
    assert looked == [5, 3], "a task without needs looks at none"


def test_samples_are_what_the_images_file_says(tmp_path) -> None:
    path = tmp_path / "toy.arrow"
    n, boxes = 4, [np.zeros((k, 4), np.float32) + k for k in (0, 2, 1, 3)]
    more = {"boxes": boxes, "label": [0, None, 1, 1]}
    write_dataset(path, n=n, labels=["a", "b"], more=more)
    images, samples = ImageSet(path), Samples(path)
    for row in range(n):
        one, two = images.sample(row), samples[row]
        for field in ("image", "mask", "instances", "boxes"):
            np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
        assert (one.label, one.n_classes, one.n_labels) == (two.label, two.n_classes, two.n_labels)
        assert not two.image.flags.writeable
    assert make_sample().boxes.dtype == samples[1].boxes.dtype


def test_a_job_does_without_pandas_and_makes_the_same_bytes(tmp_path) -> None:
    images = write_dataset(tmp_path / "toy.arrow")
    here = {s: digest(p) for s, p in make_all(images, "rotation", tmp_path / "here").items()}
    code = f"""
import sys
from medtaskatlas.pairs.sets import Amounts, make_sets, without_pandas
from medtaskatlas.tasks.bank import load_bank
without_pandas()
outs = {{s: f"{tmp_path}/there/{{s}}/toy.arrow" for s in ("main", "failure", "trajectory")}}
make_sets({str(images)!r}, load_bank()["rotation"], outs,
          amounts=Amounts(20, 16, 3, 11), splits={SPLITS}, seed=0)
print([m for m in ("torch", "monai", "pandas", "pandera", "pydantic") if m in sys.modules])
import pandas
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {s: digest(tmp_path / "there" / s / "toy.arrow") for s in SETS} == here


def test_a_task_that_no_image_can_use_gives_a_file_without_rows(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    pairs = PairSet(make(images.path, "colorization", tmp_path / "p.arrow"), images)
    assert len(pairs) == 0
    assert pairs.side("input", np.array([], int)).shape == (0, 32, 32, 3)


def fails(sample, params):
    raise ZeroDivisionError("division by zero")


def cannot_draw(rng, sample, severity):
    raise IndexError("no such thing")


class Differently:
    """Not a function of its arguments."""

    calls = 0

    def __call__(self, sample, params):
        self.calls += 1
        return sample.image, np.full_like(sample.image, self.calls)


def draws_differently(rng, sample, severity):
    return {"x": float(np.random.default_rng().random())}


def inverts(sample, params):
    return sample.image, 255 - sample.image


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (bare_task("fails", fails), "task fails failed with params {}: ZeroDivisionError"),
        (bare_task("odd", inverts, cannot_draw), "task odd could not draw .*IndexError"),
        (bare_task("dice", Differently()), "task dice: two calls for params {} make other pixels"),
        (bare_task("dice", inverts, draws_differently), "task dice: two calls .*draw other params"),
    ],
    ids=lambda value: value.name if isinstance(value, Task) else "",
)
@pytest.mark.parametrize("set_name", SETS)
def test_errors_name_dataset_image_task_and_params(tmp_path, task, words, set_name) -> None:
    images = write_dataset(tmp_path / "toy.arrow")
    task = bare_task(task.name, task.apply, task.draw, ladder=Ladder("x", "1", 0, 1))
    out = tmp_path / "p.arrow"
    if set_name == "failure" and task.name == "dice":
        pytest.skip("failures are made beside main pairs, which are checked")
    with pytest.raises(TaskError, match=rf"dataset toy, image image\d+: {words}") as caught:
        make_sets(images, task, {set_name: out}, amounts=AMOUNTS, splits=SPLITS, seed=0)
    assert caught.value.remedy
    assert not list(tmp_path.glob("*p.arrow*")), "nothing half is left"


def test_failed_cells_are_listed_with_their_reason(tmp_path) -> None:
    logs, cells = tmp_path / "logs/pairs/rotation", []
    logs.mkdir(parents=True)
    text = "2026-01-01 00:00:00,000 {} {}\n"
    for name, content in {
        "bad": text.format(
            "ERROR", "dataset bad, image 3: task rotation failed\n  remedy: mend it"
        ),
        "made": text.format("ERROR", "failed the first time"),
        "stopped": text.format("INFO", "began"),
    }.items():
        (logs / f"{name}.log").write_text(content)
        cells.append(("rotation", name))
    made = tmp_path / "pairs/main/rotation/made.arrow"
    made.parent.mkdir(parents=True)
    made.touch()
    head, line = failed_cells(tmp_path, [*cells, ("rotation", "not_reached")])
    assert head.startswith("the pairs of 1 cells")
    assert line == ("failed: pairs of rotation on bad: dataset bad, image 3: task rotation failed")
    assert failed_cells(tmp_path, cells[1:]) == []


def test_pairs_of_other_images_are_refused(tmp_path) -> None:
    images = ImageSet(write_dataset(tmp_path / "toy.arrow"))
    path = make(images.path, "rotation", tmp_path / "p.arrow")
    other = ImageSet(write_dataset(tmp_path / "other" / "toy.arrow", seed=5))
    with pytest.raises(DataError, match="was made from other images"):
        PairSet(path, other)


def test_share_out() -> None:
    assert apportion(10, SPLITS) == {"train": 6, "val": 2, "test": 2}
    assert apportion(100, {"test": 0.2}) == {"test": 100}
    assert apportion(3, SPLITS) == {"train": 1, "val": 1, "test": 1}
    assert sum(apportion(101, SPLITS).values()) == 101
    assert apportion(3, {"a": 0.9, "b": 0.05, "c": 0.05}) == {"a": 1, "b": 1, "c": 1}
