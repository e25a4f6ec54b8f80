"""Gains of multi-task systems: known ones are found, others are not, and nulls have reasons."""

import numpy as np
import pandas as pd
import pytest
from multitask_synthetic import (
    SYSTEMS,
    Images,
    a_problem,
    picture,
    predictions_file,
    two_targets,
)
from scipy.stats import false_discovery_control, rankdata
from sklearn.metrics import balanced_accuracy_score

from medtaskatlas.atlas.multitask.answers import Answers, Asked, Problem, Training, load_problems
from medtaskatlas.atlas.multitask.bootstrap import Bootstrap
from medtaskatlas.atlas.multitask.gains import Gains, multitask_gains
from medtaskatlas.atlas.multitask.values import Value, difference, with_test
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.problems.scores import SCORES

GAINS = {"stl": 0.0, "stl_wide": 0.0, "hps_tuned": 0.0, "ctan": 0.03, "ctan_self": 0.0}


def table_of(paths, folder, systems=SYSTEMS, **options):
    out = folder / "multitask_gains.parquet"
    multitask_gains(paths, out, run="r", systems=systems, **{"n_draws": 300, **options})
    return read_table(out, "multitask_gains", run="r")


def delta(table, system, kind="stl", scope="problem"):
    (row,) = table[
        (table["system"] == system)
        & (table["reference_kind"] == kind)
        & (table["scope"] == scope)
        & (table["measure"] == "delta_m")
    ].to_dict("records")
    return row


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return a_problem(tmp_path_factory.mktemp("files"), GAINS)


@pytest.fixture(scope="module")
def table(paths, tmp_path_factory):
    return table_of(paths, tmp_path_factory.mktemp("table"))


def test_delta_m_is_the_mean_relative_change_of_scores_averaged_over_seeds(table, paths):
    scores = {}
    for path in paths:
        frame = pd.read_parquet(path)
        one = frame[frame["target"] == "denoising"]["statistics"].map(lambda s: s[0]).mean()
        rows = np.stack(frame[frame["target"] == "label"]["statistics"])
        other = balanced_accuracy_score(rows[:, 2], rows[:, 1] > 0.5)
        scores.setdefault(frame["system"].iloc[0], []).append((one, other))
    mean = {system: np.mean(values, axis=0) for system, values in scores.items()}
    for system in ("ctan", "hps_tuned", "stl_wide"):
        expected = ((mean[system] - mean["stl"]) / mean["stl"]).mean()
        assert delta(table, system)["estimate"] == pytest.approx(expected)
    own = table[(table["system"] == "ctan") & (table["reference_kind"] == "hps")]
    own = own.set_index(["measure", "target"])["estimate"]
    difference_of = mean["ctan"] - mean["hps_tuned"]
    assert own["change", "denoising"] == pytest.approx(difference_of[0])
    assert own["change", "label"] == pytest.approx(difference_of[1])
    assert own["relative_change", "label"] == pytest.approx(difference_of[1] / mean["hps_tuned"][1])


def test_a_known_gain_is_found_against_every_reference_and_no_other_is(table):
    for kind in ("stl", "stl_wide", "hps", "control"):
        row = delta(table, "ctan", kind)
        assert 0 < row["ci_low"] < row["estimate"] < row["ci_high"]
        assert row["p_adjusted"] < 0.05
        assert row["ci_method"].endswith("bootstrap over subject > seed, 95%")
    for system in ("hps_tuned", "ctan_self"):
        row = delta(table, system)
        assert row["ci_low"] < 0 < row["ci_high"]
    assert (table[["n_images", "n_groups", "n_subjects"]] == [60, 30, 30]).all(axis=None)


def test_baselines_are_compared_with_lesser_ones_alone(table):
    kinds = table[table["measure"] == "delta_m"].groupby("system")["reference_kind"].agg(set)
    assert "stl" not in kinds
    assert kinds["stl_wide"] == {"stl"}
    assert kinds["hps_tuned"] == {"stl", "stl_wide"}
    assert kinds["ctan"] == {"stl", "stl_wide", "hps", "control"}


def test_p_is_adjusted_over_the_systems_of_a_problem_for_each_reference(table):
    tests = table[table["p"].notna()]
    for family, rows in tests.groupby("p_family"):
        assert rows["reference_kind"].nunique() == rows["measure"].nunique() == 1, family
        adjusted = false_discovery_control(rows["p"])
        np.testing.assert_allclose(rows["p_adjusted"], adjusted)
    deltas = tests[(tests["measure"] == "delta_m") & (tests["reference_kind"] == "stl")]
    assert len(deltas) == 4


def test_mean_rank_is_that_of_the_scores(table, paths):
    rows = table[table["measure"] == "mean_rank"].set_index("system")
    (problem,) = load_problems(paths, run="r")
    ranks = []
    for asked, score in problem.primary.values():
        statistics = problem.answers[asked].statistics
        mean = [
            np.mean([score.compute(statistics[Training(name, seed)]) for seed in range(3)])
            for name in GAINS
        ]
        ranks.append(rankdata(-np.array(mean)))
    expected = dict(zip(GAINS, np.mean(ranks, axis=0), strict=True))
    assert rows["estimate"].to_dict() == pytest.approx(expected)
    assert rows.loc["ctan", "estimate"] == 1
    assert rows["estimate"].sum() == pytest.approx(15)


def test_systems_are_compared_on_the_same_subjects(paths):
    """What is hard for both systems is no uncertainty of their difference."""
    (problem,) = load_problems(paths, run="r")
    bootstrap = Bootstrap(problem, 0, 500)
    asked, score = problem.primary["denoising"]
    one, base = (bootstrap.value(asked, score, s, [0, 1, 2]) for s in ("ctan", "stl"))
    paired = (one.draws - base.draws).std()
    apart = np.hypot(one.draws.std(), base.draws.std())
    assert paired < apart / 3


def test_the_luck_of_a_seed_that_both_share_is_no_uncertainty_either(tmp_path):
    frame, files = Images().frame, []
    for system, more in (("stl", 0.0), ("ctan", 0.02)):
        for seed, luck in enumerate((-0.1, 0.0, 0.1)):
            hard = 0.05 * np.random.default_rng(5).normal(size=len(frame))
            answers = {"denoising": ("picture", picture(0.6 + hard + luck + more))}
            files.append(predictions_file(tmp_path, system, seed, frame, answers))
    table = table_of(files, tmp_path)
    row = table[(table["system"] == "ctan") & (table["measure"] == "change")].iloc[0]
    assert row["ci_low"] == pytest.approx(0.02, abs=1e-5)
    assert row["ci_high"] == pytest.approx(0.02, abs=1e-5)
    assert row["seed_sd"] == pytest.approx(0, abs=1e-5)


def test_images_of_one_subject_count_as_one(tmp_path):
    """Ten copies of each image tell no more than one."""
    width = {}
    for copies in (1, 10):
        frame = Images(per_subject=copies).frame
        rng = np.random.default_rng(1)
        files = []
        for system in ("stl", "ctan"):
            values = np.repeat(0.5 + 0.1 * rng.normal(size=30), copies)
            answers = {"denoising": ("picture", picture(values))}
            folder = tmp_path / str(copies)
            files.append(predictions_file(folder, system, 0, frame, answers))
        row = delta(table_of(files, tmp_path, n_draws=2000), "ctan")
        width[copies] = row["ci_high"] - row["ci_low"]
    assert width[10] == pytest.approx(width[1], rel=0.01)


def simulated(rng, *, n_seeds=1, gain=0.0):
    """A problem of two systems whose true difference is ``gain``: subjects, images and noise."""
    frame = Images(n_subjects=40, per_subject=2).frame.rename(columns={"subject_id": "subject"})
    subject = np.repeat(rng.normal(size=(40, 2)), 2, axis=0)  # each system has its own subjects
    statistics = {
        Training(system, seed): picture(
            0.5 + 0.05 * subject[:, i] + 0.05 * rng.normal(size=80) + gain * i
        )
        for i, system in enumerate(("stl", "ctan"))
        for seed in range(n_seeds)
    }
    answers = Answers({"kind": "task"}, SCORES["picture"], frame, statistics)
    return Problem(
        "p", "test", {"stl": "equal", "ctan": "equal"}, {Asked("denoising", "picture"): answers}
    )


@pytest.mark.parametrize(
    ("n_seeds", "most"), [(1, 0.98), (3, 1.0)]
)  # of three seeds, noise of images is drawn twice: with them and with the seeds
def test_the_interval_covers_the_truth_as_often_as_it_says(n_seeds, most):
    rng, inside = np.random.default_rng(0), []
    for _ in range(300 if n_seeds == 1 else 100):
        gains = Gains(simulated(rng, n_seeds=n_seeds, gain=0.03), SYSTEMS, 0, 200)
        row = with_test(gains.change("ctan", "stl", "denoising", relative=False), gains.n, "f")
        inside.append(row["ci_low"] <= 0.03 <= row["ci_high"])
    assert 0.91 <= np.mean(inside) <= most


def test_without_a_gain_a_test_errs_as_often_as_it_may():
    rng = np.random.default_rng(1)
    p = [
        with_test(
            (gains := Gains(simulated(rng), SYSTEMS, 0, 200)).delta("ctan", "stl"), gains.n, "f"
        )["p"]
        for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(p) < 0.5) <= 0.6


def test_a_reference_that_is_missing_is_told(tmp_path):
    systems = {name: SYSTEMS[name] for name in ("stl", "ctan")}
    table = table_of(a_problem(tmp_path, dict.fromkeys(systems, 0.0)), tmp_path, systems)
    for kind, words in (("stl_wide", "stl_wide"), ("hps", "tuned"), ("control", "no control")):
        row = delta(table, "ctan", kind)
        assert pd.isna([row["estimate"], row["ci_low"], row["p"], row["reference"]]).all()
        assert words in row["note"]
    assert pd.notna(delta(table, "ctan")["estimate"])


def test_a_system_has_the_wide_network_of_its_own_width(tmp_path):
    like = {
        f"wide_{name}": {"system": "stl_wide", "weighting": "equal", "like": name}
        for name in ("ctan", "hps_tuned")
    }
    table = table_of(
        a_problem(tmp_path, dict.fromkeys([*SYSTEMS, *like], 0.0) | {"wide_ctan": 0.02}),
        tmp_path,
        {name: o for name, o in SYSTEMS.items() if name != "stl_wide"} | like,
    )
    assert delta(table, "ctan", "stl_wide")["reference"] == "wide_ctan"
    assert delta(table, "hps_tuned", "stl_wide")["reference"] == "wide_hps_tuned"


def test_two_weightings_of_one_network_have_one_wide_network(tmp_path):
    wide = {"system": "stl_wide", "weighting": "equal", "like": "hps_tuned"}
    systems = SYSTEMS | {
        "stl_wide": wide,
        "pcgrad": {"system": "hps", "weighting": "pcgrad"},
        "larger": {"system": "hps", "weighting": "equal", "width": 32},
        "wide_ctan": {"system": "stl_wide", "weighting": "equal", "like": "ctan"},
    }
    table = table_of(a_problem(tmp_path, dict.fromkeys(systems, 0.0)), tmp_path, systems)
    assert delta(table, "pcgrad", "stl_wide")["reference"] == "stl_wide"
    # A control has as many parameters as what it is the control of.
    for name in ("ctan", "ctan_self"):
        assert delta(table, name, "stl_wide")["reference"] == "wide_ctan"
    row = delta(table, "larger", "stl_wide")
    assert pd.isna(row["reference"])
    assert "as wide as this one" in row["note"]


@pytest.mark.parametrize("subjects", [1, 4])
def test_of_few_subjects_there_is_no_interval_and_no_test(tmp_path, subjects):
    frame = Images(n_subjects=subjects, per_subject=12).frame
    table = table_of(a_problem(tmp_path, GAINS, frame=frame), tmp_path)
    row = delta(table, "ctan")
    assert pd.notna(row["estimate"])
    assert pd.isna([row["ci_low"], row["p"]]).all()
    what = "1 subject" if subjects == 1 else "4 subjects"
    assert row["note"] == f"no interval: {what}, at least 5 are needed"


def test_one_person_in_many_groups_and_datasets_is_one_subject(tmp_path):
    frame = pd.concat(
        [Images(dataset=d, subjects=["the MNI brain"] * 30).frame for d in ("d1", "d2")]
    )
    row = delta(table_of(a_problem(tmp_path, GAINS, frame=frame), tmp_path), "ctan")
    assert (row["n_subjects"], row["n_groups"], row["n_datasets"]) == (1, 60, 2)
    assert "1 subject," in row["note"]


def test_where_nobody_names_subjects_groups_stand_for_them(tmp_path):
    frame = Images(subjects=[None] * 30).frame
    row = delta(table_of(a_problem(tmp_path, GAINS, frame=frame), tmp_path), "ctan")
    assert row["n_subjects"] == row["n_groups"] == 30
    assert pd.notna(row["ci_low"])


def test_datasets_count_alike_and_are_drawn(tmp_path):
    frame = pd.concat([Images(60, dataset="large").frame, Images(10, dataset="small").frame])
    values = np.where(frame["dataset"] == "large", 0.5, 0.7)
    files = [
        predictions_file(
            tmp_path, system, 0, frame, {"denoising": ("picture", picture(values * times))}
        )
        for system, times in (("stl", 1.0), ("ctan", 1.1))
    ]
    table = table_of(files, tmp_path)
    change = table[(table["system"] == "ctan") & (table["measure"] == "change")].iloc[0]
    assert change["estimate"] == pytest.approx(0.06, abs=1e-6)
    # Two datasets, of .05 and .07: a t interval of one degree of freedom.
    error = np.std([0.05, 0.06, 0.06, 0.07]) * np.sqrt(2)
    assert change["ci_low"] == pytest.approx(0.06 - 12.706 * error, abs=0.01)
    assert change["ci_high"] == pytest.approx(0.12 - change["ci_low"], abs=1e-6)
    assert "over dataset > subject," in change["ci_method"]


def test_scores_are_of_each_fold_and_not_of_all_networks_at_once(tmp_path):
    """Two folds that each rank perfectly, on scales that do not fit together."""
    frames = [
        Images(10, 2, fold=fold, subjects=[f"{fold} {i}" for i in range(10)]).frame.assign(
            image_id=[f"{fold}-{i}" for i in range(20)]
        )
        for fold in (0, 1)
    ]
    frame = pd.concat(frames, ignore_index=True)
    truth = np.tile([0, 1], 20)
    probability = 0.1 * truth + np.repeat([0.0, 0.8], 20)
    label = np.stack([1 - probability, probability, truth], axis=1)
    file = predictions_file(tmp_path, "stl", 0, frame, {"label": ("class", label)})
    (problem,) = load_problems([file], run="r")
    bootstrap = Bootstrap(problem, 0, 50)
    asked, score = Asked("label", "class"), SCORES["class"][1]
    assert score.name == "macro_auc"
    pooled = score.compute(problem.answers[asked].statistics[Training("stl", 0)])[0]
    assert pooled < 0.8
    np.testing.assert_allclose(bootstrap.scored(asked, score, Training("stl", 0)), 1)


def test_a_score_that_is_undefined_anywhere_makes_delta_m_null_with_the_place(tmp_path):
    frame = pd.concat([Images(8, dataset="d1").frame, Images(8, dataset="d2").frame])
    files = []
    for system in ("stl", "ctan"):
        answers = two_targets(np.random.default_rng(0), frame)
        label = answers["label"][1].copy()
        label[:, 2] = np.where(frame["dataset"] == "d2", 0, label[:, 2])
        label[frame["dataset"] == "d2", :2] = [1, 0]
        answers["label"] = ("ordinal", label)  # kappa of one grade in truth and prediction
        files.append(predictions_file(tmp_path, system, 0, frame, answers))
    row = delta(table_of(files, tmp_path), "ctan")
    assert pd.isna(row["estimate"])
    assert row["note"] == "quadratic_kappa of label is undefined in d2"


def test_the_smaller_of_a_score_is_the_better_where_that_is_its_direction():
    one, base = (Value(np.array([x]), x, np.array([x, x])) for x in (2.0, 4.0))
    assert difference(one, base, higher=False, relative=True).estimate == pytest.approx(0.5)
    assert difference(one, base, higher=False, relative=False).estimate == pytest.approx(2.0)
    assert difference(one, base, higher=True, relative=True).estimate == pytest.approx(-0.5)


@pytest.mark.parametrize("base", [0.0, -0.1])
def test_nothing_is_a_share_of_a_reference_that_is_not_positive(base):
    one = Value(np.array([0.5]), 0.5, np.full(50, 0.5))
    of = Value(np.array([base]), base, np.full(50, base))
    found = difference(one, of, higher=True, relative=True)
    assert "no relative change" in found.note
    assert difference(one, of, higher=True, relative=False).estimate == pytest.approx(0.5 - base)


@pytest.mark.parametrize(("below", "there"), [(0, True), (5, True), (40, False)])
def test_draws_without_a_share_leave_an_interval_of_the_others_only_if_they_are_few(below, there):
    """Else the upper end would be that of the draws in which the reference happens to be good."""
    draws = np.full(400, 0.1)
    draws[:below] = -0.1
    base, one = (Value(np.array([0.1]), 0.1, d) for d in (draws, np.full(400, 0.2)))
    found = difference(one, base, higher=True, relative=True)
    assert (found.note is None) == there
    if not there:
        assert "0 or less in 10% of the bootstrap draws" in found.note


def test_a_class_that_no_image_has_is_named_beside_every_number_it_is_left_out_of(tmp_path):
    frame = pd.concat([Images(8, dataset="d1").frame, Images(8, dataset="d2").frame])
    truth = np.arange(len(frame)) % np.where(frame["dataset"] == "d2", 2, 3)
    files = []
    for system in ("stl", "ctan"):
        answers = two_targets(np.random.default_rng(0), frame)
        label = np.column_stack([np.eye(3)[truth] * 0.7 + 0.1, truth])
        answers["label"] = ("class", label)
        files.append(predictions_file(tmp_path, system, 0, frame, answers))
    table = table_of(files, tmp_path)
    of = table[(table["system"] == "ctan") & (table["reference"] == "stl")]
    named = of["note"].str.contains("label leaves out what no image has: 2 in d2")
    assert named[of["target"].isin(["label", "all"])].all()
    assert not named[of["target"] == "denoising"].any()


def several(folder, names, gain=0.03):
    gains = {"stl": 0.0, "stl_wide": 0.0, "hps_tuned": 0.0, "ctan": gain}
    return [
        path
        for i, name in enumerate(names)
        for path in a_problem(
            folder, gains, problem=name, frame=Images(20, dataset=f"{name}'s").frame.assign(fold=-1)
        )
        if i or "ctan" not in str(path)
    ]


def test_over_problems_each_counts_alike(tmp_path):
    table = table_of(several(tmp_path, "abcdef"), tmp_path)
    each = table[(table["scope"] == "problem") & (table["system"] == "ctan")]
    each = each[(each["measure"] == "delta_m") & (each["reference_kind"] == "hps")]
    assert len(each) == 5
    for scope, over in (("these_problems", ""), ("problems", "problem > ")):
        row = delta(table, "ctan", "hps", scope)
        assert row["problem"] == "all"
        assert row["estimate"] == pytest.approx(each["estimate"].mean())
        assert 0 < row["ci_low"] < row["estimate"] < row["ci_high"]
        assert row["ci_method"].endswith(f"bootstrap over {over}subject > seed, 95%")
        assert (row["n_subjects"], row["n_datasets"]) == (100, 5)
        assert row["p_family"] == f"multitask_gains, delta_m against hps: {scope}"
    single = (each["ci_high"] - each["ci_low"]).mean()
    row = delta(table, "ctan", "hps", "these_problems")
    assert row["ci_high"] - row["ci_low"] < 0.7 * single, "five problems tell more than one"
    # Ranks are among systems that every problem has.
    ranks = table[(table["measure"] == "mean_rank") & (table["scope"] == "problems")]
    assert set(ranks["system"]) == {"stl", "stl_wide", "hps_tuned"}
    assert ranks["estimate"].sum() == pytest.approx(6)


def test_of_few_problems_none_are_drawn(tmp_path):
    table = table_of(several(tmp_path, "abc"), tmp_path)
    row = delta(table, "hps_tuned", "stl", "problems")
    assert row["note"] == "no interval: 3 problems, at least 5 are needed"
    assert pd.isna(row["ci_low"])
    assert pd.notna(delta(table, "hps_tuned", "stl", "these_problems")["ci_low"])
    one = table_of(several(tmp_path / "one", "a"), tmp_path)
    assert set(one["scope"]) == {"problem"}


def test_results_do_not_depend_on_the_order_of_files(table, paths, tmp_path):
    pd.testing.assert_frame_equal(table_of(paths[::-1], tmp_path), table)


def test_seeds_that_one_side_lacks_are_left_out(tmp_path):
    files = a_problem(tmp_path, {"stl": 0.0}, seeds=2) + a_problem(tmp_path, {"ctan": 0.0}, seeds=3)
    (problem,) = load_problems(files, run="r")
    gains = Gains(problem, SYSTEMS, 0, 100)
    assert gains.seeds("ctan", "stl", "label") == [0, 1]
    assert len(gains.delta("ctan", "stl").each) == 2


def test_files_that_do_not_belong_together_are_refused(paths, tmp_path):
    with pytest.raises(DataError, match="is of run 'r', not 'other'"):
        load_problems(paths, run="other")
    other = a_problem(tmp_path, {"mtan": 0.0}, seeds=1, frame=Images(29).frame)
    with pytest.raises(DataError, match=r"mtan/seed0.*denoising is asked of other images"):
        load_problems([*paths, *other], run="r")
    with pytest.raises(DataError, match="answered twice"):
        load_problems([*paths, paths[0]], run="r")


def test_no_predictions_make_an_empty_table(tmp_path):
    assert table_of([], tmp_path).empty
