"""Held-out embeddings of each encoder, all its seeds together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import Embedding, load_embeddings
from medtaskatlas.atlas.roles import QUERY_SETS


@dataclass(frozen=True)
class EncoderQueries:
    """The queries of one set in the embeddings of one encoder.

    Attributes
    ----------
    name, kind, role
        Name, kind and role of the encoder; see :mod:`medtaskatlas.encoders.kind`.
    query_set
        ``groups``, ``datasets`` or ``tasks``.
    frame
        One row a query.
    seeds
        Its seeds, sorted.
    vectors
        One float32 [N, D] a seed; on one scale where the encoder asks for it.
    """

    name: str
    kind: str
    role: str
    query_set: str
    frame: pd.DataFrame
    seeds: list[int]
    vectors: list[np.ndarray]


def load_queries(
    paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
) -> Iterator[EncoderQueries]:
    """Read embeddings and keep the held-out rows.

    Parameters
    ----------
    paths
        Embedding files of one run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run
        The run that they must be of, see :func:`~medtaskatlas.atlas.embeddings.load_embedding`.

    Yields
    ------
    EncoderQueries
        A query set of an encoder; encoders by name.
    """
    found: dict[str, list[Embedding]] = {}
    for embedding in load_embeddings(paths, heldout_datasets, heldout_tasks, run=run):
        asked = embedding.only(np.isin(embedding.role, QUERY_SETS))
        found.setdefault(asked.name, []).append(asked)
    for name, seeds in sorted(found.items()):
        seeds.sort(key=lambda e: e.seed)
        role, frame = seeds[0].role, seeds[0].frame
        for query_set in QUERY_SETS:
            mask = role == query_set
            if mask.any():
                yield EncoderQueries(
                    name,
                    str(seeds[0].facts["kind"]),
                    str(seeds[0].facts["role"]),
                    query_set,
                    frame.loc[mask].reset_index(drop=True),
                    [e.seed for e in seeds],
                    [e.vectors[mask] for e in seeds],
                )
