"""What of a run is multi-task, before anything is made."""

from __future__ import annotations

import pytest
import yaml

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.products import Products

BRAIN = {"datasets": ["mni152_tissue"], "targets": ["mask", "plane", "value.position"]}
CELLS = {"datasets": ["ihc_colon"], "targets": ["mask", "objects"]}
SYSTEMS = {
    "stl": {},
    "ctan": {},
    "wide": {"system": "stl_wide", "like": "ctan"},
    "frozen": {"system": "ums_rep", "strategy": "frozen"},
    "pcgrad": {"system": "hps", "weighting": "pcgrad", "first": 1},
}


def plan_of(**section):
    own = {"problems": {"brain": BRAIN, "cells": CELLS}, "systems": SYSTEMS, "seeds": [0, 1]}
    datasets = ["mni152_tissue", "mni152_regions", "ihc_colon"]
    return plan_run({"run": "r", "datasets": datasets, "multitask": own | section})


def test_every_system_is_tried_on_every_problem_with_every_seed():
    runs = plan_of().multitask_runs
    assert len(runs) == len(set(runs)) == (5 + 4) * 2
    assert ("brain", "pcgrad", 0) in runs
    assert ("cells", "pcgrad", 0) not in runs


def test_a_representation_has_not_seen_what_is_tested():
    """`breastmnist` shows images of `busi`, whose splits are others."""
    problems = {"us": {"datasets": ["busi"], "targets": ["mask", "deblurring"]}}
    for others, tried in ((["us_stills"], True), (["us_stills", "breastmnist"], False)):
        section = {"problems": problems, "systems": SYSTEMS}
        plan = plan_run({"run": "r", "datasets": ["busi", *others], "multitask": section})
        assert (("us", "frozen") in plan.multitask.pairs) == tried
        assert tried != any("breastmnist shows" in m for m in plan.multitask.messages)


def test_without_encoders_there_are_no_pairs_and_no_tables_of_the_atlas():
    plan = plan_of()
    products = Products(plan)
    assert not plan.cells
    assert not plan.training_cells
    names = {table.name for table in products.tables}
    assert {"datasets", "multitask_gains", "affinity", "summary"} <= names
    assert not {"identification", "task_grid", "shortcuts"} & names
    assert {figure.name for figure in products.figures} >= {"multitask_gains", "contact_sheets"}


def test_with_encoders_there_is_both():
    raw = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text())
    raw["datasets"] = [*raw["datasets"], "mni152_tissue"]
    raw["multitask"] = {"problems": {"brain": BRAIN}, "systems": {"stl": {}, "hps": {}}}
    names = {table.name for table in Products(plan_run(raw)).tables}
    assert {"identification", "multitask_gains"} <= names


def test_a_training_depends_on_its_own_system_and_the_one_it_is_like():
    plan = plan_of().multitask
    assert set(plan.params("brain", "ctan")["options"]["systems"]) == {"ctan"}
    assert set(plan.params("brain", "wide")["options"]["systems"]) == {"wide", "ctan"}
    other = plan_of(systems=SYSTEMS | {"mtan": {}}, seeds=[5]).multitask
    assert other.params("brain", "ctan") == plan.params("brain", "ctan")


def test_every_target_can_be_tried_heavier_and_all_systems_try_as_often():
    tuned = SYSTEMS | {"hps": {"weighting": "tuned"}}
    plan = plan_of(systems=tuned, learning_rates=[1e-3, 3e-3], trials=3).multitask
    tried = {(p, s): plan.params(p, s)["options"]["trials"] for p, s in plan.pairs}
    assert {n for (problem, _), n in tried.items() if problem == "brain"} == {5}
    assert {n for (problem, _), n in tried.items() if problem == "cells"} == {4}
    alone = plan_of(learning_rates=[1e-3, 3e-3], trials=3).multitask
    assert alone.params("brain", "stl")["options"]["trials"] == 3


def test_a_representation_is_of_all_datasets_of_the_modality():
    plan = plan_of().multitask
    assert plan.modality("brain") == "MR"
    assert plan.of_modality("MR") == ["mni152_tissue", "mni152_regions"]
    problem = plan.representation_params("MR")["problem"]
    assert list(problem["targets"]) == ["denoising_gaussian"]
    assert plan.needs_representation("frozen")
    assert not plan.needs_representation("ctan")


def test_with_folds_no_representation_is_learned_of_test_images():
    plan = plan_of(folds=3)
    assert not [run for run in plan.multitask_runs if run[1] == "frozen"]
    assert any("ums_rep is not tried on brain: with folds" in line for line in plan.messages)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"systems": {"stl": {"problems": ["brian"]}}}, "brian"),
        ({"systems": {"hsp": {}}}, "hsp"),
        ({"systems": {"wide": {"system": "stl_wide", "like": "ctna"}}}, "ctna"),
        ({"systems": {"ctan": {"haeds": 2}}}, "haeds"),
        ({"problems": {"brain": BRAIN | {"targets": ["mask"]}}}, "one target alone"),
        ({"problems": {"brain": BRAIN | {"targets": ["mask", "dose"]}}}, "dose"),
        ({"problems": {"brain": BRAIN | {"datasets": ["mni"]}}}, "mni"),
        ({"devices": 2}, "devices"),
    ],
)
def test_mistakes_name_what_is_wrong(section, says):
    with pytest.raises(ConfigError, match=says):
        plan_of(**section)


def test_the_shipped_configuration_fits_any_datasets():
    raw = yaml.safe_load((REPOSITORY / "config/multitask.yaml").read_text())
    plan = plan_run({**raw, "datasets": ["mni152_tissue", "ihc_colon"]})
    assert {run[1] for run in plan.multitask_runs} == set(raw["multitask"]["systems"])


def test_the_public_configuration_has_all_sets_with_two_targets_or_several_classes():
    raw = yaml.safe_load((REPOSITORY / "config/multitask_public.yaml").read_text())
    plan = plan_run(raw)
    several = {
        name
        for name, dataset in load_catalogue().items()
        if dataset.source == "medsegbench" and {"classes", "label"} & set(dataset.provides)
    }
    assert set(plan.datasets) == several | {"ham10000", "openkbp"}
    assert not [d for d in plan.datasets.values() if set(d.overlaps) & set(plan.datasets)]
    targets = {p.name: set(p.targets) for p in plan.multitask.problems.values()}
    assert targets.pop("ham10000") == {"mask", "label"}
    assert targets.pop("openkbp") == {"mask", "map.dose"}
    assert list(targets.values()) == [{"mask", "denoising_gaussian"}] * len(several)
    assert {run[1] for run in plan.multitask_runs} == set(raw["multitask"]["systems"])
    assert not plan.multitask.messages
