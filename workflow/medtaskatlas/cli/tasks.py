"""``medtaskatlas tasks``: list them, check one of your own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from medtaskatlas.cli.text import check_filter, counted
from medtaskatlas.core.text import aligned_table

app = typer.Typer(help="The tasks: list them, check one of your own.")


@app.callback(invoke_without_command=True)
def list_tasks(
    context: typer.Context,
    family: Annotated[
        list[str] | None, typer.Option(help="only semantic, generative or transformation")
    ] = None,
    extras: Annotated[bool, typer.Option("--extras/--no-extras", help="with the extras")] = True,
    tasks_dir: Annotated[Path | None, typer.Option(help="folder with your own tasks")] = None,
) -> None:
    """List the tasks: the thirty, the extras (run when named), and your own."""
    if context.invoked_subcommand is not None:
        return
    from medtaskatlas.tasks.bank import load_bank
    from medtaskatlas.tasks.task import FAMILIES

    check_filter("--family", family, FAMILIES)
    rows = [
        [
            t.name,
            t.family,
            "extra" if t.extra else "",
            ", ".join(sorted(t.needs)) or "-",
            str(t.ladder or "-"),
            t.description,
        ]
        for t in load_bank(tasks_dir).values()
        if (not family or t.family in family) and (extras or not t.extra)
    ]
    head = ["name", "family", "", "needs", "severity ladder", "description"]
    typer.echo(aligned_table(head, rows))


@app.command("check")
def check_tasks(
    file: Annotated[Path, typer.Argument(help="file with tasks of your own")],
) -> None:
    """Hold the tasks of a file to their contract, on pictures of several sizes and kinds."""
    from medtaskatlas.tasks.check import check_file

    findings = check_file(file)
    for finding in findings:
        typer.echo(str(finding))
    errors, warnings = (sum(f.severity == s for f in findings) for s in ("error", "warning"))
    names = {f.task for f in findings if f.task}
    typer.echo(f"{file}: {counted(task=len(names), error=errors, warning=warnings)}")
    if errors:
        raise typer.Exit(1)
    typer.echo(
        f"to run them: snakemake --cores all --config tasks_dir={shlex.quote(str(file.parent))}"
    )
