"""Rates: seconds and megabytes of a kind of job, from the benchmark files that Snakemake wrote."""

from __future__ import annotations

import csv
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from medtaskatlas.core.code_hash import commit
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write, existing_run, read_json, read_text
from medtaskatlas.run.budget.counts import Counts
from medtaskatlas.run.budget.jobs import Job, jobs_of
from medtaskatlas.run.plan import plan_run

RATES = Path(__file__).parent / "rates.json"
# Jobs that did so many times less than others like them tell nothing of what work costs.
TOO_SMALL = 10
Sample = tuple[float, float]  # work and cost of a job
Measured = tuple[Job, float, float]  # a job, its core-seconds and MB


@dataclass(frozen=True)
class Line:
    """A cost that grows with the work: ``base + slope * work``, both at least 0."""

    base: float
    slope: float

    def at(self, work: float) -> float:
        """Cost of some work."""
        return self.base + self.slope * work


@dataclass(frozen=True)
class Rate:
    """What a kind of job costs."""

    seconds: Line  # on one core
    megabytes: Line  # at its peak
    n: int  # jobs that it was measured on
    most: float  # largest work among them: what is far above is extrapolated


@dataclass(frozen=True)
class Rates:
    """All rates, and where they are from."""

    about: dict[str, Any]  # machine, command, commit, runs and the like
    by_key: dict[str, Rate]
    images: dict[str, int]  # dataset of the packages to how many pictures were prepared of it

    def of(self, key: str) -> Rate | None:
        """Rate of the longest measured prefix of a key; None where nothing was measured."""
        return next((self.by_key[p] for p in prefixes(key) if p in self.by_key), None)


def prefixes(key: str) -> list[str]:
    """A key and what it is a case of, the longest first."""
    parts = key.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]


def fit(samples: Sequence[Sample]) -> Line:
    """Line through the medians of the smaller and of the larger half of (work, cost)."""
    works, cost = [work for work, _ in samples], median(cost for _, cost in samples)
    if max(works) < 1.5 * min(works) and min(works) > 0:
        return Line(0.0, cost / median(works))
    middle = (min(works) + max(works)) / 2
    halves = [[s for s in samples if (s[0] > middle) == larger] for larger in (False, True)]
    if not halves[1]:
        return Line(cost, 0.0)
    (x0, y0), (x1, y1) = ([median(values) for values in zip(*half, strict=True)] for half in halves)
    slope = (y1 - y0) / (x1 - x0)
    if slope <= 0:
        return Line(cost, 0.0)
    return Line(y0 - slope * x0, slope) if y0 > slope * x0 else Line(0.0, y1 / x1)


def above(samples: Sequence[Sample]) -> Line:
    """The same for memory, where no sample may be above, and what is held is held once."""
    known = [(work, cost) for work, cost in samples if cost > 0]
    if not known:
        return Line(0.0, 0.0)
    works = [work for work, _ in known]
    # Jobs of one size do not tell what is held besides.
    slope = 1.0 if max(works) < 1.5 * min(works) else max(fit(known).slope, 1.0)
    return Line(max(0.0, *(cost - slope * work for work, cost in known)), slope)


def fitted(samples: Iterable[Measured]) -> dict[str, Rate]:
    """Rates of measured jobs, for their keys and all that these are cases of."""
    found: dict[str, list[Measured]] = {}
    for sample in samples:
        for key in prefixes(sample[0].key):
            found.setdefault(key, []).append(sample)
    rates: dict[str, Rate] = {}
    for key, members in sorted(found.items()):
        works = [job.work for job, _, _ in members]
        like = next((rates[p] for p in prefixes(key)[1:] if p in rates), None)
        # Jobs of one size alone do not tell what work costs: jobs that are like them do.
        if like and (max(works) < 1.5 * min(works) or max(works) < like.most / TOO_SMALL):
            continue
        seconds = fit([(job.work, seconds) for job, seconds, _ in members])
        megabytes = above([(job.memory, mb) for job, _, mb in members])
        rates[key] = Rate(seconds, megabytes, len(members), max(works))
    return rates


def load_rates(path: Path = RATES) -> Rates:
    """Rates from a file; raises DataError where there is none, or it is of another make."""
    remedy = "make it with `medtaskatlas plan --measure RUN`, or `git checkout` it"
    try:
        content = json.loads(read_text(path))
        by_key = {
            key: Rate(Line(*row[:2]), Line(*row[2:4]), *row[4:])
            for key, row in content["rates"].items()
        }
        return Rates(dict(content["about"]), by_key, dict(content["images"]))
    except DataError as error:
        raise DataError(error.problem, f"{error.remedy}; {remedy}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no rates ({error!r})", remedy) from error


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
    samples: list[Measured] = []
    images: dict[str, int] = {}
    plans = []
    for run in map(Path, runs):
        counts = _counts_of(run)
        found = list(_measured(run, jobs_of(counts)))
        if not found:
            raise DataError(f"{run}/benchmarks has no file of a job", "run it first")
        samples += found
        datasets = counts.plan.datasets
        images |= {d: n for d, n in counts.measured.items() if datasets[d].source == "embedded"}
        plans.append(counts.plan)
    named = [f"--measure results/{plan.config.run}" for plan in plans]
    about = {
        "command": " ".join(["medtaskatlas plan", *named]),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "jobs": len(samples),
        "runs": [plan.summary() for plan in plans],
    }
    rates = Rates(about, fitted(samples), dict(sorted(images.items())))
    rows = {
        key: [round(v, 6) for v in (*astuple(rate.seconds), *astuple(rate.megabytes))]
        + [rate.n, round(rate.most, 4)]
        for key, rate in rates.by_key.items()
    }
    columns = ["seconds", "seconds a unit", "MB", "MB a unit", "jobs", "most work"]
    content = {"about": about, "columns": columns, "rates": rows, "images": rates.images}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    with atomic_write(out) as part:
        # A rate a line.
        part.write_text(re.sub(r"\[[^][{}]*\]", lambda m: " ".join(m[0].split()), text) + "\n")
    return rates


def _counts_of(run: Path) -> Counts:
    """Counts of a run from its resolved configuration, and of the pictures that lie there."""
    from medtaskatlas.formats.arrow import ArrowFile

    config = existing_run(run) / "config.json"
    if not config.is_file():
        remedy = f"make it: snakemake results/{run.name}/config.json --cores 1"
        raise DataError(f"{config} is missing", remedy)
    plan = plan_run(read_json(config))
    files = {name: run / "images" / f"{name}.arrow" for name in plan.datasets}
    return Counts(plan, {name: len(ArrowFile(f)) for name, f in files.items() if f.is_file()})


def _measured(run: Path, jobs: Iterable[Job]) -> Iterator[Measured]:
    """Jobs with a benchmark file: core-seconds, and peak memory in MB without mapped pixels."""
    for job in jobs:
        file = run / "benchmarks" / f"{job.benchmark}.tsv"
        lines = file.read_text().splitlines() if file.is_file() else []
        for row in list(csv.DictReader(lines, delimiter="\t"))[:1]:
            # A job that ends before the first look at it has no memory: a dash.
            peak = float(row["max_rss"]) if row["max_rss"][:1].isdigit() else 0.0
            yield job, float(row["s"]) * job.threads, max(0.0, peak - job.mapped_mb)
