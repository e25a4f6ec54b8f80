"""Scores, costs, strategies and affinity: numbers that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from multitask_synthetic import (
    SYSTEMS,
    Images,
    a_problem,
    cost_file,
    picture,
    predictions_file,
    two_targets,
)

from medtaskatlas.atlas.multitask.affinity import affinity
from medtaskatlas.atlas.multitask.cost import multitask_cost
from medtaskatlas.atlas.multitask.scores import multitask_scores
from medtaskatlas.atlas.multitask.ums_rep import ums_rep
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError

FEW = {"run": "r", "n_draws": 200}


def made(make, out, *inputs, **options):
    make(*inputs, out, **options)
    return read_table(out, make.__name__, run="r")


OVER = -1  # stands for the null of rows over seeds, which no index finds


def by(table, *names):
    """A table by some of its columns."""
    return table.assign(seed=table["seed"].fillna(OVER)).set_index(list(names)).sort_index()


def mask_and_depth(rng, frame, more=0.0):
    """Answers of a mask of two classes, and of a map with a dose."""
    true = rng.integers(50, 100, size=(len(frame), 2))
    common = np.floor(true * (0.6 + more))
    depth = np.stack([rng.uniform(1, 3, len(frame)), *np.full((3, len(frame)), 4.0)], axis=1)
    return {
        "mask": ("segmentation", np.concatenate([common, true, true], axis=1)),
        "depth": ("map", depth),
    }


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    folder, frame = tmp_path_factory.mktemp("scores"), Images().frame
    paths = []
    for seed in (0, 1):
        path = predictions_file(
            folder, "stl", seed, frame, mask_and_depth(np.random.default_rng(seed), frame)
        )
        dose = pd.read_parquet(path)
        paths.append(path)
    paths += a_problem(folder, {"hps_tuned": 0.0}, problem="q", seeds=1, split="val")
    return made(multitask_scores, folder / "t.parquet", paths, **FEW), dose


def test_every_score_of_every_target_is_there_by_seed_and_over_seeds(scores):
    table, seed_1 = scores
    own = by(table[table["problem"] == "p"], "target", "score", "seed")
    assert set(own.loc["mask"].index.get_level_values("score")) == {
        "dice", "pooled_dice", "dice.lesion", "dice.node",
    }  # fmt: skip
    rows = np.stack(seed_1[seed_1["target"] == "mask"]["statistics"])
    dice = 2 * rows[:, :2] / (rows[:, 2:4] + rows[:, 4:])
    by_seed = own.loc[("mask", "dice.node")]["estimate"]
    assert by_seed[1] == pytest.approx(dice[:, 1].mean())
    over = own.loc[("mask", "dice.node")].loc[OVER]
    assert over["estimate"] == pytest.approx((by_seed[0] + by_seed[1]) / 2)
    assert over["seed_sd"] == pytest.approx(by_seed[[0, 1]].std())
    assert over["ci_low"] < over["estimate"] < over["ci_high"]
    depth = own.loc[("depth", "mae")].loc[1]
    assert (depth["unit"], depth["higher_is_better"], depth["primary"]) == ("mm", False, False)
    primary = table[table["primary"]].groupby("target")["score"].agg(set)
    assert primary["mask"] == {"dice"}
    assert primary["depth"] == {"skill"}
    assert (table[table["problem"] == "q"]["split"] == "val").all()


def test_a_dose_counts_in_delta_m_by_its_bounded_score(tmp_path):
    frame = Images().frame
    answers = {"depth": ("dose", np.random.default_rng(0).uniform(1, 2, (60, 1)))}
    of_map = {"depth": mask_and_depth(np.random.default_rng(0), frame)["depth"]}
    path = predictions_file(tmp_path, "stl", 0, frame, answers)
    both = pd.concat(
        [
            pd.read_parquet(path),
            pd.read_parquet(predictions_file(tmp_path, "x", 0, frame, of_map)).assign(system="stl"),
        ]
    )
    from medtaskatlas.formats.multitask import write_multitask_predictions

    facts = {"targets": {"-1": {"depth": {"kind": "map", "unit": "Gy"}}}}
    write_multitask_predictions(path, both, facts)
    table = made(multitask_scores, tmp_path / "t.parquet", [path], **FEW)
    primary = table[table["seed"].isna()].set_index("score")["primary"]
    assert primary[primary].index.to_list() == ["skill"]
    assert "dose_score" in primary


COST = {"cpu_seconds": 100.0, "gpu_seconds": 0.0, "steps": 200, "parameters": 1000, "flops": 1e9}


def test_costs_are_set_beside_single_task_networks(tmp_path):
    paths = [
        cost_file(
            tmp_path, system, seed, total=COST | {"cpu_seconds": seconds + seed},
            tuning={"cpu_seconds": 40.0},
        )
        for system, seconds in (("stl", 100.0), ("ctan", 60.0))
        for seed in (0, 2)
    ]  # fmt: skip
    table = made(multitask_cost, tmp_path / "t.parquet", paths, run="r", systems=SYSTEMS)
    rows = by(table, "system", "part", "measure", "seed")
    over = rows.loc[("ctan", "training", "cpu_seconds")].loc[OVER]
    assert over["estimate"] == pytest.approx(61)
    assert over["seed_sd"] == pytest.approx(np.sqrt(2))
    assert over["relative_to_stl"] == pytest.approx(61 / 101)
    one = rows.loc[("ctan", "training", "cpu_seconds", 2)]
    assert (one["estimate"], one["relative_to_stl"]) == (62, pytest.approx(62 / 101))
    tuning = rows.loc[("ctan", "tuning", "cpu_seconds", 0)]
    assert (tuning["estimate"], tuning["relative_to_stl"]) == (40, 1)
    no_gpu = rows.loc[("ctan", "training", "gpu_seconds", 0)]
    assert no_gpu["estimate"] == 0
    assert pd.isna(no_gpu["relative_to_stl"])


def test_without_single_task_networks_a_cost_is_beside_nothing(tmp_path):
    paths = [cost_file(tmp_path, "ctan", 0, total=COST)]
    table = made(multitask_cost, tmp_path / "t.parquet", paths, run="r", systems=SYSTEMS)
    assert table["relative_to_stl"].isna().all()
    assert table["note"].str.contains("no system of the kind stl").all()


@pytest.mark.parametrize(("text", "words"), [("{", "is damaged"), ("{}", "holds no cost")])
def test_a_bad_cost_is_named(tmp_path, text, words):
    path = tmp_path / "multitask" / "p" / "stl" / "seed0" / "cost.json"
    with pytest.raises(DataError, match=r"cost\.json is missing"):
        multitask_cost([path], tmp_path / "t.parquet", run="r", systems=SYSTEMS)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match=rf"cost\.json {words}"):
        multitask_cost([path], tmp_path / "t.parquet", run="r", systems=SYSTEMS)


def strategies(*names):
    return {
        name: {"system": "ums_rep", "weighting": "equal", "strategy": name.removeprefix("rep_")}
        for name in names
    }


def test_a_strategy_is_set_against_training_from_scratch_in_score_and_cost(tmp_path):
    systems = SYSTEMS | strategies("rep_scratch", "rep_frozen")
    paths = a_problem(tmp_path, {"rep_scratch": 0.0, "rep_frozen": 0.05, "stl": 0.0}, seeds=2)
    costs = [
        cost_file(tmp_path, "rep_scratch", seed, total=COST | {"gpu_seconds": 10.0})
        for seed in (0, 1)
    ] + [
        cost_file(
            tmp_path, "rep_frozen", seed,
            total=COST | {"cpu_seconds": 20.0, "parameters": 10, "gpu_seconds": 1.0},
            pretraining={"cpu_seconds": 50.0, "steps": 100, "gpu_seconds": 4.0},
        )
        for seed in (0, 1)
    ]  # fmt: skip
    out = tmp_path / "t.parquet"
    table = made(ums_rep, out, paths, costs, systems=systems, **FEW)
    assert set(table["system"]) == {"rep_frozen"}
    assert set(table["reference"]) == {"rep_scratch"}
    all_of = table[table["target"] == "all"].set_index("measure")
    assert all_of["estimate"].filter(like="ratio").to_dict() == pytest.approx(
        {
            "cpu_seconds_ratio": 0.2,
            "cpu_seconds_ratio_with_pretraining": 0.7,
            "gpu_seconds_ratio": 0.1,
            "gpu_seconds_ratio_with_pretraining": 0.5,
            "steps_ratio": 1,
            "steps_ratio_with_pretraining": 1.5,
            "parameters_ratio": 0.01,
        }
    )
    delta = all_of.loc["delta_m"]
    assert 0 < delta["ci_low"] < delta["ci_high"]
    each = table[table["measure"] == "relative_change"]["estimate"]
    assert delta["estimate"] == pytest.approx(each.mean())


def test_without_scratch_a_strategy_has_no_number(tmp_path):
    paths = a_problem(tmp_path, {"rep_frozen": 0.0}, seeds=1)
    out = tmp_path / "t.parquet"
    table = made(ums_rep, out, paths, [], systems=strategies("rep_frozen"), **FEW)
    (row,) = table.to_dict("records")
    assert pd.isna([row["estimate"], row["ci_low"]]).all()
    assert "scratch" in row["note"]


def pairs(folder, gains, seeds=2):
    """Files of a system that trains pairs: (target, beside) to the gain of the target."""
    frame = Images().frame
    return [
        predictions_file(
            folder, "pairs", seed, frame,
            {target: two_targets(np.random.default_rng([seed, 9]), frame, gain)[target]},
            beside=beside,
        )
        for (target, beside), gain in gains.items()
        for seed in range(seeds)
    ]  # fmt: skip


def test_affinity_has_a_direction(tmp_path):
    systems = SYSTEMS | {"pairs": {"system": "pairs", "weighting": "equal"}}
    paths = a_problem(tmp_path, {"stl": 0.0}, seeds=2)
    paths += pairs(tmp_path, {("denoising", "label"): 0.05, ("label", "denoising"): -0.02})
    table = made(affinity, tmp_path / "t.parquet", paths, systems=systems, **FEW)
    over = table[table["seed"].isna() & (table["measure"] == "change")].set_index("target")
    assert over.loc["denoising", "beside"] == "label"
    assert over.loc["denoising", "estimate"] == pytest.approx(0.05, abs=0.01)
    assert over.loc["denoising", "ci_low"] > 0.03
    assert over.loc["label", "ci_high"] < 0
    assert set(table["reference"]) == {"stl"}
    assert set(table["seed"].dropna()) == {0, 1}
    by_seed = table[(table["measure"] == "change") & (table["target"] == "label")]
    mean = by_seed[by_seed["seed"].notna()]["estimate"].mean()
    assert over.loc["label", "estimate"] == pytest.approx(mean)


def test_affinity_against_the_target_alone_in_the_same_system_where_it_is(tmp_path):
    frame = Images().frame
    systems = {"pairs": {"system": "pairs", "weighting": "equal"}}
    paths = pairs(tmp_path, {("denoising", "label"): 0.05}, seeds=1)
    nothing = made(affinity, tmp_path / "t.parquet", paths, systems=systems, **FEW)
    (row,) = nothing.to_dict("records")
    assert pd.isna([row["estimate"], row["reference"]]).all()
    assert "no system of the kind stl" in row["note"]
    alone = {"denoising": ("picture", picture(np.full(60, 0.5)))}
    paths.append(predictions_file(tmp_path, "pairs", 0, frame, alone))
    table = made(affinity, tmp_path / "t.parquet", paths, systems=systems, **FEW)
    assert set(table["reference"]) == {"pairs"}
    assert table["estimate"].notna().all()


def test_a_run_without_pairs_has_no_affinity(tmp_path):
    paths = a_problem(tmp_path, {"stl": 0.0}, seeds=1)
    assert made(affinity, tmp_path / "t.parquet", paths, systems=SYSTEMS, **FEW).empty
