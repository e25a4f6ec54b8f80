"""``medtaskatlas keep``: the headline tables of a run as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keep(
    run: Annotated[str, typer.Argument(help="name of a finished run, or results/<run>")],
    command: Annotated[str, typer.Option(help="what was typed to run it")] = "make atlas",
    out: Annotated[Path | None, typer.Option(help="default: docs/results/<run>.md")] = None,
) -> None:
    """Write the headline tables of a run as one small page for git."""
    from medtaskatlas.atlas.run_page import run_page as write

    results = Path(run) if "/" in run else Path("results") / run
    page = out or Path("docs/results") / f"{results.name}.md"
    write(results, page, command=command)
    typer.echo(f"wrote {page}")
