"""Tasks that were held out: placed by family where families show, by chance where they do not."""

import numpy as np
import pytest

import atlas_synthetic as synthetic
from medtaskatlas.atlas.distances import task_distances
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.unseen_neighbours import placed_right, placement_test
from medtaskatlas.atlas.unseen_tasks import unseen_tasks
from medtaskatlas.core.errors import DataError

FOLDS = 3


def make(tmp_path, *, family: float, seed: int = 0, n_draws: int = 50):
    """Table of folds in whose space families weigh as much as told."""
    frame = synthetic.make_frame()
    vectors = synthetic.make_vectors(
        frame, task=0.5, family=family, dataset=0.2, noise=0.3, seed=seed
    )
    tasks = sorted(set(frame["task"]))
    folds = []
    for i in range(FOLDS):
        known = [task for j, task in enumerate(tasks) if j % FOLDS != i]
        path = tmp_path / f"taco_fold{i}" / "embeddings.parquet"
        folds.append(synthetic.write_embedding(path, frame, vectors, trained_tasks=known))
    whole = synthetic.write_embedding(tmp_path / "taco.parquet", frame, vectors)
    base = synthetic.write_embedding(
        tmp_path / "pixels.parquet",
        frame,
        np.random.default_rng(9).normal(size=vectors.shape),
        encoder="pixels",
        kind="pixels",
    )
    distances = tmp_path / "task_distances.parquet"
    task_distances([whole, base], distances, run="synthetic", n_draws=20)
    out = tmp_path / "unseen_tasks.parquet"
    unseen_tasks(folds, [base], distances, out, run="synthetic", n_draws=n_draws)
    return read_table(out, "unseen_tasks", run="synthetic"), folds, distances


def test_tasks_fall_to_their_family_where_families_show(tmp_path):
    table, *_ = make(tmp_path, family=2.0)
    taco = table[table["encoder"] == "taco"]
    placed = taco[taco["measure"] == "tasks_placed"]
    assert (placed["estimate"] == placed["n_tasks"]).all()
    assert (placed["p"] < 0.05).all()
    tasks = taco[taco["level"] == "task"]
    assert tasks["placed_right"].all()
    assert (tasks["nearest_task"] != tasks["name"]).all(), "a task was in its own gallery"
    assert (tasks["kin"] != tasks["name"]).all()
    assert taco[taco["level"] == "overall"]["estimate"].max() > 0.9
    [difference, *_] = table[table["level"] == "difference"].to_dict("records")
    assert (difference["encoder"], difference["other"]) == ("taco", "pixels")
    assert difference["estimate"] > 0.3


def test_without_families_tasks_are_placed_by_chance(tmp_path):
    table, *_ = make(tmp_path, family=0.0)
    placed = table[(table["measure"] == "tasks_placed") & (table["encoder"] == "taco")]
    assert (placed["p"] > 0.01).all()
    assert (placed["reference"] < placed["n_tasks"]).all()


def test_of_another_run_or_without_a_held_out_task_is_refused(tmp_path):
    _, folds, distances = make(tmp_path, family=1.0)
    out = tmp_path / "again.parquet"
    with pytest.raises(DataError, match="is of run 'synthetic', not 'other'"):
        unseen_tasks(folds, [], distances, out, run="other")
    frame = synthetic.make_frame()
    every = sorted(set(frame["task"]))
    synthetic.write_embedding(
        folds[0], frame, np.random.default_rng(0).normal(size=(len(frame), 8)), trained_tasks=every
    )
    with pytest.raises(DataError, match="no task was held out"):
        unseen_tasks(folds, [], distances, out, run="synthetic")


def test_placement_is_by_the_family_with_most_votes_and_its_null_is_permuted():
    family = np.repeat([0, 1, 2], 10)
    votes = (family[:, None] == family) - np.eye(30)
    assert placed_right(votes, family).all()
    right, chance, p = placement_test(votes, family, np.random.default_rng(0), 999)
    assert (right, p) == (30, 1 / 1000)
    assert chance < 20
    blank = np.random.default_rng(1).random((30, 30)) * (1 - np.eye(30))
    _, _, p = placement_test(blank, family, np.random.default_rng(0), 999)
    assert p > 0.01
    # Permuted families in one call are those of single calls.
    orders = np.stack([np.random.default_rng(i).permutation(family) for i in range(4)])
    alone = np.stack([placed_right(blank, order) for order in orders])
    np.testing.assert_array_equal(placed_right(blank, orders), alone)


def test_a_task_on_held_out_datasets_only_is_placed_and_costs_the_others_nothing(tmp_path):
    """It is embedded with the first fold, and in no gallery, of baselines neither."""
    frame = synthetic.make_frame()  # whose last dataset is held out
    vectors = synthetic.make_vectors(frame, task=0.5, family=2.0, dataset=0.2, noise=0.3, seed=0)
    tasks, held = sorted(set(frame["task"])), sorted(set(frame["dataset"]))[-1]
    lone = tasks[0]
    there = ((frame["task"] != lone) | (frame["dataset"] == held)).to_numpy()
    elsewhere = (frame["task"] != lone).to_numpy()

    def write(name, rows, **facts):
        part = frame[rows].reset_index(drop=True)
        return synthetic.write_embedding(tmp_path / name, part, vectors[rows], **facts)

    folds = []
    for i in range(FOLDS):
        known = [task for j, task in enumerate(tasks[1:]) if j % FOLDS != i]
        rows = elsewhere if i else there
        folds.append(write(f"taco_fold{i}/embeddings.parquet", rows, trained_tasks=known))
    base = write("pixels.parquet", there, encoder="pixels", kind="pixels")
    whole = write("taco.parquet", there)
    distances, out = tmp_path / "task_distances.parquet", tmp_path / "unseen_tasks.parquet"
    task_distances([whole, base], distances, run="synthetic", n_draws=20)
    unseen_tasks(folds, [base], distances, out, run="synthetic", n_draws=50)
    table = read_table(out, "unseen_tasks", run="synthetic")
    each = table[(table["level"] == "task") & (table["encoder"] == "taco")].set_index("split")
    assert set(each.loc["datasets", "name"]) == set(tasks)
    assert set(each.loc["groups", "name"]) == set(tasks[1:])
    assert lone not in set(table["nearest_task"].dropna()), "it was in a gallery"
    test = table[table["measure"] == "tasks_placed"].set_index(["encoder", "split"])
    assert test["p"].notna().all(), test["note"]
    assert test["n_tasks"].xs("datasets", level="split").eq(len(tasks)).all()
    assert test["n_tasks"].xs("groups", level="split").eq(len(tasks) - 1).all()
