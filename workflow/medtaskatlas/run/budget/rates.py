"""Rates: seconds and megabytes of a job, fitted to the benchmark files of runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import read_text
from medtaskatlas.run.budget.counts import RATES
from medtaskatlas.run.budget.job import Job


@dataclass(frozen=True)
class Line:
    """A cost that grows with the work: ``base + slope * work``, both at least 0.

    Attributes
    ----------
    base
        Cost of a job without work.
    slope
        Cost of a unit of work.
    """

    base: float
    slope: float

    def at(self, work: float) -> float:
        """Cost of some work.

        Parameters
        ----------
        work
            The work.

        Returns
        -------
        float
            The cost.
        """
        return self.base + self.slope * work


@dataclass(frozen=True)
class Rate:
    """What a kind of job costs.

    Attributes
    ----------
    seconds
        On one core.
    megabytes
        At its peak.
    n
        Jobs that it was measured on.
    most
        Largest work among them: what is far above is extrapolated.
    """

    seconds: Line
    megabytes: Line
    n: int
    most: float


Sample = tuple[float, float]
# Jobs that did so many times less than others like them tell nothing of what work costs.
TOO_SMALL = 5


def fit(samples: Sequence[Sample], base: float = 0.0) -> Line:
    """Line of least squares of the relative errors, with no negative part.

    Parameters
    ----------
    samples
        (work, cost) of each job, costs above 0.
    base
        Cost without work, taken where the samples cannot tell it: where their work differs less
        than by half.

    Returns
    -------
    Line
        Without a slope where there is no work, or where more of it costs less.
    """
    works = [work for work, _ in samples]
    weights = [1 / cost**2 for _, cost in samples]
    x = _mean(works, weights)
    y = _mean([cost for _, cost in samples], weights)
    if max(works) <= 0:
        return Line(y, 0.0)
    if max(works) < 1.5 * min(works):
        base = min(base, y)
        return Line(base, (y - base) / x)
    spread = _mean([(work - x) ** 2 for work in works], weights)
    slope = _mean([(work - x) * (cost - y) for work, cost in samples], weights) / spread
    if slope <= 0:
        return Line(y, 0.0)
    if y - slope * x >= 0:
        return Line(y - slope * x, slope)
    squares = _mean([work**2 for work in works], weights)
    return Line(0.0, _mean([work * cost for work, cost in samples], weights) / squares)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def above(samples: Sequence[Sample], least: float = 0.0, base: float = 0.0) -> Line:
    """Line of least squares, lifted until no sample is above it: for memory, which must suffice.

    Parameters
    ----------
    samples
        (work, cost); those without a cost are left out: a job that ends at once has none.
    least
        Slope that it has at least.
    base
        See :func:`fit`.

    Returns
    -------
    Line
        Nothing where no sample has a cost.
    """
    known = [(work, cost) for work, cost in samples if cost > 0]
    if not known:
        return Line(0.0, 0.0)
    slope = max(fit(known, base).slope, least) if max(w for w, _ in known) > 0 else least
    return Line(max(0.0, *(cost - slope * work for work, cost in known)), slope)


def prefixes(key: str) -> list[str]:
    """A key and what it is a case of.

    Parameters
    ----------
    key
        Parts with slashes between them.

    Returns
    -------
    list of str
        The longest first.
    """
    parts = key.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]


@dataclass(frozen=True)
class Rates:
    """All rates, and where they are from.

    Attributes
    ----------
    about
        ``machine``, ``command``, ``commit``, ``runs`` and the like.
    by_key
        Key to rate.
    images
        Dataset of the packages to how many pictures were prepared of it.
    """

    about: dict[str, Any]
    by_key: dict[str, Rate]
    images: dict[str, int]

    def of(self, key: str) -> Rate | None:
        """Rate of a kind of job.

        Parameters
        ----------
        key
            Its key.

        Returns
        -------
        Rate or None
            That of the longest measured prefix; None where nothing was measured.
        """
        return next((self.by_key[p] for p in prefixes(key) if p in self.by_key), None)


def fitted(samples: Iterable[tuple[Job, float, float]]) -> dict[str, Rate]:
    """Rates of measured jobs.

    Parameters
    ----------
    samples
        Job, its seconds times its threads, and its peak memory in MB.

    Returns
    -------
    dict of str to Rate
        For the keys of the jobs and all that these are cases of.
    """
    found: dict[str, list[tuple[Job, float, float]]] = {}
    for sample in samples:
        for key in prefixes(sample[0].key):
            found.setdefault(key, []).append(sample)
    rates: dict[str, Rate] = {}
    # Short keys first: what few jobs of a kind cannot tell, all jobs that are like them do.
    for key, members in sorted(found.items()):
        like = next((rates[p] for p in prefixes(key)[1:] if p in rates), None)
        most = max(job.work for job, _, _ in members)
        if like is not None and most < like.most / TOO_SMALL:
            continue
        seconds, megabytes = (like.seconds.base, like.megabytes.base) if like else (0.0, 0.0)
        rates[key] = Rate(
            fit([(job.work, cost) for job, cost, _ in members], seconds),
            # Whatever a job holds is held once at least.
            above([(job.memory, mb) for job, _, mb in members], 1.0, megabytes),
            len(members),
            most,
        )
    return rates


def as_json(rates: Rates) -> dict[str, Any]:
    """Rates as JSON.

    Parameters
    ----------
    rates
        The rates.

    Returns
    -------
    dict
        What :func:`load_rates` reads.
    """
    rows = {
        key: [
            *(round(v, 6) for v in (rate.seconds.base, rate.seconds.slope)),
            *(round(v, 4) for v in (rate.megabytes.base, rate.megabytes.slope)),
            rate.n,
            round(rate.most, 4),
        ]
        for key, rate in rates.by_key.items()
    }
    columns = ["seconds", "seconds a unit", "MB", "MB a unit", "jobs", "most work"]
    return {"about": rates.about, "columns": columns, "rates": rows, "images": rates.images}


def load_rates(path: Path = RATES) -> Rates:
    """Rates from a file.

    Parameters
    ----------
    path
        The file; by default that of the package.

    Returns
    -------
    Rates
        The rates.

    Raises
    ------
    DataError
        If there is no such file, or it is of another make.
    """
    remedy = "make it with `medtaskatlas plan --measure RUN`, or `git checkout` it"
    try:
        content: Mapping[str, Any] = json.loads(read_text(path))
        by_key = {
            key: Rate(Line(*row[:2]), Line(*row[2:4]), *row[4:])
            for key, row in content["rates"].items()
        }
        return Rates(dict(content["about"]), by_key, dict(content["images"]))
    except DataError as error:
        raise DataError(error.problem, f"{error.remedy}; {remedy}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no rates ({error!r})", remedy) from error
