"""Findings of Medformer claim no more than the intervals do."""

import pytest

from medtaskatlas.atlas.medformer.findings import findings
from medtaskatlas.atlas.summary import summary
from medtaskatlas.atlas.tables import conform, read_table, write_table
from medtaskatlas.medformer.options import Medformer

SECTION = {
    "pretrainings": {"unlabelled": {"pretexts": ["masked"]}},
    "arms": {
        "resnet18": {"model": "resnet18"}, "single": {}, "longer": {"matched": "unlabelled"},
        "multi": {"sets": "all"}, "ssl": {"start": "unlabelled"},
    },
}  # fmt: skip
ARMS = {n: a.model_dump() for n, a in Medformer.model_validate(SECTION).arms.items()}
N = {"n_images": 60, "n_groups": 60, "n_subjects": 50, "n_datasets": 2}
COMMON = {"run": "r", "set": "all", "labels": 100, "split": "test", "target": "label",
          "score": "macro_auc", "duplicates": "kept", **N}  # fmt: skip
TRIED = {"p": 0.01, "p_adjusted": 0.02, "p_family": "f"}


def between(estimate, low, high):
    return {"estimate": estimate, "ci_low": low, "ci_high": high, "ci_method": "bootstrap"}


HIGHER, NEITHER, LOWER = (
    between(0.03, 0.01, 0.05),
    between(0.03, -0.01, 0.07),
    between(-0.03, -0.05, -0.01),
)


def gain(arm, reference, differs, number=HIGHER, **other):
    return (
        COMMON | TRIED | number | {"arm": arm, "reference": reference, "differs": differs} | other
    )


def scored(arm, estimate, **other):
    about = {"target_kind": "class", "unit": "1", "higher_is_better": True}
    return (
        COMMON
        | about
        | between(estimate, 0.5, 0.9)
        | {"split": "val", "set": "one", "arm": arm}
        | other
    )


def found(*gains, scores=(), arms=ARMS):
    tables = {
        "medformer_gains": conform("medformer_gains", list(gains)),
        "medformer_scores": conform("medformer_scores", list(scores)),
    }
    return {row["finding"]: row for row in findings(tables, arms)}


def test_pre_training_is_judged_against_as_many_more_steps():
    rows = found(
        gain("ssl", "longer", "matched"), gain("ssl", "longer", "matched", NEITHER, labels=10)
    )
    full, few = rows["medformer_pretraining_100_longer"], rows["medformer_pretraining_10_longer"]
    assert full["verdict"] == "supported"
    assert (full["encoder"], full["estimate"], full["p_adjusted"]) == ("ssl", 0.03, 0.02)
    for words in (
        *("ssl scores higher", "+0.010 to +0.050", "longer took as many more steps", "macro AUC"),
        *("60 images of 50 subjects in 2 datasets", "100 % of the labels"),
    ):
        assert words in full["sentence"]
    assert few["verdict"] != "supported"
    assert "no difference is shown" in few["sentence"]
    assert "higher" not in few["sentence"]
    assert (
        len(conform("summary", [{"run": "r", "supported": True, **row} for row in rows.values()]))
        == 2
    )


def test_more_steps_alone_are_no_finding():
    assert found(gain("longer", "single", "matched")) == {}


@pytest.mark.parametrize(
    ("number", "words"), [(LOWER, "multi scores lower"), (HIGHER, "multi scores higher")]
)
def test_one_model_for_all_is_the_first_of_the_two_in_either_order(number, words):
    rows = found(gain("multi", "single", "sets", number))
    assert words in rows["medformer_sharing_100_single"]["sentence"]
    turned = {
        "estimate": -number["estimate"],
        "ci_low": -number["ci_high"],
        "ci_high": -number["ci_low"],
    }
    rows = found(gain("single", "multi", "sets", number | turned))
    row = rows["medformer_sharing_100_single"]
    assert words in row["sentence"]
    assert row["estimate"] == pytest.approx(number["estimate"])


def test_wrong_latents_must_hurt():
    rows = found(gain("multi", "multi_wrong_latents", "wrong_latents", NEITHER))
    row = rows["medformer_latents_100_multi_wrong_latents"]
    assert row["verdict"] != "supported"
    assert "the latents of another set" in row["sentence"]


def test_the_best_arm_is_chosen_on_validation_images():
    gains = [gain("single", "resnet18", "model", NEITHER), gain("ssl", "resnet18", "model")]
    scores = [scored("single", 0.85), scored("ssl", 0.8), scored("ssl", 0.99, split="test")]
    row = found(*gains, scores=scores)["medformer_best_100_resnet18"]
    assert row["encoder"] == "single"
    assert "best arm on validation images" in row["sentence"]
    other = ARMS | {"resnet18": ARMS["resnet18"] | {"model": "vit"}}
    assert found(*gains, scores=scores, arms=other) == {}


def test_the_area_under_the_curve_of_all_sets_is_told():
    rows = [gain("ssl", "longer", "matched", LOWER, set="one"),
            gain("ssl", "longer", "matched", LOWER, score="accuracy"),
            gain("ssl", "longer", "matched")]  # fmt: skip
    (row,) = found(*rows).values()
    assert row["estimate"] == 0.03
    (row,) = found(rows[0]).values()
    assert "on one" in row["sentence"]
    # Two sets without a mean: no number stands for both.
    assert found(rows[0], rows[0] | {"set": "two"}) == {}


def test_copies_of_training_images_are_left_out_where_there_are_any():
    again = {"duplicates": "left_out"}
    (row,) = found(
        gain("ssl", "longer", "matched"), gain("ssl", "longer", "matched", LOWER, **again)
    ).values()
    assert row["estimate"] == -0.03
    assert "without copies of training images" in row["sentence"]
    (row,) = found(gain("ssl", "longer", "matched")).values()
    assert "copies" not in row["sentence"]


def test_without_an_interval_nothing_is_claimed():
    none = {"ci_low": None, "ci_high": None, "ci_method": None, "note": "no interval: 3 subjects"}
    untried = dict.fromkeys(TRIED)
    (row,) = found(gain("ssl", "longer", "matched", HIGHER | none | untried)).values()
    assert row["verdict"] != "supported"
    assert "no difference is shown (macro AUC +0.030, no interval)" in row["sentence"]
    (row,) = found(gain("ssl", "longer", "matched", none | untried | {"estimate": None})).values()
    assert "cannot be compared (no interval: 3 subjects)" in row["sentence"]
    assert "nan" not in row["sentence"]


def test_a_run_of_medformer_alone_has_its_findings(tmp_path):
    paths = {name: tmp_path / f"{name}.parquet" for name in ("medformer_gains", "medformer_scores")}
    write_table(
        "medformer_gains",
        [gain("ssl", "longer", "matched")],
        paths["medformer_gains"],
        {"run": "r"},
    )
    write_table("medformer_scores", [scored("ssl", 0.8)], paths["medformer_scores"], {"run": "r"})
    summary(tmp_path / "summary.parquet", run="r", arms=ARMS, **paths)
    table = read_table(tmp_path / "summary.parquet", "summary")
    assert table["finding"].tolist() == ["medformer_pretraining_100_longer"]
    assert bool(table["supported"][0])
