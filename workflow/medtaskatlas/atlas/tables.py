"""The tables of an atlas: results/<run>/tables/<table>.parquet, each with a written schema.

A table is checked when it is written: columns, types, ranges, unique keys, and that a number that
is missing has its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from medtaskatlas.atlas.columns import Column, TableSpec
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.job_facts import job_facts
from medtaskatlas.core.text import markdown_table
from medtaskatlas.formats.parquet import read_parquet, remedy, write_parquet

if TYPE_CHECKING:
    import pandera.pandas as pandera

_MISTAKE = "this is a mistake in the code that makes the table, or in a task or reader of your own"


def table_specs() -> dict[str, TableSpec]:
    """Schema of every table, by its name, in the order of the documentation."""
    return {name: table.load_schema() for name, table in _registry().items()}


def _registry() -> dict[str, Any]:
    """Registry, imported by name: no table's code depends on what other tables there are."""
    tables: dict[str, Any] = import_module("medtaskatlas.atlas.registry").TABLES
    return tables


def _spec(name: str) -> TableSpec:
    """Schema of a table, whose module is imported only now."""
    known = _registry()
    if name not in known:
        raise ValueError(f"no table is called {name!r}; there are {', '.join(known)}")
    spec: TableSpec = known[name].load_schema()
    return spec


def _column(column: Column) -> pandera.Column:
    """Pandera column of one of ours."""
    import pandera.pandas as pandera

    checks = []
    if column.values:
        checks.append(pandera.Check.isin(list(column.values)))
    if column.low is not None:
        checks.append(pandera.Check.ge(column.low))
    if column.high is not None:
        checks.append(pandera.Check.le(column.high))
    return pandera.Column(
        column.dtype, checks, nullable=column.nullable, description=column.description
    )


def _checks(spec: TableSpec) -> list[pandera.Check]:
    """Rules between columns."""
    from pandera.pandas import Check

    names = {column.name for column in spec.columns}
    checks = []
    if {"estimate", "note"} <= names:
        checks += [
            Check(
                lambda f: f["estimate"].notna() | f["note"].notna(),
                error="an estimate that is null needs its reason in `note`",
            ),
            Check(
                lambda f: f["ci_low"].notna() | f["note"].notna(),
                error="an interval that is null needs its reason in `note`",
            ),
            Check(
                lambda f: (
                    f["ci_low"].isna() | ((f["ci_low"] <= f["ci_high"]) & f["ci_method"].notna())
                ),
                error="an interval needs ci_low <= ci_high and its ci_method",
            ),
        ]
    if "p" in names:
        checks.append(
            Check(
                lambda f: f["p"].isna() | (f["p_family"].notna() & f["p_adjusted"].notna()),
                error="a p needs its p_family and p_adjusted",
            )
        )
    return checks


def schema(name: str) -> pandera.DataFrameSchema:
    """Pandera schema of a table: strict, no column may be missing or unknown."""
    import pandera.pandas as pandera

    spec = _spec(name)
    return pandera.DataFrameSchema(
        {column.name: _column(column) for column in spec.columns},
        checks=_checks(spec),
        unique=list(spec.key),
        strict=True,
        ordered=True,
        name=name,
        description=spec.description,
    )


def conform(name: str, rows: pd.DataFrame | Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Bring rows into the order and types of a table, and check them.

    Nullable columns may be left out. A DataError names the column and the first bad values.
    """
    from pandera.errors import SchemaError, SchemaErrors

    rules = schema(name)
    frame = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    unknown = sorted(set(frame.columns) - set(rules.columns))
    if unknown:
        raise DataError(f"table {name}: unknown columns {', '.join(unknown)}", "see docs/tables.md")
    for column in _spec(name).columns:
        if column.name not in frame:
            if not column.nullable and len(frame):
                raise DataError(f"table {name}: column {column.name} is missing", _MISTAKE)
            frame[column.name] = None
        try:
            frame = frame.astype({column.name: column.dtype})
        except (TypeError, ValueError) as error:
            raise DataError(
                f"table {name}: column {column.name} is not {column.dtype}: {error}", _MISTAKE
            ) from error
    frame = frame[list(rules.columns)].reset_index(drop=True)
    try:
        return rules.validate(frame)
    except (SchemaError, SchemaErrors) as error:
        raise DataError(f"table {name} breaks its schema: {error}", _MISTAKE) from error


def write_table(
    name: str,
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    path: str | Path,
    meta: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Check a table and write it, with what is known of the job that makes it.

    Parameters
    ----------
    name, rows
        The table; nullable columns may be left out, unknown columns may not be there.
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
    facts = {"table": name, **(meta or {})}
    if (made_by := job_facts()) is not None:
        facts["provenance"] = made_by
    write_parquet(path, pa.Table.from_pandas(frame, preserve_index=False), facts)
    return frame


def read_table(
    path: str | Path, name: str | None = None, *, run: str | None = None
) -> pd.DataFrame:
    """Read a table.

    Parameters
    ----------
    path
        A file made by :func:`write_table`.
    name, run
        The table and the run that it must be of; checked where they are given.

    Returns
    -------
    pandas.DataFrame
        The table; ``attrs["meta"]`` holds the facts of the file, among them ``provenance``, where a
        job of the workflow made it.

    Raises
    ------
    DataError
        If the file is missing, damaged, or another table.
    """
    table, facts = read_parquet(path)
    if name is not None and facts.get("table") != name:
        text = f"{path} is not the table {name!r} (but {facts.get('table')!r})"
        raise DataError(text, remedy(path))
    if run is not None and facts.get("run") != run:
        raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy(path))
    frame = table.to_pandas()
    if name is not None and list(frame.columns) != [column.name for column in _spec(name).columns]:
        raise DataError(f"{path} was made by another version of medtaskatlas", remedy(path))
    frame.attrs["meta"] = facts
    return frame


def document() -> str:
    """All schemas as Markdown, for docs/tables.md; a section a table."""
    lines = [
        "# Tables",
        "",
        "Generated from the schemas in `medtaskatlas.atlas`; do not edit.",
        "`results/<run>/tables/<table>.parquet`, read with `pandas.read_parquet`.",
    ]
    for name, spec in table_specs().items():
        lines += ["", f"## {name}", "", spec.description, "", f"One row a {', '.join(spec.key)}."]
        rows = []
        for c in spec.columns:
            values = f" ({', '.join(c.values)})" if c.values else ""
            null = "yes" if c.nullable else "no"
            rows.append([c.name, c.dtype, null, f"{c.description}{values}"])
        lines += ["", markdown_table(["column", "type", "null", "meaning"], rows).rstrip()]
    return "\n".join(lines) + "\n"
