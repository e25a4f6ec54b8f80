"""kNN, MAP@R and probes against other people's code."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from atlas_synthetic import FAMILY_OF, make_frame, make_vectors, write_embedding
from medtaskatlas.atlas.embeddings import load_embedding, load_embeddings
from medtaskatlas.atlas.identification import identification
from medtaskatlas.atlas.knn import average_precision_at_r, nearest, vote
from medtaskatlas.atlas.predict import _linear, predict
from medtaskatlas.atlas.predictions import FLAT_ENOUGH, load_predictions
from medtaskatlas.atlas.queries import load_queries
from medtaskatlas.atlas.vectors import Scale, ScaleSum, l2_normalize
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.predictions import read_predictions, write_predictions
from medtaskatlas.pairs.roles import roles


def _random(n, m, dim=8, labels=5, seed=0):
    rng = np.random.default_rng(seed)
    return (
        l2_normalize(rng.normal(size=(n, dim))),
        l2_normalize(rng.normal(size=(m, dim))),
        rng.integers(0, labels, n),
        rng.integers(0, labels, m),
    )


def test_knn_is_that_of_scikit_learn():
    queries, gallery, _, truth = _random(700, 400)
    got = np.concatenate([vote(truth[r], s, 5) for _, r, s in nearest(queries, gallery, 7)])
    model = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(gallery, truth)
    votes = np.sort(model.predict_proba(queries), axis=1)
    clear = votes[:, -1] > votes[:, -2]  # scikit-learn breaks ties by label, we by similarity
    assert clear.mean() > 0.5
    assert (got == model.predict(queries))[clear].all()


def test_ties_go_to_the_more_similar_and_never_beat_a_majority():
    labels = np.array([[0, 1, 1, 0, 2]])
    assert vote(labels, np.array([[0.9, 0.8, 0.7, 0.1, 0.99]]), 3)[0] == 1
    majority = np.array([[0, 1, 1]])
    assert vote(majority, np.array([[1.0, -1.0, -1.0]]), 2)[0] == 1


def test_map_at_r_is_that_of_pytorch_metric_learning():
    torch = pytest.importorskip("torch")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.inference import CustomKNN

    queries, gallery, wanted, truth = _random(60, 90)
    R = np.bincount(truth, minlength=5)[wanted]
    ranked = np.concatenate([r for _, r, _ in nearest(queries, gallery, len(gallery))])
    got = average_precision_at_r(truth[ranked], wanted, R)
    brute = []
    for q in range(60):
        order = np.argsort(-(gallery @ queries[q]))[: R[q]]
        hits = truth[order] == wanted[q]
        brute.append(sum(hits[: i + 1].mean() for i in range(R[q]) if hits[i]) / R[q])
    assert got == pytest.approx(brute)
    theirs = accuracy.AccuracyCalculator(
        include=("mean_average_precision_at_r",),
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),  # the default needs faiss
    ).get_accuracy(
        torch.from_numpy(queries),
        torch.from_numpy(wanted),
        torch.from_numpy(gallery),
        torch.from_numpy(truth),
    )
    assert got.mean() == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-3)


def test_roles():
    frame = pd.DataFrame(
        [
            ("a", "train", "s1", "t", "gallery"),
            ("a", "val", "s2", "t", "val"),
            ("a", "test", "s3", "t", "groups"),
            # Of a subject that was trained on, or chosen by.
            ("a", "test", "s1", "t", "regions"),
            ("a", "test", "s2", "t", "regions"),
            ("b", "train", "s4", "t", "datasets"),
            ("b", "test", "s5", "t", "datasets"),
            ("c", "test", "s6", "t", "datasets"),
            ("c", "test", "s1", "t", "regions"),
            ("c", "test", "s6", "only_here", "tasks"),
            ("a", "train", "s1", "hidden", "none"),
            ("a", "test", "s3", "hidden", "tasks"),
        ],
        columns=["dataset", "split", "subject", "task", "role"],
    )
    columns = [frame[name].to_numpy(dtype=object) for name in list(frame)[:-1]]
    main = np.ones(len(frame), bool)
    held = {"trained_on": {"a"}, "heldout_tasks": ["hidden"]}
    assert roles(*columns, main, **held).tolist() == frame["role"].tolist()
    # Failures and trajectories are never in the gallery, and are asked whatever their task.
    other = {"gallery": "none", "only_here": "datasets", "hidden": "groups"}
    asked = [
        "none" if split == "train" and dataset == "a" else other.get(task, role)
        for dataset, split, task, role in frame[["dataset", "split", "task", "role"]].to_numpy()
    ]
    assert roles(*columns, ~main, **held).tolist() == asked


def test_perfect_embedding_is_named_and_noise_is_at_chance(tmp_path):
    frame = make_frame(n_datasets=4)
    for name, structure, low, high in (
        ("perfect", {"task": 3.0, "noise": 0.1}, 0.99, 1.0),
        ("noise", {"task": 0, "family": 0, "dataset": 0}, 0.05, 0.18),
        ("dataset_only", {"task": 0, "family": 0, "dataset": 3.0, "noise": 0.5}, 0.05, 0.18),
    ):
        vectors = make_vectors(frame, **structure)
        path = write_embedding(tmp_path / f"{name}.parquet", frame, vectors)
        predict(path, tmp_path / "out" / f"{name}.parquet", seed=1)
        got = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        accuracy = got.groupby(["query_set", "method"])["correct"].mean()
        for query_set in ("groups", "datasets"):
            assert low <= accuracy[query_set, "knn"] <= high, name
            assert low <= accuracy[query_set, "linear"] <= high, name


@pytest.mark.parametrize("tasks", [("rotation", "shear"), tuple(FAMILY_OF)])
def test_the_linear_probe_has_converged(tasks):
    frame = make_frame(n_datasets=4, tasks=tasks)
    # Features that hang together, as those of embeddings do: L-BFGS stops long before the minimum.
    vectors = make_vectors(frame, noise=2.0)
    mixed = np.random.default_rng(0).normal(size=(32, 32)) * 0.6 ** np.arange(32)
    vectors = (vectors @ mixed @ mixed.T).astype(np.float32)
    size = len(vectors) // 2
    order = np.random.default_rng(1).permutation(len(vectors))
    vectors, truth = vectors[order], np.unique(frame["task"], return_inverse=True)[1][order]
    scaled = Scale.of(vectors[:size]).apply(vectors).astype(float)
    guess, slope = _linear(vectors.copy(), truth[:size])
    assert slope <= FLAT_ENOUGH
    # An oracle: another method, in 64 bits, to a slope a thousand times less.
    other = LogisticRegression(tol=1e-8, max_iter=100_000).fit(scaled[:size], truth[:size])
    p = other.predict_proba(scaled[size:])
    ranked = np.sort(p, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 0.01  # else rounding decides
    assert clear.mean() > 0.9
    assert (guess == p.argmax(axis=1))[clear].all()


def test_a_linear_probe_that_did_not_converge_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("medtaskatlas.atlas.predict.NEWTON_STEPS", 1)
    frame = make_frame(n_datasets=4)
    path = write_embedding(tmp_path / "a.parquet", frame, make_vectors(frame, noise=2.0))
    out = tmp_path / "out" / "a.parquet"
    predict(path, out)
    identification([out], tmp_path / "i.parquet", run="synthetic", n_draws=50)
    notes = pd.read_parquet(tmp_path / "i.parquet").groupby("method")["note"]
    assert notes.get_group("linear").str.contains("the linear probe did not converge").all()
    assert not notes.get_group("knn").str.contains("converge", na=False).any()


def test_predictions_are_reproducible_and_do_not_depend_on_row_order(tmp_path):
    frame = make_frame(n_datasets=3)
    vectors = make_vectors(frame, noise=2.0)
    shuffle = np.random.default_rng(0).permutation(len(frame))
    one = write_embedding(tmp_path / "a.parquet", frame, vectors)
    two = write_embedding(tmp_path / "b.parquet", frame.iloc[shuffle], vectors[shuffle])
    for path in (one, two):
        predict(path, path.with_suffix(".out"), seed=3)
    a, b = (pd.read_parquet(p.with_suffix(".out")) for p in (one, two))
    pd.testing.assert_frame_equal(a, b, rtol=1e-4)


def test_baselines_get_boosted_trees_and_trained_encoders_do_not(run):
    by_kind = {p.parent.name: pd.read_parquet(p)["method"].unique() for p in run["predictions"]}
    assert "boosted" in by_kind["pixels"]
    assert "boosted" in by_kind["random"]
    assert "boosted" not in by_kind["taco"]


def test_standardise_uses_the_gallery_only():
    vectors = np.array([[0, 5], [2, 5], [100, 7]], np.float32)
    got = Scale.of(vectors[:2]).apply(vectors)
    assert got[:2, 0].tolist() == [-1, 1]
    assert (got[:, 1] == 0).all()  # constant over the gallery


def test_a_scale_of_parts_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    vectors = rng.normal(1e3, 1, (500, 6)).astype(np.float32)
    vectors[:, 2] = 0.1  # constant
    total = ScaleSum(6)
    for part in np.split(vectors, [1, 2, 300]):
        total.add(part)
    scale = total.scale()
    exact = vectors.astype(np.float64)
    np.testing.assert_allclose(scale.mean, exact.mean(axis=0), rtol=1e-12)
    spread = np.where(np.arange(6) == 2, 0, exact.std(axis=0))
    np.testing.assert_allclose(scale.spread, spread, rtol=1e-9)
    moved = scale.apply(vectors)
    assert scale.apply(vectors, inplace=True) is vectors
    np.testing.assert_array_equal(vectors, moved)


def test_rows_that_are_wanted_are_those_of_the_whole(tmp_path, monkeypatch):
    frame = make_frame(n_datasets=3).sample(frac=1, random_state=0)
    vectors = make_vectors(frame)
    path = write_embedding(tmp_path / "a.parquet", frame, vectors, standardise=True)
    whole = load_embedding(path)
    assert whole.frame["pair_id"].is_monotonic_increasing
    sorted_vectors = vectors[np.argsort(frame["pair_id"].to_numpy())]
    scale = Scale.of(sorted_vectors[whole.frame["role"] == "gallery"])
    np.testing.assert_allclose(whole.vectors, scale.apply(sorted_vectors), rtol=1e-5, atol=1e-6)
    # Read in many parts, and some rows only, in an order of their own.
    monkeypatch.setattr("medtaskatlas.formats.embeddings.BLOCK", 700)
    some = load_embedding(
        path, wanted=lambda pairs: np.flatnonzero(pairs["role"] == "groups")[::-1]
    )
    at = np.flatnonzero(whole.frame["role"] == "groups")[::-1]
    np.testing.assert_allclose(some.vectors, whole.vectors[at], rtol=1e-5, atol=1e-6)
    assert some.frame["pair_id"].tolist() == whole.frame["pair_id"].iloc[at].tolist()
    assert set(some.frame["role"]) == {"groups"}


def test_queries_are_read_one_encoder_at_a_time_by_name_and_seed(tmp_path):
    frame = make_frame(n_datasets=3)
    paths = [
        write_embedding(tmp_path / f"{n}{s}.parquet", frame, make_vectors(frame, s), n, s)
        for n, s in (("b", 1), ("a", 0), ("b", 0))
    ]
    found = list(load_queries(paths))
    assert [(q.name, q.query_set, q.seeds) for q in found] == [
        ("a", "groups", [0]),
        ("a", "datasets", [0]),
        ("b", "groups", [0, 1]),
        ("b", "datasets", [0, 1]),
    ]
    whole = load_embedding(paths[0])
    np.testing.assert_array_equal(
        found[3].vectors[1], whole.vectors[whole.frame["role"] == "datasets"]
    )
    only = list(load_queries(paths, query_sets=("datasets",)))
    np.testing.assert_array_equal(only[1].vectors[1], found[3].vectors[1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v.__setitem__((3, 2), np.nan), "not finite"),
        (lambda v: v.__setitem__(slice(None), 0.5), "same vector"),
    ],
)
def test_bad_embeddings_are_errors(tmp_path, spoil, message):
    frame = make_frame(n_datasets=2)
    vectors = make_vectors(frame)
    spoil(vectors)
    path = write_embedding(tmp_path / "bad.parquet", frame, vectors)
    with pytest.raises(DataError, match=message):
        load_embedding(path)


def test_missing_truncated_and_mixed_files_are_errors(tmp_path):
    frame = make_frame(n_datasets=3)
    vectors = make_vectors(frame)
    with pytest.raises(DataError, match="missing"):
        load_embedding(tmp_path / "none.parquet")
    path = write_embedding(tmp_path / "a.parquet", frame, vectors)
    fewer = write_embedding(tmp_path / "b.parquet", frame[:-1], vectors[:-1])
    with pytest.raises(DataError, match="different pairs"):
        list(load_embeddings([path, fewer]))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="damaged"):
        load_embedding(path)


def test_predictions_of_an_older_version_are_an_error(tmp_path):
    frame = make_frame(n_datasets=2)
    path = write_embedding(tmp_path / "a.parquet", frame, make_vectors(frame))
    predict(path, tmp_path / "p.parquet", probes=False)
    old, facts = read_predictions(tmp_path / "p.parquet")
    write_predictions(tmp_path / "p.parquet", old.drop(columns="subject_id"), facts)
    with pytest.raises(DataError, match=r"lacks subject_id(.|\n)*delete .*p.parquet and start"):
        load_predictions([tmp_path / "p.parquet"])


def test_no_gallery_is_an_error(tmp_path):
    frame = make_frame(n_datasets=2, test_only=2)
    path = write_embedding(tmp_path / "a.parquet", frame, make_vectors(frame))
    with pytest.raises(DataError, match="no training pair"):
        predict(path, tmp_path / "out.parquet")
