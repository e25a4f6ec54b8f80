"""Findings of multi-task systems stand where every control does."""

import pandas as pd
import pytest

from medtaskatlas.atlas.multitask.findings import gains, strategies
from medtaskatlas.atlas.summary import OPTIONAL
from medtaskatlas.atlas.tables import conform

N = {"n_images": 60, "n_groups": 30, "n_subjects": 30, "n_datasets": 1}
COMMON = {"run": "r", "problem": "lungs", "system": "ctan", "weighting": "equal", "split": "test"}
COMMON |= {"target": "all", **N}


def between(estimate, low, high):
    return {"estimate": estimate, "ci_low": low, "ci_high": high, "ci_method": "bootstrap"}


GOOD, BAD = between(0.04, 0.01, 0.07), between(0.01, -0.02, 0.05)


def gained(scope="problem", **by_kind):
    """The table of delta-m against each kind of reference."""
    rows = [
        COMMON | {"scope": scope, "measure": "delta_m", "reference_kind": kind} | number
        for kind, number in by_kind.items()
    ]
    tests = {"p": 0.01, "p_adjusted": 0.02, "p_family": "f"}
    rows = [row | (tests if row.get("ci_low") is not None else {}) for row in rows]
    own = {"measure": "relative_change", "reference_kind": "stl", "target": "mask"}
    rows.append(COMMON | {"scope": scope, "score": "dice", **own} | BAD)
    return {"multitask_gains": conform("multitask_gains", rows)}


def test_a_gain_is_supported_where_wider_networks_and_tuned_weights_do_not_explain_it():
    (row,) = gains(gained(stl=GOOD, stl_wide=GOOD, hps=between(0.02, 0.005, 0.04)))
    assert (row["finding"], row["encoder"], row["split"]) == (
        "multitask_gain_lungs", "ctan", "groups",
    )  # fmt: skip
    assert row["verdict"] == "supported"
    # The number is that of the control that leaves least.
    assert (row["estimate"], row["ci_low"]) == (0.02, 0.005)
    assert row["p_adjusted"] == 0.02
    assert {column: row[column] for column in ("n_images", "n_groups")} == {
        "n_images": 60, "n_groups": 30,
    }  # fmt: skip
    for number in ("+4.0 %", "+2.0 %", "95 % interval +0.5 to +4.0", "60 images", "30 subjects"):
        assert number in row["sentence"]
    assert "mask +1.0 %" in row["sentence"]
    assert len(conform("summary", [{"run": "r", "supported": True, **row}])) == 1


@pytest.mark.parametrize("control", ["stl_wide", "hps"])
def test_a_gain_that_a_control_explains_is_not_supported(control):
    (row,) = gains(gained(**{"stl": GOOD, "stl_wide": GOOD, "hps": GOOD, control: BAD}))
    assert row["verdict"] != "supported"
    assert row["estimate"] == BAD["estimate"]


@pytest.mark.parametrize("control", ["stl_wide", "hps"])
def test_a_gain_without_a_control_is_not_supported_and_says_so(control):
    none = {"estimate": None, "note": "there is none here"}
    (row,) = gains(gained(**{"stl": GOOD, "stl_wide": GOOD, "hps": GOOD, control: none}))
    assert row["verdict"] != "supported"
    assert "there is none here" in row["sentence"]
    assert "nan" not in row["sentence"]
    assert len(conform("summary", [{"run": "r", "supported": True, **row}])) == 1


def test_what_is_the_control_of_another_system_is_no_finding():
    of = gained(stl=GOOD, stl_wide=GOOD, hps=GOOD, control=GOOD)["multitask_gains"]
    of.loc[of["reference_kind"] == "control", "reference"] = "ctan_self"
    own = gained(stl=GOOD, stl_wide=GOOD, hps=GOOD)["multitask_gains"].assign(system="ctan_self")
    (row,) = gains({"multitask_gains": pd.concat([of, own])})
    assert row["encoder"] == "ctan"
    assert "against its control" in row["sentence"]


def test_baselines_and_runs_without_systems_are_no_findings():
    assert list(gains(gained(stl=GOOD, stl_wide=GOOD))) == []
    assert list(gains({})) == list(strategies({})) == []
    assert {"multitask_gains", "ums_rep"} <= set(OPTIONAL)


def test_over_problems_the_interval_is_that_of_drawn_problems():
    table = gained(scope="problems", stl=GOOD, stl_wide=GOOD, hps=GOOD)["multitask_gains"]
    fixed = gained(scope="these_problems", stl=BAD, stl_wide=BAD, hps=BAD)["multitask_gains"]
    both = pd.concat([table, fixed]).assign(problem="all")
    (row,) = gains({"multitask_gains": both})
    assert (row["finding"], row["estimate"]) == ("multitask_gain", 0.04)
    assert row["verdict"] == "supported"


def strategy(delta, **ratios):
    rows = [COMMON | {"measure": "delta_m"} | delta]
    rows += [
        COMMON | {"measure": measure, "estimate": ratio, "note": "no interval"}
        for measure, ratio in ratios.items()
    ]
    rows = [row | {"strategy": "frozen", "reference": "scratch"} for row in rows]
    return {"ums_rep": conform("ums_rep", rows)}


CHEAP = {"cpu_seconds_ratio": 0.2, "cpu_seconds_ratio_with_pretraining": 0.45}
CHEAP |= {"parameters_ratio": 0.1}


@pytest.mark.parametrize(
    ("delta", "ratios", "supported"),
    [
        (between(0.0, -0.005, 0.01), {}, True),
        (between(0.0, -0.02, 0.02), {}, False),
        (GOOD, {"cpu_seconds_ratio_with_pretraining": 0.6}, False),
        ({"estimate": 0.1, "note": "no interval: 1 subject"}, {}, False),
    ],
)
def test_a_strategy_saves_time_only_where_nothing_is_lost_and_pre_training_is_counted(
    delta, ratios, supported
):
    (row,) = strategies(strategy(delta, **(CHEAP | ratios)))
    assert (row["verdict"] == "supported") is supported
    assert row["estimate"] == delta["estimate"]
    assert row["finding"] == "ums_rep_lungs"
    assert "20 % of its CPU seconds" in row["sentence"]
    assert len(conform("summary", [{"run": "r", "supported": True, **row}])) == 1


def test_a_strategy_without_numbers_is_no_finding():
    assert list(strategies(strategy({"estimate": None, "note": "no scratch"}))) == []
