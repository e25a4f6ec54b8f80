"""Studies: every task is held out once, larger choices of data hold smaller ones."""

from collections import Counter

import pytest

from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.studies import nested, task_folds

RAW = {
    "run": "x",
    "datasets": ["ct_dicom", "mr_diffusion", "us_stills", "cell_light"],
    "heldout": {"datasets": ["cell_light"]},
    "encoders": {"taco": {}, "pixels": {}},
    "seeds": [3, 4],
}
FAMILIES = {f"{family}{i}": family for family in "abc" for i in range(10)}


@pytest.mark.parametrize("folds", [2, 4, 6, 7])
def test_every_task_is_in_one_fold_and_folds_are_alike(folds):
    dealt = task_folds(FAMILIES, folds, seed=0)
    assert sorted(task for fold in dealt for task in fold) == sorted(FAMILIES)
    sizes = [len(fold) for fold in dealt]
    assert max(sizes) - min(sizes) <= 1
    for fold in dealt:
        count = Counter(FAMILIES[task] for task in fold)
        assert all(10 // folds <= count[family] <= -(-10 // folds) for family in "abc")
    assert dealt == task_folds(FAMILIES, folds, seed=0)
    assert dealt != task_folds(FAMILIES, folds, seed=1)


def test_order_of_datasets_is_a_permutation():
    names = [f"d{i}" for i in range(9)]
    assert sorted(nested(names, 0)) == names
    assert nested(names, 0) != nested(names, 1)


def test_points_of_unseen_tasks_leave_out_their_fold_everywhere():
    plan = plan_run(RAW | {"unseen_tasks": {"encoders": ["taco"], "folds": 3, "steps": 5}})
    points = list(plan.points.values())
    assert [p.key for p in points] == [f"unseen_tasks/taco_fold{i}" for i in range(3)]
    every = {task for task, _ in plan.training_cells}
    left_out = [every - {task for task, _ in p.training_cells} for p in points]
    assert sorted(task for tasks in left_out for task in tasks) == sorted(every)
    assert all(p.options["steps"] == 5 and p.seed == 3 for p in points)
    for point, hidden in zip(points, left_out, strict=True):
        asked = {cell for cell in plan.cells if cell[0] in hidden}
        assert {dataset for _, dataset in asked} >= {"cell_light"}
        assert sorted(point.embedded_cells) == sorted({*point.training_cells, *asked})
    assert plan.encoders["taco"].steps != 5


def test_a_task_that_is_never_trained_on_is_asked_once_and_changes_no_training():
    """On held-out datasets only (segmentation is not on us_stills), or itself held out."""
    raw = RAW | {
        "datasets": ["us_stills", "cell_light"],
        "tasks": ["rotation", "inversion", "deblurring", "segmentation"],
        "unseen_tasks": {"encoders": ["taco"], "folds": 2},
    }
    plan = plan_run(raw)
    unseen = {task for task, _ in plan.cells} - {task for task, _ in plan.training_cells}
    assert unseen == {"segmentation"}
    asked = [
        {task for task, _ in point.embedded_cells} - {task for task, _ in point.training_cells}
        for point in plan.points.values()
    ]
    assert sorted(task for tasks in asked for task in tasks) == sorted(raw["tasks"])
    without = plan_run(raw | {"tasks": raw["tasks"][:3]})
    assert [p.training_cells for p in plan.points.values()] == [
        p.training_cells for p in without.points.values()
    ]
    held = plan_run(raw | {"heldout": {"datasets": ["cell_light"], "tasks": ["inversion"]}})
    asked = [task for point in held.points.values() for task, _ in point.embedded_cells]
    assert {"inversion", "segmentation"} <= set(asked)


def test_points_of_scaling_are_nested_and_ask_the_same_datasets():
    study = {"encoder": "taco", "pairs": [5, 20], "datasets": [1, 2, 3], "seeds": [0, 1]}
    plan = plan_run(RAW | {"scaling": study})
    points = plan.points
    # Three datasets are trained on, so three of them are all.
    assert len(points) == 2 * (2 + 2 + 1)
    datasets = {key: {d for _, d in point.training_cells} for key, point in points.items()}
    one, two = (datasets[f"scaling/datasets{n}_pairsall_seed0"] for n in (1, 2))
    assert one < two < datasets["scaling/datasets3_pairsall_seed0"]
    assert points["scaling/datasets3_pairs5_seed1"].pairs_per_cell == 5
    for key, point in points.items():
        asked = {d for _, d in point.embedded_cells}
        assert asked == datasets[key] | {"cell_light"}


def test_without_studies_there_are_no_points():
    assert plan_run(RAW).points == {}
