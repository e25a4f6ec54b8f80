"""A run is resolved and checked before the DAG is built."""

import yaml

from generated import SPLITS
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.run.plan import plan_run


def raw(name="embedded", **changes):
    return {**yaml.safe_load((REPOSITORY / "config" / f"{name}.yaml").read_text()), **changes}


def test_the_embedded_run() -> None:
    plan = plan_run(raw())
    assert len(plan.datasets) >= 10
    assert len({d.modality for d in plan.datasets.values()}) >= 6
    assert len(plan.tasks) == 30
    assert sum(d.annotation == "derived" for d in plan.datasets.values()) <= 4
    assert plan.config.splits.model_dump() == SPLITS
    assert ("taco_correspondence", 2) in plan.trained_runs
    assert ("taco", 2) not in plan.trained_runs
    assert [seed for name, seed in plan.encoder_runs if name == "pixels"] == [0]


def test_cells_are_those_that_a_task_can_use() -> None:
    plan = plan_run(raw())
    for task, dataset in plan.cells:
        assert plan.tasks[task].needs <= plan.datasets[dataset].offers
    assert ("rotation", "xr_chest") in plan.cells
    assert ("segmentation", "xr_chest") not in plan.cells


def test_training_leaves_out_what_is_held_out() -> None:
    plan = plan_run(raw(heldout={"datasets": ["mni152_tissue"], "tasks": ["rotation"]}))
    assert set(plan.heldout) == {"mni152_tissue", "mni152_regions"}, "the same brain"
    assert any("mni152_regions" in message for message in plan.messages)
    assert not {d for _, d in plan.training_cells} & set(plan.heldout)
    assert "rotation" not in {t for t, _ in plan.training_cells}
    assert "rotation" in {t for t, _ in plan.cells}


def test_the_summary_is_one_line() -> None:
    line = plan_run(raw("smoke")).summary()
    assert "\n" not in line
    assert line.startswith("run smoke: 4 datasets of 4 modalities (1 held out) x 6 tasks")


def test_code_of_a_users_task_is_its_file(tmp_path) -> None:
    from medtaskatlas.tasks.task import REGISTRY

    file = tmp_path / "mine.py"
    text = (
        "from medtaskatlas.tasks.task import task, no_params\n"
        "@task(family='transformation', draw=no_params)\n"
        "def halve(sample, params):\n    'Halve grey levels.'\n"
        "    return sample.image, sample.image // 2\n"
    )
    file.write_text(text)
    try:
        plan = plan_run(raw(tasks_dir=str(tmp_path)))
        before = plan.task_code("halve")
        file.write_text(text.replace("// 2", "// 3"))
        assert plan.task_code("halve") != before
    finally:
        REGISTRY.pop("halve", None)
