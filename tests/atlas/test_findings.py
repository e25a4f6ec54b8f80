"""Findings say what the tables say: the number, its interval, what it rests on, no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medtaskatlas.atlas.findings import (
    beats_baseline,
    failures,
    families,
    named,
    nearest_tasks,
    scaling,
    task_over_dataset,
    trajectories,
    unseen_tasks,
)
from medtaskatlas.atlas.summary import NEEDED, OPTIONAL, summary
from medtaskatlas.atlas.tables import conform, read_table, write_table

ROLES = {"taco": "model", "without": "ablation", "shuffled": "control", "pixels": "baseline"}
N = {"n_pairs": 1200, "n_images": 60, "n_groups": 9, "n_subjects": 9, "n_datasets": 3}
SNAPSHOT = Path(__file__).with_name("findings.txt")
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


# What a finding about learning holds against.
GAIN = between(0.2, 0.1, 0.3)
LOSS = between(0.05, -0.02, 0.12)


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
        row | share | {"measure": "omega_squared_gain", "factor": "task", "other": "pixels"} | GAIN,
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
        row
        | {"metric": "centroid_cosine", "measure": "ami_gain", "other": "pixels", "note": None}
        | GAIN,
    ]


def _distances(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {**COMMON, "encoder": encoder, "metric": "centroid_cosine", "family_a": "semantic"}
    row |= {"family_b": "semantic", "task_a": "boundary"} | between(0.6, 0.5, 0.7)
    near = row | {"task_b": "segmentation"} | number
    if number["estimate"] is None:
        return [near]
    far = [row | {"task_b": task} for task in ("detection", "skeleton")]
    return [*far, near, near | {"metric": "energy", "estimate": 0.01}]


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
        row | {"measure": "spearman_difference", "other": "pixels"} | GAIN,
        row | {"measure": "spearman_difference", "other": "raw_pixels"} | between(0.1, 0.05, 0.2),
    ]


def _paths(encoder: str, **number: Any) -> list[dict[str, Any]]:
    row = {
        **COMMON, "encoder": encoder, "role": ROLES[encoder], "scope": "task", "task": "rotation",
        "family": "transformation", "task_trained": True, "asked_for": True,
    }  # fmt: skip
    other = dict(number)
    for column in ("estimate", "ci_low", "ci_high"):
        other[column] = None if number[column] is None else number[column] - 1.6
    return [
        row | {"measure": "path_over_chord", **number},
        row | {"measure": "path_over_chord_difference", "other": "raw_pixels", **other},
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
        row
        | {"failure_kind": "all", "measure": "separation_auc_gain", "other": "pixels"}
        | GAIN
        | {"reference": None},
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
    """A finding, numbers that speak for it and numbers that do not."""

    make: Callable[..., Any]
    table: str
    rows: Callable[..., list[dict[str, Any]]]
    name: str
    good: dict[str, Any]
    bad: dict[str, Any]
    null: dict[str, Any] = field(default_factory=lambda: {"estimate": None, **NONE})

    def found(self, *encoders: str, **number: Any) -> list[dict[str, Any]]:
        """Rows of the finding, on tables in which the encoders have a number."""
        return self.of([row for encoder in encoders for row in self.rows(encoder, **number)])

    def of(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the finding, on a table of these rows."""
        return list(self.make(known() | {self.table: conform(self.table, rows)}))


def known() -> dict[str, pd.DataFrame]:
    """The table that says which role each encoder has, without a number to tell."""
    rows = [
        row | {"level": "task", "name": "rotation"}
        for encoder in ROLES
        for row in _identification(encoder, **between(0.5, 0.4, 0.6))
    ]
    gains = [row for row in _comparisons("taco", **GAIN) if row["contrast"] == "best_baseline"]
    gains += [row | {"measure": "family_balanced_accuracy"} for row in gains]
    return {
        "identification": conform("identification", rows),
        "comparisons": conform("comparisons", gains),
    }


NO_TEST = {"estimate": None, **NONE, **UNTESTED}
CASES = {
    "named": Case(
        named, "identification", _identification, "task_named",
        between(0.7, 0.64, 0.75), between(0.13, 0.09, 0.2),
    ),
    "baselines": Case(
        beats_baseline, "comparisons", _comparisons, "beats_best_baseline",
        between(0.25, 0.21, 0.3) | by_test(0.004), between(0.02, -0.01, 0.05) | by_test(0.3),
        NO_TEST,
    ),
    "separation": Case(
        task_over_dataset, "separation", _separation, "task_over_dataset",
        between(0.51, 0.46, 0.55), between(0.03, -0.02, 0.07),
    ),
    "families": Case(
        families, "clusters", _clusters, "families_recovered",
        {"estimate": 0.58, **by_test(0.002)}, {"estimate": 0.05, **by_test(0.2)}, NO_TEST,
    ),
    "nearest": Case(
        nearest_tasks, "task_distances", _distances, "most_alike_tasks",
        between(0.11, 0.08, 0.15), between(0.11, 0.08, 0.7),
    ),
    "unseen": Case(
        unseen_tasks, "unseen_tasks", _unseen, "unseen_tasks_placed",
        {"estimate": 26.0, **by_test(0.0003)}, {"estimate": 12.0, **by_test(0.4)}, NO_TEST,
    ),
    "trajectories": Case(
        trajectories, "trajectories", _trajectories, "steady_rotation",
        between(0.98, 0.95, 1.0), between(0.93, 0.88, 0.97),
    ),
    "paths": Case(
        trajectories, "trajectories", _paths, "straight_rotation",
        between(1.2, 1.1, 1.4), between(1.5, 1.3, 1.8),
    ),
    "failures": Case(
        failures, "failures", _failures, "failures_apart",
        between(0.86, 0.8, 0.91), between(0.53, 0.48, 0.58),
    ),
    "scaling": Case(
        scaling, "scaling", _scaling, "more_pairs",
        between(0.04, 0.02, 0.06), between(0.01, -0.01, 0.03),
    ),
}  # fmt: skip
BY_TEST = ["families", "unseen"]
BY_INTERVAL = [name for name in CASES if name not in BY_TEST]
TESTED = ["baselines", *BY_TEST]
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _others() -> dict[str, list[dict[str, Any]]]:
    """Rows of findings whose sentences depend on more than their number."""
    steady, wide = (_trajectories("taco", **CASES["trajectories"].good) for _ in range(2))
    probe = _comparisons("taco", **CASES["baselines"].good)[:1]
    family = _identification("taco", **between(0.97, 0.95, 0.99))[:1]
    shares = _separation("taco", **CASES["separation"].good)
    slopes = _scaling("taco", **CASES["scaling"].good)[:1]
    fail = _failures("taco", **CASES["failures"].good)
    lost = between(-0.15, -0.18, -0.12)

    def trained(asked: bool, seen: bool) -> list[dict[str, Any]]:
        return [row | {"asked_for": asked, "task_trained": seen} for row in steady]

    how = {"contrast": "best_probe", "other_method": "boosted"}
    broad = {"measure": "family_balanced_accuracy", "chance": 0.34}
    return {
        "named, family": CASES["named"].of([row | broad for row in family]),
        "baselines, a loss": CASES["baselines"].found("taco", **lost, **by_test(0.002)),
        "baselines, probe": CASES["baselines"].of([row | how for row in probe]),
        "separation, a loss": CASES["separation"].found("taco", **lost),
        "separation, no share": CASES["separation"].of(
            [shares[0], shares[1] | {"estimate": None, "note": "no crossed subset"}]
        ),
        "nearest, held-out tasks": CASES["nearest"].of(
            [row | {"split": "tasks"} for row in _distances("taco", **CASES["nearest"].good)]
        ),
        "trajectories, of other tasks": CASES["trajectories"].of(trained(True, False)),
        "trajectories, not asked": CASES["trajectories"].of(trained(False, True)),
        "trajectories, unseen": CASES["trajectories"].of(trained(False, False)),
        "trajectories, no tail": CASES["trajectories"].of(wide[:1]),
        "failures, groups": CASES["failures"].of([row | {"split": "groups"} for row in fail]),
        "scaling, datasets": CASES["scaling"].of([row | {"axis": "datasets"} for row in slopes]),
    }


def test_the_sentences_are_those_of_the_snapshot() -> None:
    """To renew it: write `told` into the file, and read the difference."""
    cases = {name: case.found("taco", **case.good) for name, case in CASES.items()}
    told = "".join(
        f"{name}: {row['finding']}\n    {row['sentence']}\n"
        for name, rows in (cases | _others()).items()
        for row in rows
    )
    assert told == SNAPSHOT.read_text()


@every_case
def test_a_finding_carries_number_and_n_and_stands_where_they_speak_for_it(case) -> None:
    (row,) = case.found("taco", **case.good)
    assert (row["finding"], row["encoder"], row["split"]) == (case.name, "taco", "datasets")
    assert row["verdict"] == "supported"
    assert row["estimate"] == case.good["estimate"]
    assert {column: row[column] for column in N} == N
    assert len(conform("summary", [{"run": "r", "supported": True, **row}])) == 1
    (row,) = case.found("taco", **case.bad)
    assert row["verdict"] == "not supported"
    assert row["estimate"] == case.bad["estimate"]


@pytest.mark.parametrize("name", BY_INTERVAL)
def test_without_an_interval_nothing_is_supported(name) -> None:
    number = CASES[name].good | NONE | {"note": "no interval: one image"}
    (row,) = CASES[name].found("taco", **number)
    assert row["verdict"] == "not supported"
    assert "no interval" in row["sentence"]
    assert row["sentence"].endswith(". Caution: no interval: one image.")
    assert conform("summary", [{"run": "r", "supported": False, **row}])["ci_low"].isna().all()


@pytest.mark.parametrize("name", TESTED)
def test_a_test_is_copied_and_without_one_nothing_is_told_of_it(name) -> None:
    case = CASES[name]
    (row,) = case.found("taco", **case.good)
    assert (row["p_adjusted"], row["p_family"]) == (case.good["p_adjusted"], "tests")
    (row,) = case.found("taco", **case.good | UNTESTED)
    assert (row["verdict"] == "supported") is (name not in BY_TEST)
    assert "nan" not in row["sentence"]
    made = conform("summary", [{"run": "r", "supported": False, **row}])
    assert made[list(UNTESTED)].isna().all(axis=None)


@pytest.mark.parametrize("name", [name for name in CASES if name not in TESTED])
def test_a_finding_without_a_test_has_no_p(name) -> None:
    (row,) = CASES[name].found("taco", **CASES[name].good)
    assert not UNTESTED.keys() & row.keys()
    assert "p =" not in row["sentence"]


@every_case
def test_a_null_is_never_supported_nor_told_as_a_number(case) -> None:
    for row in case.found("taco", **case.null, note="undefined: too few pairs"):
        assert row["verdict"] == "not supported"
        assert pd.isna(row["estimate"])
        assert "nan" not in row["sentence"]


@every_case
def test_controls_ablations_baselines_and_empty_tables_are_no_findings(case) -> None:
    assert {row["encoder"] for row in case.found(*ROLES, **case.good)} == {"taco"}
    assert case.found("without", "shuffled", "pixels", **case.good) == []
    assert case.found() == []


@pytest.mark.parametrize("name", ["unseen", "trajectories", "failures", "scaling"])
def test_a_table_that_a_run_lacks_is_no_finding(name) -> None:
    assert CASES[name].table in OPTIONAL
    assert list(CASES[name].make(known())) == []


@pytest.mark.parametrize("name", BY_INTERVAL)
def test_a_caution_is_told_where_subjects_suffice(name) -> None:
    case = CASES[name]
    (plain,) = case.found("taco", **case.good)
    (row,) = case.found("taco", **case.good, note="few datasets")
    assert row["sentence"] == f"{plain['sentence']} Caution: few datasets."
    (row,) = case.found("taco", **case.good, note="few datasets", n_subjects=4)
    assert "Caution" not in row["sentence"]


@pytest.mark.parametrize("name", CASES)
def test_subjects_are_told_where_they_are_fewer_than_groups(name) -> None:
    case = CASES[name]
    for row in case.found("taco", **case.good, n_subjects=2):
        assert "in 9 independent groups of 2 subjects in 3 datasets." in row["sentence"]
        assert row["n_subjects"] == 2


def test_a_loss_is_not_supported_and_keeps_its_sign() -> None:
    (row,) = CASES["baselines"].found("taco", **between(-0.15, -0.18, -0.12), **by_test(0.002))
    assert (row["estimate"], row["ci_low"], row["ci_high"]) == (-0.15, -0.18, -0.12)
    assert row["verdict"] == "not supported"
    (row,) = CASES["separation"].found("taco", **between(-0.2, -0.3, -0.1))
    assert row["verdict"] == "not supported"


# Cases that are about learning, and which of their rows say what it gains.
GAINS = {
    "separation": "omega_squared_gain",
    "families": "ami_gain",
    "unseen": "family_accuracy",
    "trajectories": "spearman_difference",
    "failures": "separation_auc_gain",
}


def _with_gain(name: str, number: dict[str, Any] | None) -> dict[str, Any]:
    """The finding of a case in which the gain has another number, or none."""
    case = CASES[name]
    rows = []
    for row in case.rows("taco", **case.good):
        about_gain = row.get("other") is not None and row["measure"] == GAINS[name]
        if not about_gain:
            rows.append(row)
        elif number is not None:
            rows.append(row | number)
    (found,) = case.of(rows)
    return found


@pytest.mark.parametrize("name", GAINS)
def test_what_a_baseline_does_as_well_is_only_above_chance(name) -> None:
    assert _with_gain(name, GAIN)["verdict"] == "supported"
    row = _with_gain(name, LOSS)
    assert row["verdict"] == "above chance"
    assert " Gain over " in row["sentence"]
    assert ": 0.05 (95 % interval -0.02 to 0.12)." in row["sentence"]
    assert _with_gain(name, None)["verdict"] == "above chance"
    assert _with_gain(name, GAIN | NONE | {"note": "few"})["verdict"] == "above chance"


def test_names_that_a_baseline_gives_as_often_are_only_above_chance() -> None:
    tables = known()
    rows = _identification("taco", **CASES["named"].good)
    tables["identification"] = conform("identification", rows)
    for gain, verdict in ((GAIN, "supported"), (LOSS, "above chance")):
        tables["comparisons"] = conform("comparisons", _comparisons("taco", **gain))
        (row,) = named(tables)
        assert row["verdict"] == verdict


def test_tasks_that_are_most_alike_without_training_too_are_only_above_chance() -> None:
    case = CASES["nearest"]
    (row,) = case.of(case.rows("taco", **case.good) + case.rows("pixels", **case.good))
    assert row["verdict"] == "above chance"
    assert "So they are by pixels, without training." in row["sentence"]


# The whole table: controls and few groups withdraw what the findings support.


def _summary(tmp_path, tables: dict[str, list[dict[str, Any]]], passed: Any = True, **n: int):
    """The table `summary` of some tables, whose controls came out so; None: were not run."""
    paths = {}
    numbers = [
        {
            **COMMON, "control": control, "encoder": encoder, "expectation": "near chance",
            "passed": passed, **between(0.1, 0.0, 0.2),
        }
        for control in ("mismatched_outputs", "duplicated_task")
        for encoder in ("taco", "pixels")
    ]  # fmt: skip
    tables = {name: [] for name in NEEDED} | {"controls": numbers} | tables
    for name, rows in tables.items():
        paths[name] = tmp_path / f"{name}.parquet"
        write_table(name, [row | n for row in rows], paths[name], {"run": "r"})
    summary(tmp_path / "summary.parquet", run="r", **paths)
    return read_table(tmp_path / "summary.parquet", "summary", run="r").set_index("finding")


def _rows_of(*names: str, how: str = "good") -> dict[str, list[dict[str, Any]]]:
    cases = [CASES[name] for name in dict.fromkeys(["named", *names])]
    found: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        found.setdefault(case.table, []).extend(case.rows("taco", **getattr(case, how)))
    baseline = _identification("pixels", **between(0.3, 0.2, 0.4))
    return found | {"identification": [*found["identification"], *baseline]}


CONTROLLED = {
    "task_named": "mismatched_outputs",
    "beats_best_baseline": "mismatched_outputs",
    "task_over_dataset": "duplicated_task",
    "families_recovered": "duplicated_task",
    "most_alike_tasks": "duplicated_task",
}
FREE = [
    *("unseen_tasks_placed", "steady_rotation", "straight_rotation", "failures_apart"),
    "more_pairs",
]


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
        **COMMON, "control": "mismatched_outputs", "expectation": "near chance", "passed": True,
        **between(0.1, 0.0, 0.2),
    }  # fmt: skip
    tables["controls"] = [passed | {"encoder": "pixels"}, passed | {"encoder": "taco"}]
    tables["controls"][1]["split"] = "groups"
    found = _summary(tmp_path, tables)
    assert not found["supported"].any()
    assert found["sentence"].str.endswith("(mismatched_outputs) could not be run.").all()


def test_fewer_than_five_subjects_support_nothing(tmp_path) -> None:
    found = _summary(tmp_path, _rows_of(*CASES), n_subjects=4)
    assert set(found.index) == {*CONTROLLED, *FREE}
    assert not found["supported"].any()
    told = " Not supported: fewer than 5 subjects."
    assert found["sentence"].str.endswith(told).all()
    assert _summary(tmp_path, _rows_of(*CASES), n_subjects=5)["supported"].all()


def test_a_passed_control_supports_nothing_by_itself(tmp_path) -> None:
    found = _summary(tmp_path, _rows_of(*CASES, how="bad"))
    assert not found["supported"].any()
    assert found.loc[list(CONTROLLED), "control_passed"].all()
    assert not found["sentence"].str.contains("Not supported").any()
