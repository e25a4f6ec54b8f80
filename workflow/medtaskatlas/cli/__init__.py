"""The command line: datasets, tasks, pairs, and what a run showed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, get_args

import typer

from medtaskatlas import __version__
from medtaskatlas.core.errors import AtlasError, ConfigError, nearest
from medtaskatlas.core.files import existing_folder
from medtaskatlas.encoders.kinds.clip import MODEL

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An atlas of how medical vision tasks relate. The workflow itself is run by `snakemake`.",
)


def _show_version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
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


def _check_filter(option: str, values: Iterable[str] | None, valid: Iterable[str]) -> None:
    """Refuse what is no value of a filter, with the valid ones that are nearest to it."""
    valid = set(valid)
    for value in values or ():
        if value not in valid:
            remedy = f"{nearest(value, valid)} Type one of them after {option}"
            raise ConfigError(f"{option}: {value!r} is unknown", remedy)


def _counted(**counts: int) -> str:
    """Numbers of things in words."""
    return ", ".join(f"{n} {noun}{'s' * (n != 1)}" for noun, n in counts.items())


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Rows in aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


datasets = typer.Typer(help="The datasets: list them, describe and check a folder of your own.")
app.add_typer(datasets, name="datasets")


@datasets.callback(invoke_without_command=True)
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
        Path | None, typer.Option(help="folder of folder datasets to list too")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of the fetched data")] = Path("data"),
) -> None:
    """List the datasets: the catalogue's, and those of a folder."""
    if context.invoked_subcommand is not None:
        return
    from medtaskatlas.datasets.catalogue import listing, load_catalogue
    from medtaskatlas.datasets.dataset import Dataset, Modality
    from medtaskatlas.datasets.sources.folder import find_folder_datasets
    from medtaskatlas.run.selection import licence_allowed, licence_parts
    from medtaskatlas.tasks.needs import NEEDS

    own = find_folder_datasets(existing_folder(datasets_dir)) if datasets_dir else {}
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
        _check_filter(option, values, valid)
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
        typer.echo(_table(head, rows))
    elif chosen:
        typer.echo(f"none of these {len(chosen)} datasets is in {data}; leave out --fetched")
    else:
        typed = [f"{o} {value}" for o, (values, _) in filters.items() for value in values or ()]
        typer.echo(f"none of {len(known)} datasets meets {' '.join(typed)}; leave one out")


@datasets.command("init")
def init_dataset(
    folder: Annotated[Path, typer.Argument(help="folder with your images, or an archive of one")],
) -> None:
    """Write a dataset.yaml to fill in; what can be seen is filled in already."""
    from medtaskatlas.datasets.folder.init import init_folder

    typer.echo(init_folder(_unpacked(folder)))


@datasets.command("check")
def check_dataset(
    folder: Annotated[Path, typer.Argument(help="folder dataset, or a folder of them")],
) -> None:
    """Read everything once and say what is wrong, line by line."""
    from medtaskatlas.datasets.folder.check import check_folder

    bad = 0
    existing_folder(folder)
    for dataset in sorted(p.parent for p in folder.glob("*/dataset.yaml")) or [folder]:
        findings = check_folder(dataset)
        for finding in findings:
            typer.echo(str(finding))
        errors = sum(f.severity == "error" for f in findings)
        warnings = sum(f.severity == "warning" for f in findings)
        typer.echo(f"{dataset}: {_counted(error=errors, warning=warnings)}")
        bad += errors
    if bad:
        raise typer.Exit(1)
    own = folder.resolve().parent if (folder / "dataset.yaml").is_file() else folder
    run = "snakemake --cores all --configfile config/folder.yaml"
    typer.echo(
        f"to run on all datasets of {own}: {run} --config datasets_dir={shlex.quote(str(own))}"
    )


def _unpacked(path: Path) -> Path:
    """The folder itself, or the folder beside an archive that it is unpacked to."""
    if not path.is_file():
        return path
    from medtaskatlas.datasets.archives.extract import extract

    folder = path.with_name(path.name.split(".")[0])
    extract(path, folder)
    typer.echo(f"unpacked {path} to {folder}")
    return folder


tasks = typer.Typer(help="The tasks: list them, check one of your own.")
app.add_typer(tasks, name="tasks")


@tasks.callback(invoke_without_command=True)
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

    _check_filter("--family", family, FAMILIES)
    rows = [
        [
            t.name,
            t.family,
            "extra" if t.extra else "",
            ", ".join(sorted(t.needs)) or "-",
            f"{t.ladder.effect} ({t.ladder.unit}) {t.ladder.mildest:g} to {t.ladder.strongest:g}"
            if t.ladder
            else "-",
            t.description,
        ]
        for t in load_bank(tasks_dir).values()
        if (not family or t.family in family) and (extras or not t.extra)
    ]
    typer.echo(_table(["name", "family", "", "needs", "severity ladder", "description"], rows))


@tasks.command("check")
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
    typer.echo(f"{file}: {_counted(task=len(names), error=errors, warning=warnings)}")
    if errors:
        raise typer.Exit(1)
    typer.echo(
        f"to run them: snakemake --cores all --config tasks_dir={shlex.quote(str(file.parent))}"
    )


@app.command()
def replay(
    pair_id: Annotated[str, typer.Argument(help="e.g. main/rotation/ct_dicom/17")],
    run: Annotated[Path, typer.Option(help="folder of the run")] = Path("results/embedded"),
    out: Annotated[Path | None, typer.Option(help="write input and output to this PNG")] = None,
    tasks_dir: Annotated[Path | None, typer.Option(help="folder with your own tasks")] = None,
) -> None:
    """Make a stored pair again from its row and its image alone, and compare bit for bit."""
    from medtaskatlas.pairs.replay import verify

    before, after = verify(run, pair_id, tasks_dir)
    typer.echo(f"{pair_id}: {before.shape[1]} x {before.shape[0]} px, equal to what is stored")
    if out is not None:
        import cv2
        import numpy as np

        from medtaskatlas.core.files import whole_file

        beside = np.concatenate([before, after], axis=1)[..., ::-1]
        with whole_file(out) as part:
            part.write_bytes(cv2.imencode(".png", beside)[1].tobytes())
        typer.echo(f"wrote {out}")


weights = typer.Typer(no_args_is_help=True, help="Weights of encoders that a run does not fetch.")
app.add_typer(weights, name="weights")


@weights.callback()
def _weights() -> None:
    """Weights of encoders that a run does not fetch."""


@weights.command("clip")
def fetch_weights_of_clip(
    model: Annotated[str, typer.Option(help="name at Hugging Face")] = MODEL,
    folder: Annotated[
        Path | None, typer.Option(help="where to; by default data/weights/<model>")
    ] = None,
) -> None:
    """Download the weights of CLIP; goes on where an earlier call was cut off."""
    from medtaskatlas.encoders.clip_weights import fetch_clip

    typer.echo(f"the weights of {model} are in {fetch_clip(model, folder)}")


@app.command()
def keep(
    run: Annotated[str, typer.Argument(help="name of a finished run, or results/<run>")],
    command: Annotated[str, typer.Option(help="what was typed to run it")] = "make atlas",
    out: Annotated[Path | None, typer.Option(help="default: docs/results/<run>.md")] = None,
) -> None:
    """Write the headline tables of a run as one small page for git."""
    from medtaskatlas.atlas.keep import keep as write

    results = Path(run) if "/" in run else Path("results") / run
    page = out or Path("docs/results") / f"{results.name}.md"
    write(results, page, command=command)
    typer.echo(f"wrote {page}")


@app.command()
def plan(  # noqa: PLR0917 - options of the command line
    pairs: Annotated[list[str] | None, typer.Argument(help="more key=value of --config")] = None,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="as for snakemake; default: config/embedded.yaml")
    ] = None,
    config: Annotated[list[str] | None, typer.Option(help="key=value, as for snakemake")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="default: those of this machine")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="how many")] = 0,
    gpu: Annotated[str, typer.Option(help="which card")] = "H100-class",
    measure: Annotated[
        list[Path] | None, typer.Option(help="results/<run>: fit the rates anew, write them")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="with --measure: where to")] = None,
    rates: Annotated[Path | None, typer.Option(help="rates of yours, of --measure")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Say what a run will cost before it runs: jobs, hours, memory, disk."""
    import json
    import os

    from medtaskatlas.run.budget.counts import RATES

    if measure:
        from medtaskatlas.run.budget.measure import measure as measured

        place = out or RATES
        found = measured(measure, place)
        typer.echo(f"wrote {place}: {len(found.by_key)} rates of {found.about['jobs']} jobs")
        return
    from medtaskatlas.run.budget.asked import asked_config
    from medtaskatlas.run.budget.estimate import estimate
    from medtaskatlas.run.budget.rates import load_rates
    from medtaskatlas.run.budget.text import as_text
    from medtaskatlas.run.planning import plan_run

    files = configfile or [Path("config/embedded.yaml")]
    run = plan_run(asked_config(files, [*(config or []), *(pairs or [])]))
    many = cores or os.cpu_count() or 1
    cost = estimate(run, load_rates(rates or RATES), cores=many, gpus=gpus, gpu=gpu)
    typer.echo(json.dumps(cost, indent=1, ensure_ascii=False) if as_json else as_text(cost))


@app.command()
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
    from medtaskatlas.provenance.trace import conditions, trace

    found = trace(table, row=row, where=conditions(where), quick=quick)
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    from medtaskatlas.provenance.tree import as_tree

    typer.echo(as_tree(found))


def main() -> None:
    """Run the command line; errors that users can act on come without a traceback."""
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
