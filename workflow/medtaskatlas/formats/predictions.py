"""The contract of predictions: results/<run>/predictions/<encoder>/seed<k>.parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.embeddings import PAIR_COLUMNS
from medtaskatlas.formats.parquet import read_parquet, remedy, write_parquet

if TYPE_CHECKING:
    import pandas as pd


def write_predictions(path: str | Path, frame: pd.DataFrame, facts: Mapping[str, Any]) -> None:
    """Write what one encoder and seed says of the task of every query.

    Parameters
    ----------
    path
        The file to make.
    frame
        One row a query and method: columns
        :data:`~medtaskatlas.formats.embeddings.PAIR_COLUMNS`, ``query_set``, ``method``,
        ``predicted`` and ``predicted_family``, ``correct`` and ``family_correct`` (0 or 1; all
        four are null where the method did not ask), ``ap_at_r`` (knn only).
    facts
        Facts of the encoder and of how it was asked.
    """
    write_parquet(path, pa.Table.from_pandas(frame, preserve_index=False), facts)


def read_predictions(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a file of :func:`write_predictions`.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    pandas.DataFrame
        One row a query and method.
    dict
        Facts of its encoder.

    Raises
    ------
    DataError
        If it is missing, damaged, lacks a column of the pairs, or is not of medtaskatlas.
    """
    table, facts = read_parquet(path)
    if not facts:
        raise DataError(f"{path} was not written by medtaskatlas", f"delete {path}")
    absent = [name for name in (*PAIR_COLUMNS, "query_set") if name not in table.column_names]
    if absent:
        raise DataError(f"{path} lacks {', '.join(absent)}", remedy(path))
    return table.to_pandas(), facts
