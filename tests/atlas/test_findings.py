"""Findings say what the tables say: the number, its interval, what it rests on, no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from medtaskatlas.atlas.findings.baselines import beats_baseline
from medtaskatlas.atlas.findings.failures import failures
from medtaskatlas.atlas.findings.families import families
from medtaskatlas.atlas.findings.named import named
from medtaskatlas.atlas.findings.scaling import scaling
from medtaskatlas.atlas.findings.separation import task_over_dataset
from medtaskatlas.atlas.findings.trajectories import trajectories
from medtaskatlas.atlas.findings.unseen import unseen_tasks
from medtaskatlas.atlas.summary import NEEDED, OPTIONAL, summary
from medtaskatlas.atlas.tables import conform, read_table, write_table

ROLES = {"taco": "model", "without": "ablation", "shuffled": "control", "pixels": "baseline"}
N = {"n_pairs": 1200, "n_images": 60, "n_groups": 9, "n_datasets": 3}
RESTS = "n = 1,200 pairs from 60 images in 9 independent groups of 3 datasets."
WHERE = "On whole datasets never seen in training"
COMMON = {"run": "r", "split": "datasets", **N}
NONE = {"ci_low": None, "ci_high": None, "ci_method": None}
UNTESTED = {"p": None, "p_adjusted": None, "p_family": None}


def between(estimate: float, low: float, high: float) -> dict[str, Any]:
    return {"estimate": estimate, "ci_low": low, "ci_high": high, "ci_method": "bootstrap"}


def by_test(p_adjusted: float) -> dict[str, Any]:
    return {"p": p_adjusted / 2, "p_adjusted": p_adjusted, "p_family": "tests"}


def _identification(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "kind": "taco", "role": ROLES[encoder], "method": "knn",
        "task_subset": "all", "level": "overall", "name": "all", "chance": 0.1, **number,
    }  # fmt: skip
    other = {"seed": 0, "estimate": 0.99}  # one seed is no finding
    return [row | {"measure": "balanced_accuracy"}, row | {"measure": "balanced_accuracy"} | other]


def _comparisons(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "kind": "taco", "method": "knn", "other": "pixels",
        "other_kind": "pixels", "other_method": "knn", "measure": "balanced_accuracy", **number,
    }  # fmt: skip
    return [row | {"contrast": "best_baseline"}, row | {"contrast": "pair"}]


def _separation(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {**COMMON, "encoder": encoder, "kind": "taco"}
    share = {"measure": "omega_squared", "within": "crossed", "note": "caution"} | NONE
    return [
        row | {"measure": "silhouette_difference", "factor": "task", "within": "all", **number},
        row | share | {"factor": "task", "estimate": 0.42},
        row | share | {"factor": "dataset", "estimate": 0.07},
        row
        | {"measure": "omega_squared_difference", "within": "crossed", "factor": "task"}
        | between(0.35, 0.31, 0.38),
    ]


def _clusters(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "linkage": "average", "level": "partition", "n_clusters": 3,
        "note": "no interval: a fixed set", **number,
    }  # fmt: skip
    return [
        row | {"metric": "centroid_cosine", "measure": "ami"},
        row | {"metric": "energy", "measure": "ami"},
        row | {"metric": "centroid_cosine", "measure": "ari"},
    ]


def _unseen(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "kind": "taco", "role": ROLES[encoder], "level": "overall",
        "name": "all", "n_tasks": 30,
    }  # fmt: skip
    placed = {"measure": "tasks_placed", "note": "no interval: a fixed set", "reference": 11.2}
    share = row | {"measure": "family_accuracy"} | between(0.8, 0.72, 0.86)
    difference = share | {"level": "difference", "other": "pixels"}
    return [share, row | placed | number, difference]


def _trajectories(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "role": ROLES[encoder], "scope": "task", "task": "rotation",
        "family": "transformation", "task_trained": True, "asked_for": True,
    }  # fmt: skip
    return [
        row | {"measure": "spearman", **number},
        row | {"measure": "spearman", "seed": 0, **number},
        row | {"measure": "spearman", "task": "shear", **number},  # not named in the paper
        row | {"measure": "spearman_p10", "estimate": 0.81, "note": "no interval"},
    ]


def _failures(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "role": ROLES[encoder], "task": "all", "n_right": 90,
        "measure": "separation_auc", "reference": 0.5,
    }  # fmt: skip
    return [
        row | {"failure_kind": "all", **number},
        row | {"failure_kind": "swapped"} | between(0.95, 0.9, 0.99),
        row | {"failure_kind": "shifted"} | between(0.61, 0.55, 0.7),
        row | {"failure_kind": "blank", "estimate": None, "note": "undefined"},
        row | {"failure_kind": "all", "task": "rotation"} | between(0.99, 0.98, 1),
    ]


def _scaling(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {**COMMON, "encoder": encoder, "steps": 300}
    measured = row | {"measure": "balanced_accuracy", "axis": "all", "train_datasets": 3}
    return [
        row | {"measure": "gain_per_doubling", "axis": "pairs", **number},
        measured | {"train_pairs": 90} | between(0.5, 0.4, 0.6),
    ]


@dataclass(frozen=True)
class Case:
    """A finding, numbers that speak for it and numbers that do not, and its words."""

    make: Callable[..., Any]
    table: str
    rows: Callable[..., list[dict[str, Any]]]
    name: str
    good: dict[str, Any]
    bad: dict[str, Any]
    words: str
    null: dict[str, Any] = field(default_factory=lambda: {"estimate": None, **NONE})

    def found(self, *encoders: str, **number: Any) -> list[dict[str, Any]]:
        """Rows of the finding, on tables in which the encoders have a number."""
        rows = [row for encoder in encoders for row in self.rows(encoder, **number)]
        return list(self.make(known() | {self.table: conform(self.table, rows)}))


def known() -> dict[str, pd.DataFrame]:
    """The table that says which role each encoder has, without a number to tell."""
    rows = [
        row | {"level": "task", "name": "rotation"}
        for encoder in ROLES
        for row in _identification(encoder, **between(0.5, 0.4, 0.6))
    ]
    return {"identification": conform("identification", rows)}


CASES = {
    "named": Case(
        named,
        "identification",
        _identification,
        "task_named",
        between(0.7, 0.64, 0.75),
        between(0.13, 0.09, 0.2),
        f"{WHERE}, the task that turns the input of a pair into its output is named right in 70 % "
        "(95 % interval 64 to 75) of cases by the nearest training pairs in the space of taco; the "
        f"same answers dealt out at random reach 10 %. {RESTS}",
    ),
    "baselines": Case(
        beats_baseline,
        "comparisons",
        _comparisons,
        "beats_best_baseline",
        between(0.25, 0.21, 0.3) | by_test(0.004),
        between(0.02, -0.01, 0.05) | by_test(0.3),
        f"{WHERE}, taco names the task right 25 percentage points (95 % interval 21 to 30) more "
        f"often than the best baseline, pixels, adjusted p = 0.004. {RESTS}",
        {"estimate": None, **NONE, **UNTESTED},
    ),
    "separation": Case(
        task_over_dataset,
        "separation",
        _separation,
        "task_over_dataset",
        between(0.51, 0.46, 0.55),
        between(0.03, -0.02, 0.07),
        f"{WHERE}, pairs in the space of taco gather more by task than by dataset: the silhouette "
        "by task minus that by dataset is 0.51 (95 % interval 0.46 to 0.55). Of the variance, "
        "42 % goes with the task and 7 % with the dataset (difference: 95 % interval 0.31 to "
        f"0.38). {RESTS}",
    ),
    "families": Case(
        families,
        "clusters",
        _clusters,
        "families_recovered",
        {"estimate": 0.58, **by_test(0.002)},
        {"estimate": 0.05, **by_test(0.2)},
        f"{WHERE}, the distances between tasks in the space of taco, cut into 3 clusters, agree "
        "with the families that we assign (adjusted mutual information 0.58, where 0 is chance and "
        "1 is the same; adjusted p = 0.002; a statistic of one clustering, without an interval). "
        f"{RESTS}",
        {"estimate": None, **NONE, **UNTESTED},
    ),
    "unseen": Case(
        unseen_tasks,
        "unseen_tasks",
        _unseen,
        "unseen_tasks_placed",
        {"estimate": 26.0, **by_test(0.0003)},
        {"estimate": 12.0, **by_test(0.4)},
        f"{WHERE}, 26 of 30 tasks, each kept out of a training of taco, fall among training pairs "
        "of their own family; 11.2 would if families were dealt out at random, adjusted p = "
        "0.0003 (a count over a fixed set of tasks, without an interval). "
        f"Their family is named right in 80 % (95 % interval 72 to 86) of cases. {RESTS}",
        {"estimate": None, **NONE, **UNTESTED},
    ),
    "trajectories": Case(
        trajectories,
        "trajectories",
        _trajectories,
        "steady_rotation",
        between(0.98, 0.95, 1.0),
        between(0.93, 0.88, 0.97),
        f"{WHERE}, the stronger rotation is done to an image, the farther its pair moves in the "
        "space of taco: the rank correlation of severity and displacement is 0.98 in the median "
        "image (95 % interval 0.95 to 1.00; a tenth of the images lie below 0.81). "
        f"Training asked for this, on images of its own. {RESTS}",
    ),
    "failures": Case(
        failures,
        "failures",
        _failures,
        "failures_apart",
        between(0.86, 0.8, 0.91),
        between(0.53, 0.48, 0.58),
        f"{WHERE}, a right pair lies nearer to the right pairs of its task than a failure of it "
        "does in 86 % (95 % interval 80 to 91) of comparisons in the space of taco, where chance "
        f"is 50 %. Hardest to tell: shifted (61 %). {RESTS}",
    ),
    "scaling": Case(
        scaling,
        "scaling",
        _scaling,
        "more_pairs",
        between(0.04, 0.02, 0.06),
        between(0.01, -0.01, 0.03),
        f"{WHERE}, with 300 steps each, every doubling of the training pairs changed how "
        "often taco names the task right by 4 percentage points (95 % interval 2 to 6). "
        f"{RESTS}",
    ),
}
INTERVALS = [case for case in CASES if case not in ("families", "unseen")]
TESTS = ["baselines", "families", "unseen"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_sentence_carries_number_interval_and_n(case) -> None:
    (row,) = case.found("taco", **case.good)
    assert row["sentence"] == case.words
    assert (row["finding"], row["encoder"], row["split"]) == (case.name, "taco", "datasets")
    assert row["supported"] is True
    assert row["estimate"] == case.good["estimate"]
    assert {column: row[column] for column in N} == N
    assert len(conform("summary", [{"run": "r", **row}])) == 1


@pytest.mark.parametrize(
    ("asked", "trained", "words"),
    [
        (True, False, "Training asked for this of other tasks, and never saw this one. n ="),
        (False, True, "). n ="),
        (False, False, "Training never saw this task. n ="),
    ],
)
def test_a_trajectory_says_what_training_had_to_do_with_it(asked, trained, words) -> None:
    said = {"asked_for": asked, "task_trained": trained}
    rows = [row | said for row in _trajectories("taco", **between(0.98, 0.95, 1.0))]
    (row,) = trajectories(known() | {"trajectories": conform("trajectories", rows)})
    assert words in row["sentence"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_number_that_chance_would_give_is_told_but_not_supported(case) -> None:
    (row,) = case.found("taco", **case.bad)
    assert row["supported"] is False
    assert row["estimate"] == case.bad["estimate"]


@pytest.mark.parametrize("name", INTERVALS)
def test_without_an_interval_nothing_is_supported(name) -> None:
    case = CASES[name]
    number = case.good | NONE | {"note": "no interval: one image"}
    (row,) = case.found("taco", **number)
    assert row["supported"] is False
    assert "no interval" in row["sentence"]
    assert row["sentence"].endswith(f"{RESTS} Caution: no interval: one image.")
    assert conform("summary", [{"run": "r", **row}])["ci_low"].isna().all()


@pytest.mark.parametrize("name", ["families", "unseen"])
def test_without_a_test_nothing_is_supported(name) -> None:
    case = CASES[name]
    (row,) = case.found("taco", **case.good | UNTESTED)
    assert row["supported"] is False
    assert pd.isna(row["p_adjusted"])


@pytest.mark.parametrize("name", TESTS)
def test_a_test_is_copied_and_a_p_that_is_null_stays_null(name) -> None:
    case = CASES[name]
    (row,) = case.found("taco", **case.good)
    assert (row["p_adjusted"], row["p_family"]) == (case.good["p_adjusted"], "tests")
    (row,) = case.found("taco", **case.good | UNTESTED)
    assert conform("summary", [{"run": "r", **row}])[list(UNTESTED)].isna().all(axis=None)


@pytest.mark.parametrize("name", [name for name in CASES if name not in TESTS])
def test_a_finding_without_a_test_has_no_p(name) -> None:
    (row,) = CASES[name].found("taco", **CASES[name].good)
    assert not UNTESTED.keys() & row.keys()
    assert "p =" not in row["sentence"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_null_is_no_finding_or_none_that_is_supported(case) -> None:
    found = case.found("taco", **case.null, note="undefined: too few pairs")
    assert not any(row["supported"] for row in found)
    assert all(pd.isna(row["estimate"]) for row in found)


@pytest.mark.parametrize("name", CASES)
def test_no_sentence_tells_a_null_as_a_number(name) -> None:
    case = CASES[name]
    for row in case.found("taco", **case.null, note="undefined: too few pairs"):
        assert "nan" not in row["sentence"]


@pytest.mark.parametrize("name", TESTS)
def test_no_sentence_tells_a_null_p(name) -> None:
    (row,) = CASES[name].found("taco", **CASES[name].good | UNTESTED)
    assert "nan" not in row["sentence"]


@pytest.mark.parametrize("name", CASES)
def test_controls_ablations_and_baselines_are_no_findings(name) -> None:
    case = CASES[name]
    assert {row["encoder"] for row in case.found(*ROLES, **case.good)} == {"taco"}
    assert case.found("without", "shuffled", "pixels", **case.good) == []


@pytest.mark.parametrize("name", ["unseen", "trajectories", "failures", "scaling"])
def test_a_table_that_a_run_lacks_is_no_finding(name) -> None:
    assert CASES[name].table in OPTIONAL
    assert list(CASES[name].make(known())) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_table_without_rows_is_no_finding(case) -> None:
    assert case.found() == []


@pytest.mark.parametrize("name", INTERVALS)
def test_a_caution_is_told_where_groups_suffice(name) -> None:
    case = CASES[name]
    (row,) = case.found("taco", **case.good, note="few datasets")
    assert row["sentence"] == f"{case.words} Caution: few datasets."
    (row,) = case.found("taco", **case.good, note="few datasets", n_groups=4)
    assert "Caution" not in row["sentence"]


def test_a_loss_is_told_as_less() -> None:
    case = CASES["baselines"]
    (row,) = case.found("taco", **between(-0.15, -0.18, -0.12), **by_test(0.002))
    assert (
        "taco names the task right 15 percentage points (95 % interval 12 to 18) less often"
        in (row["sentence"])
    )
    assert (row["estimate"], row["ci_low"], row["ci_high"]) == (-0.15, -0.18, -0.12)
    assert row["supported"] is False
    case = CASES["separation"]
    (row,) = case.found("taco", **between(-0.2, -0.3, -0.1))
    assert "gather less by task than by dataset" in row["sentence"]
    assert row["supported"] is False


def test_the_best_probe_is_told_with_its_method() -> None:
    rows = [
        row | {"contrast": "best_probe", "other_method": "boosted"}
        for row in _comparisons("taco", **between(0.2, 0.1, 0.3), **by_test(0.01))[:1]
    ]
    (row,) = beats_baseline(known() | {"comparisons": conform("comparisons", rows)})
    assert row["finding"] == "beats_best_supervised_baseline"
    assert "the training labels too (pixels, boosted), adjusted p = 0.01." in row["sentence"]


def test_the_family_is_told_beside_the_task() -> None:
    rows = [
        row | {"measure": "family_balanced_accuracy", "chance": 0.34}
        for row in _identification("taco", **between(0.97, 0.95, 0.99))[:1]
    ]
    (row,) = named({"identification": conform("identification", rows)})
    assert row["finding"] == "family_named"
    assert "the family of the task (semantic, generative or transformation)" in row["sentence"]
    assert "dealt out at random reach 34 %" in row["sentence"]


def test_families_are_told_beside_the_best_baseline() -> None:
    baselines = known()["identification"].assign(name="shear")
    other = baselines[baselines["encoder"] == "pixels"].assign(encoder="random")
    roles = conform("identification", pd.concat([baselines, other]))
    number = CASES["families"].good
    rows = [
        *_clusters("taco", **number),
        *_clusters("pixels", **number | {"estimate": 0.31}),
        *_clusters("random", **number | {"estimate": 0.12}),
    ]
    tables = {"identification": roles, "clusters": conform("clusters", rows)}
    (row,) = families(tables)
    assert "; pixels, which learned nothing of tasks, reaches 0.31; " in row["sentence"]


def test_shares_of_variance_are_told_only_where_there_are_both() -> None:
    rows = _separation("taco", **between(0.5, 0.4, 0.6))
    rows = [rows[0], rows[1] | {"estimate": None, "note": "no crossed subset"}]
    (row,) = task_over_dataset(known() | {"separation": conform("separation", rows)})
    assert "Of the variance" not in row["sentence"]
    assert "nan" not in row["sentence"]


def test_a_slope_over_datasets_is_told_as_such() -> None:
    rows = _scaling("taco", **between(0.1, 0.05, 0.2))
    rows = [rows[0], rows[0] | {"axis": "datasets"}]
    found = list(scaling(known() | {"scaling": conform("scaling", rows)}))
    assert [row["finding"] for row in found] == ["more_pairs", "more_datasets"]
    assert "every doubling of the training datasets changed" in found[1]["sentence"]


def test_each_split_says_where() -> None:
    case = CASES["failures"]
    (row,) = case.found("taco", **case.good)
    rows = [row | {"split": "groups"} for row in case.rows("taco", **case.good)]
    (other,) = failures(known() | {"failures": conform("failures", rows)})
    assert other["split"] == "groups"
    assert other["sentence"] == row["sentence"].replace(
        WHERE, "On patients, volumes and regions never seen in training"
    )


# The whole table: controls and few groups withdraw what the findings support.


def _summary(tmp_path, tables: dict[str, list[dict[str, Any]]], passed: Any = True, **n: int):
    """The table `summary` of some tables, whose controls came out so; None: were not run."""
    paths = {}
    numbers = [
        {
            **COMMON, "control": control, "encoder": encoder, "expectation": "near chance",
            "passed": passed, **between(0.1, 0.0, 0.2),
        }
        for control in ("shuffled_gallery", "duplicated_task")
        for encoder in ("taco", "pixels")
    ]  # fmt: skip
    tables = {name: [] for name in NEEDED} | {"controls": numbers} | tables
    for name, rows in tables.items():
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(name, [row | n for row in rows], paths[name], {"run": "r"})
    summary(tmp_path / "summary.parquet", run="r", **paths)
    return read_table(tmp_path / "summary.parquet", "summary", run="r").set_index("finding")


def _rows_of(*names: str, how: str = "good") -> dict[str, list[dict[str, Any]]]:
    cases = [CASES["named"], *(CASES[name] for name in names)]
    return {case.table: case.rows("taco", **getattr(case, how)) for case in cases}


CONTROLLED = {
    "task_named": "shuffled_gallery",
    "beats_best_baseline": "shuffled_gallery",
    "task_over_dataset": "duplicated_task",
    "families_recovered": "duplicated_task",
}
FREE = ["unseen_tasks_placed", "steady_rotation", "failures_apart", "more_pairs"]


def test_findings_stand_where_their_controls_passed(tmp_path) -> None:
    found = _summary(tmp_path, _rows_of(*CASES))
    assert set(found.index) == {*CONTROLLED, *FREE}
    assert found["supported"].all()
    assert found["control"].dropna().to_dict() == CONTROLLED
    assert found.loc[list(CONTROLLED), "control_passed"].all()
    assert found.loc[FREE, "control_passed"].isna().all()


@pytest.mark.parametrize(("passed", "why"), [(False, "failed"), (None, "could not be run")])
def test_a_control_that_did_not_pass_withdraws_its_findings(tmp_path, passed, why) -> None:
    found = _summary(tmp_path, _rows_of(*CASES), passed)
    for finding, control in CONTROLLED.items():
        assert not found.loc[finding, "supported"]
        sentence = found.loc[finding, "sentence"]
        assert sentence.endswith(f" Not supported: its control ({control}) {why}.")
    assert found.loc[list(CONTROLLED), "control_passed"].isna().all() == (passed is None)
    assert found.loc[FREE, "supported"].all()


def test_a_control_of_another_encoder_or_split_does_not_speak(tmp_path) -> None:
    tables = _rows_of("baselines")
    passed = {
        **COMMON, "control": "shuffled_gallery", "expectation": "near chance", "passed": True,
        **between(0.1, 0.0, 0.2),
    }  # fmt: skip
    tables["controls"] = [passed | {"encoder": "pixels"}, passed | {"encoder": "taco"}]
    tables["controls"][1]["split"] = "groups"
    found = _summary(tmp_path, tables)
    assert not found["supported"].any()
    assert found["sentence"].str.endswith("(shuffled_gallery) could not be run.").all()


def test_fewer_than_five_groups_support_nothing(tmp_path) -> None:
    found = _summary(tmp_path, _rows_of(*CASES), n_groups=4)
    assert set(found.index) == {*CONTROLLED, *FREE}
    assert not found["supported"].any()
    told = " Not supported: fewer than 5 independent groups."
    assert found["sentence"].str.endswith(told).all()
    assert _summary(tmp_path, _rows_of(*CASES), n_groups=5)["supported"].all()


def test_a_passed_control_supports_nothing_by_itself(tmp_path) -> None:
    found = _summary(tmp_path, _rows_of(*CASES, how="bad"))
    assert not found["supported"].any()
    assert found.loc[list(CONTROLLED), "control_passed"].all()
    assert not found["sentence"].str.contains("Not supported").any()
