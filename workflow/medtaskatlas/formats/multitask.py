"""The contract of multitask/<problem>/<system>/seed<k>/predictions.parquet.

Files beside it: :mod:`medtaskatlas.formats.multitask_training` and
:mod:`medtaskatlas.formats.multitask_examples`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.parquet import read_parquet, remedy, write_parquet

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("run", "problem", "system", "weighting")),
        ("seed", pa.int64()),
        ("fold", pa.int64()),  # -1: the images' own splits
        ("split", pa.string()),  # val or test
        *((name, pa.string()) for name in ("dataset", "subject_id", "group_id")),
        ("image_id", pa.string()),  # null: a whole group
        *((name, pa.string()) for name in ("target", "kind", "statistics_kind")),
        # The target that was trained with it, where a system trains pairs; null: alone, or all.
        ("beside", pa.string()),
        ("statistics", pa.list_(pa.float32())),
    ]
)
COLUMNS = tuple(SCHEMA.names)
# What a row is of; no two rows are of the same.
KEY = (
    *("run", "problem", "system", "weighting", "seed", "fold", "split"),
    *("dataset", "group_id", "image_id", "target", "statistics_kind", "beside"),
)
SPLITS = ("val", "test")
_NULLABLE = ("image_id", "subject_id", "beside")


def write_multitask_predictions(
    path: str | Path, rows: pa.Table | pd.DataFrame, facts: Mapping[str, Any]
) -> None:
    """Write the statistics of a training's evaluations.

    Parameters
    ----------
    path
        The file to make.
    rows
        Columns of :data:`COLUMNS`, in any order: one row an image, target and kind of statistics.
        ``image_id`` is null where the statistics are of all slices of a group, and there alone may
        statistics be NaN. What they hold is said in :mod:`medtaskatlas.problems.scores`.
    facts
        JSON-able facts of the training; ``targets``: by fold (a string), then by name, the facts
        of each target, or ``targets_of``: by problem, then by name; ``copies``: problem to the one
        that asks about the same images at another size.

    Raises
    ------
    DataError
        If statistics are not finite, of several lengths for one target, or there twice; names the
        target and the image.
    ValueError
        If columns are missing or unknown: a mistake in the caller.
    """
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    if set(table.column_names) != set(COLUMNS):
        raise ValueError(f"columns must be {COLUMNS}, not {table.column_names}")
    table = table.select(list(COLUMNS)).cast(SCHEMA).combine_chunks()
    _check(table)
    write_parquet(path, table, facts)


def read_multitask_predictions(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a file of :func:`write_multitask_predictions`.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`; ``statistics`` holds arrays, see :func:`statistics_of`.
    dict
        Its facts.

    Raises
    ------
    DataError
        If it is missing, damaged, or of something else.
    """
    table, facts = read_parquet(path)
    if not facts or not table.schema.equals(SCHEMA):
        raise DataError(f"{path} holds no multi-task predictions", remedy(path))
    return table.to_pandas(), facts


def statistics_of(rows: pd.DataFrame) -> np.ndarray:
    """Statistics float32 [N, K] of rows of one target and kind of statistics."""
    return np.stack(rows["statistics"].to_list()).astype(np.float32)


def _check(table: pa.Table) -> None:
    """Refuse what would give a wrong score."""
    for name in set(COLUMNS) - set(_NULLABLE):
        if table[name].null_count:
            raise ValueError(f"column {name} has nulls")
    if unknown := set(table["split"].unique().to_pylist()) - set(SPLITS):
        raise ValueError(f"split must be one of {SPLITS}, not {sorted(unknown)}")
    columns = {name: table[name].to_pylist() for name in KEY}
    keys = list(zip(*columns.values(), strict=True))
    lengths = pc.list_value_length(table["statistics"]).to_numpy()
    of_image = np.array([image is not None for image in columns["image_id"]], bool)
    values = table["statistics"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    unusable = np.isinf(values) | (np.isnan(values) & np.repeat(of_image, lengths))
    if unusable.any():
        row = int(np.repeat(np.arange(len(lengths)), lengths)[unusable][0])
        raise DataError(
            f"statistics of target {columns['target'][row]} on {columns['dataset'][row]}/"
            f"{columns['image_id'][row] or columns['group_id'][row]} are not finite",
            "its training diverged: lower the learning rate",
        )
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise DataError(
            f"predictions of {dict(zip(KEY, twice, strict=True))} are there twice",
            "give the images of a dataset names of their own",
        )
    seen: dict[tuple[str, str, str], int] = {}
    about = zip(*(columns[n] for n in ("problem", "target", "statistics_kind")), strict=True)
    for key, length in zip(about, lengths, strict=True):
        if seen.setdefault(key, length) != length:
            problem, target, kind = key
            raise DataError(
                f"problem {problem}: statistics {kind} of target {target} have {seen[key]} and "
                f"{length} numbers",
                "its datasets differ in their classes: name those that agree in `problems`",
            )
