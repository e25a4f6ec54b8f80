"""Failures: wrong ways of doing a task, that can be told from the right one."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated import SPLITS, make_sample, write_dataset
from medtaskatlas.formats.images import ImageSet
from medtaskatlas.formats.pairs import PairSet
from medtaskatlas.pairs.sets import Amounts, make_sets
from medtaskatlas.tasks.bank import load_bank
from medtaskatlas.tasks.failure import (
    FAILURES,
    VISIBLE,
    failure,
    is_wrong,
    kinds_for,
)
from medtaskatlas.tasks.task import Ladder, Task, no_params

BANK = load_bank()
every_kind = pytest.mark.parametrize("kind", list(FAILURES))


def make(images, name, out, failures=40, pairs=20):
    task = BANK[name] if isinstance(name, str) else name
    amounts = Amounts(pairs, failures=failures)
    make_sets(images, task, {"failure": out}, amounts=amounts, splits=SPLITS, seed=0)
    return PairSet(out, ImageSet(images))


def three(side: int, channels: int, seed: int = 0) -> list[np.ndarray]:
    """Source, right output and another output."""
    images = [make_sample(side, colour=channels == 3, seed=seed + i).image for i in range(3)]
    return [np.ascontiguousarray(i[..., :channels]) for i in images]


def fail(kind: str, images: list[np.ndarray], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    params = json.loads(json.dumps(FAILURES[kind].draw(rng, min(images[0].shape[:2]))))
    return FAILURES[kind].apply(*images, params)


def test_every_task_can_fail_in_five_ways_at_least() -> None:
    assert len(FAILURES) >= 6
    assert all(f.description for f in FAILURES.values())
    for task in BANK.values():
        assert len(kinds_for(task)) >= 5
        names = {f.task_name(task.name) for f in kinds_for(task)}
        assert not names & set(BANK)


def test_no_kind_is_a_right_way_of_the_task() -> None:
    """Half a brightening is a brightening, a shifted translation a translation."""
    ladder = Ladder("x", "1", 0, 1)
    graded = Task("t", "transformation", "", frozenset(), ladder, False, no_params, no_params)
    assert not {"half_strength", "overdone"} & {f.kind for f in kinds_for(graded)}
    assert {"half_strength", "overdone"} < {f.kind for f in kinds_for(BANK["inversion"])}
    assert {"half_strength", "overdone"} < {f.kind for f in kinds_for(BANK["deblurring"])}
    for name in ("translation", "elastic_deformation"):
        assert "displaced" not in {f.kind for f in kinds_for(BANK[name])}


@every_kind
@given(
    side=st.integers(28, 80),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, deadline=None)
def test_shape_type_and_grey_stay_and_nothing_is_modified(kind, side, channels, seed) -> None:
    images = three(side, channels, seed % 50)
    grey = fail(kind, [np.repeat(image[..., :1], 3, axis=2) for image in images], seed)
    np.testing.assert_array_equal(grey, np.repeat(grey[..., :1], 3, axis=2))
    before = [i.copy() for i in images]
    for image in images:
        image.flags.writeable = False
    wrong = fail(kind, images, seed)
    assert (wrong.shape, wrong.dtype) == (images[0].shape, np.uint8)
    np.testing.assert_array_equal(wrong, fail(kind, images, seed))
    for image, copy in zip(images, before, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_kinds_are_what_they_say() -> None:
    source, right, other = images = three(40, 3)
    wide = [i.astype(int) for i in images]
    np.testing.assert_array_equal(fail("another_image", images), other)
    np.testing.assert_array_equal(fail("untouched", images), source)
    assert np.abs(fail("half_strength", images) - (wide[0] + wide[1]) / 2).max() <= 0.5
    np.testing.assert_array_equal(fail("overdone", images), np.clip(2 * wide[1] - wide[0], 0, 255))
    shuffled = fail("noise", images)
    assert Counter(map(tuple, shuffled.reshape(-1, 3).tolist())) == Counter(
        map(tuple, right.reshape(-1, 3).tolist())
    )
    neighbours = np.corrcoef(shuffled[:, 1:].ravel(), shuffled[:, :-1].ravel())[0, 1]
    still = shuffled[..., 0] - shuffled[..., 0].mean()
    assert abs((still[:, 1:] * still[:, :-1]).mean() / still.var()) < 0.1, neighbours
    empty = fail("blank", images)
    assert np.ptp(empty, axis=(0, 1)).max() == 0
    assert np.abs(empty[0, 0] - right.mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize(
    ("done", "where"),
    [
        ("left", np.s_[:, :20]),
        ("right", np.s_[:, 20:]),
        ("top", np.s_[:20]),
        ("bottom", np.s_[20:]),
    ],
)
def test_half_done_is_half_right(done, where) -> None:
    source, right, other = three(40, 3)
    wrong = FAILURES["half_done"].apply(source, right, other, {"done": done})
    np.testing.assert_array_equal(wrong[where], right[where])
    rest = np.ones((40, 40), bool)
    rest[where] = False
    np.testing.assert_array_equal(wrong[rest], source[rest])


@pytest.mark.parametrize(("x", "y"), [(5, 0), (-5, 3), (0, -7), (4, 4)])
def test_displaced_is_a_shift_by_whole_pixels(x, y) -> None:
    source, right, other = three(40, 3)
    moved = FAILURES["displaced"].apply(source, right, other, {"x": x, "y": y})
    expected = np.pad(right, ((10, 10), (10, 10), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(moved, expected[10 - y : 50 - y, 10 - x : 50 - x])


@pytest.mark.parametrize("name", [n for n, t in BANK.items() if not t.needs - {"mask"}])
def test_failures_differ_from_the_right_output(tmp_path, name) -> None:
    pairs = make(write_dataset(tmp_path / "toy.arrow"), name, tmp_path / "f.arrow")
    assert len(pairs) + pairs.meta["left_out"] == 40
    assert Counter(pairs.numpy("failure_kind")) == pairs.meta["kinds"]
    assert set(pairs.numpy("failure_of")) == {name}
    kinds = pairs.numpy("failure_kind")
    assert {f.kind for f in kinds_for(BANK[name])} >= set(kinds)
    assert len(set(kinds)) >= 4
    assert list(pairs.numpy("task")) == [f"{name}.{kind}" for kind in kinds]
    for row, text in enumerate(pairs.numpy("params")):
        sample = pairs.images.sample(int(pairs.image_row[row]))
        source, right = BANK[name].make(sample, json.loads(text)["task"])
        np.testing.assert_array_equal(pairs.side("input", row), source)
        assert np.abs(pairs.side("output", row).astype(int) - right).max() >= VISIBLE
    if BANK[name].family == "generative":
        assert {"input", "output"} <= set(pairs.columns)
    else:
        assert "input" not in pairs


def test_the_other_image_is_of_the_same_split_and_another_group(tmp_path) -> None:
    pairs = make(write_dataset(tmp_path / "toy.arrow", n=24), "inversion", tmp_path / "f.arrow")
    split, group = (pairs.images.numpy(c) for c in ("split", "group_id"))
    rows = np.flatnonzero(pairs.numpy("failure_kind") == "another_image")
    assert len(rows)
    for row in rows.tolist():
        other = json.loads(pairs.column("params")[row].as_py())["other"]["image_row"]
        assert split[other] == split[pairs.image_row[row]]
        assert group[other] != group[pairs.image_row[row]] or split[other] == "val"


def test_kinds_come_in_turn_and_each_in_every_split(tmp_path) -> None:
    pairs = make(write_dataset(tmp_path / "toy.arrow"), "denoising_gaussian", tmp_path / "f.arrow")
    found = Counter(zip(pairs.numpy("split"), pairs.numpy("failure_kind"), strict=True))
    # 40 failures are 24, 8 and 8; val has one group of two images, so the other is of that group.
    assert {s for s, _ in found} == {"train", "val", "test"}
    for kind in FAILURES:
        assert [found[split, kind] for split in ("train", "val", "test")] == [3, 1, 1]


def test_a_few_failures_of_each_dataset_come_to_all_kinds(tmp_path) -> None:
    found = set()
    for name in "abcdefghijklmnop":
        images = write_dataset(tmp_path / f"{name}.arrow")
        pairs = make(images, "denoising_gaussian", tmp_path / f"{name}.f.arrow", failures=10)
        tested = pairs.numpy("split") == "test"
        assert tested.sum() == 2
        found |= set(pairs.numpy("failure_kind")[tested])
    assert found == set(FAILURES)


def test_a_main_pair_goes_wrong_in_another_way_the_second_time(tmp_path) -> None:
    pairs = make(
        write_dataset(tmp_path / "toy.arrow"), "denoising_gaussian", tmp_path / "f.arrow", pairs=10
    )
    main = [json.loads(p)["main"] for p in pairs.numpy("params")]
    ways = Counter(zip(main, pairs.numpy("failure_kind"), strict=True))
    assert max(ways.values()) == 1


def test_what_cannot_be_wrong_is_left_out_and_counted(tmp_path) -> None:
    """One black image: every output of every kind is black, so no failure can be told."""
    black = write_dataset(
        tmp_path / "black.arrow",
        n=3,
        groups=3,
        masks=False,
        more={"image": np.zeros((3, 32, 32, 3), np.uint8)},
    )
    pairs = make(black, "horizontal_flip", tmp_path / "f.arrow", failures=8)
    assert len(pairs) == 0
    assert pairs.meta["left_out"] == 8
    assert make(black, "inversion", tmp_path / "g.arrow").meta["left_out"] == 0


def test_untouched_stands_back_where_nothing_is_to_do(tmp_path) -> None:
    """A mirror image of itself: leaving it as it is is right."""
    image = np.stack([make_sample(32, seed=i).image for i in range(12)])
    image[:, :, 16:] = image[:, :, 15::-1]
    path = write_dataset(tmp_path / "base.arrow", more={"image": image})
    pairs = make(path, "horizontal_flip", tmp_path / "f.arrow")
    assert len(pairs) == 40
    assert not {"untouched", "half_done"} & set(pairs.numpy("failure_kind"))


def test_without_another_image_the_other_kinds_are_left(tmp_path) -> None:
    path = write_dataset(tmp_path / "toy.arrow", n=1, groups=1)
    pairs = make(path, "rotation", tmp_path / "f.arrow")
    assert len(pairs) == 40
    assert "another_image" not in pairs.numpy("failure_kind")


def test_none_may_be_asked_for(tmp_path) -> None:
    pairs = make(write_dataset(tmp_path / "toy.arrow"), "rotation", tmp_path / "f.arrow", 0)
    assert len(pairs) == 0


def test_is_wrong() -> None:
    right = np.full((4, 4, 3), 100, np.uint8)
    wrong = right.copy()
    assert not is_wrong(wrong, right)
    wrong[2, 2, 1] -= VISIBLE - 1
    assert not is_wrong(wrong, right)
    wrong[2, 2, 1] -= 1
    assert is_wrong(wrong, right)


def test_two_kinds_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two kinds"):
        failure()(FAILURES["blank"].apply)
