"""The levels of a measure: all cells, or those of a family, task, dataset or modality."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medtaskatlas.atlas.resampling import (
    Design,
)


@dataclass(frozen=True)
class Level:
    """A set of (dataset, task) cells with a name.

    Attributes
    ----------
    subset
        ``all`` tasks or ``not_format_identifiable`` ones.
    kind
        ``overall``, ``family``, ``task``, ``dataset`` or ``modality``.
    name
        Which family, task, dataset or modality; ``all`` for overall.
    mask
        bool [D, T], its cells.
    rows
        bool [N], its pairs.
    """

    subset: str
    kind: str
    name: str
    mask: np.ndarray
    rows: np.ndarray


def levels(frame: pd.DataFrame, design: Design, given_away: Collection[str]) -> list[Level]:
    """All levels of some pairs.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``modality``, ``task``, ``family``; one row a pair.
    design
        The pairs' design.
    given_away
        Tasks that the format of the output gives away.

    Returns
    -------
    list of Level
        With all tasks at every level; without the given-away ones at all levels but ``task``.
    """
    dataset = design.group_dataset[design.group]
    tasks = np.array(design.tasks, dtype=object)
    columns = {
        "overall": np.full(len(frame), "all", dtype=object),
        "family": frame["family"].to_numpy(dtype=object),
        "task": frame["task"].to_numpy(dtype=object),
        "dataset": frame["dataset"].to_numpy(dtype=object),
        "modality": frame["modality"].to_numpy(dtype=object),
    }
    hidden = ~np.isin(tasks, list(given_away))[design.task]
    found = []
    for subset, keep in (("all", np.ones(len(frame), bool)), ("not_format_identifiable", hidden)):
        for kind, names in columns.items():
            if subset != "all" and kind == "task":
                continue
            for name in sorted(set(names)):
                rows = keep & (names == name)
                if rows.any():
                    mask = np.zeros((len(design.datasets), len(design.tasks)), bool)
                    mask[dataset[rows], design.task[rows]] = True
                    found.append(Level(subset, kind, str(name), mask, rows))
    return found
