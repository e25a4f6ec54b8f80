"""Make failures: main pairs that go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from medtaskatlas.core.seeds import generator
from medtaskatlas.formats.pairs import SIDES
from medtaskatlas.pairs.build import Maker, Pair, as_json, go_wrong
from medtaskatlas.pairs.plan import Cell, FailurePlan, plan_failures
from medtaskatlas.pairs.write import PairWriter
from medtaskatlas.tasks.failure import Failure, is_wrong, kinds_for
from medtaskatlas.tasks.task import Params


def write_failures(
    out: str | Path, maker: Maker, cell: Cell, *, pairs: int, splits: Mapping[str, float]
) -> None:
    """Make and write the failures of one task on one dataset.

    A kind that gives the right output on an image, as far as one can see, stands back for the
    next one; where all do, the failure is left out, and the file's metadata say how many were.

    Parameters
    ----------
    out
        The Arrow file to make.
    maker
        Makes the main pairs.
    cell
        The main pairs.
    pairs
        Number of failures.
    splits
        Shares of train, val and test.

    Raises
    ------
    TaskError
        If the task breaks its contract; names dataset, image and parameters.
    """
    task = maker.task
    kinds = kinds_for(task)
    plans = plan_failures(cell, maker.samples, pairs=pairs, splits=splits, kinds=len(kinds))
    # The input of a failed restoration is degraded and its output wrong: neither is the image.
    sides = ("output",) if task.stored_side == "output" else SIDES
    made: Counter[str] = Counter()
    left_out = 0
    with PairWriter(out, maker.samples, task, set_name="failure", sides=sides) as writer:
        for plan in plans:
            due = plan.turn % len(kinds)
            found = _fail(maker, plan, [*kinds[due:], *kinds[:due]])
            if found is None:
                left_out += 1
                continue
            kind, text, pair = found
            made[kind] += 1
            sides_made = dict(zip(SIDES, pair, strict=True))
            writer.add(plan.main, text, sides_made, number=plan.number, kind=kind)
        writer.write({"seed": maker.seed, "left_out": left_out, "kinds": dict(made)})


def _fail(maker: Maker, plan: FailurePlan, kinds: list[Failure]) -> tuple[str, str, Pair] | None:
    """Kind, parameters and pixels by the first kind whose output is wrong; None where none is."""
    right = maker.make(plan.main)
    for failure in kinds:
        if failure.needs_other and plan.other is None:
            continue
        params = _params(maker, plan, failure, right.params)
        wrong = go_wrong(maker.task, failure.kind, maker.samples, right.pair, params)
        if is_wrong(wrong, right.pair[1]):
            return failure.kind, as_json(params), (right.pair[0], wrong)
    return None


def _params(maker: Maker, plan: FailurePlan, failure: Failure, right: Params) -> Params:
    """Parameters of a failure; see :mod:`medtaskatlas.pairs.build`."""
    images = maker.samples.images
    rng = generator(
        maker.seed, "failure", images.dataset, maker.task.name, failure.kind, plan.number
    )
    side = min(images.images.shape[1:3])
    params = {"main": plan.main.draw, "task": right, "failure": failure.draw(rng, side)}
    if failure.needs_other and plan.other is not None:
        other, _ = maker.draw(plan.other)
        params["other"] = {"image_row": plan.other.row, "task": other}
    return params
