"""Embeddings of trajectories and failures: seed<k>.<set>.parquet beside the main pairs' file.

They are brought to the scale of the main pairs, and what an encoder knows is told by the main pairs
too: a set of its own has no gallery.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embedding_file import EmbeddingFile, open_embedding
from medtaskatlas.atlas.embeddings import Embedding, Wanted, open_pairs
from medtaskatlas.atlas.roles import GALLERY, roles
from medtaskatlas.core.errors import DataError

OUTSIDE = "none"
SPLITS = ("groups", "datasets")


@dataclass(frozen=True)
class EmbeddingSet:
    """Trajectories or failures in the embedding of one encoder with one seed.

    Attributes
    ----------
    frame
        One row a pair that is outside training, sorted by ``pair_id``; ``failure_of`` is null in
        trajectories. ``query_set`` is ``groups`` or ``datasets``, ``known`` tells whether the
        gallery holds right pairs of the task (of a failure: of the task that went wrong).
    vectors
        float32 [N, D], on the scale of the main pairs where the encoder asks for it.
    main
        All main pairs, sorted by ``pair_id``.
    near
        Those of the main pairs that were asked for, on the same scale.
    """

    frame: pd.DataFrame
    vectors: np.ndarray
    main: pd.DataFrame
    near: Embedding

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


def none(frame: pd.DataFrame, role: np.ndarray) -> np.ndarray:
    """Keep no main pair.

    Parameters
    ----------
    frame, role
        All main pairs and their roles.

    Returns
    -------
    numpy.ndarray
        No row.
    """
    return np.empty(0, int)


def load_sets(
    main_paths: Iterable[str | Path],
    set_paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
    near: Wanted = none,
) -> Iterator[EmbeddingSet]:
    """Read one set of several encoders and check that it is the same set in each.

    Parameters
    ----------
    main_paths, set_paths
        Main pairs and the set of each encoder and seed, in the same order.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run
        The run that the files must be of; not checked where it is None or a file does not say.
    near
        Which main pairs to keep in memory, as ``wanted`` of
        :func:`~medtaskatlas.atlas.embeddings.load_embedding`.

    Yields
    ------
    EmbeddingSet
        Rows in the same order in each.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another run, encoder or configuration, its embeddings
        are not finite or all the same, or two files are of different pairs.
    """
    mains, sets = [Path(p) for p in main_paths], [Path(p) for p in set_paths]
    if len(mains) != len(sets):
        raise DataError(
            f"{len(mains)} files of main pairs but {len(sets)} of another set",
            "give both of every encoder and seed; start the run again to make what is missing",
        )
    first: tuple[Path, pd.Series, pd.Series] | None = None
    for main_path, set_path in zip(mains, sets, strict=True):
        loaded = load_set(main_path, set_path, heldout_datasets, heldout_tasks, run=run, near=near)
        pairs, main_pairs = loaded.frame["pair_id"], loaded.main["pair_id"]
        if first is None:
            first = (set_path, pairs, main_pairs)
        elif not (pairs.equals(first[1]) and main_pairs.equals(first[2])):
            raise DataError(
                f"{set_path} and {first[0]} are embeddings of different pairs",
                "delete the embeddings folder and start the run again",
            )
        yield loaded
        del loaded  # before the next one is read


def load_set(
    main_path: str | Path,
    set_path: str | Path,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
    near: Wanted = none,
) -> EmbeddingSet:
    """Read one set of one encoder and seed.

    Parameters
    ----------
    main_path, set_path
        results/<run>/embeddings/<encoder>/seed<k>.parquet and seed<k>.<set>.parquet.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run, near
        As of :func:`load_sets`.

    Returns
    -------
    EmbeddingSet
        The pairs outside training.

    Raises
    ------
    DataError
        As :func:`load_sets`.
    """
    main_path, set_path = Path(main_path), Path(set_path)
    main = open_pairs(main_path, heldout_datasets, heldout_tasks, run=run)
    file = open_embedding(set_path)
    remedy = f"delete {set_path} and start the run again: Snakemake makes it anew"
    for key in ("encoder", "seed", "kind", "run"):
        one, other = file.facts.get(key), main.file.facts.get(key)
        if one != other:
            raise DataError(f"{set_path} is of {key} {one!r}, {main_path} of {other!r}", remedy)
    if file.dim != main.file.dim:
        raise DataError(
            f"{set_path} has {file.dim} dimensions, {main_path} {main.file.dim}", remedy
        )
    frame = Outside(main.frame, heldout_datasets, heldout_tasks).mark(_with_steps(file))
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    order = order[(frame["query_set"] != OUTSIDE).to_numpy()[order]]
    kept, scale = main.read(near)
    vectors, _ = file.vectors(order)
    if scale is not None:
        vectors = scale.apply(vectors, inplace=True)
    return EmbeddingSet(frame.iloc[order].reset_index(drop=True), vectors, main.frame, kept)


@dataclass(frozen=True)
class Outside:
    """What is outside training, told by what the main pairs were split into.

    Attributes
    ----------
    main
        Main pairs: columns ``dataset``, ``split``, ``task``.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    """

    main: pd.DataFrame
    heldout_datasets: Collection[str] = ()
    heldout_tasks: Collection[str] = ()

    def mark(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Add the columns ``query_set`` and ``known`` to pairs of another set.

        Parameters
        ----------
        frame
            Columns ``dataset``, ``split``, ``task`` and, if there, ``failure_of``.

        Returns
        -------
        pandas.DataFrame
            ``query_set`` is ``datasets`` for any pair of a dataset outside training, ``groups``
            for those of test groups of the others, else ``none``; whether the task was trained on
            plays no part. ``known`` tells whether the gallery holds the task.
        """
        role = roles(self.main, self.heldout_datasets, self.heldout_tasks)
        gallery = self.main[role == GALLERY]
        trained_on = set(self.main.loc[self.main["split"] == "train", "dataset"])
        inside = frame["dataset"].isin(sorted(trained_on - set(self.heldout_datasets))).to_numpy()
        test = (frame["split"] == "test").to_numpy()
        query_set = np.full(len(frame), OUTSIDE, dtype=object)
        query_set[inside & test] = "groups"
        query_set[~inside] = "datasets"
        task = frame["task"]
        if "failure_of" in frame:
            task = frame["failure_of"].where(frame["failure_of"].notna(), task)
        known = task.isin(sorted(set(gallery["task"]))).to_numpy()
        return frame.assign(query_set=query_set, known=known)


def _with_steps(file: EmbeddingFile) -> pd.DataFrame:
    """Pairs with the columns that only the pairs of such a set need."""
    wanted = ["severity", "level", "draw", "failure_of", "failure_kind"]
    more = file.columns(wanted)
    for name in ("failure_of", "failure_kind"):
        more[name] = more[name].astype(object).where(more[name].notna(), None)
    return pd.concat([file.frame.drop(columns="failure_of", errors="ignore"), more], axis=1)
