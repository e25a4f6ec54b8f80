"""Batches: balanced, crossed, and the same for a step whatever came before."""

import numpy as np
import pytest

from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.encoders.taco.sampler import CrossedSampler, FailureSampler, PlainSampler


def collection():
    """Three tasks on all of four datasets, one task on two of them; five images a dataset."""
    rows = [
        (task, dataset, f"i{i}")
        for task, datasets in [("a", "wxyz"), ("b", "wxyz"), ("c", "wxyz"), ("mask", "wx")]
        for dataset in datasets
        for i in range(5)
    ]
    return tuple(np.array(column, object) for column in zip(*rows, strict=True))


def sampler(n_tasks=3, n_images=4, seed=0):
    return CrossedSampler(collection(), n_tasks=n_tasks, n_images=n_images, seed=seed)


def test_tasks_are_balanced_and_rows_are_of_their_task() -> None:
    task, *_ = collection()
    s = sampler()
    for step in range(20):
        rows, labels = s.batch(step)
        names, counts = np.unique(task[rows], return_counts=True)
        assert len(names) == 3
        assert (counts == 4).all()
        np.testing.assert_array_equal(s.tasks[labels], task[rows])


def test_positives_differ_in_image_and_negatives_share_it() -> None:
    _, dataset, image = collection()
    s = sampler(n_tasks=4)
    content = np.array([f"{d}/{i}" for d, i in zip(dataset, image, strict=True)])
    for step in range(20):
        rows, labels = s.batch(step)
        everywhere = [t for t in range(4) if s.tasks[t] != "mask"]
        seen = [set(content[rows[labels == t]]) for t in everywhere]
        assert all(len(x) == 4 for x in seen), "a task sees an image twice"
        assert seen[0] == seen[1] == seen[2]
        assert len({x.split("/")[0] for x in seen[0]}) == 4, "one image of each dataset"


def test_a_task_without_the_image_gets_another_of_its_own() -> None:
    _, dataset, _ = collection()
    s = sampler(n_tasks=4)
    rows, labels = s.batch(3)
    masked = rows[labels == list(s.tasks).index("mask")]
    assert set(dataset[masked]) <= {"w", "x"}
    assert len(masked) == 4


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    late = sampler()
    for step in (5, 0, 9):
        late.batch(step)
    np.testing.assert_array_equal(sampler().batch(9)[0], late.batch(9)[0])
    assert not np.array_equal(sampler().batch(9)[0], sampler(seed=1).batch(9)[0])


def test_every_pair_comes_up() -> None:
    task, *_ = collection()
    s = sampler()
    seen = np.unique(np.concatenate([s.batch(step)[0] for step in range(400)]))
    assert len(seen) == len(task)


def test_a_task_without_a_positive_is_an_error() -> None:
    task = np.array(["a", "a", "b"], object)
    with pytest.raises(ConfigError, match=r"too few of: \['b'\]"):
        CrossedSampler((task, task, np.array(["1", "2", "3"])), n_tasks=2, n_images=2, seed=0)


def test_plain_batches_are_random_rows_with_positives() -> None:
    # One common task and twelve rare ones: without care most rows would be alone.
    task = np.array(["common"] * 40 + [f"rare{i % 12}" for i in range(24)], object)
    s = PlainSampler(task, size=12, seed=0)
    seen = np.zeros(len(task), int)
    for step in range(300):
        rows, labels = s.batch(step)
        assert len(set(rows.tolist())) == 12
        np.testing.assert_array_equal(s.tasks[labels], task[rows])
        assert (np.unique(labels, return_counts=True)[1] == 1).sum() <= 1
        seen[rows] += 1
    assert seen.min() > 0
    # Every row as likely as any other.
    assert seen[:40].mean() == pytest.approx(seen[40:].mean(), rel=0.15)
    np.testing.assert_array_equal(PlainSampler(task, size=12, seed=0).batch(7)[0], s.batch(7)[0])
    assert not np.array_equal(s.batch(7)[0], s.batch(8)[0])
    with pytest.raises(ConfigError, match=r"too few of: \['b'\]"):
        PlainSampler(np.array(["a", "a", "b"], object), size=2, seed=0)


def test_failures_share_task_and_image_with_the_batch() -> None:
    names = collection()
    sampler = FailureSampler(names, share=0.25, seed=0)
    batch = tuple(column[::7] for column in names)
    cells = set(zip(*batch, strict=True))
    rows = sampler.batch(batch, 3)
    assert len(rows) == round(len(batch[0]) / 3)
    assert all(tuple(column[row] for column in names) in cells for row in rows)
    np.testing.assert_array_equal(rows, FailureSampler(names, share=0.25, seed=0).batch(batch, 3))
    # On other images, those of the task.
    elsewhere = (batch[0], batch[1], np.array(["other"] * len(batch[0]), object))
    assert set(names[0][sampler.batch(elsewhere, 0)]) <= set(batch[0])
    nothing = tuple(column[:0] for column in names)
    with pytest.raises(DataError, match=r"`failures: 0\.25` needs failure pairs"):
        FailureSampler(nothing, share=0.25, seed=0)
