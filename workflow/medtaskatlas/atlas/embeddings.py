"""Embeddings of a run, checked, by pair, and on one scale where the encoder asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.vectors import Scale, ScaleSum
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.embeddings import EmbeddingFile, open_embedding
from medtaskatlas.formats.parquet import remedy
from medtaskatlas.pairs.roles import GALLERY, KNOWN_TASKS

# Frame of all pairs, sorted, to the rows that are wanted, in the order wanted.
Wanted = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Embedding:
    """One encoder with one seed, on all pairs or on some."""

    frame: pd.DataFrame  # one row a pair, columns formats.embeddings.NEEDED and others
    vectors: np.ndarray  # float32 [N, D]
    facts: dict[str, Any]  # encoder, seed, kind, standardise, run, trained_tasks, trained_datasets

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return str(self.facts["encoder"])

    @property
    def seed(self) -> int:
        """Seed of the encoder."""
        return int(self.facts["seed"])


@dataclass(frozen=True)
class Pairs:
    """The pairs of a file sorted by ``pair_id``, their vectors not read yet."""

    file: EmbeddingFile
    order: np.ndarray  # int [N], rows of the file
    frame: pd.DataFrame

    def read(self, wanted: Wanted | None = None) -> tuple[Embedding, Scale | None]:
        """The rows that are wanted, and the gallery's scale where the encoder asks for one."""
        rows = np.arange(len(self.frame)) if wanted is None else wanted(self.frame)
        measured, scale = None, None
        if self.file.facts.get("standardise"):
            gallery = (self.frame["role"] == GALLERY).to_numpy()
            measured = np.zeros(len(gallery), bool)
            measured[self.order] = gallery if gallery.any() else True
        vectors, total = _read(self.file, self.order[rows], measured)
        if total is not None:
            scale = total.scale()
            vectors = scale.apply(vectors, inplace=True)
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return Embedding(frame, vectors, self.file.facts), scale


def _read(
    file: EmbeddingFile, rows: np.ndarray, measured: np.ndarray | None = None
) -> tuple[np.ndarray, ScaleSum | None]:
    """Vectors [M, D] of some rows of a file, and the scale of those ``measured`` [N] on the way."""
    place = np.full(len(file.frame), -1)
    place[rows] = np.arange(len(rows))
    out = np.empty((len(rows), file.dim), np.float32)
    total = None if measured is None else ScaleSum(file.dim)
    for part, block in file.blocks():
        to = place[part]
        out[to[to >= 0]] = block[to >= 0]
        if total is not None and measured is not None:
            total.add(block[measured[part]])
    return out, total


def open_pairs(path: str | Path, *, run: str | None = None) -> Pairs:
    """Open one file and check it as :func:`load_embedding` does, all but its vectors."""
    file = open_embedding(path)
    if run is not None and file.facts.get("run", run) != run:
        raise DataError(
            f"{path} is of run {file.facts['run']!r}, not {run!r}",
            f"delete {path} and start the run again",
        )
    order = np.argsort(file.frame["pair_id"].to_numpy(dtype=str), kind="stable")
    return Pairs(file, order, file.frame.iloc[order].reset_index(drop=True))


def load_embedding(
    path: str | Path, *, run: str | None = None, wanted: Wanted | None = None
) -> Embedding:
    """Read one file as :func:`load_embeddings` does."""
    return open_pairs(path, run=run).read(wanted)[0]


def load_embeddings(
    paths: Iterable[str | Path], *, run: str | None = None, wanted: Wanted | None = None
) -> Iterator[Embedding]:
    """Read files one after the other and check each, and that they are of the same pairs.

    Parameters
    ----------
    paths
        Embedding files results/<run>/embeddings/<encoder>/seed<k>.parquet of one run.
    run
        The run that the files must be of; not checked where it is None or a file does not say.
    wanted
        Which rows to keep in memory, told by the frame of all pairs; None: all.

    Yields
    ------
    Embedding
        Rows sorted by ``pair_id``, or in the order of ``wanted``. Where a file says
        ``standardise``, features have mean 0 and standard deviation 1 over the gallery; those that
        are constant there become 0.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another run, configuration or pairs than the rest, or its
        embeddings are not finite or all the same.
    """
    first: tuple[Path, pd.Series] | None = None
    for path in map(Path, paths):
        pairs = open_pairs(path, run=run)
        names = pairs.frame["pair_id"]
        first = first or (path, names)
        if not names.equals(first[1]):
            raise _of_different_pairs(path, first[0])
        yield pairs.read(wanted)[0]


def _of_different_pairs(one: Path, other: Path) -> DataError:
    return DataError(
        f"{one} and {other} are embeddings of different pairs",
        "delete the embeddings folder and start the run again",
    )


@dataclass(frozen=True)
class EmbeddingSet:
    """Trajectories or failures, in a file seed<k>.<set>.parquet next to the main pairs'.

    They are brought to the scale of the main pairs, and what an encoder knows is told by the main
    pairs too: a set of its own has no gallery.
    """

    # One row a pair that is outside training, sorted by `pair_id`; `failure_of` is null in
    # trajectories, `query_set` is the role, `known` tells whether the gallery holds the task (of a
    # failure: `failure_of`).
    frame: pd.DataFrame
    vectors: np.ndarray  # float32 [N, D], on the scale of the main pairs if the encoder asks for it
    main: pd.Series  # `pair_id` of all main pairs, sorted
    near: Embedding  # those of the main pairs that were asked for, on the same scale

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return self.near.name

    @property
    def role(self) -> str:
        """Role of the encoder; see :mod:`medtaskatlas.encoders.kind`."""
        return str(self.near.facts["role"])

    @property
    def seed(self) -> int:
        """Seed of the encoder."""
        return self.near.seed


def none(frame: pd.DataFrame) -> np.ndarray:
    """Keep no main pair."""
    return np.empty(0, int)


def load_set(
    main_path: str | Path,
    set_path: str | Path,
    *,
    run: str | None = None,
    near: Wanted = none,
) -> EmbeddingSet:
    """Read the trajectories or failures of one encoder and seed, on the pairs outside training.

    Parameters
    ----------
    main_path, set_path
        results/<run>/embeddings/<encoder>/seed<k>.parquet and seed<k>.<set>.parquet.
    run
        As of :func:`load_embeddings`.
    near
        Which main pairs to keep in memory, as ``wanted`` there.

    Returns
    -------
    EmbeddingSet
        Sorted by ``pair_id``.

    Raises
    ------
    DataError
        As :func:`load_embeddings`, and if the two files are not of one encoder, seed and run.
    """
    main_path, set_path = Path(main_path), Path(set_path)
    main = open_pairs(main_path, run=run)
    file = open_embedding(set_path)
    for key in ("encoder", "seed", "kind", "run"):
        one, other = file.facts.get(key), main.file.facts.get(key)
        if one != other:
            text = f"{set_path} is of {key} {one!r}, {main_path} of {other!r}"
            raise DataError(text, remedy(set_path))
    if file.dim != main.file.dim:
        text = f"{set_path} has {file.dim} dimensions, {main_path} {main.file.dim}"
        raise DataError(text, remedy(set_path))
    frame = _with_steps(file).rename(columns={"role": "query_set"})
    known = set(main.frame.loc[main.frame["role"] == GALLERY, "task"])
    of = frame["failure_of"].where(frame["failure_of"].notna(), frame["task"])
    frame["known"] = of.isin(known)
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    order = order[frame["query_set"].isin(KNOWN_TASKS).to_numpy()[order]]
    kept, scale = main.read(near)
    vectors, _ = _read(file, order)
    if scale is not None:
        vectors = scale.apply(vectors, inplace=True)
    outside = frame.iloc[order].reset_index(drop=True)
    return EmbeddingSet(outside, vectors, main.frame["pair_id"], kept)


def load_sets(
    main_paths: Iterable[str | Path],
    set_paths: Iterable[str | Path],
    *,
    run: str | None = None,
    near: Wanted = none,
) -> Iterator[EmbeddingSet]:
    """Read one set of several encoders as :func:`load_set` does; it must be the same in each."""
    mains, sets = [Path(p) for p in main_paths], [Path(p) for p in set_paths]
    if len(mains) != len(sets):
        raise DataError(
            f"{len(mains)} files of main pairs but {len(sets)} of another set",
            "give both of every encoder and seed; start the run again to make what is missing",
        )
    first: tuple[Path, pd.Series, pd.Series] | None = None
    for main_path, set_path in zip(mains, sets, strict=True):
        loaded = load_set(main_path, set_path, run=run, near=near)
        pairs = loaded.frame["pair_id"]
        first = first or (set_path, pairs, loaded.main)
        if not (pairs.equals(first[1]) and loaded.main.equals(first[2])):
            raise _of_different_pairs(set_path, first[0])
        yield loaded
        del loaded  # before the next one is read


def _with_steps(file: EmbeddingFile) -> pd.DataFrame:
    """Pairs with the columns that only the pairs of such a set need."""
    wanted = ["severity", "level", "draw", "failure_of", "failure_kind"]
    more = file.columns(wanted)
    for name in ("failure_of", "failure_kind"):
        more[name] = more[name].astype(object).where(more[name].notna(), None)
    return pd.concat([file.frame.drop(columns="failure_of", errors="ignore"), more], axis=1)
