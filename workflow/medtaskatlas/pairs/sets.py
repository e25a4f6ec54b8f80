"""Generate the pairs of one task on one dataset."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path

import pyarrow as pa

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.pairs import SETS, SIDES
from medtaskatlas.pairs.build import Maker, go_wrong
from medtaskatlas.pairs.plan import (
    Cell,
    FailurePlan,
    PairPlan,
    plan_cell,
    plan_failures,
    plan_trajectories,
)
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.pairs.write import PairWriter
from medtaskatlas.tasks.failure import Failure, is_wrong, kinds_for
from medtaskatlas.tasks.task import Pair, Params, Task


@dataclass(frozen=True)
class Amounts:
    """How many pairs of each set a cell has."""

    pairs: int
    failures: int = 0
    trajectories: int = 0  # images with a trajectory
    levels: int = 11  # steps of a trajectory


def make_sets(
    images_path: str | Path,
    task: Task,
    outs: Mapping[str, str | Path],
    *,
    amounts: Amounts,
    splits: Mapping[str, float],
    heldout: bool = False,
    seed: int,
) -> None:
    """Generate and write sets of pairs of one task on one dataset.

    The files are the same whatever the number of jobs and their order, and each whichever of the
    others are made. A set that has nothing to hold gets a file without rows.

    Parameters
    ----------
    images_path
        Prepared images.
    task
        The task.
    outs
        Set, one of :data:`~medtaskatlas.formats.pairs.SETS`, to the Arrow file to make.
    amounts
        How many pairs of each.
    splits
        Shares of train, val and test.
    heldout
        Whether no encoder sees the dataset in training, so that trajectories may use all of it.
    seed
        The run's seed.

    Raises
    ------
    TaskError
        If the task breaks its contract; names dataset, image and parameters.
    ValueError
        If a set is unknown: a mistake in the caller.
    """
    if not set(outs) <= set(SETS):
        raise ValueError(f"sets are {SETS}, not {sorted(outs)}")
    samples = Samples(images_path)
    main = Maker(task, samples, "params", seed)
    cell = plan_cell(task, samples, pairs=amounts.pairs, splits=splits, seed=seed)
    if "main" in outs:
        _write_right(outs["main"], "main", main, cell.main())
    if "failure" in outs:
        _write_failures(outs["failure"], main, cell, amounts.failures, splits)
    if "trajectory" in outs:
        steps = plan_trajectories(
            task,
            samples,
            images=amounts.trajectories,
            levels=amounts.levels,
            heldout=heldout,
            seed=seed,
        )
        maker = Maker(task, samples, "trajectory params", seed)
        _write_right(outs["trajectory"], "trajectory", maker, steps)


def _write_right(out: str | Path, set_name: str, maker: Maker, plans: Iterable[PairPlan]) -> None:
    """Make and write right pairs."""
    task = maker.task
    with PairWriter(out, maker.samples, task, set_name, (task.stored_side,)) as writer:
        for i, plan in enumerate(plans):
            params, pair = maker.make(plan)
            if i == 0:
                maker.check(plan, params, pair)
            writer.add(plan, params, pair)
        writer.write({"seed": maker.seed})


def _write_failures(
    out: str | Path, maker: Maker, cell: Cell, pairs: int, splits: Mapping[str, float]
) -> None:
    """Make and write failures.

    A kind that gives the right output on an image, as far as one can see, stands back for the
    next one; where all do, the failure is left out, and the file's metadata say how many were.
    """
    task = maker.task
    kinds = kinds_for(task)
    plans = plan_failures(cell, maker.samples, pairs=pairs, splits=splits, kinds=len(kinds))
    # The input of a failed restoration is degraded and its output wrong: neither is the image.
    sides = ("output",) if task.stored_side == "output" else SIDES
    made: Counter[str] = Counter()
    left_out = 0
    with PairWriter(out, maker.samples, task, "failure", sides) as writer:
        for plan in plans:
            due = plan.turn % len(kinds)
            found = _fail(maker, plan, [*kinds[due:], *kinds[:due]])
            if found is None:
                left_out += 1
                continue
            kind, params, pair = found
            made[kind] += 1
            writer.add(plan.main, params, pair, number=plan.number, kind=kind)
        writer.write({"seed": maker.seed, "left_out": left_out, "kinds": dict(made)})


def _fail(maker: Maker, plan: FailurePlan, kinds: list[Failure]) -> tuple[str, Params, Pair] | None:
    """Kind, parameters and pixels by the first kind whose output is wrong; None where none is."""
    right_params, right = maker.make(plan.main)
    for failure in kinds:
        if failure.needs_other and plan.other is None:
            continue
        params = _failure_params(maker, plan, failure, right_params)
        wrong = go_wrong(maker.task, failure.kind, maker.samples, right, params)
        if is_wrong(wrong, right[1]):
            return failure.kind, params, (right[0], wrong)
    return None


def _failure_params(maker: Maker, plan: FailurePlan, failure: Failure, right: Params) -> Params:
    """Parameters of a failure; see :mod:`medtaskatlas.pairs.build`."""
    images = maker.samples.images
    rng = generator(
        maker.seed, "failure", images.dataset, maker.task.name, failure.kind, plan.number
    )
    side = min(images.images.shape[1:3])
    params = {"main": plan.main.draw, "task": right, "failure": failure.draw(rng, side)}
    if failure.needs_other and plan.other is not None:
        params["other"] = {"image_row": plan.other.row, "task": maker.draw(plan.other)}
    return params


class _NoPandas(MetaPathFinder):
    """Finder that says there is no pandas."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden", name=name)


def without_pandas() -> None:
    """Let pyarrow do without pandas in this process.

    At its first conversion pyarrow imports pandas, if there is any, which takes a quarter of a
    second, as much as the rest of a small job. Asked while pandas cannot be found, it remembers
    that there is none; others may still import it later.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, hidden := _NoPandas())
        pa.array([0]).to_numpy()
        sys.meta_path.remove(hidden)
