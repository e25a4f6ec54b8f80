"""A run is resolved and checked before the DAG is built."""

import pytest
import yaml

from generated import SPLITS, write_task
from medtaskatlas.core.errors import ConfigError
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


def test_raw_data_are_fetched_once_a_side() -> None:
    sets = {"datasets": ["adrenalmnist3d", "breastmnist", "ct_dicom"], "heldout": {}}
    place = "medmnist/adrenalmnist3d"

    def fetched(**sizes) -> dict[str, tuple[str, int]]:
        plan = plan_run(raw("smoke", **sets, **sizes))
        return {where: (d.name, side) for where, (d, side) in plan.raw_data.items()}

    without = fetched(image_size=64)
    assert without[f"{place}/64"] == ("adrenalmnist3d", 64)
    assert len(without) == 3
    assert fetched(image_size=64, volume_size=28) == {
        **without,
        f"{place}/28": ("adrenalmnist3d", 28),
    }
    # From one file: it is fetched as it is without volumes.
    assert fetched(image_size=64, volume_size=48) == without
    plan = plan_run(raw("smoke", **sets, image_size=64, volume_size=28))
    assert plan.volume_datasets == ["adrenalmnist3d"]
    assert plan.manifest("adrenalmnist3d", 28) == f"data/{place}/28/MANIFEST.json"
    assert plan.manifest("adrenalmnist3d") == f"data/{place}/64/MANIFEST.json"
    assert plan.volume_files() == ["results/smoke/volumes/adrenalmnist3d.arrow"]


def test_a_dataset_at_two_sizes_is_two_with_the_raw_data_of_one() -> None:
    volumes = {"name": "adrenalmnist3d_64", "of": "adrenalmnist3d", "volume_size": 64}
    pictures = {"name": "breastmnist_64", "of": "breastmnist", "image_size": 64}
    smaller = {"name": "breastmnist_20", "of": "breastmnist", "image_size": 20}
    config = {
        "run": "r",
        "datasets": [volumes, "adrenalmnist3d", "breastmnist", pictures, smaller, "xr_leg"],
        "image_size": 28,
        "volume_size": 28,
        "medformer": {"arms": {"single": {}}},
    }
    plan = plan_run(config)
    place = "medmnist/adrenalmnist3d"
    assert {where: (d.name, d.copy_of, side) for where, (d, side) in plan.raw_data.items()} == {
        f"{place}/64": ("adrenalmnist3d", None, 64),
        f"{place}/28": ("adrenalmnist3d", None, 28),
        "medmnist/breastmnist/64": ("breastmnist", None, 64),
        "medmnist/breastmnist/28": ("breastmnist", None, 28),
        "embedded/xr_leg": ("xr_leg", None, 28),
    }
    assert plan.like("breastmnist_64") == ["results/r/images/breastmnist.arrow"]
    assert plan.like("breastmnist") == []
    assert plan.manifest("breastmnist_64") == "data/medmnist/breastmnist/64/MANIFEST.json"
    assert plan.volume_datasets == ["adrenalmnist3d_64", "adrenalmnist3d"]
    # What an entry says of itself does not depend on its copies, so nothing else is made anew.
    assert plan.entry("breastmnist") == plan_run(config | {"datasets": ["breastmnist"]}).entry(
        "breastmnist"
    )
    again = plan_run(plan.config.model_dump(mode="json"))
    assert again.raw_data == plan.raw_data
    alone = plan_run(config | {"datasets": [{"name": "adrenalmnist3d", "volume_size": 64}]})
    assert (alone.config.volume_size_of("adrenalmnist3d"), alone.like("adrenalmnist3d")) == (64, [])


def test_a_run_without_volumes_says_why() -> None:
    for size, why in ((None, "`volume_size` is not set"), (28, "none of its datasets has any")):
        plan = plan_run(raw("smoke", volume_size=size))
        assert plan.volume_datasets == []
        with pytest.raises(ConfigError, match=f"this run makes no volumes: {why}"):
            plan.volume_files()


def test_code_of_a_users_task_is_its_file(tmp_path, registry) -> None:
    file = write_task(tmp_path / "halve.py", "sample.image // 2")
    plan = plan_run(raw(tasks_dir=str(tmp_path)))
    before = plan.task_code("halve")
    file.write_text(file.read_text().replace("// 2", "// 3"))
    assert plan.task_code("halve") != before
