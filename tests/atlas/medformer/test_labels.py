"""Curves over the share of the labels."""

import numpy as np
import pytest
from medformer_synthetic import predictions
from same_images import no_duplicates

from medtaskatlas.atlas.medformer.gains import medformer_gains
from medtaskatlas.atlas.medformer.labels import medformer_labels, weights_of
from medtaskatlas.atlas.medformer.scores import medformer_scores
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.medformer.options import Medformer

SECTION = {
    "pretrainings": {"unlabelled": {"pretexts": ["masked"]}},
    "arms": {"single": {}, "ssl": {"start": "unlabelled"}},
}
ARMS = {n: a.model_dump() for n, a in Medformer.model_validate(SECTION).arms.items()}
SKILL = {
    ("single", 10): 0.1, ("single", 50): 0.7, ("single", 100): 1.2,
    ("ssl", 10): 1.0, ("ssl", 50): 1.1, ("ssl", 100): 1.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of scores, gains and labels of the same predictions."""
    folder = tmp_path_factory.mktemp("labels")
    paths, options = predictions(folder, SKILL), {"run": "r", "n_draws": 300}
    none = no_duplicates(folder)
    medformer_scores(paths, none, folder / "medformer_scores.parquet", **options)
    medformer_gains(paths, none, folder / "medformer_gains.parquet", arms=ARMS, **options)
    medformer_labels(paths, folder / "medformer_labels.parquet", arms=ARMS, **options)
    names = ("medformer_scores", "medformer_gains", "medformer_labels")
    return {name: read_table(folder / f"{name}.parquet", name) for name in names}


def rows_of(table, **chosen):
    for column, value in chosen.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return table


def auc(tables, arm, name):
    """Scores of an arm on a set at 10, 50 and 100 %."""
    scores = rows_of(tables["medformer_scores"], arm=arm, set=name, score="macro_auc", seed=None)
    return scores.sort_values("labels")["estimate"].to_numpy()


def test_area_and_slope_of_a_line_are_its_middle_and_its_rise_with_a_doubling():
    shares = [10, 20, 40, 80]
    scores = np.array([0.5, 0.6, 0.7, 0.8])
    weights = weights_of(shares)
    assert weights["area"] @ scores == pytest.approx(0.65)
    assert weights["slope"] @ scores == pytest.approx(0.1)
    # Uneven steps: trapezoids of width 1 and 3 doublings.
    assert weights_of([10, 20, 160])["area"] @ [0, 1, 0] == pytest.approx(0.5)


def test_measures_of_an_arm_are_made_of_its_scores(tables):
    x = np.log2([10, 50, 100])
    for arm in ARMS:
        for name in ("one", "two"):
            found = rows_of(
                tables["medformer_labels"], arm=arm, set=name, score="macro_auc", reference=None
            ).set_index("measure")["estimate"]
            y = auc(tables, arm, name)
            assert found["area"] == pytest.approx(np.trapezoid(y, x) / np.ptp(x))
            assert found["slope"] == pytest.approx(np.polyfit(x, y, 1)[0])
    assert "score" not in set(rows_of(tables["medformer_labels"], set="one")["measure"])


def test_means_are_over_the_sets_which_are_not_drawn(tables):
    found = rows_of(tables["medformer_labels"], set="all", arm="ssl", score="macro_auc")
    whole = rows_of(found, measure="score", reference=None).set_index("labels")
    mean = (auc(tables, "ssl", "one") + auc(tables, "ssl", "two")) / 2
    assert whole.loc[[10, 50, 100], "estimate"].to_numpy() == pytest.approx(mean)
    assert set(whole["ci_method"]) == {"percentile bootstrap over subject > seed, 95%"}
    assert (whole["n_datasets"] == 2).all()
    assert (whole["n_subjects"] == 120).all()


def test_a_curve_that_is_higher_and_flatter_says_so(tables):
    found = rows_of(tables["medformer_labels"], arm="ssl", reference="single", score="macro_auc")
    found = found.set_index(["set", "measure"])
    for name in ("one", "two", "all"):
        assert found.loc[(name, "area"), "ci_low"] > 0
        assert found.loc[(name, "slope"), "ci_high"] < 0
    gains = rows_of(tables["medformer_gains"], set="one", score="macro_auc").set_index("labels")
    gap = weights_of([10, 50, 100])["area"] @ gains.loc[[10, 50, 100], "estimate"].to_numpy()
    assert found.loc[("one", "area"), "estimate"] == pytest.approx(gap)
    assert (found["p_adjusted"] >= found["p"] - 1e-12).all()


def test_one_share_and_one_set_are_no_curve(tmp_path):
    paths = predictions(tmp_path, {("single", 100): 1.0}, sets={"one": 20})
    out = tmp_path / "medformer_labels.parquet"
    medformer_labels(paths, out, run="r", arms=ARMS, n_draws=50)
    assert read_table(out, "medformer_labels").empty


def test_a_mean_over_a_set_of_few_subjects_has_no_interval(tmp_path):
    skill = {("single", 10): 0.5, ("single", 100): 1.0}
    paths = predictions(tmp_path, skill, sets={"one": 60, "two": 4})
    out = tmp_path / "medformer_labels.parquet"
    medformer_labels(paths, out, run="r", arms=ARMS, n_draws=50)
    mean = rows_of(read_table(out, "medformer_labels"), set="all", measure="score")
    assert mean["ci_low"].isna().all()
    assert mean["note"].str.contains("4 subjects").all()


def test_arms_without_a_seed_in_common_are_not_compared(tmp_path):
    paths = predictions(tmp_path, SKILL, sets={"one": 20})
    apart = [p for p in paths if p.stem.endswith(".0") == p.stem.startswith("single")]
    out = tmp_path / "medformer_labels.parquet"
    medformer_labels(apart, out, run="r", arms=ARMS, n_draws=50)
    table = read_table(out, "medformer_labels")
    assert set(table["arm"]) == {"single", "ssl"}
    assert table["reference"].isna().all()
