"""The table `medformer_duplicates`, written by hand."""

import json
from pathlib import Path

from medtaskatlas.atlas.tables import write_table

COUNTS = ("n_train", "n_val", "n_test", "within_split", "across_splits", "other_labels", "dropped")


def duplicates_table(folder: Path, left_out: dict[str, list[str]]) -> Path:
    """Set to the names of test images that are left out."""
    path = folder / "medformer_duplicates.parquet"
    rows = [
        {"run": "r", "set": name, **dict.fromkeys(COUNTS, 0), "n_left_out": len(ids),
         "left_out": json.dumps(ids)}
        for name, ids in left_out.items()
    ]  # fmt: skip
    write_table("medformer_duplicates", rows, path, {"run": "r"})
    return path


def no_duplicates(folder: Path) -> Path:
    """No set has any."""
    return duplicates_table(folder, {})
