"""``medtaskatlas datasets``: list them, describe and check a folder of your own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, get_args

import typer

from medtaskatlas.cli.text import check_filter, counted
from medtaskatlas.core.files import existing_folder
from medtaskatlas.core.text import aligned_table, visible

app = typer.Typer(help="The datasets: list them, describe and check a folder of your own.")


@app.callback(invoke_without_command=True)
def list_datasets(  # noqa: PLR0917 - options of the command line
    context: typer.Context,
    source: Annotated[list[str] | None, typer.Option(help="only this source")] = None,
    modality: Annotated[list[str] | None, typer.Option(help="only this modality")] = None,
    annotation: Annotated[
        list[str] | None, typer.Option(help="only ground_truth, derived or none")
    ] = None,
    licence: Annotated[list[str] | None, typer.Option(help="only under this licence")] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option(help="only with mask, classes, instances, boxes, objects, label or colour"),
    ] = None,
    fetched: Annotated[bool, typer.Option("--fetched", help="only what is on this disk")] = False,
    datasets_dir: Annotated[
        list[Path] | None, typer.Option(help="folder of folder datasets to list too")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the fetched data")] = Path("data"),
) -> None:
    """List the datasets: the catalogue's, and those of a folder."""
    if context.invoked_subcommand is not None:
        return
    from medtaskatlas.datasets.catalogue import listing, load_catalogue
    from medtaskatlas.datasets.dataset import Dataset, Modality
    from medtaskatlas.datasets.own import find_folder_datasets
    from medtaskatlas.run.selection import licence_allowed, licence_parts
    from medtaskatlas.tasks.needs import NEEDS

    own = find_folder_datasets(*map(existing_folder, datasets_dir or []))
    known = [*load_catalogue().values(), *own.values()]
    licences = {part for d in known for part in (d.licence, *licence_parts(d.licence))}
    filters = {
        "--source": (source, {d.source for d in known}),
        "--modality": (modality, get_args(Modality)),
        "--annotation": (annotation, get_args(Dataset.model_fields["annotation"].annotation)),
        "--licence": (licence, licences),
        "--needs": (needs, NEEDS),
    }
    for option, (values, valid) in filters.items():
        check_filter(option, values, valid)
    chosen = [
        d
        for d in known
        if (not source or d.source in source)
        and (not modality or d.modality in modality)
        and (not annotation or d.annotation in annotation)
        and (not licence or licence_allowed(d.licence, set(licence)))
        and (not needs or set(needs) <= d.offers)
    ]
    head, rows = listing(chosen, data, only_fetched=fetched)
    if rows:
        typer.echo(aligned_table(head, rows))
    elif chosen:
        typer.echo(f"none of these {len(chosen)} datasets is in {data}; leave out --fetched")
    else:
        typed = [f"{o} {value}" for o, (values, _) in filters.items() for value in values or ()]
        typer.echo(f"none of {len(known)} datasets meets {' '.join(typed)}; leave one out")


@app.command("init")
def init_dataset(
    folder: Annotated[Path, typer.Argument(help="folder with your images, or an archive of one")],
) -> None:
    """Write a dataset.yaml to fill in; what can be seen is filled in already."""
    from medtaskatlas.datasets.folder.init import init_folder

    typer.echo(visible(init_folder(_unpacked(folder))))


@app.command("check")
def check_dataset(
    folder: Annotated[Path, typer.Argument(help="folder dataset, or a folder of them")],
    pictures: Annotated[
        Path, typer.Option(help="folder for a contact sheet of each dataset, masks drawn over")
    ] = Path("results/check"),
) -> None:
    """Read everything once, say what is wrong, and draw the images with their masks."""
    from medtaskatlas.datasets.folder.check import folded, write_findings
    from medtaskatlas.datasets.own import check_own

    bad = 0
    existing_folder(folder)
    for dataset in sorted(p.parent for p in folder.glob("*/dataset.yaml")) or [folder]:
        picture = pictures / f"{dataset.resolve().name}.png"
        findings = check_own(dataset, picture)
        shown = folded(findings)
        for finding in shown:
            typer.echo(str(finding))
        errors = sum(f.severity == "error" for f in findings)
        warnings = sum(f.severity == "warning" for f in findings)
        said = f"{dataset}: {counted(error=errors, warning=warnings)}"
        if len(shown) < len(findings):
            said += f", {write_findings(findings, picture.with_suffix('.csv'))}"
        typer.echo(said)
        bad += errors
    if bad:
        raise typer.Exit(1)
    own = folder.resolve().parent if (folder / "dataset.yaml").is_file() else folder
    run = "snakemake --cores all --configfile config/folder.yaml"
    typer.echo(
        f"to run on all datasets of {own}: {run} --config datasets_dir={shlex.quote(str(own))}"
    )


def _unpacked(path: Path) -> Path:
    """The folder itself, or the folder next to an archive that it is unpacked to."""
    if not path.is_file():
        return path
    from medtaskatlas.datasets.archives.extract import extract

    folder = path.with_name(path.name.split(".")[0])
    extract(path, folder)
    typer.echo(f"unpacked {path} to {folder}")
    return folder
