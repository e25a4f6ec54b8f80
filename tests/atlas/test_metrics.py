"""What DVC reads of the findings."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from medtaskatlas.atlas.metrics import PLOTTED, metrics
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError

ROW = {
    "run": "r", "sentence": "It is so.", "ci_low": 0.4, "ci_high": 0.6, "ci_method": "bootstrap",
    "n_pairs": 90, "n_images": 30, "n_groups": 9, "n_subjects": 9, "n_datasets": 3,
}  # fmt: skip
ROWS = [
    ROW | {"finding": "named", "encoder": "taco", "split": "groups", "estimate": 0.5}
    | {"supported": True, "verdict": "supported"},
    ROW | {"finding": "named", "encoder": "pixels", "split": "groups", "estimate": 0.25}
    | {"supported": False, "verdict": "above chance"},
    ROW | {"finding": "named", "encoder": "taco", "split": "datasets", "estimate": None}
    | {"supported": False, "verdict": "not supported", "ci_low": None, "ci_high": None}
    | {"ci_method": None, "note": "too few"},
]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    write_table("summary", ROWS, tmp_path / "summary.parquet", {"run": "r"})
    return tmp_path / "summary.parquet"


def test_estimates_by_finding_split_and_encoder(table, tmp_path) -> None:
    metrics(table, tmp_path / "m.json", tmp_path / "m.csv", run="r")
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "supported": 1,
        "above_chance": 1,
        "not_supported": 1,
        "named": {"groups": {"taco": 0.5, "pixels": 0.25}, "datasets": {"taco": None}},
    }
    rows = pd.read_csv(tmp_path / "m.csv")
    assert list(rows) == ["label", *PLOTTED]
    labels = ["named, groups, taco", "named, groups, pixels", "named, datasets, taco"]
    assert rows["label"].tolist() == labels
    assert rows["estimate"].isna().tolist() == [False, False, True]


def test_a_table_of_another_run_is_no_metric(table, tmp_path) -> None:
    with pytest.raises(DataError, match=r"not .other."):
        metrics(table, tmp_path / "m.json", tmp_path / "m.csv", run="other")
    assert not (tmp_path / "m.json").exists()
