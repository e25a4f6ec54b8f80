"""More data, better space: the slope is that of the numbers that were put in."""

import numpy as np
import pytest

import atlas_synthetic as synthetic
from medtaskatlas.atlas.predict import predict
from medtaskatlas.atlas.scaling import scaling
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError


def point(tmp_path, name, *, noise, pairs_per_cell=None, datasets=5, seed=0):
    frame = synthetic.make_frame()
    frame["draw"] = frame["image_row"]
    keep = frame["dataset"].isin([f"d{i}" for i in range(datasets)]) | (frame["dataset"] == "d5")
    if pairs_per_cell is not None:
        keep &= ~((frame["split"] == "train") & (frame["draw"] >= pairs_per_cell))
    frame = synthetic.with_roles(frame[keep].reset_index(drop=True), ["d5"])
    vectors = synthetic.make_vectors(frame, seed=seed, noise=noise)
    path = synthetic.write_embedding(
        tmp_path / name / "embeddings.parquet",
        frame,
        vectors,
        seed=seed,
        pairs_per_cell=pairs_per_cell,
        steps=10,
        trained_datasets=[f"d{i}" for i in range(datasets)],
    )
    out = tmp_path / name / "predictions.parquet"
    predict(path, out, probes=False)
    return out


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("scaling")
    files = [
        point(tmp_path, f"{name}{seed}", seed=seed, **how)
        for seed in (0, 1)
        for name, how in {
            "few": {"noise": 6.0, "pairs_per_cell": 4},
            "two": {"noise": 4.0, "datasets": 2},
            "all": {"noise": 1.0},
        }.items()
    ]
    scaling(files, tmp_path / "scaling.parquet", run="synthetic", n_draws=50)
    return read_table(tmp_path / "scaling.parquet", "scaling", run="synthetic"), files


def test_every_amount_is_measured_on_the_same_queries(table):
    frame, _ = table
    measured = frame[frame["measure"] == "balanced_accuracy"]
    assert measured.groupby("split")["n_pairs"].nunique().eq(1).all()
    # Test groups of the datasets that even the smallest choice trained on.
    assert measured[measured["split"] == "groups"]["n_datasets"].eq(2).all()
    assert set(measured["axis"]) == {"pairs", "datasets", "all"}
    assert measured["seed_sd"].notna().all()


def test_slope_is_the_gain_by_doubling(table):
    frame, _ = table
    for split in ("groups", "datasets"):
        rows = frame[frame["split"] == split]
        measured = rows[rows["measure"] == "balanced_accuracy"].set_index("axis")
        slope = rows[rows["measure"] == "gain_per_doubling"].set_index("axis")["estimate"]
        whole = measured.loc["all"]
        few, two = measured.loc["pairs"], measured.loc["datasets"]
        gain = whole["estimate"] - few["estimate"]
        assert slope["pairs"] == pytest.approx(
            gain / np.log2(whole["train_pairs"] / few["train_pairs"])
        )
        gain = whole["estimate"] - two["estimate"]
        assert slope["datasets"] == pytest.approx(gain / np.log2(5 / 2))


def test_of_another_run_is_refused_and_one_amount_has_no_slope(table, tmp_path):
    _, files = table
    with pytest.raises(DataError, match="run 'synthetic', not 'other'"):
        scaling(files, tmp_path / "x.parquet", run="other")
    scaling(files[-1:], tmp_path / "one.parquet", run="synthetic", n_draws=20)
    one = read_table(tmp_path / "one.parquet", "scaling")
    slopes = one[one["measure"] == "gain_per_doubling"]
    assert slopes["estimate"].isna().all()
    assert slopes["note"].str.contains("two amounts").all()
