"""Choose learning rates and fixed weights on validation images, with one budget for all systems."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import DataError, DivergedError
from medtaskatlas.formats.multitask_training import write_trials
from medtaskatlas.learning.cost import Cost
from medtaskatlas.learning.machine import set_up_torch
from medtaskatlas.multitask.training import Job, Trained, clear, forward_of
from medtaskatlas.problems.data import ProblemData
from medtaskatlas.problems.evaluate import evaluate, primary_scores

LOGGER = logging.getLogger("medtaskatlas")
# Times the weight of the others that a target has in the candidates of `tuned`.
HEAVIER = 4.0
Setting = tuple[float, tuple[float, ...]]  # learning rate, and a weight a target


def tune(job: Job, out: str | Path, *, states: str | Path, threads: int) -> None:
    """Write the trials of a system on a problem: trials.json.

    Every training of the system (one a target for single-task networks) has ``trials`` settings to
    try, each for ``trial_steps``; the one with the best mean primary score on validation images is
    chosen. Each fold chooses for itself.

    Parameters
    ----------
    job
        The system and the problem; its seed is the first.
    out
        The file to make.
    states
        Folder in which states of trials are kept.
    threads
        Threads of torch.
    """
    set_up_torch(threads)
    trials: list[dict[str, Any]] = []
    for fold in job.folds:
        data = job.data(fold)
        for targets in job.trainings:

            def attempt(
                setting: Setting, data: ProblemData = data, targets: list[str] = targets
            ) -> Trained | None:
                rate, weights = setting
                try:
                    return job.train(
                        data,
                        targets,
                        Path(states),
                        learning_rate=rate,
                        weights=dict(zip(targets, weights, strict=True)) if weights else None,
                        steps=job.options.trial_steps,
                        title=f"trial of {job.problem.name} {job.name}: rate {rate:.2g}",
                    )
                except DivergedError as error:
                    LOGGER.warning("a lost trial: %s", error)
                    return None

            tuned = job.system.weighting == "tuned" and len(targets) > 1
            found = list(
                search(
                    job.options.rates,
                    candidate_weights(len(targets)) if tuned else [()],
                    job.options.trials,
                    attempt,
                )
            )
            best = _best(found) if found else None
            if found and best is None:
                raise DataError(
                    f"all {len(found)} trials of {job.name} on {job.problem.name} "
                    f"({', '.join(targets)}) diverged",
                    "give lower `learning_rates`, or see to the images that its log names",
                )
            for setting, trained in found:
                rate, weights = setting
                facts = {
                    "targets": targets,
                    "fold": fold,
                    "learning_rate": rate,
                    "weights": dict(zip(targets, weights, strict=True)) if weights else None,
                    "scores": dict.fromkeys(targets),
                    "score": None,
                    "chosen": setting == best,
                    "cost": asdict(Cost()),
                }
                if trained is not None:
                    rows = evaluate(data, "val", forward_of(trained.network), targets)
                    facts |= {
                        "scores": {t: _or_none(s) for t, s in primary_scores(rows).items()},
                        "score": trained.score,
                        "cost": asdict(trained.cost),
                    }
                trials.append(facts)
    write_trials(out, trials)
    clear(states)


def candidate_weights(n: int) -> list[tuple[float, ...]]:
    """Equal weights, then one target after the other heavier; each sums to n."""
    heavier = [[HEAVIER if i == j else 1.0 for j in range(n)] for i in range(n)]
    return [(1.0,) * n, *(tuple(w * n / sum(row) for w in row) for row in heavier)]


def search(
    rates: Sequence[float],
    weights: Sequence[tuple[float, ...]],
    trials: int,
    attempt: Callable[[Setting], Trained | None],
) -> Iterator[tuple[Setting, Trained | None]]:
    """Try settings one coordinate after the other, at most ``trials`` of them.

    First all rates with the first weights, then all weights with the best rate; what is left goes
    into rates halfway to the neighbours of the best one, then halfway again. A grid of one rate and
    one weight is no choice, and nothing is tried.
    """
    if len(rates) == 1 and len(weights) == 1:
        return
    found: list[tuple[Setting, Trained | None]] = []

    def best() -> Setting:
        return _best(found) or (min(rates), weights[0])

    def settings() -> Iterator[Setting]:
        yield from ((rate, weights[0]) for rate in rates)
        rate = best()[0]
        yield from ((rate, other) for other in weights[1:])
        ratio = max(rates) / min(rates)
        ratio = ratio ** (1 / (len(rates) - 1)) if len(rates) > 1 else 1.0
        while ratio > 1.05:
            ratio **= 0.5
            rate, chosen = best()
            yield from ((rate * factor, chosen) for factor in (ratio, 1 / ratio))

    for setting in settings():
        if len(found) == trials:
            return
        found.append((setting, attempt(setting)))
        yield found[-1]


def _best(found: Sequence[tuple[Setting, Trained | None]]) -> Setting | None:
    """Setting of the (first) best trial; None where all were lost."""
    ended = [(trained.score, setting) for setting, trained in found if trained is not None]
    return max(ended, key=lambda one: one[0])[1] if ended else None


def _or_none(score: float) -> float | None:
    """A number as JSON has it."""
    return score if math.isfinite(score) else None
