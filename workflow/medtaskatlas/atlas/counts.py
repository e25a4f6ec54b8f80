"""What a number rests on: distinct pairs, images, groups and datasets."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd


class Counts(TypedDict):
    """Distinct pairs, images, groups and datasets."""

    n_pairs: int
    n_images: int
    n_groups: int
    n_datasets: int


# Names of images and groups are only unique inside a dataset.
_DISTINCT = {
    "n_images": ["dataset", "image_id"],
    "n_groups": ["dataset", "group_id"],
    "n_datasets": ["dataset"],
}


def counts(frame: pd.DataFrame, mask: np.ndarray | None = None) -> Counts:
    """Counts of some pairs: of all rows, or of those where a mask [N] holds."""
    rows = frame if mask is None else frame.loc[mask]
    return {
        "n_pairs": len(rows),
        "n_images": len(rows[_DISTINCT["n_images"]].drop_duplicates()),
        "n_groups": len(rows[_DISTINCT["n_groups"]].drop_duplicates()),
        "n_datasets": int(rows["dataset"].nunique()),
    }


def counts_of_two(frame: pd.DataFrame, code: np.ndarray) -> list[list[Counts]]:
    """Counts [T][T] of the pairs of any two labels together; the label of each row is int [N]."""
    T = int(code.max()) + 1
    size = np.bincount(code, minlength=T)
    both = {"n_pairs": size[:, None] + size[None] - np.diag(size)}
    for name, columns in _DISTINCT.items():
        thing = frame.groupby(columns, sort=False).ngroup().to_numpy()
        there = np.zeros((thing.max() + 1, T))
        there[thing, code] = 1
        own = there.sum(axis=0)
        both[name] = own[:, None] + own[None] - there.T @ there
    return [
        [Counts(**{name: int(n[a, b]) for name, n in both.items()}) for b in range(T)]
        for a in range(T)
    ]
