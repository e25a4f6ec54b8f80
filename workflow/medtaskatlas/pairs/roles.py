"""Who is asked and who answers: the role of every pair in the evaluation.

The gallery is what an encoder may know: training groups of training datasets. Queries are what it
has never seen, in sets that are never mixed.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

GALLERY = "gallery"
# Of datasets that were trained on: test groups of subjects that neither training nor validation has
# seen, and of subjects that it has (other slices of a brain, other parts of a picture). All pairs
# of datasets that were not trained on.
KNOWN_TASKS = ("groups", "regions", "datasets")
# And held-out pairs of tasks that the gallery lacks: only their family can be named.
QUERY_SETS = (*KNOWN_TASKS, "tasks")
VAL = "val"  # validation groups: for choices, so that no table has them
# The input of a query with the output of another image: a control.
MISMATCHED = "mismatched"
NO_ROLE = "none"  # training groups where the gallery has none of it: held-out tasks, failures


def roles(
    dataset: np.ndarray,
    split: np.ndarray,
    subject: np.ndarray,
    task: np.ndarray,
    main: np.ndarray,
    *,
    trained_on: Collection[str],
    heldout_tasks: Collection[str] = (),
) -> np.ndarray:
    """Role of every pair.

    Parameters
    ----------
    dataset, split, subject, task
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
    seen = np.isin(subject, sorted(set(subject[inside & (split != "test")])))
    role[asked] = query_sets(inside, seen)[asked]
    role[asked & ~known] = "tasks"
    return role


def query_sets(inside: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Query set [N] by whether the dataset was trained on, and the subject seen, bool [N]."""
    return np.where(seen, "regions", np.where(inside, "groups", "datasets")).astype(object)
