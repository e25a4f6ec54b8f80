"""The command line: look at the catalogue of datasets and at the bank of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medtaskatlas.errors import AtlasError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An atlas of how medical vision tasks relate. The workflow itself is run by `snakemake`.",
)


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Rows in aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


@app.command()
def datasets(
    modality: Annotated[list[str] | None, typer.Option(help="only this modality")] = None,
    annotation: Annotated[
        list[str] | None, typer.Option(help="only ground_truth, derived or none")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the fetched data")] = Path("data"),
) -> None:
    """List the datasets of the catalogue."""
    from medtaskatlas.datasets.catalogue import load_catalogue

    rows = [
        [
            d.name,
            d.modality,
            d.body_part,
            d.annotation,
            d.licence,
            "yes" if (data / d.source / d.name / "MANIFEST.json").is_file() else "no",
            d.title,
        ]
        for d in load_catalogue().values()
        if (not modality or d.modality in modality)
        and (not annotation or d.annotation in annotation)
    ]
    typer.echo(
        _table(["name", "modality", "body part", "annotation", "licence", "fetched", "title"], rows)
    )


@app.command()
def tasks(
    family: Annotated[
        list[str] | None, typer.Option(help="only semantic, generative or transformation")
    ] = None,
    tasks_dir: Annotated[Path | None, typer.Option(help="folder with your own tasks")] = None,
) -> None:
    """List the tasks of the bank."""
    from medtaskatlas.tasks.bank import load_bank

    rows = [
        [
            t.name,
            t.family,
            ", ".join(sorted(t.needs)) or "-",
            f"{t.ladder.effect} ({t.ladder.unit}) {t.ladder.mildest:g} to {t.ladder.strongest:g}"
            if t.ladder
            else "-",
            t.description,
        ]
        for t in load_bank(tasks_dir).values()
        if not family or t.family in family
    ]
    typer.echo(_table(["name", "family", "needs", "severity ladder", "description"], rows))


@app.command()
def keep(
    run: Annotated[str, typer.Argument(help="name of a finished run")],
    command: Annotated[str, typer.Option(help="what was typed to run it")] = "make atlas",
    out: Annotated[Path | None, typer.Option(help="default: docs/results/<run>.md")] = None,
) -> None:
    """Write the headline tables of a run as one small page for git."""
    from medtaskatlas.atlas.keep import keep as write

    page = out or Path("docs/results") / f"{run}.md"
    write(Path("results") / run, page, command=command)
    typer.echo(f"wrote {page}")


def main() -> None:
    """Run the command line; errors that users can act on come without a traceback."""
    try:
        app()
    except AtlasError as error:
        typer.echo(f"medtaskatlas: {error}", err=True)
        raise SystemExit(1) from None
