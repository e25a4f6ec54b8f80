"""Measure the rates anew: from the benchmark files that Snakemake wrote for runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medtaskatlas.core.code_hash import commit
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import existing_run, read_json, whole_file
from medtaskatlas.run.budget.counts import Images, assumed, images_of
from medtaskatlas.run.budget.job import Job
from medtaskatlas.run.budget.rates import Rates, as_json, fitted
from medtaskatlas.run.budget.stages import jobs_of
from medtaskatlas.run.plan import Plan, plan_run


def measure(runs: Sequence[str | Path], out: Path) -> Rates:
    """Fit rates to the benchmark files of runs and write them.

    Parameters
    ----------
    runs
        Folders results/<run>, each with its config.json. Jobs without a benchmark file are left
        out, so runs that are not finished will do.
    out
        The JSON file to make.

    Returns
    -------
    Rates
        What was written.

    Raises
    ------
    DataError
        If a folder has no config.json, or no benchmark file at all.
    """
    samples: list[tuple[Job, float, float]] = []
    images: dict[str, int] = {}
    plans = [_plan_of(run) for run in map(Path, runs)]
    for run, plan in zip(map(Path, runs), plans, strict=True):
        counts = _images(run, plan)
        found = list(_measured(run, jobs_of(plan, counts, assumed()["networks"])))
        if not found:
            raise DataError(f"{run}/benchmarks has no file of a job", "run it first")
        samples += found
        images |= {
            name: known.n
            for name, known in counts.items()
            if plan.datasets[name].source == "embedded" and known.known == "prepared"
        }
    about = _about(plans, len(samples))
    rates = Rates(about, fitted(samples), dict(sorted(images.items())))
    with whole_file(out) as part:
        part.write_text(_text(as_json(rates)))
    return rates


def _plan_of(run: Path) -> Plan:
    """Plan of a run from its resolved configuration."""
    config = existing_run(run) / "config.json"
    if not config.is_file():
        raise DataError(
            f"{config} is missing", f"make it: snakemake results/{run.name}/config.json --cores 1"
        )
    return plan_run(read_json(config))


def _images(run: Path, plan: Plan) -> dict[str, Images]:
    """Pictures as they were prepared, where they lie there."""
    from medtaskatlas.formats.arrow import ArrowFile

    known = images_of(plan, {})
    files = {name: run / "images" / f"{name}.arrow" for name in known}
    there = {n: Images(len(ArrowFile(f)), "prepared") for n, f in files.items() if f.is_file()}
    return known | there


def _measured(run: Path, jobs: Iterable[Job]) -> Iterator[tuple[Job, float, float]]:
    """Jobs with a benchmark file: core-seconds, and peak memory in MB."""
    for job in jobs:
        file = run / "benchmarks" / f"{job.benchmark}.tsv"
        row = _row(file) if file.is_file() else None
        if row is not None:
            # A job that ends before the first look at it has no memory.
            own = max(0.0, _number(row["max_rss"]) - job.mapped_mb)
            yield job, float(row["s"]) * job.threads, own


def _row(file: Path) -> Mapping[str, str] | None:
    """First row of a benchmark file; None where it holds none."""
    lines = file.read_text().splitlines()
    if len(lines) < 2:
        return None
    return dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=False))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _about(plans: list[Plan], jobs: int) -> dict[str, Any]:
    """Where the rates are from."""
    return {
        "command": " ".join(
            ["medtaskatlas plan", *(f"--measure results/{plan.config.run}" for plan in plans)]
        ),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "jobs": jobs,
        "runs": [plan.summary() for plan in plans],
    }


def _text(content: Mapping[str, Any]) -> str:
    """JSON with a rate a line."""
    lines = []
    for key, value in content.items():
        if key == "rates":
            rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            lines.append(' "rates": {\n' + ",\n".join(rows) + "\n }")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
