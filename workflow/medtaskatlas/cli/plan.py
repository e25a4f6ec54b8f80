"""``medtaskatlas plan``: what a run will cost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from medtaskatlas.core.errors import ConfigError, DataError, yaml_mistake
from medtaskatlas.core.files import read_text
from medtaskatlas.core.limits import PlainLoader
from medtaskatlas.core.text import aligned_table

COLUMNS = ["rule", "jobs", "CPU-hours", "GPU-hours", "longest job", "peak memory"]


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
    from medtaskatlas.run.budget.estimate import estimate
    from medtaskatlas.run.budget.rates import RATES, load_rates
    from medtaskatlas.run.budget.rates import measure as measured
    from medtaskatlas.run.plan import plan_run

    if measure:
        file = out or RATES
        found = measured(measure, file)
        typer.echo(f"wrote {file}: {len(found.by_key)} rates of {found.about['jobs']} jobs")
        return
    files = configfile or [Path("config/embedded.yaml")]
    run = plan_run(merged_config(files, [*(config or []), *(pairs or [])]))
    many = cores or os.cpu_count() or 1
    cost = estimate(run, load_rates(rates or RATES), cores=many, gpus=gpus, gpu=gpu)
    typer.echo(json.dumps(cost, indent=1, ensure_ascii=False) if as_json else as_text(cost))


def merged_config(configfiles: Iterable[Path], pairs: Iterable[str]) -> dict[str, Any]:
    """Configuration of files and of ``key=value``, put together as Snakemake does."""
    config: dict[str, Any] = {}
    for file in configfiles:
        try:
            content = _yaml(f"--configfile: {file}", read_text(file))
        except DataError as error:
            raise ConfigError(f"--configfile: {error.problem}", error.remedy) from error
        if not isinstance(content, Mapping):
            remedy = "write `key: value`; see config/README.md"
            raise ConfigError(f"--configfile: {file} holds no keys", remedy)
        config = _merged(config, content)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--config: {pair!r} is no key=value", "write e.g. image_size=224")
        config = _merged(config, {key: _yaml(f"--config: {pair!r}", value)})
    return config


def _yaml(name: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {yaml_mistake(error)}", "mend that") from None


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Sections key by key, all else replaced."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def as_text(found: Mapping[str, Any]) -> str:
    """An estimate as a table with a line a rule, and what it comes to in all."""
    total, wall, disk, about = (found[k] for k in ("total", "wall_hours", "disk_gb", "rates"))
    whole = {"rule": "in all", "longest_job_hours": None, "peak_mb": total["peak_mb_of_a_job"]}
    whole |= {"measured": True, "far_from_measured": False}
    rows = [*map(_row, found["rules"]), _row({**total, **whole})]
    cards = f" and {found['gpus']} GPU ({found['gpu']})" if found["gpus"] else ", no GPU"
    lines = [
        found["summary"],
        "",
        aligned_table(COLUMNS, rows, numbers=True),
        "",
        f"wall clock  {_hours(wall['all'])} on {found['cores']} cores{cards}: "
        + ", ".join(f"{k} {_hours(v)}" for k, v in wall.items() if k != "all"),
        "GPU-hours   "
        + ", ".join(f"{v:,.1f} on {k} cards" for k, v in found["gpu_hours"].items())
        + " (estimate)",
        f"memory      {_size(total['peak_mb_at_once'])} where the largest jobs meet",
        f"disk        {disk['all']:,.1f} GB: "
        + ", ".join(f"{k} {v:,.2f}" for k, v in disk.items() if k != "all"),
        f"Slurm       {found['slurm']['submissions']} submissions, "
        f"{found['slurm']['of_pairs']} of them pairs",
        "",
        f"rates       of {about['jobs']} jobs on {about['machine']}, commit {about['commit']}: "
        f"{about['command']}",
        *(f"- {note}" for note in found["notes"]),
    ]
    return "\n".join(lines)


def _row(row: Mapping[str, Any]) -> list[str]:
    mark, longest, known = "~" * row["far_from_measured"], row["longest_job_hours"], row["measured"]
    return [
        row["rule"],
        f"{row['jobs']:,}",
        f"{mark}{row['cpu_hours']:,.2f}" if known else "?",
        f"{row['gpu_hours']:,.2f}" if row["gpu_hours"] else "-",
        "" if longest is None else (f"{mark}{_hours(longest)}" if known else "?"),
        f"{mark}{_size(row['peak_mb'])}" if known else "?",
    ]


def _hours(hours: float) -> str:
    """Hours as people say them."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def _size(megabytes: float) -> str:
    return f"{megabytes:,.0f} MB" if megabytes < 10_000 else f"{megabytes / 1e3:,.1f} GB"
