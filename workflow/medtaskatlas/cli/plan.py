"""``medtaskatlas plan``: what a run will cost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer


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
    from medtaskatlas.run.budget.rates import RATES, load_rates

    if measure:
        from medtaskatlas.run.budget.rates import measure as measured

        place = out or RATES
        found = measured(measure, place)
        typer.echo(f"wrote {place}: {len(found.by_key)} rates of {found.about['jobs']} jobs")
        return
    from medtaskatlas.run.budget.config import merged_config
    from medtaskatlas.run.budget.estimate import as_text, estimate
    from medtaskatlas.run.plan import plan_run

    files = configfile or [Path("config/embedded.yaml")]
    run = plan_run(merged_config(files, [*(config or []), *(pairs or [])]))
    many = cores or os.cpu_count() or 1
    cost = estimate(run, load_rates(rates or RATES), cores=many, gpus=gpus, gpu=gpu)
    typer.echo(json.dumps(cost, indent=1, ensure_ascii=False) if as_json else as_text(cost))
