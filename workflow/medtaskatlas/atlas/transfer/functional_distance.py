"""The table `functional_distance`: how well what one task does would do for another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medtaskatlas.atlas import columns
from medtaskatlas.atlas.inference import bootstrap_interval, no_interval
from medtaskatlas.atlas.resampling import DRAWS
from medtaskatlas.atlas.tables import write_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.core.seeds import generator

if TYPE_CHECKING:
    from medtaskatlas.transfer.kernel import Moments

ALL = "all"
IDS = ("image_id", "group_id", "subject_id")
# Square error of rounding to 256 grey levels: a map that is nearer is not told from exact.
ROUNDING = 1 / (12 * 255**2)
ONE_DATASET = "no interval: one dataset"

SPEC = columns.TableSpec(
    "How well does what one task does to an image do for another task, without training? Linear "
    "maps of fixed features of an untrained network, fitted to pairs of one task and asked about "
    "held-out pairs of the other; beside it, how much the outputs of the two differ.",
    ("run", "dataset", "source", "target"),
    (
        columns.RUN,
        columns.text("dataset", "dataset of the pairs; all: every dataset that has both, alike"),
        columns.text("source", "task whose map it is"),
        columns.text("target", "task that it is asked about"),
        columns.text("source_family", "family of the source"),
        columns.text("target_family", "family of the target"),
        *columns.ESTIMATE,
        columns.number("error", "mean square error of the source's map, grey levels 0 to 1", 0),
        columns.number("own_error", "that of the target's own map", 0),
        columns.number(
            "apart",
            "mean square difference of what the two maps make of the inputs of both; symmetric",
            0,
        ),
        columns.number(
            "output_mse", "mean square difference of the two tasks' outputs on the same images", 0
        ),
        columns.number("output_ssim", "their structural similarity", -1, 1),
        columns.yes("images_apart", "whether maps were fitted to other images than were asked"),
        *columns.N,
        columns.NOTE,
    ),
)


@dataclass(frozen=True)
class Described:
    """What is known of the tasks of one dataset; parts of one order."""

    dataset: str
    tasks: list[str]
    facts: list[dict[str, Any]]
    fitted: list[Moments]
    asked: list[Moments]
    output_mse: np.ndarray  # float64 [T, T]
    output_ssim: np.ndarray


def functional_distance(
    kernel_paths: Iterable[str | Path],
    out: str | Path,
    *,
    run: str,
    seed: int = 0,
    n_draws: int = DRAWS,
) -> None:
    """Write the table `functional_distance`.

    ``estimate`` is the log of the source's error over the target's own: 0 of a task itself, and the
    larger the less the source does for the target. It is directed.

    Parameters
    ----------
    kernel_paths
        results/<run>/transfer/kernel/<dataset>.safetensors of all datasets.
    out
        results/<run>/tables/functional_distance.parquet.
    run, seed, n_draws
        Name and seed of the run; bootstrap draws of datasets.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another run.
    """
    every = [read_described(Path(path), run) for path in kernel_paths]
    each = {one.dataset: _Matrices.of(one) for one in every}
    rows = [row for one in every for row in _rows_of_one(one, each[one.dataset])]
    if len(every) > 1:
        rows += _rows_of_all(every, each, seed, n_draws)
    frame = [{"run": run, **row} for row in rows]
    write_table("functional_distance", frame, out, {"run": run, "seed": seed, "n_draws": n_draws})


def read_described(path: Path, run: str) -> Described:
    """A file of :func:`medtaskatlas.transfer.describe.describe`."""
    from medtaskatlas.learning.checkpoint import load_tensors
    from medtaskatlas.transfer.describe import PARTS
    from medtaskatlas.transfer.kernel import Moments

    remedy = f"delete {path} and start the run again"
    try:
        tensors, facts = load_tensors(path)
    except (ValueError, OSError) as problem:
        raise DataError(str(problem), remedy) from problem
    if facts.get("run") != run:
        raise DataError(f"{path} is of run {facts.get('run')!r}, not {run!r}", remedy)
    fitted, asked = (
        [
            Moments(*(tensors[f"{kind}.{part}"][t] for part in PARTS))
            for t in range(len(facts["tasks"]))
        ]
        for kind in ("fitted", "asked")
    )
    outputs = (tensors[name].numpy() for name in ("output_mse", "output_ssim"))
    return Described(facts["dataset"], facts["tasks"], facts["of"], fitted, asked, *outputs)


@dataclass(frozen=True)
class _Matrices:
    """Errors of every map on every task's pairs, and how far maps are apart, [T, T]."""

    error: np.ndarray  # source, target
    apart: np.ndarray

    @classmethod
    def of(cls, one: Described) -> _Matrices:
        """Of the tasks of one dataset."""
        return cls.between(one.fitted, one.asked)

    @classmethod
    def between(cls, fitted: Sequence[Moments], asked: Sequence[Moments]) -> _Matrices:
        """Maps of some tasks, on the pairs of the same tasks."""
        from medtaskatlas.transfer.kernel import apart, error, operator

        maps = [operator(moments) for moments in fitted]
        T = len(maps)
        errors, distances = np.empty((T, T)), np.zeros((T, T))
        for s in range(T):
            for t in range(T):
                errors[s, t] = float(error(maps[s], asked[t]).mean())
            for t in range(s):
                inputs = asked[s].mean() + asked[t].mean()
                distances[s, t] = distances[t, s] = float(apart(maps[s], maps[t], inputs).mean())
        return cls(np.maximum(errors, ROUNDING), distances)

    def excess(self) -> np.ndarray:
        """Log of errors over the target's own, [T, T]."""
        return np.asarray(np.log(self.error / np.diag(self.error)))


def _rows_of_one(one: Described, made: _Matrices) -> Iterator[dict[str, Any]]:
    """Rows of every two tasks on one dataset."""
    excess = made.excess()
    for s, source in enumerate(one.tasks):
        for t, target in enumerate(one.tasks):
            asked = one.facts[t]
            yield {
                "dataset": one.dataset,
                **about(source, target, one.facts[s], asked),
                **_numbers(made, excess, s, t),
                "output_mse": one.output_mse[s, t],
                "output_ssim": one.output_ssim[s, t],
                "images_apart": bool(asked["apart"]),
                **vars(no_interval(ONE_DATASET)),
                "n_pairs": asked["n_pairs"],
                **{f"n_{name.removesuffix('_id')}s": len(asked[name]) for name in IDS},
                "n_datasets": 1,
            }


def _rows_of_all(
    every: Sequence[Described], each: dict[str, _Matrices], seed: int, n_draws: int
) -> Iterator[dict[str, Any]]:
    """Rows of every two tasks over the datasets that have both, each dataset counting alike."""
    from medtaskatlas.transfer.kernel import apart, error, operator

    tasks = sorted({task for one in every for task in one.tasks})
    for source in tasks:
        for target in tasks:
            having = [one for one in every if source in one.tasks and target in one.tasks]
            if not having:
                continue
            at = [(one.tasks.index(source), one.tasks.index(target)) for one in having]
            values = [
                each[one.dataset].excess()[place] for one, place in zip(having, at, strict=True)
            ]
            facts = [one.facts[t] for one, (_, t) in zip(having, at, strict=True)]
            fitted, own, asked = (
                reduce(add, (moments.mean() for moments in parts))
                for parts in (
                    [one.fitted[s] for one, (s, _) in zip(having, at, strict=True)],
                    [one.fitted[t] for one, (_, t) in zip(having, at, strict=True)],
                    [one.asked[t] for one, (_, t) in zip(having, at, strict=True)],
                )
            )
            maps = operator(fitted), operator(own)
            errors = [max(float(error(one, asked).mean()), ROUNDING) for one in maps]
            subjects = {name for fact in facts for name in fact["subject_id"]}
            n = {"n_subjects": len(subjects), "n_datasets": len(having)}
            estimate, D = float(np.mean(values)), len(having)
            rng = generator(seed, "functional distance", source, target)
            drawn = rng.multinomial(D, np.full(D, 1 / D), n_draws) @ np.array(values) / D
            interval = no_interval(ONE_DATASET)
            if D > 1:
                interval = bootstrap_interval(drawn, estimate, n, n_seeds=1)
            yield {
                "dataset": ALL,
                **about(source, target, having[0].facts[at[0][0]], facts[0]),
                "estimate": estimate,
                "seed_sd": None,
                "error": errors[0],
                "own_error": errors[1],
                "apart": float(apart(*maps, asked).mean()),
                "output_mse": _mean(one.output_mse[p] for one, p in zip(having, at, strict=True)),
                "output_ssim": _mean(one.output_ssim[p] for one, p in zip(having, at, strict=True)),
                "images_apart": all(fact["apart"] for fact in facts),
                **vars(interval),
                "n_pairs": sum(fact["n_pairs"] for fact in facts),
                "n_images": sum(len(fact["image_id"]) for fact in facts),
                "n_groups": sum(len(fact["group_id"]) for fact in facts),
                **n,
            }


def about(
    source: str, target: str, of_source: dict[str, Any], of_target: dict[str, Any]
) -> dict[str, Any]:
    """Columns that say which two tasks a row is about."""
    families = {"source_family": of_source["family"], "target_family": of_target["family"]}
    return {"source": source, "target": target, **families}


def _numbers(made: _Matrices, excess: np.ndarray, s: int, t: int) -> dict[str, Any]:
    """Numbers of a source and a target on one dataset."""
    return {
        "estimate": float(excess[s, t]),
        "seed_sd": None,
        "error": float(made.error[s, t]),
        "own_error": float(made.error[t, t]),
        "apart": float(made.apart[s, t]),
    }


def _mean(values: Iterable[float]) -> float | None:
    """Mean of what is known."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
