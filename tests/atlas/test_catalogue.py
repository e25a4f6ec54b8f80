"""The tables of what a run is made of, from generated images and pairs."""

from generated import write_dataset
from medtaskatlas.atlas.catalogue import datasets_table, task_grid, tasks_table
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.formats.arrow import write_arrow
from medtaskatlas.tasks.bank import load_bank


def test_tasks_table_holds_the_bank(tmp_path):
    names = list(load_bank())
    tasks_table(names, tmp_path / "tasks.parquet", run="r", heldout_tasks=[names[0]])
    frame = read_table(tmp_path / "tasks.parquet", "tasks")
    assert frame["task"].tolist() == names
    assert frame["heldout"].tolist() == [True] + [False] * (len(names) - 1)
    assert frame["description"].str.len().min() > 0


def test_task_grid_says_what_was_not_made_and_why(tmp_path):
    write_arrow(
        tmp_path / "images" / "d.arrow",
        {"image_id": ["a"]},
        {"dataset": "d", "modality": "CT", "annotation": "none"},
    )
    pairs = tmp_path / "pairs" / "main" / "rotation" / "d.arrow"
    ids = {"image_id": ["a", "a", "b", "c"], "group_id": [*"gggh"], "subject_id": ["s"] * 4}
    write_arrow(pairs, ids, {})
    task_grid(
        [pairs],
        [tmp_path / "images" / "d.arrow"],
        tmp_path / "grid.parquet",
        run="r",
        tasks=["rotation", "segmentation"],
    )
    frame = read_table(tmp_path / "grid.parquet", "task_grid").set_index("task")
    counted = frame.loc["rotation", ["n_pairs", "n_images", "n_groups", "n_subjects"]]
    assert counted.tolist() == [4, 3, 2, 1]
    assert not frame.loc["segmentation", "applicable"]
    assert "mask" in frame.loc["segmentation", "reason"]


def test_datasets_table_adds_run_and_heldout(tmp_path):
    quality = {
        "found": 14, "excluded": {"too small": 2}, "empty_masks": None, "repaired": 0, "joined": 0,
        "torn": 0, "sizes_px": [40, 64], "intensity": [0, 255],
    }  # fmt: skip
    more = dict.fromkeys(("title", "citation", "annotation_note", "group_note"), "words")
    more |= {"provides": ["mask"], "overlaps": [], "quality": quality}
    paths = [write_dataset(tmp_path / f"{name}.arrow", **more) for name in "ab"]
    datasets_table(paths, tmp_path / "datasets.parquet", run="r", heldout_datasets=["b"])
    got = read_table(tmp_path / "datasets.parquet", "datasets")
    assert got["heldout"].tolist() == [False, True]
    assert got["empty_masks"].isna().all()
    assert (got["n_excluded"] == 2).all()
    assert (got[["n_images", "n_groups", "n_subjects"]] == [12, 6, 6]).all(axis=None)
