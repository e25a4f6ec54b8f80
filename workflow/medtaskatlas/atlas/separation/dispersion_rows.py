"""Row of the table `separation`: whether tasks scatter differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medtaskatlas.atlas.counts import counts
from medtaskatlas.atlas.inference import over_seeds
from medtaskatlas.atlas.queries import EncoderQueries
from medtaskatlas.atlas.resampling import Design
from medtaskatlas.atlas.separation.dispersion import permdisp
from medtaskatlas.core.seeds import generator

DISPERSION_PAIRS = 3000


def dispersion_rows(queries: EncoderQueries, seed: int) -> Iterator[dict[str, Any]]:
    """PERMDISP by task, on a bounded number of pairs.

    Parameters
    ----------
    queries
        The queries of an encoder.
    seed
        The run's seed.

    Yields
    ------
    dict
        One row; with a reason where the test is undefined.
    """
    rng = generator(seed, "permdisp", queries.query_set)
    chosen = np.zeros(len(queries.frame), bool)
    chosen[rng.permutation(len(chosen))[:DISPERSION_PAIRS]] = True
    frame = queries.frame.loc[chosen]
    design = Design.of(frame)
    row: dict[str, Any] = {"measure": "permdisp", "factor": "task", "within": "all"}
    row |= counts(frame) | {"note": "no interval: a test statistic"}
    sizes = np.bincount(design.task)
    if len(sizes) < 2 or len(design.task) <= len(sizes) or sizes.max() < 2:
        yield row | {"note": "undefined: too few tasks or pairs"}
        return
    vectors = np.stack([v[chosen] for v in queries.vectors])
    each, p = permdisp(vectors, design.task, design.group, rng)
    if not np.isfinite(each).all():
        yield row | {"note": "undefined: no scatter within tasks"}
        return
    yield row | over_seeds(each) | {"p": p, "p_family": f"permdisp: {queries.query_set}"}
