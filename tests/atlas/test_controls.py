"""Controls fail where they must: on a leak, noise, pictures, a network without training."""

import numpy as np
import pandas as pd
import pytest

from atlas_synthetic import make_frame, make_vectors, with_mismatched, with_roles, write_embedding
from medtaskatlas.atlas.controls import duplicated_task, halves_of, halves_ratio, mismatched_outputs
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.predictions import load_predictions
from medtaskatlas.atlas.queries import load_queries


def _one_hot(values):
    return np.eye(len(set(values)), dtype=np.float32)[pd.factorize(values, sort=True)[0]]


def _vectors(frame):
    """Embeddings by name, all of the same pairs."""
    rng = np.random.default_rng(5)
    image = frame["dataset"] + frame["image_id"]
    good = make_vectors(frame, noise=1.0)
    return {
        "good": good,
        "label": _one_hot(frame["task"]),
        "noise": rng.normal(size=good.shape).astype(np.float32),
        "image": _one_hot(image) + 0.01 * rng.random((len(frame), image.nunique())),
        "good and noise": good + 6 * rng.normal(size=good.shape).astype(np.float32),
        # Tasks are told by the output alone: those of another image do as well.
        "debris": make_vectors(frame, seed=1, noise=1.0, debris=1.0),
        # Pictures, and a little of the task.
        "untrained": make_vectors(frame, seed=2, task=0.2, family=0.1, dataset=1.0, noise=0.5),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    frame = with_mismatched(with_roles(make_frame(), ["d4"]))
    embeddings, predictions = [], []
    for name, vectors in _vectors(frame).items():
        kind = "random" if name == "untrained" else "taco"
        path = write_embedding(folder / f"{name}.parquet", frame, vectors, name, kind=kind)
        embeddings.append(path)
        predictions.append(folder / "predictions" / path.name)
        predict(path, predictions[-1], probes=False)
    return embeddings, predictions


@pytest.mark.parametrize("query_set", ["groups", "datasets"])
def test_what_another_images_output_names_as_well_fails(files, query_set):
    chosen = load_predictions(files[1]).only(query_set)
    rows = {
        e.name: mismatched_outputs(e, chosen, query_set, seed=0, n_draws=300)
        for e in chosen.encoders
    }
    passed = {name: row["passed"] for name, row in rows.items()}
    assert passed["good"]
    assert not any(passed[name] for name in ("label", "noise", "image", "good and noise", "debris"))
    assert rows["label"]["estimate"] == 0
    assert "100% are still named right" in rows["label"]["note"]
    # Half of the pairs have another output beside them, and only these are compared.
    assert 0 < rows["good"]["n_pairs"] < len(chosen.frame)


def test_a_run_without_such_pairs_has_no_such_control(files, tmp_path):
    frame = with_roles(make_frame(n_datasets=3))
    path = write_embedding(tmp_path / "e.parquet", frame, make_vectors(frame))
    predict(path, tmp_path / "p.parquet", probes=False)
    chosen = load_predictions([tmp_path / "p.parquet"]).only("groups")
    row = mismatched_outputs(chosen.encoders[0], chosen, "groups", seed=0, n_draws=50)
    assert row.get("passed") is None
    assert "could not be run" in row["note"]


def test_tasks_must_be_nearer_to_themselves_on_other_datasets_than_without_training(files):
    rows = {
        row["encoder"]: row
        for row in duplicated_task(load_queries(files[0], query_sets=("groups",)), seed=0)
    }
    passed = {name: row["passed"] for name, row in rows.items()}
    assert passed["good"]
    assert not any(passed[name] for name in ("noise", "image", "untrained"))
    # All are held against the same bound, which is that of the untrained network.
    (bound,) = {row["reference"] for row in rows.values()}
    assert bound == rows["untrained"]["ci_low"]


def test_without_an_untrained_network_there_is_nothing_to_hold_tasks_against(files):
    trained = [path for path in files[0] if path.stem != "untrained"]
    for row in duplicated_task(load_queries(trained, query_sets=("groups",)), seed=0):
        assert row.get("passed") is None
        assert "no untrained network" in row["note"]


def test_halves_are_all_there_are_and_distinct():
    rng = np.random.default_rng(0)
    for n, ways in ((2, 1), (3, 3), (4, 3), (5, 10), (6, 10)):
        first = halves_of(n, rng)
        assert len(first) == ways
        assert (first.sum(axis=1) == n // 2).sum() + (first.sum(axis=1) == n - n // 2).sum() >= ways
        both = {frozenset([tuple(half), tuple(~half)]) for half in first}
        assert len(both) == ways
    assert len(halves_of(20, rng)) == 100


def test_the_ratio_is_that_by_hand():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 2, 5))
    there = np.ones((3, 2), bool)
    there[2, 1], means[2, 1] = False, 0
    first = np.array([[True, False, False]])
    one = means[0]
    other = np.stack([means[1, 0] + means[2, 0], means[1, 1]])
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (one, other)]
    distance = 1 - unit[0] @ unit[1].T
    by_hand = np.trace(distance) / (distance[0, 1] + distance[1, 0])
    got = halves_ratio(means, there, first, np.ones(2, bool))
    assert got == pytest.approx([by_hand])
    # A task that one half lacks is not asked; one alone has no other to compare with.
    assert np.isnan(halves_ratio(means, there, np.array([[True, True, False]]), np.ones(2, bool)))
