"""predictions.parquet of the multi-task systems."""

import numpy as np
import pandas as pd
import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.multitask import (
    COLUMNS,
    read_multitask_predictions,
    statistics_of,
    write_multitask_predictions,
)
from medtaskatlas.formats.predictions import write_predictions


def rows(**changes):
    common = dict.fromkeys(COLUMNS, "x") | {"seed": 0, "fold": -1, "split": "test"}
    table = pd.DataFrame([common | {"image_id": f"i{i}"} for i in range(3)])
    table["statistics"] = [np.array([i, 2.0], np.float32) for i in range(3)]
    return table.assign(**changes)


def test_what_was_written_is_read(tmp_path):
    out = tmp_path / "predictions.parquet"
    write_multitask_predictions(out, rows()[list(COLUMNS)[::-1]], {"targets": {}})
    read, facts = read_multitask_predictions(out)
    pd.testing.assert_frame_equal(read[list(COLUMNS[:-1])], rows()[list(COLUMNS[:-1])])
    assert statistics_of(read).tolist() == [[0, 2], [1, 2], [2, 2]]
    assert facts == {"targets": {}}


def test_statistics_of_a_group_alone_may_be_nan(tmp_path):
    hole = [np.array([1, np.nan], np.float32)] * 3
    out = tmp_path / "p.parquet"
    with pytest.raises(DataError, match="target x on x/i0 are not finite"):
        write_multitask_predictions(out, rows(statistics=hole), {"a": 1})
    write_multitask_predictions(
        out, rows(statistics=hole, image_id=None, group_id=["a", "b", "c"]), {"a": 1}
    )
    assert read_multitask_predictions(out)[0]["image_id"].isna().all()
    endless = [np.array([1, np.inf], np.float32)] * 3
    with pytest.raises(DataError, match="not finite"):
        write_multitask_predictions(out, rows(statistics=endless, image_id=None), {"a": 1})


def test_bad_rows_are_refused(tmp_path):
    out = tmp_path / "p.parquet"
    for changes, error, message in (
        ({"image_id": "same"}, DataError, "there twice"),
        ({"statistics": [np.ones(2), np.ones(2), np.ones(3)]}, DataError, "2 and 3 numbers"),
        ({"split": "train"}, ValueError, "split"),
        ({"target": None}, ValueError, "nulls"),
        ({"more": 1}, ValueError, "columns"),
    ):
        with pytest.raises(error, match=message):
            write_multitask_predictions(out, rows(**changes), {"a": 1})
    assert not out.exists()


def test_another_file_is_refused(tmp_path):
    write_predictions(tmp_path / "p.parquet", rows(), {"a": 1})
    with pytest.raises(DataError, match="no multi-task predictions"):
        read_multitask_predictions(tmp_path / "p.parquet")
