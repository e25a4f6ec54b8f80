"""``medtaskatlas provenance``: the files, the code and the raw data behind a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def provenance(
    table: Annotated[Path, typer.Argument(help="results/<run>/tables/<table>.parquet")],
    row: Annotated[int | None, typer.Option(help="number of one row, from 0")] = None,
    where: Annotated[
        str | None, typer.Option(help='rows by value: "encoder=taco,measure=kappa"')
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="compare sizes, not hashes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Trace a table, or a number of it, to the files, the code and the raw data behind it."""
    from medtaskatlas.provenance.trace import as_tree, conditions, trace

    found = trace(table, row=row, where=conditions(where), quick=quick)
    typer.echo(json.dumps(found, indent=1, ensure_ascii=False) if as_json else as_tree(found))
