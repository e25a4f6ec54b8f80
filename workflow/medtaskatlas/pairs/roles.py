"""Who is asked and who answers: the role of every pair in the evaluation.

The gallery is what an encoder may know: training groups of training datasets. Queries are what it
has never seen, in three sets that are never mixed.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

GALLERY = "gallery"
# Test groups (patients, volumes, regions) of datasets that were trained on; all pairs of datasets
# that were not; held-out pairs of tasks that the gallery lacks: only their family can be named.
QUERY_SETS = ("groups", "datasets", "tasks")
VAL = "val"  # validation groups: for choices, so that no table has them
NO_ROLE = "none"  # training groups where the gallery has none of it: held-out tasks, failures


def roles(
    dataset: np.ndarray,
    split: np.ndarray,
    task: np.ndarray,
    main: np.ndarray,
    *,
    trained_on: Collection[str],
    heldout_tasks: Collection[str] = (),
) -> np.ndarray:
    """Role of every pair.

    Parameters
    ----------
    dataset, split, task
        [N] of strings, one a pair.
    main
        bool [N], whether it is of the main set. Failures and trajectories are never in the gallery,
        and are asked whether their task is held out or not: never in the set ``tasks``.
    trained_on
        Datasets that have training groups and were not kept out of training.
    heldout_tasks
        Tasks kept out of training.

    Returns
    -------
    numpy.ndarray
        [N] of strings: :data:`GALLERY`, one of :data:`QUERY_SETS`, :data:`VAL` or :data:`NO_ROLE`.
    """
    inside = np.isin(dataset, sorted(trained_on))
    gallery = main & inside & (split == "train") & ~np.isin(task, list(heldout_tasks))
    known = ~main | np.isin(task, sorted(set(task[gallery])))
    asked = ~inside | (split == "test")
    role = np.full(len(task), NO_ROLE, dtype=object)
    role[inside & (split == "val")] = VAL
    role[gallery] = GALLERY
    role[asked & inside] = "groups"
    role[asked & ~inside] = "datasets"
    role[asked & ~known] = "tasks"
    return role
