"""Which arms are compared, and by what."""

import numpy as np
import pandas as pd
import pytest
from same_images import duplicates_table, no_duplicates

from medtaskatlas.atlas.inference import adjust
from medtaskatlas.atlas.medformer.gains import medformer_gains, pairs
from medtaskatlas.atlas.medformer.scores import medformer_scores
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask import (
    COLUMNS,
    read_multitask_predictions,
    write_multitask_predictions,
)
from medtaskatlas.medformer.options import Medformer

SECTION = {
    "pretrainings": {"unlabelled": {"pretexts": ["masked"]}},
    "arms": {
        "pixels": {"model": "pixels"},
        "single": {},
        "longer": {"matched": "unlabelled"},
        "multi": {"sets": "all"},
        "ssl": {"start": "unlabelled"},
        "ssl_probe": {"start": "unlabelled", "adapt": "probe"},
        "bare": {"sets": "all", "latents": "none"},
    },
}
ARMS = {n: a.model_dump() for n, a in Medformer.model_validate(SECTION).arms.items()}


def test_arms_are_compared_that_differ_in_one_thing():
    assert set(map(tuple, pairs(ARMS))) == {
        *((arm, "pixels", "model") for arm in ARMS if arm != "pixels"),
        ("longer", "single", "matched"),
        ("multi", "single", "sets"),
        ("ssl", "single", "start"),
        ("ssl", "longer", "matched"),
        ("ssl_probe", "ssl", "adapt"),
        ("bare", "multi", "latents"),
        ("multi", "multi_wrong_latents", "wrong_latents"),
        ("bare", "bare_wrong_latents", "wrong_latents"),
    }


def test_a_pre_training_as_long_stands_for_the_one_that_steps_are_matched_with():
    arms = {
        "single": {},
        "longer": {"matched": "unlabelled"},
        "ssl": {"start": "unlabelled"},
        "as_long": {"start": "other"},
        "short": {"start": "brief"},
    }
    made = {name: {"pretexts": ["masked"]} for name in ("unlabelled", "other", "brief")}
    section = Medformer.model_validate({"pretrainings": made, "arms": arms})
    options = {name: arm.model_dump() for name, arm in section.arms.items()}

    def matched(steps):
        return {p.arm for p in pairs(options, steps) if (p.reference, p.differs) == longer}

    longer = ("longer", "matched")
    assert matched({"unlabelled": 300, "other": 300, "brief": 100}) == {"ssl", "as_long"}
    assert matched({}) == {"ssl"}


def predictions(folder, skill, names=("one", "two"), copies=None):
    """Files of arms that give the right class of two so much more logit."""
    for arm, strength in skill.items():
        for seed in range(3):
            rng = np.random.default_rng([seed, len(arm)])
            rows = []
            for name in names:
                for i in range(60):
                    label = i % 2
                    said = 1 / (1 + np.exp(-((2 * label - 1) * strength + rng.normal())))
                    rows.append(
                        {
                            "run": "r", "problem": name, "system": f"{arm}@100",
                            "weighting": "equal", "seed": seed, "fold": -1, "split": "test",
                            "dataset": name, "subject_id": f"{name}/{i}", "group_id": f"g{i}",
                            "image_id": f"i{i}", "target": "label", "kind": "class",
                            "statistics_kind": "class", "beside": None,
                            "statistics": np.array([1 - said, said, label], np.float32),
                        }
                    )  # fmt: skip
            facts = {"kind": "class", "classes": ["no", "yes"], "unit": ""}
            about = {"targets_of": {n: {"label": facts} for n in names}, "copies": copies or {}}
            path = folder / f"{arm}{seed}.parquet"
            write_multitask_predictions(path, pd.DataFrame(rows)[list(COLUMNS)], about)
            yield path


@pytest.fixture
def paths(tmp_path):
    return list(predictions(tmp_path, {"single": 0.2, "ssl": 1.5, "longer": 0.2}))


def test_a_better_arm_gains_and_an_equal_one_does_not(tmp_path, paths):
    arms = {name: ARMS[name] for name in ("single", "longer", "ssl")}
    out = tmp_path / "medformer_gains.parquet"
    medformer_gains(paths, no_duplicates(tmp_path), out, run="r", arms=arms, n_draws=400)
    table = read_table(out, "medformer_gains")
    auc = table[table["score"] == "macro_auc"].set_index(["arm", "reference", "set"])
    assert set(auc.index.get_level_values("set")) == {"one", "two", "all"}
    for name in ("one", "two", "all"):
        assert auc.loc[("ssl", "longer", name), "ci_low"] > 0
        assert auc.loc[("ssl", "longer", name), "differs"] == "matched"
        low, high = auc.loc[("longer", "single", name), ["ci_low", "ci_high"]]
        assert low < 0.05
        assert high > -0.05
    mean = auc.loc[("ssl", "longer", ["one", "two"]), "estimate"].mean()
    assert auc.loc[("ssl", "longer", "all"), "estimate"] == pytest.approx(mean)
    assert auc.loc[("ssl", "longer", "all"), "n_datasets"] == 2
    assert (auc["p_adjusted"] >= auc["p"] - 1e-12).all()


def test_arms_without_a_seed_in_common_are_not_compared(tmp_path, paths):
    apart = [path for path in paths if path.stem in ("single0", "ssl1", "longer1", "longer2")]
    arms = {name: ARMS[name] for name in ("single", "longer", "ssl")}
    out = tmp_path / "medformer_gains.parquet"
    medformer_gains(apart, no_duplicates(tmp_path), out, run="r", arms=arms, n_draws=50)
    table = read_table(out, "medformer_gains")
    assert set(zip(table["arm"], table["reference"], strict=True)) == {("ssl", "longer")}


def test_a_mean_counts_a_set_at_two_sizes_once_and_says_so(tmp_path):
    names = ("a", "b", "c")
    arms = {name: ARMS[name] for name in ("single", "ssl")}

    def gains(copies):
        paths = list(predictions(tmp_path, {"single": 0.2, "ssl": 1.5}, names, copies))
        out = tmp_path / "medformer_gains.parquet"
        medformer_gains(paths, no_duplicates(tmp_path), out, run="r", arms=arms, n_draws=100)
        table = read_table(out, "medformer_gains")
        return table[table["score"] == "macro_auc"].set_index("set")

    table = gains({"a": "b"})
    assert set(table.index) == {*names, "all"}
    mean = table.loc[["b", "c"], "estimate"].mean()
    assert table.loc["all", "estimate"] == pytest.approx(mean)
    assert table.loc["all", "n_datasets"] == 2
    assert "without a: other sizes" in table.loc["all", "note"]
    every = gains({"a": "d"})
    assert every.loc["all", "n_datasets"] == 3, "a set that is there at one size alone counts"
    assert "other sizes" not in str(every.loc["all", "note"])


def test_scores_name_arm_and_share_of_the_labels(tmp_path, paths):
    out = tmp_path / "medformer_scores.parquet"
    medformer_scores(paths, no_duplicates(tmp_path), out, run="r", n_draws=200)
    table = read_table(out, "medformer_scores")
    assert set(table["arm"]) == {"single", "ssl", "longer"}
    assert set(table["labels"]) == {100}
    assert {"macro_auc", "accuracy", "balanced_accuracy"} <= set(table["score"])


def test_holm_is_that_of_statsmodels():
    frame = pd.DataFrame({"p": [0.01, 0.04, 0.03, 0.5, None], "p_family": ["a"] * 4 + [None]})
    found = adjust(frame, "holm")["p_adjusted"]
    assert found[:4].tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert np.isnan(found[4])


def test_gains_without_duplicates_stand_beside_those_with_them(tmp_path, paths):
    """Of the set that has any, and of all; p is adjusted over all sets."""
    arms = {name: ARMS[name] for name in ("single", "longer", "ssl")}
    gone = [f"i{i}" for i in range(25)]
    table = {}
    for name, left_out in {"less": {"one": gone}, "whole": {}}.items():
        out = tmp_path / f"{name}.parquet"
        told = duplicates_table(tmp_path, {"one": [], "two": []} | left_out)
        medformer_gains(paths, told, out, run="r", arms=arms, n_draws=100)
        read = read_table(out, "medformer_gains")
        keys = ["duplicates", "arm", "reference", "score", "set"]
        table[name] = read.set_index(keys).sort_index()
    less, whole = table["less"], table["whole"]
    pd.testing.assert_frame_equal(less.loc[["kept"]], whole)
    left = less.loc["left_out"]
    assert set(left.index.get_level_values("set")) == {"one", "all"}
    assert set(left["n_images"].xs("one", level="set")) == {35}
    assert set(left["n_images"].xs("all", level="set")) == {35 + 60}
    # The same as if these images had never been there.
    for path in paths:
        rows, facts = read_multitask_predictions(path)
        kept = ~((rows["problem"] == "one") & rows["image_id"].isin(gone))
        write_multitask_predictions(path, rows[kept], facts)
    out = tmp_path / "never.parquet"
    medformer_gains(paths, no_duplicates(tmp_path), out, run="r", arms=arms, n_draws=100)
    never = read_table(out, "medformer_gains").set_index(keys).sort_index().loc["kept"]
    numbers = ["estimate", "ci_low", "ci_high", "p", "p_adjusted"]
    assert left[numbers].to_numpy() == pytest.approx(
        never.loc[left.index, numbers].to_numpy(), nan_ok=True
    )
    assert (left["estimate"] != whole.loc["kept"].loc[left.index, "estimate"]).any()


def test_a_set_whose_test_images_are_all_copies_is_refused(tmp_path, paths):
    told = duplicates_table(tmp_path, {"one": [f"i{i}" for i in range(60)]})
    with pytest.raises(DataError, match="one: every test image is the same as a training"):
        medformer_scores(paths, told, tmp_path / "out.parquet", run="r", n_draws=10)
