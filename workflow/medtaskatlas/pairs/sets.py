"""Generate the pairs of one task on one dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medtaskatlas.formats.pairs import SETS, SIDES
from medtaskatlas.pairs.build import Maker
from medtaskatlas.pairs.fail import write_failures
from medtaskatlas.pairs.plan import PairPlan, plan_cell, plan_trajectories
from medtaskatlas.pairs.samples import Samples
from medtaskatlas.pairs.write import PairWriter
from medtaskatlas.tasks.task import Task


@dataclass(frozen=True)
class Amounts:
    """How many pairs of each set a cell has.

    Attributes
    ----------
    pairs
        Main pairs.
    failures
        Failure pairs.
    trajectories
        Images with a trajectory.
    levels
        Steps of a trajectory.
    """

    pairs: int
    failures: int = 0
    trajectories: int = 0
    levels: int = 11


def make_pairs(
    images_path: str | Path,
    task: Task,
    out: str | Path,
    *,
    pairs_per_cell: int,
    splits: Mapping[str, float],
    seed: int,
) -> None:
    """Generate and write the main pairs of one task on one dataset.

    The file is the same whatever the number of jobs and their order. A dataset on which the task
    can do nothing gets a file without rows.

    Parameters
    ----------
    images_path
        Prepared images.
    task
        The task.
    out
        The Arrow file to make.
    pairs_per_cell
        Number of pairs.
    splits
        Shares of train, val and test.
    seed
        The run's seed.

    Raises
    ------
    TaskError
        If the task breaks its contract; names dataset, image and parameters.
    """
    amounts = Amounts(pairs_per_cell)
    make_sets(images_path, task, {"main": out}, amounts=amounts, splits=splits, seed=seed)


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
        write_failures(outs["failure"], main, cell, pairs=amounts.failures, splits=splits)
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
    task, samples = maker.task, maker.samples
    with PairWriter(out, samples, task, set_name=set_name, sides=(task.stored_side,)) as writer:
        for i, plan in enumerate(plans):
            made = maker.make(plan)
            if i == 0:
                maker.check(plan, made)
            writer.add(plan, made.text, dict(zip(SIDES, made.pair, strict=True)))
        writer.write({"seed": maker.seed})
