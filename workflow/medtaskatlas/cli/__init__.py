"""The command line: one module a command, or a group of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from medtaskatlas import __version__
from medtaskatlas.cli import datasets, tasks, weights
from medtaskatlas.cli.keep import keep
from medtaskatlas.cli.place import EXAMPLES as PLACES
from medtaskatlas.cli.place import place
from medtaskatlas.cli.plan import plan
from medtaskatlas.cli.predict import EXAMPLES, predict
from medtaskatlas.cli.provenance import provenance
from medtaskatlas.cli.replay import replay
from medtaskatlas.cli.targets import targets
from medtaskatlas.core.errors import AtlasError
from medtaskatlas.core.text import use_utf8

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An atlas of how medical vision tasks relate. The workflow itself is run by `snakemake`.",
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(tasks.app, name="tasks")
app.command()(targets)
app.command(epilog=EXAMPLES)(predict)
app.command(epilog=PLACES)(place)
app.command()(replay)
app.add_typer(weights.app, name="weights")
for command in (keep, plan, provenance):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"medtaskatlas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="print the version"),
    ] = False,
) -> None:
    """Options of the command line as a whole."""


def main() -> None:
    """Run the command line; errors that users can act on come without a traceback."""
    use_utf8()
    try:
        app()
    except AtlasError as error:
        typer.echo(f"medtaskatlas: {error}", err=True)
        raise SystemExit(1) from None
    except OSError as error:
        # A file that no command foresaw; an error without a file is a mistake of ours.
        if error.filename is None:
            raise
        remedy = "check the path and who may read and write there"
        typer.echo(
            f"medtaskatlas: {error.filename}: {error.strerror}\n  remedy: {remedy}", err=True
        )
        raise SystemExit(1) from None
