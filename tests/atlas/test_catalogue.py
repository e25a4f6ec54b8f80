"""The tables of what a run is made of, from generated images and pairs."""

import numpy as np
import pandas as pd

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
    write_arrow(pairs, {"image_id": ["a", "a", "b"], "group_id": ["g", "g", "g"]}, {})
    task_grid(
        [pairs],
        [tmp_path / "images" / "d.arrow"],
        tmp_path / "grid.parquet",
        run="r",
        tasks=["rotation", "segmentation"],
    )
    frame = read_table(tmp_path / "grid.parquet", "task_grid").set_index("task")
    assert frame.loc["rotation", ["n_pairs", "n_images", "n_groups"]].tolist() == [3, 2, 1]
    assert not frame.loc["segmentation", "applicable"]
    assert "mask" in frame.loc["segmentation", "reason"]


def test_datasets_table_adds_run_and_heldout(tmp_path, monkeypatch):
    from medtaskatlas.datasets import quality

    counts = [
        "n_images",
        "n_groups",
        *(f"{a}_{s}" for a in ("n", "groups") for s in ("train", "val", "test")),
    ]
    row = dict.fromkeys(counts, 3) | {
        "source": "embedded",
        "modality": "CT",
        "licence": "MIT",
        "annotation": "none",
        "empty_masks": np.nan,
    }
    frame = pd.DataFrame([row | {"dataset": "a"}, row | {"dataset": "b"}])
    monkeypatch.setattr(quality, "datasets_table", lambda images: frame)
    datasets_table([], tmp_path / "datasets.parquet", run="r", heldout_datasets=["b"])
    got = read_table(tmp_path / "datasets.parquet", "datasets")
    assert got["heldout"].tolist() == [False, True]
    assert got["empty_masks"].isna().all()
