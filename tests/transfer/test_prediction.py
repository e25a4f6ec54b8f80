"""Predictions of gains: what is right by construction is found, and nothing else is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, weightedtau
from sklearn.linear_model import LinearRegression
from transfer_synthetic import DATASETS, HELDOUT, TASKS, distances, write_tables

from atlas_synthetic import write_embedding
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.atlas.transfer.cells import Cells, read_cells
from medtaskatlas.atlas.transfer.findings import predictions
from medtaskatlas.atlas.transfer.prediction import transfer_prediction
from medtaskatlas.atlas.transfer.predictors import learned, static_ranker, transfer_predictors
from medtaskatlas.atlas.transfer.ranks import CORRELATIONS, centred_ranks, permuted, scores
from medtaskatlas.core.errors import DataError

TRAINED = [name for name in DATASETS if name != HELDOUT]
FEW = dict(task for i, task in enumerate(TASKS.items()) if i % 4)


def predictors(folder, embeddings=(), *, run="r", **made):
    """The table of predictors, from tables that are made; paths of both and of the gains."""
    paths = write_tables(folder, tasks=FEW, **made)
    out = folder / "transfer_predictors.parquet"
    transfer_predictors(
        paths["functional_distance"], paths["datasets"], embeddings, out, run=run,
        training_datasets=dict.fromkeys(FEW, TRAINED), gains_path=paths["transfer_gains"],
    )  # fmt: skip
    return read_table(out, "transfer_predictors"), out, paths["transfer_gains"]


def predict(folder, **made):
    """That table, and scores by predictor, what they are held against, dataset and measure."""
    table, path, gains = predictors(folder, **made)
    out = folder / "transfer_prediction.parquet"
    transfer_prediction(path, out, run="r", gains_path=gains, n_permutations=199)
    frame = read_table(out, "transfer_prediction").fillna({"against": ""})
    return table, frame.set_index(["predictor", "against", "dataset", "measure"]).sort_index()


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """Scores where gains follow the kernel; two seeds, a third of the datasets held out."""
    return predict(tmp_path_factory.mktemp("right"), truth=distances(tasks=FEW), noise=0.02)


def noisy(truth, size, seed):
    rng = np.random.default_rng(seed)
    return {name: d * np.exp(size * rng.normal(size=d.shape)) for name, d in truth.items()}


def test_a_kernel_that_is_right_is_found_and_its_shuffling_is_not(right):
    by = right[1]
    for dataset in ("all", "trained", "heldout", *DATASETS):
        for measure in ("target_centred", "double_centred"):
            row = by.loc[("kernel", "", dataset, measure)]
            assert row["estimate"] > 0.9
            assert row["p_adjusted"] < 0.06
            assert row["ci_low"] > 0.6
            shuffled = by.loc[("shuffled_distances", "", dataset, measure)]
            assert abs(shuffled["estimate"]) < 0.5
            assert shuffled["p_adjusted"] > 0.05
    row = by.loc[("kernel", "output_mse", "all", "target_centred")]
    assert 0 < row["ci_low"] < row["estimate"]
    assert row["datasets_low"] > 0
    assert by.loc[("kernel", "", "all", "regret_ratio"), "estimate"] < 0.25
    assert by.loc[("output_mse", "", "all", "regret_ratio"), "estimate"] > 0.5
    assert by.loc[("kernel", "", "all", "sign_accuracy"), "estimate"] > 0.7
    row = by.loc[("kernel", "", "all", "regret")]
    K, D = len(FEW), len(DATASETS)
    counts = [row[f"n_{what}"] for what in ("cells", "sources", "targets", "datasets", "pairs")]
    assert counts == [D * K * (K - 1), K, K, D, D * K * 40]


def test_gains_of_other_seeds_and_datasets_are_ceilings(right):
    by = right[1]
    seeds = by.loc[("noise_ceiling_seeds", "", "all", "target_centred"), "estimate"]
    datasets = by.loc[("noise_ceiling_datasets", "", "all", "target_centred"), "estimate"]
    assert 0.9 < seeds < 1
    assert datasets < 0.6  # distances are other ones on every dataset
    assert "noise_ceiling_datasets" not in by.loc[(slice(None), "", HELDOUT), :].index


def test_a_kernel_that_is_wrong_is_not_found(tmp_path):
    truth = distances(tasks=FEW)
    by = predict(tmp_path, truth=truth, kernel=distances(5, {t: t for t in FEW}))[1]
    for measure in CORRELATIONS:
        row = by.loc[("kernel", "", "all", measure)]
        assert row["p_adjusted"] > 0.05
        assert row["ci_low"] < 0.3
    assert by.loc[("kernel", "output_mse", "all", "target_centred"), "ci_low"] < 0


def test_no_lead_over_outputs_that_tell_as_much(tmp_path):
    truth = distances(tasks=FEW)
    made = {"kernel": noisy(truth, 0.3, 1), "output_mse": noisy(truth, 0.3, 2)}
    by = predict(tmp_path, truth=truth, **made)[1]
    for measure in ("target_centred", "double_centred"):
        assert by.loc[("kernel", "", "all", measure), "p_adjusted"] < 0.06
        assert by.loc[("output_mse", "", "all", measure), "p_adjusted"] < 0.06
        row = by.loc[("kernel", "output_mse", "all", measure)]
        assert row["ci_low"] < 0 < row["ci_high"]


def test_what_says_the_same_of_every_target_has_no_double_centred_score(right):
    by = right[1]
    for name in ("static_ranker", "dataset_size", "modality"):
        assert by.loc[(name, "", "all", "double_centred"), "note"].startswith("undefined")
    assert by.loc[("kernel", "static_ranker", "all", "double_centred"), "note"] is not None
    assert by.loc[("family", "", "all", "within_family"), "note"].startswith("undefined")
    assert by.loc[("dataset_size", "", "all", "weighted_tau"), "estimate"] == 0


def _cells(gain) -> Cells:
    D, K = gain.shape[:2]
    names = [f"t{i}" for i in range(K)]
    return Cells("warm", names, ["f"] * K, [f"d{i}" for i in range(D)], np.ones(D, bool), gain,
                 gain[None][:0], pd.DataFrame())  # fmt: skip


def _square(rng, D, K):
    values = rng.normal(size=(D, K, K))
    values[:, range(K), range(K)] = np.nan
    return values


def test_nothing_is_learned_from_the_target_or_the_dataset_that_is_predicted():
    rng = np.random.default_rng(0)
    gain, features = _square(rng, 2, 7), [_square(rng, 2, 7) for _ in range(3)]
    first = static_ranker(_cells(gain)), learned(_cells(gain), features)
    for t in range(7):
        other = gain.copy()
        other[:, :, t] = _square(rng, 2, 7)[:, :, t]
        np.testing.assert_array_equal(static_ranker(_cells(other))[:, :, t], first[0][:, :, t])
        other[:, t] = _square(rng, 2, 7)[:, t]
        other[:, t, t] = np.nan
        np.testing.assert_array_equal(learned(_cells(other), features)[:, :, t], first[1][:, :, t])
    other = gain.copy()
    other[0] = _square(rng, 1, 7)[0]
    np.testing.assert_array_equal(learned(_cells(other), features)[0], first[1][0])


def test_a_leak_would_score_1_and_there_is_none():
    # One target alone gains anything: who has seen it knows all, and others nothing.
    K = 8
    gain = np.where(np.eye(K, dtype=bool), np.nan, 0.0)[None]
    gain[0, 1:, 0] = np.linspace(0.1, 0.7, K - 1)
    leaking = np.tile(np.nanmean(gain, axis=2, keepdims=True), (1, 1, K))
    alone = np.where(np.arange(K) == 0, gain, np.nan)
    same = np.ones((K, K), bool)
    assert scores(leaking, alone, same)["weighted_tau"][0] == pytest.approx(1)
    assert scores(static_ranker(_cells(gain)), alone, same)["weighted_tau"][0] == 0
    # As many features as cells fit all that they are shown.
    rng = np.random.default_rng(1)
    K = 6
    gain = _square(rng, 1, K)
    features = [_square(rng, 1, K) for _ in range(K * (K - 1))]
    known = np.isfinite(gain)
    x = np.stack([f[known] for f in features], axis=-1)
    assert LinearRegression().fit(x, gain[known]).score(x, gain[known]) == pytest.approx(1)
    own = scores(learned(_cells(gain), features), gain, np.ones((K, K), bool))
    assert own["target_centred"][0] < 0.4


def test_what_is_learned_finds_the_feature_that_tells():
    rng = np.random.default_rng(2)
    gain = _square(rng, 2, 8)
    made = learned(_cells(gain), [_square(rng, 2, 8), gain + 0.3 * _square(rng, 2, 8)])
    assert scores(made, gain, np.ones((8, 8), bool))["target_centred"][0] > 0.85
    # One that does not know every cell has no part.
    hole = gain.copy()
    hole[0, 1, 2] = np.nan
    assert (
        scores(learned(_cells(gain), [_square(rng, 2, 8), hole]), gain, np.ones((8, 8), bool))[
            "target_centred"
        ][0]
        < 0.5
    )


def test_scores_are_those_by_hand():
    rng = np.random.default_rng(3)
    K = 6
    x, gain = _square(rng, 2, K), _square(rng, 2, K)
    known = np.isfinite(x)
    same = np.arange(K)[:, None] % 2 == np.arange(K) % 2
    made = scores(x, gain, same)
    centred = [(v - np.nanmean(v, axis=1, keepdims=True))[known] for v in (x, gain)]
    assert made["target_centred"][0] == pytest.approx(spearmanr(*centred).statistic)
    columns = [(d, known[d, :, t], t) for d in range(2) for t in range(K)]
    tau = [weightedtau(x[d, own, t], gain[d, own, t]).statistic for d, own, t in columns]
    assert made["weighted_tau"][0] == pytest.approx(np.mean(tau))
    regret = [
        gain[d, own, t].max() - gain[d, own, t][x[d, own, t].argmax()] for d, own, t in columns
    ]
    assert made["regret"][0] == pytest.approx(np.mean(regret))
    random = np.nanmean(np.nanmax(gain, axis=1) - np.nanmean(gain, axis=1))
    assert made["regret"][1] == pytest.approx(random)
    assert made["regret_ratio"][0] == pytest.approx(np.mean(regret) / random)
    # Residuals of indicators of source and target on each dataset.
    rest = []
    for v in (x, gain):
        parts = []
        for d in range(2):
            s, t = np.nonzero(known[d])
            design = np.concatenate([np.eye(K)[s], np.eye(K)[t]], axis=1)
            y = v[d][known[d]]
            parts.append(y - design @ np.linalg.lstsq(design, y, rcond=None)[0])
        rest.append(np.concatenate(parts))
    assert made["double_centred"][0] == pytest.approx(spearmanr(*rest).statistic)
    family = [
        (v - np.nanmean(np.where(same, v, np.nan), axis=1, keepdims=True))[known & same]
        for v in (x, gain)
    ]
    assert made["within_family"][0] == pytest.approx(spearmanr(*family).statistic)
    order = rng.permutation(K)[None]
    turned = x[:, order[0]][:, :, order[0]]
    null = permuted(x, gain, same, order, "target_centred")[1]
    assert null[0] == pytest.approx(scores(turned, gain, same)["target_centred"][0])


def test_a_constant_ranks_nothing_and_ties_are_drawn_at_random():
    gain = np.array([[[np.nan, 0.1, 0.2], [0.3, np.nan, 0.4], [0.5, 0.6, np.nan], [0.1, 0.2, 0.3]]])
    gain = np.concatenate([gain, np.full((1, 4, 1), np.nan)], axis=2)
    made = scores(np.full(gain.shape, 0.1), gain, np.ones((4, 4), bool))
    assert np.isnan(made["target_centred"][0])
    assert made["weighted_tau"][0] == 0
    assert made["regret_ratio"][0] == pytest.approx(1)
    ranks = centred_ranks(
        np.full(gain.shape, 0.1), np.isfinite(gain), gain[0] > 0, "double_centred"
    )
    assert (ranks[np.isfinite(gain)] == 0).all()


def test_spaces_of_encoders_are_of_training_pairs_alone(tmp_path):
    rng = np.random.default_rng(4)
    rows = [
        {"pair_id": f"{t}/{d}/{i}", "dataset": d, "modality": m, "image_id": f"i{i}",
         "subject_id": f"{d}{i}", "group_id": f"g{i}", "split": "train" if i < 3 else "test",
         "task": t, "family": FEW[t], "failure_of": None, "level": None}
        for d, m in DATASETS.items() for t in FEW for i in range(5)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    train = (frame["split"] == "train").to_numpy()
    vectors = rng.normal(size=(len(frame), 4))
    found = []
    for name, shift in (("one", 0.0), ("other", 9.0)):
        folder = tmp_path / name
        moved = vectors + shift * ~train[:, None]
        path = write_embedding(folder / "seed0.parquet", frame, moved, run="r")
        table = predictors(folder, [path])[0]
        found.append(table[table["predictor"] == "encoder"])
        assert set(found[-1]["encoder"]) == {"taco"}
        assert set(found[-1]["predictor_role"]) == {"ours"}
    pd.testing.assert_frame_equal(*found)
    row = found[0].iloc[0]
    means = [
        vectors[train & (frame["dataset"] == row["dataset"]) & (frame["task"] == row[side])].mean(0)
        for side in ("source", "target")
    ]
    cosine = means[0] @ means[1] / np.prod([np.linalg.norm(m) for m in means])
    assert row["predicted"] == pytest.approx(cosine - 1, abs=1e-5)


def test_the_target_itself_and_controls_are_no_sources(right, tmp_path):
    table = right[0]
    assert (table["source"] != table["target"]).all()
    assert set(table["source"]) == set(FEW)
    paths = write_tables(tmp_path, tasks=FEW)
    cells = list(read_cells(paths["transfer_gains"], None, run="r"))
    assert [one.protocol for one in cells] == ["warm"]
    assert np.isnan(cells[0].gain[:, range(len(FEW)), range(len(FEW))]).all()
    assert cells[0].of_seeds.shape == (2, *cells[0].gain.shape)
    np.testing.assert_allclose(cells[0].of_seeds.mean(axis=0), cells[0].gain)


def test_tables_of_another_run_are_named(tmp_path):
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        predictors(tmp_path, run="other")


def _found(by):
    frame = by.reset_index()
    frame["against"] = frame["against"].replace("", None)
    (row,) = predictions({"transfer_prediction": frame})
    return row


def test_the_finding_says_which_predictor_and_what_it_is_worth(right):
    row = _found(right[1])
    assert row["finding"] == "transfer_predicted_warm"
    assert row["split"] == "datasets"
    for words in ("on datasets that no source was trained on", "rank correlation", "Lead over",
                  "Gains of another seed reach", "9 sources and 9 targets"):  # fmt: skip
        assert words in row["sentence"]
    assert row["verdict"] == "supported"


@pytest.mark.parametrize(
    ("changed", "column", "value", "verdict"),
    [
        (("kernel|learned", "output_mse", "target_centred"), "ci_low", -0.1, "above chance"),
        (("kernel|learned", "", "target_centred"), "p_adjusted", 0.3, "not supported"),
        (("shuffled_distances", "", "target_centred"), "p_adjusted", 0.01, "not supported"),
    ],
)
def test_the_finding_falls_with_its_lead_its_test_and_its_control(
    right, changed, column, value, verdict
):
    by = right[1].reset_index()
    predictor, against, measure = changed
    at = by["predictor"].str.fullmatch(predictor) & (by["against"] == against)
    by.loc[at & (by["measure"] == measure), column] = value
    row = _found(by.set_index(["predictor", "against", "dataset", "measure"]))
    assert row["verdict"] == verdict
