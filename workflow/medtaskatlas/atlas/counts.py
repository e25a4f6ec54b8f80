"""How much a number rests on."""

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


def counts(frame: pd.DataFrame, mask: np.ndarray | None = None) -> Counts:
    """Count what some pairs were made from.

    Parameters
    ----------
    frame
        Columns ``dataset``, ``image_id``, ``group_id``; one row a pair.
    mask
        [N] bool, the rows to count; all of them where it is None.

    Returns
    -------
    Counts
        Image and group names are only unique inside a dataset, and counted so.
    """
    rows = frame if mask is None else frame.loc[mask]
    return {
        "n_pairs": len(rows),
        "n_images": len(rows[["dataset", "image_id"]].drop_duplicates()),
        "n_groups": len(rows[["dataset", "group_id"]].drop_duplicates()),
        "n_datasets": int(rows["dataset"].nunique()),
    }
