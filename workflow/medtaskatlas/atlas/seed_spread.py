"""What the seeds of an encoder make of a number."""

from __future__ import annotations

import numpy as np


def over_seeds(each: np.ndarray) -> dict[str, float | None]:
    """Mean over seeds and its spread.

    Parameters
    ----------
    each
        float [S], the number of each seed.

    Returns
    -------
    dict
        Columns ``estimate`` and ``seed_sd``; the latter is None for a single seed.
    """
    spread = float(each.std(ddof=1)) if len(each) > 1 else None
    return {"estimate": float(each.mean()), "seed_sd": spread}
