"""What a number rests on: distinct pairs, images, groups, subjects and datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

Counts = dict[str, int]  # n_pairs, n_images, n_groups, n_subjects, n_datasets
# Names of images and groups are only unique inside a dataset; a subject may be in several.
_DISTINCT = {
    "n_images": ["dataset", "image_id"],
    "n_groups": ["dataset", "group_id"],
    "n_subjects": ["subject_id"],
    "n_datasets": ["dataset"],
}


def counts(frame: pd.DataFrame, mask: np.ndarray | None = None) -> Counts:
    """Counts of some pairs: of all rows, or of those where a mask [N] holds."""
    rows = frame if mask is None else frame.loc[mask]
    number = {name: len(rows[columns].drop_duplicates()) for name, columns in _DISTINCT.items()}
    return {"n_pairs": len(rows), **number}


def counts_of_two(frame: pd.DataFrame, code: np.ndarray) -> list[list[Counts]]:
    """Counts [T][T] of the pairs of any two labels together; the label of each row is int [N]."""
    T = int(code.max()) + 1

    def union(columns: list[str]) -> np.ndarray:
        thing = frame.groupby(columns, sort=False).ngroup().to_numpy()
        there = np.zeros((thing.max() + 1, T))
        there[thing, code] = 1
        own = there.sum(axis=0)
        return own[:, None] + own[None] - there.T @ there

    size = np.bincount(code, minlength=T)
    both = size[:, None] + size[None] - np.diag(size), *map(union, _DISTINCT.values())
    number = np.stack(both, axis=-1).astype(int).tolist()
    names = ("n_pairs", *_DISTINCT)
    return [[dict(zip(names, n, strict=True)) for n in row] for row in number]


def of_subjects(row: Mapping[Any, Any]) -> str:
    """Words to follow a number of groups: `` of 3 subjects``; empty where there are as many."""
    n = int(row["n_subjects"])
    return "" if n == row["n_groups"] else f" of {n:,} subject{'' if n == 1 else 's'}"
