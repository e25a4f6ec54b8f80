"""The tables of a small run with known structure, and what their schemas refuse."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from atlas_synthetic import make_frame, make_vectors, with_roles, write_embedding
from medtaskatlas.atlas.clusters.table import clusters
from medtaskatlas.atlas.comparisons.table import comparisons
from medtaskatlas.atlas.confusion import confusion
from medtaskatlas.atlas.controls import controls
from medtaskatlas.atlas.distances import distance_matrix, encoder_matrix, task_distances
from medtaskatlas.atlas.identification import identification
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.separation.table import separation
from medtaskatlas.atlas.summary import NEEDED, summary
from medtaskatlas.atlas.tables import (
    conform,
    document,
    read_table,
    schema,
    table_specs,
    write_table,
)
from medtaskatlas.core.errors import DataError


def _all_tables(folder, predictions, embeddings):
    path = {name: folder / f"{name}.parquet" for name in (*NEEDED, "confusion", "summary")}
    few = {"run": "synthetic", "n_draws": 300}
    identification(predictions, path["identification"], format_identifiable=["boundary"], **few)
    confusion(predictions, path["confusion"], **few)
    comparisons(predictions, path["comparisons"], **few)
    separation(embeddings, path["separation"], **few)
    task_distances(embeddings, path["task_distances"], **few)
    clusters(
        path["task_distances"],
        path["clusters"],
        embedding_paths=embeddings,
        n_permutations=499,
        **few,
    )
    controls(predictions, embeddings, path["comparisons"], path["controls"], **few)
    summary(path["summary"], run="synthetic", **{name: path[name] for name in NEEDED})
    return {name: read_table(p, name) for name, p in path.items()}


@pytest.fixture(scope="module")
def tables(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return _all_tables(folder, run["predictions"], run["embeddings"])


def test_identification_ranks_the_encoders_and_covers_every_level(tables):
    frame = tables["identification"]
    over = frame[
        frame["seed"].isna() & (frame["level"] == "overall") & (frame["task_subset"] == "all")
    ]
    knn = over[(over["method"] == "knn") & (over["measure"] == "balanced_accuracy")]
    by = knn.set_index(["split", "encoder"])["estimate"]
    for split in ("groups", "datasets"):
        assert by[split, "taco"] > by[split, "pixels"] > by[split, "random"]
        assert by[split, "random"] < 0.2
    assert (knn["ci_low"] <= knn["estimate"]).all()
    assert (knn["estimate"] <= knn["ci_high"]).all()
    assert knn["chance"].between(0.05, 0.2).all()
    taco = frame[(frame["encoder"] == "taco") & frame["seed"].isna()]
    assert set(taco["level"]) == {"overall", "family", "task", "dataset", "modality"}
    assert taco["seed_sd"].notna().all()
    hidden = taco[(taco["task_subset"] == "not_format_identifiable") & (taco["level"] == "overall")]
    whole = taco[(taco["task_subset"] == "all") & (taco["level"] == "overall")]
    assert hidden["n_pairs"].max() < whole["n_pairs"].max()
    seeds = frame[(frame["encoder"] == "taco") & frame["seed"].notna()]
    assert set(seeds["seed"]) == {0, 1, 2}


def test_identification_estimate_is_the_plain_cell_mean(tables, run):
    raw = pd.concat([pd.read_parquet(p) for p in run["predictions"] if p.parent.name == "taco"])
    raw = raw[(raw["method"] == "knn") & (raw["query_set"] == "groups")]
    plain = raw.groupby(["dataset", "task"])["correct"].mean()
    frame = tables["identification"]
    chosen = frame[
        (frame["encoder"] == "taco")
        & (frame["split"] == "groups")
        & (frame["method"] == "knn")
        & (frame["measure"] == "balanced_accuracy")
        & (frame["task_subset"] == "all")
        & frame["seed"].isna()
    ].set_index(["level", "name"])["estimate"]
    assert chosen["overall", "all"] == pytest.approx(plain.mean())
    assert chosen["task", "shear"] == pytest.approx(plain.xs("shear", level="task").mean())
    assert chosen["dataset", "d1"] == pytest.approx(plain["d1"].mean())


def test_confusion_rates_sum_to_one(tables):
    total = tables["confusion"].groupby(["encoder", "split", "true_task"])["estimate"].sum()
    assert total.to_numpy() == pytest.approx(np.ones(len(total)))


def test_comparisons_find_the_better_encoder(tables):
    frame = tables["comparisons"]
    best = frame[(frame["contrast"] == "best_baseline") & (frame["measure"] == "balanced_accuracy")]
    assert set(best["other"]) == {"pixels"}
    assert (best["ci_low"] > 0).all()
    # Of four and two datasets: signs alone cannot say so much.
    assert (best["p_adjusted"] < 0.1).all()
    assert (best["p_sign_flip"] >= 2 / 2 ** best["n_datasets"]).all()
    assert (frame["p_adjusted"] >= frame["p"]).all()


def test_separation_knows_task_from_dataset(tables):
    frame = tables["separation"].set_index(["encoder", "split", "measure", "factor", "within"])
    omega = frame["estimate"].xs("crossed", level="within").xs("omega_squared", level="measure")
    assert omega["taco", "groups", "task"] > omega["taco", "groups", "dataset"]
    assert omega["random", "groups", "dataset"] > 0.2
    assert abs(omega["random", "groups", "task"]) < 0.05
    silhouette = frame["estimate"].xs("silhouette", level="measure")
    assert silhouette["taco", "groups", "task", "all"] > 0
    assert silhouette["random", "groups", "dataset", "task"] > 0
    assert frame.loc[("taco", "groups", "silhouette", "task", "dataset"), "ci_low"] > 0


def test_families_are_recovered_where_they_exist(tables):
    frame = tables["clusters"]
    ami = frame[(frame["measure"] == "ami") & (frame["metric"] == "centroid_cosine")]
    by = ami.set_index(["encoder", "split"])
    assert by.loc[("taco", "groups"), "estimate"] == pytest.approx(1)
    assert by.loc[("taco", "groups"), "p_adjusted"] < 0.05
    assert by.loc[("random", "groups"), "p_adjusted"] > 0.05
    tasks = frame[(frame["level"] == "task") & (frame["encoder"] == "taco")]
    assert tasks["cluster"].between(1, 3).all()


def test_distance_matrix_is_symmetric_and_smaller_within_families(tables):
    matrix = encoder_matrix(tables["task_distances"], "taco", "groups")
    assert (matrix == matrix.T).all().all()
    assert matrix.loc["rotation", "shear"] < matrix.loc["rotation", "detection"]


def test_what_a_table_does_not_say_of_two_tasks_is_unknown():
    rows = pd.DataFrame({"task_a": ["a", "a"], "task_b": ["b", "c"], "estimate": [0.1, 0.2]})
    matrix = distance_matrix(rows)
    assert list(matrix) == list(matrix.index) == ["a", "b", "c"]
    expected = [[0, 0.1, 0.2], [0.1, 0, np.nan], [0.2, np.nan, 0]]
    np.testing.assert_array_equal(matrix, expected)


def test_controls_pass_and_findings_are_supported(tables):
    frame = tables["controls"].set_index(["control", "encoder", "split"])
    assert frame.loc[("mismatched_outputs", "taco", "groups"), "passed"]
    assert frame.loc[("duplicated_task", "taco", "groups"), "passed"]
    assert not frame.loc[("duplicated_task", "random", "groups"), "passed"]
    assert frame.loc[("beats_untrained (random)", "taco", "groups"), "passed"]
    found = tables["summary"].set_index(["finding", "split"])
    for finding in ("task_named", "beats_best_baseline", "task_over_dataset"):
        assert found.loc[(finding, "groups"), "supported"], finding
    # So they are by the pixels.
    assert found.loc[("families_recovered", "groups"), "verdict"] == "above chance"
    sentence = found.loc[("task_named", "groups"), "sentence"]
    assert "n = " in sentence
    assert "95 % interval" in sentence


def test_an_untrained_network_in_the_place_of_the_model_has_no_finding(run, tmp_path):
    """What is not due to learning must not be called so, whoever plays which part."""
    frame, embeddings, predictions = run["frame"], [], []
    parts = {"random": ("taco", {}), "taco": ("random", {"role": "baseline"})}
    for path in run["embeddings"]:
        name, seed = path.parent.name, int(path.stem.removeprefix("seed"))
        if name not in parts:
            continue
        table = pq.read_table(path)
        vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
        kind, facts = parts[name]
        facts = {"role": "model", "standardise": False} | facts
        out = tmp_path / "embeddings" / name / path.name
        swapped = table.select(frame.columns).to_pandas()
        embeddings.append(write_embedding(out, swapped, vectors, name, seed, kind, **facts))
        predictions.append(tmp_path / "predictions" / name / path.name)
        predict(out, predictions[-1], seed=0)
    found = _all_tables(tmp_path, predictions, embeddings)["summary"]
    assert len(found)
    assert set(found["encoder"]) == {"random"}
    assert not found["supported"].any()


def test_a_finding_whose_control_fails_is_not_supported(run, tables, tmp_path):
    paths = {}
    for name in NEEDED:
        frame = tables[name].copy()
        if name == "controls":
            frame["passed"] = False
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(name, frame, paths[name], {"run": "synthetic"})
    summary(tmp_path / "summary.parquet", run="synthetic", **paths)
    got = read_table(tmp_path / "summary.parquet", "summary")
    assert not got["supported"].any()
    assert got["sentence"].str.contains("Not supported: its control").all()
    with pytest.raises(DataError, match="is of run 'synthetic'"):
        summary(tmp_path / "s.parquet", run="another", **paths)


def test_tables_are_reproducible(run, tables, tmp_path):
    again = tmp_path / "identification.parquet"
    identification(
        reversed(run["predictions"]),
        again,
        run="synthetic",
        n_draws=300,
        format_identifiable=["boundary"],
    )
    pd.testing.assert_frame_equal(read_table(again), tables["identification"])


@pytest.mark.parametrize(
    "frame",
    [
        make_frame(n_datasets=1, groups=4, per_cell=8, test_only=0),  # one dataset, two test groups
        # a task of one held-out pair, and a task that only the second dataset has
        make_frame(n_datasets=2, groups=8, per_cell=16, test_only=1)
        .drop_duplicates(["dataset", "task", "image_id"])
        .loc[
            lambda f: (
                ~((f["task"] == "shear") & (f["split"] == "test") & (f["image_id"] != "i1"))
                & ~((f["task"] == "boundary") & (f["dataset"] == "d0"))
            )
        ]
        .reset_index(drop=True),
    ],
    ids=["one dataset", "one pair"],
)
def test_small_runs_have_tables_with_reasons_instead_of_numbers(frame, tmp_path):
    embeddings, predictions = [], []
    for kind in ("taco", "pixels"):
        path = tmp_path / "embeddings" / kind / "seed0.parquet"
        noise = {"taco": 0.5, "pixels": 2.0}[kind]
        embeddings.append(
            write_embedding(path, frame, make_vectors(frame, noise=noise), kind, 0, kind)
        )
        predictions.append(tmp_path / "predictions" / kind / "seed0.parquet")
        predict(path, predictions[-1])
    tables = _all_tables(tmp_path, predictions, embeddings)
    assert set(tables) >= {"identification", "summary"}
    found = tables["identification"]
    few = found[found["n_groups"] < 5]
    assert len(few)
    assert few["ci_low"].isna().all()
    assert few["note"].str.contains("at least 5").all()
    if frame["dataset"].nunique() == 1:
        assert not tables["summary"]["supported"].any()
        assert tables["summary"]["sentence"].str.contains("fewer than 5 subjects").all()
    else:
        held = found[found["split"] == "tasks"]
        assert set(held["measure"]) == {"family_balanced_accuracy"}


@pytest.mark.parametrize("hidden", [["shear"], ["boundary", "denoising", "rotation", "shear"]])
def test_held_out_tasks_are_measured_against_what_the_encoder_knows(tmp_path, hidden):
    frame = make_frame(n_datasets=4, groups=16, per_cell=32)
    frame = with_roles(frame, heldout_tasks=hidden)
    path = tmp_path / "embeddings" / "taco" / "seed0.parquet"
    write_embedding(path, frame, make_vectors(frame, noise=2.0))
    out = tmp_path / "predictions" / "taco" / "seed0.parquet"
    predict(path, out, probes=False)
    # What a task of its own is held against: a network that knows pictures alone.
    other = tmp_path / "embeddings" / "random" / "seed0.parquet"
    pictures = make_vectors(frame, seed=1, task=0.2, family=0.1, dataset=1.0, noise=2.0)
    write_embedding(other, frame, pictures, "random", kind="random")
    other_out = tmp_path / "predictions" / "random" / "seed0.parquet"
    predict(other, other_out, probes=False)
    tables = _all_tables(tmp_path, [out, other_out], [path, other])
    tables = {
        name: t[t["encoder"] == "taco"] if "encoder" in t else t for name, t in tables.items()
    }
    row = tables["identification"].query("split == 'tasks' and level == 'overall'").iloc[0]
    said = pd.read_parquet(out).query("method == 'knn' and query_set == 'tasks'")
    weight = 1 / said.groupby(["dataset", "task"])["task"].transform("size")
    truth, named = (
        weight.groupby(said[name]).sum() / weight.sum() for name in ("family", "predicted_family")
    )
    assert row["chance"] == pytest.approx(float((truth * named).sum()))
    assert row["chance"] > 0.1
    # Of one family only, chance is the rate itself, and says so.
    alone = len(hidden) == 1
    assert (row["chance"] == pytest.approx(row["estimate"])) == alone
    assert ("all pairs are of one family" in str(row["note"])) == alone
    # Clusters are of the held-out tasks alone, with a reason where they are too few.
    own = tables["clusters"].query("split == 'tasks' and metric == 'centroid_cosine'")
    own = own[own["measure"] != "ami_gain"]
    if len(hidden) == 1:
        assert own["note"].tolist() == [
            "undefined: needs two families at least and more tasks than families"
        ]
    else:
        assert set(own["task"].dropna()) == set(hidden)
        assert own.loc[own["measure"] == "ami", "estimate"].notna().all()
    control = tables["controls"].query("control == 'duplicated_task' and split == 'tasks'").iloc[0]
    assert control["passed"]
    assert control["n_pairs"] == len(said)
    nearest = tables["summary"].query("finding == 'most_alike_tasks' and split == 'tasks'").iloc[0]
    assert ", one of them at least held out, at" in nearest["sentence"]
    assert nearest["control_passed"]


def test_schemas_refuse_bad_frames(tables):
    good = tables["identification"]
    assert len(conform("identification", good)) == len(good)
    spoiled = {
        "unknown columns": good.assign(extra=1),
        "column encoder is missing": good.drop(columns="encoder"),
        "interval needs": good.assign(ci_high=good["ci_low"] - 1),
        "null needs its reason": good.assign(estimate=np.nan, note=None),
        "breaks its schema": good.assign(split="elsewhere"),
        "not Int64": good.assign(n_pairs="many"),
        "identification": pd.concat([good, good]),
    }
    for message, frame in spoiled.items():
        with pytest.raises(DataError, match=message):
            conform("identification", frame)


def test_read_table_refuses_what_it_is_not(tables, tmp_path):
    path = tmp_path / "t.parquet"
    write_table("identification", tables["identification"], path, {"run": "r"})
    assert read_table(path).attrs["meta"]["run"] == "r"
    with pytest.raises(DataError, match="not the table 'summary'"):
        read_table(path, "summary")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="damaged"):
        read_table(path)
    with pytest.raises(DataError, match="missing"):
        read_table(tmp_path / "none.parquet")


def test_every_column_is_described_and_documented():
    text = document()
    for name, spec in table_specs().items():
        assert f"## {name}\n" in text
        assert all(column.description for column in spec.columns)
        assert set(spec.key) <= set(schema(name).columns)


def test_a_schema_is_imported_with_its_own_table_alone_and_without_pandera():
    code = (
        "import sys; from medtaskatlas.atlas.tables import _spec, table_specs;"
        "_spec('confusion'); print('medtaskatlas.atlas.scaling' in sys.modules);"
        "table_specs(); print({'pandera', 'torch'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split("\n")[:2] == ["False", "set()"]
