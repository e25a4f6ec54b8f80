"""Who is asked and who answers: the role of every pair in the evaluation.

The gallery is what an encoder may know: training groups of training datasets. Queries are what it
has never seen, in three sets that are never mixed. Validation groups have no role here.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

GALLERY = "gallery"
NO_ROLE = "none"
# Test groups (patients, volumes, regions) of datasets that were trained on; all pairs of datasets
# that were not; held-out pairs of tasks that the gallery lacks: only their family can be named.
QUERY_SETS = ("groups", "datasets", "tasks")


def roles(
    frame: pd.DataFrame,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
) -> np.ndarray:
    """Role of every pair.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``split``, ``task`` and, if there, ``failure_of``; one row a pair.
    heldout_datasets
        Datasets kept out of training. A dataset without a training row is treated alike.
    heldout_tasks
        Tasks kept out of training.

    Returns
    -------
    numpy.ndarray
        [N] of strings: ``gallery``, a name of :data:`QUERY_SETS`, or ``none`` (validation groups,
        failures, training rows of held-out tasks).
    """
    dataset = frame["dataset"].to_numpy(dtype=object)
    split = frame["split"].to_numpy(dtype=object)
    task = frame["task"].to_numpy(dtype=object)
    main = np.ones(len(frame), bool)
    if "failure_of" in frame:
        main = frame["failure_of"].isna().to_numpy()
    trained_on = set(dataset[split == "train"]) - set(heldout_datasets)
    inside = np.isin(dataset, list(trained_on))
    gallery = main & inside & (split == "train") & ~np.isin(task, list(heldout_tasks))
    known = np.isin(task, sorted(set(task[gallery])))
    asked = main & (~inside | (split == "test"))

    role = np.full(len(frame), NO_ROLE, dtype=object)
    role[gallery] = GALLERY
    role[asked & known & inside] = "groups"
    role[asked & known & ~inside] = "datasets"
    role[asked & ~known] = "tasks"
    return role
