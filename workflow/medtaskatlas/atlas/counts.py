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
_IMAGE, _GROUP = ["dataset", "image_id"], ["dataset", "group_id"]


def counts(frame: pd.DataFrame, mask: np.ndarray | None = None) -> Counts:
    """Counts of some pairs: of all rows, or of those where a mask [N] holds."""
    rows = frame if mask is None else frame.loc[mask]
    return {
        "n_pairs": len(rows),
        "n_images": len(rows[_IMAGE].drop_duplicates()),
        "n_groups": len(rows[_GROUP].drop_duplicates()),
        "n_datasets": int(rows["dataset"].nunique()),
    }


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
    both = size[:, None] + size[None] - np.diag(size), *map(union, (_IMAGE, _GROUP, ["dataset"]))
    number = np.stack(both, axis=-1).astype(int).tolist()
    return [
        [Counts(n_pairs=p, n_images=i, n_groups=g, n_datasets=d) for p, i, g, d in row]
        for row in number
    ]
