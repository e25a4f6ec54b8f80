"""How far probes get: probability of the true task, against chance, with bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.resampling import (
    Design,
    Draws,
    average_cells,
    cell_means,
    draw,
    no_draws,
)
from medtaskatlas.core.seeds import generator

# One training of the probe: a single seed of weight 1.
_ONE_SEED = np.ones((1, 1))


@dataclass(frozen=True)
class Scores:
    """What a probe said of held-out pairs; every (dataset, task) cell counts alike.

    The first place of each array is all tasks together, then follow the T tasks that were asked.

    Attributes
    ----------
    tasks
        Names of the T tasks, sorted.
    estimate
        float [1 + T], mean probability given to the true task.
    draws
        Whether datasets stay fixed to float [n_draws, 1 + T], the same on bootstrap draws.
    chance
        float [1 + T], mean probability given to a task on the pairs of all tasks of its datasets:
        what the answers would reach if they were dealt out at random there.
    named_right
        float [1 + T], share of pairs whose true task got the largest probability.
    rivals
        float [T, K], mean probability given to each of the K tasks the probe knows.
    there
        bool [D, T], cells that have pairs.
    design
        Who belongs to what.
    """

    tasks: list[str]
    estimate: np.ndarray
    draws: dict[bool, np.ndarray]
    chance: np.ndarray
    named_right: np.ndarray
    rivals: np.ndarray
    there: np.ndarray
    design: Design


def score(
    frame: pd.DataFrame, p: np.ndarray, known: list[str], *, split: str, seed: int, n_draws: int
) -> Scores:
    """Score the answers of a probe.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``group_id``, ``task``; one row a pair.
    p
        float [N, K], probability of each known task; rows sum to 1.
    known
        Names of the K tasks, sorted; all of the frame's are among them.
    split
        Name of the query set; all views of one set share their bootstrap draws.
    seed
        The run's seed.
    n_draws
        Bootstrap draws.

    Returns
    -------
    Scores
        The scores.
    """
    design = Design.of(frame)
    names = np.array(known, dtype=str)
    code = np.searchsorted(names, frame["task"].to_numpy(dtype=str))
    own = np.searchsorted(names, np.array(design.tasks, dtype=str))
    true = p[np.arange(len(p)), code]
    right = (p.argmax(axis=1) == code).astype(float)
    as_is = no_draws(design)
    # Mean probability of every known task in every cell [D, T, K].
    given = np.stack(
        [cell_means(design, p[None, :, k], as_is, _ONE_SEED)[0] for k in range(len(known))], axis=-1
    )
    there = np.isfinite(given[..., 0])
    masks = np.concatenate([there[None], np.eye(len(own), dtype=bool)[:, None, :] & there])
    # A task that a dataset lacks has nothing to be dealt there.
    dealt = np.where(there, np.nanmean(given, axis=1)[:, own], np.nan)
    rng = generator(seed, "bootstrap", split)
    return Scores(
        tasks=design.tasks,
        estimate=_means(design, true, as_is, masks)[0],
        draws={
            fixed: _means(design, true, draw(design, rng, n_draws, fixed_datasets=fixed), masks)
            for fixed in (False, True)
        },
        chance=np.concatenate([[np.nanmean(dealt)], np.nanmean(dealt, axis=0)]),
        named_right=_means(design, right, as_is, masks)[0],
        rivals=np.nanmean(given, axis=0),
        there=there,
        design=design,
    )


def _means(design: Design, values: np.ndarray, draws: Draws, masks: np.ndarray) -> np.ndarray:
    """Balanced means of a value a pair over sets of cells [draws, sets]."""
    seeds = np.broadcast_to(_ONE_SEED, (len(draws.group), 1))
    return average_cells(cell_means(design, values[None], draws, seeds), draws.dataset, masks)
