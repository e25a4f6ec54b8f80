"""The tables of an atlas: results/<run>/tables/<table>.parquet, each with a written schema.

A table is checked when it is written: columns, types, ranges, unique keys, and that a number that
is missing has its reason beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
import pyarrow.parquet as pq
from pandera.errors import SchemaError, SchemaErrors

from medtaskatlas.atlas.schemas.columns import Column, TableSpec
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import whole_file
from medtaskatlas.core.job_facts import job_facts
from medtaskatlas.formats.arrow import META_KEY


def table_specs() -> dict[str, TableSpec]:
    """Schema of every table, by its name, in the order of the documentation.

    Returns
    -------
    dict of str to TableSpec
        From the registry.
    """
    return {name: table.load_schema() for name, table in _registry().items()}


def _registry() -> dict[str, Any]:
    """Registry of tables.

    Imported by name: the code of a table does not depend on what other tables there are.
    """
    tables: dict[str, Any] = import_module("medtaskatlas.atlas.registry").TABLES
    return tables


def _spec(name: str) -> TableSpec:
    known = _registry()
    if name not in known:
        raise ValueError(f"no table is called {name!r}; there are {', '.join(known)}")
    spec: TableSpec = known[name].load_schema()
    return spec


def _column(column: Column) -> pa.Column:
    """Pandera column of one of ours."""
    checks = []
    if column.values:
        checks.append(pa.Check.isin(list(column.values)))
    if column.low is not None:
        checks.append(pa.Check.ge(column.low))
    if column.high is not None:
        checks.append(pa.Check.le(column.high))
    return pa.Column(column.dtype, checks, nullable=column.nullable, description=column.description)


def _whole_frame_checks(spec: TableSpec) -> list[pa.Check]:
    """Rules between columns."""
    names = {column.name for column in spec.columns}
    checks = []
    if {"estimate", "note"} <= names:
        checks.append(
            pa.Check(
                lambda f: f["estimate"].notna() | f["note"].notna(),
                error="an estimate that is null needs its reason in `note`",
            )
        )
        checks.append(
            pa.Check(
                lambda f: f["ci_low"].notna() | f["note"].notna(),
                error="an interval that is null needs its reason in `note`",
            )
        )
        checks.append(
            pa.Check(
                lambda f: (
                    f["ci_low"].isna() | ((f["ci_low"] <= f["ci_high"]) & f["ci_method"].notna())
                ),
                error="an interval needs ci_low <= ci_high and its ci_method",
            )
        )
    if "p" in names:
        checks.append(
            pa.Check(
                lambda f: f["p"].isna() | (f["p_family"].notna() & f["p_adjusted"].notna()),
                error="a p needs its p_family and p_adjusted",
            )
        )
    return checks


def schema(name: str) -> pa.DataFrameSchema:
    """Schema of a table.

    Parameters
    ----------
    name
        A table of :data:`medtaskatlas.atlas.registry.TABLES`.

    Returns
    -------
    pandera.DataFrameSchema
        Strict: no column may be missing or unknown.

    Raises
    ------
    ValueError
        If there is no such table.
    """
    spec = _spec(name)
    return pa.DataFrameSchema(
        {column.name: _column(column) for column in spec.columns},
        checks=_whole_frame_checks(spec),
        unique=list(spec.key),
        strict=True,
        ordered=True,
        name=name,
        description=spec.description,
    )


def conform(name: str, rows: pd.DataFrame | Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Bring rows into the order and types of a table, and check them.

    Parameters
    ----------
    name
        A table of :data:`medtaskatlas.atlas.registry.TABLES`.
    rows
        A frame or a list of records; nullable columns may be left out, unknown columns may not.

    Returns
    -------
    pandas.DataFrame
        The table.

    Raises
    ------
    DataError
        If the rows do not fit the schema; names the column and the first bad values.
    """
    rules = schema(name)
    frame = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    unknown = sorted(set(frame.columns) - set(rules.columns))
    if unknown:
        raise DataError(f"table {name}: unknown columns {', '.join(unknown)}", "see docs/tables.md")
    for column in _spec(name).columns:
        if column.name not in frame:
            if not column.nullable and len(frame):
                raise DataError(f"table {name}: column {column.name} is missing", _REMEDY)
            frame[column.name] = None
        try:
            frame = frame.astype({column.name: column.dtype})
        except (TypeError, ValueError) as error:
            raise DataError(
                f"table {name}: column {column.name} is not {column.dtype}: {error}", _REMEDY
            ) from error
    frame = frame[list(rules.columns)].reset_index(drop=True)
    try:
        return rules.validate(frame)
    except (SchemaError, SchemaErrors) as error:
        raise DataError(f"table {name} breaks its schema: {error}", _REMEDY) from error


_REMEDY = "this is a mistake in the code that makes the table, or in a task or reader of your own"


def write_table(
    name: str,
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    path: str | Path,
    meta: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Check a table and write it, with what is known of the job that makes it.

    Parameters
    ----------
    name
        A table of :data:`medtaskatlas.atlas.registry.TABLES`.
    rows
        See :func:`conform`.
    path
        The parquet file to make.
    meta
        JSON-able facts for the file's metadata.

    Returns
    -------
    pandas.DataFrame
        The table as written.

    Raises
    ------
    DataError
        If the rows do not fit the schema, or the disk is full.
    """
    frame = conform(name, rows)
    table = arrow.Table.from_pandas(frame, preserve_index=False)
    facts = {"table": name, **(meta or {})}
    if (made_by := job_facts()) is not None:
        facts["provenance"] = made_by
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    metadata = {**(table.schema.metadata or {}), META_KEY: text.encode()}
    with whole_file(path) as part:
        pq.write_table(table.replace_schema_metadata(metadata), part, compression="zstd")
    return frame


def read_table(
    path: str | Path, name: str | None = None, *, run: str | None = None
) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    path
        A file made by :func:`write_table`.
    name
        The table it must be; checked where it is given.
    run
        The run it must be of; checked where it is given.

    Returns
    -------
    pandas.DataFrame
        The table; ``attrs["meta"]`` holds the facts of the file, among them ``provenance``, where
        a job of the workflow made it.

    Raises
    ------
    DataError
        If the file is missing, damaged, or another table.
    """
    path = Path(path)
    remedy = f"delete {path} and start the run again"
    if not path.exists():
        raise DataError(f"{path} is missing", "start the run again to make it")
    try:
        table = pq.read_table(path)
    except (arrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is damaged or truncated ({error})", remedy) from error
    facts = json.loads((table.schema.metadata or {}).get(META_KEY, b"{}"))
    if name is not None and facts.get("table") != name:
        raise DataError(f"{path} is not the table {name!r} (but {facts.get('table')!r})", remedy)
    if run is not None and facts.get("run") != run:
        raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy)
    frame = table.to_pandas()
    if name is not None and list(frame.columns) != [c.name for c in _spec(name).columns]:
        raise DataError(f"{path} was made by another version of medtaskatlas", remedy)
    frame.attrs["meta"] = facts
    return frame


def document() -> str:
    """All schemas as Markdown, for docs/tables.md.

    Returns
    -------
    str
        A section a table.
    """
    lines = [
        "# Tables",
        "",
        "Generated from `medtaskatlas.atlas.schemas`; do not edit.",
        "`results/<run>/tables/<table>.parquet`, read with `pandas.read_parquet`.",
    ]
    for name, spec in table_specs().items():
        lines += ["", f"## {name}", "", spec.description, "", f"One row a {', '.join(spec.key)}."]
        lines += ["", "| column | type | null | meaning |", "|---|---|---|---|"]
        for column in spec.columns:
            null = "yes" if column.nullable else "no"
            values = f" ({', '.join(column.values)})" if column.values else ""
            lines.append(
                f"| {column.name} | {column.dtype} | {null} | {column.description}{values} |"
            )
    return "\n".join(lines) + "\n"
