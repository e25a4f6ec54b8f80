"""Held-out embeddings of each encoder, all its seeds together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embeddings import load_embeddings
from medtaskatlas.formats.embeddings import read_facts
from medtaskatlas.pairs.roles import QUERY_SETS


@dataclass(frozen=True)
class EncoderQueries:
    """The queries of one set in the embeddings of one encoder."""

    name: str
    kind: str
    role: str  # see medtaskatlas.encoders.kind
    query_set: str  # groups, datasets or tasks
    frame: pd.DataFrame  # one row a query
    seeds: list[int]
    vectors: list[np.ndarray]  # float32 [N, D], one a seed; scaled where the encoder asks for it
    asked: list[str]  # tasks of the query set; the others of `frame` are there to compare with


def load_queries(
    paths: Iterable[str | Path],
    *,
    run: str | None = None,
    query_sets: Sequence[str] = QUERY_SETS,
    every_task: bool = False,
) -> Iterator[EncoderQueries]:
    """Read the held-out rows of embeddings, one encoder in memory at a time, by name.

    Whoever takes them one by one should drop one before asking for the next. ``every_task`` gives
    the set ``tasks`` the pairs of all other sets that are read too: a held-out task can then be
    compared with the tasks of the gallery, each by pairs that no encoder has seen.
    """

    def wanted(frame: pd.DataFrame) -> np.ndarray:
        # Set by set, so that each set is a part of the array and no copy.
        return np.concatenate([np.flatnonzero(frame["role"] == name) for name in query_sets])

    ordered = _by_encoder(paths)
    every = [path for own in ordered for path in own]
    files = load_embeddings(every, run=run, wanted=wanted)
    for own in ordered:
        found = [next(files) for _ in own]
        facts, frame = found[0].facts, found[0].frame
        seeds, vectors = [e.seed for e in found], [e.vectors for e in found]
        del found
        for query_set in query_sets:
            rows = np.flatnonzero(frame["role"] == query_set)
            if len(rows):
                first = 0 if every_task and query_set == "tasks" else int(rows[0])
                part = slice(first, int(rows[-1]) + 1)
                yield EncoderQueries(
                    str(facts["encoder"]),
                    str(facts["kind"]),
                    str(facts["role"]),
                    query_set,
                    frame.iloc[part].reset_index(drop=True),
                    seeds,
                    [v[part] for v in vectors],
                    sorted(set(frame["task"].iloc[rows])),
                )
        del vectors  # before the next encoder is read


def _by_encoder(paths: Iterable[str | Path]) -> list[list[Path]]:
    """Files of each encoder, by its name, each encoder's by their seeds."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in map(Path, paths):
        facts = read_facts(path)
        found.setdefault(str(facts["encoder"]), []).append((int(facts["seed"]), path))
    return [
        [path for _, path in sorted(own, key=lambda made: made[0])]
        for _, own in sorted(found.items())
    ]
