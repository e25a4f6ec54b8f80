"""Embeddings: results/<run>/embeddings/<encoder>/seed<k>.parquet, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtaskatlas.atlas.embedding_file import EmbeddingFile, open_embedding
from medtaskatlas.atlas.gallery_scale import Scale, row_blocks
from medtaskatlas.atlas.roles import GALLERY, roles
from medtaskatlas.core.errors import DataError

# Frame of all pairs, sorted, and their roles, to the rows that are wanted, in the order wanted.
Wanted = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
# Variance below this share of the squared length is rounding of 32-bit numbers.
CONSTANT = 1e-10
_UNIT_BLOCK = 2**18  # numbers


@dataclass(frozen=True)
class Embedding:
    """One encoder with one seed, on all pairs or on some.

    Attributes
    ----------
    frame
        One row a pair, columns :data:`~medtaskatlas.atlas.embedding_file.NEEDED` and others of
        the pair.
    vectors
        float32 [N, D].
    facts
        What the encoder is: ``encoder``, ``seed``, ``kind``, ``standardise``, ``run``,
        ``trained_tasks``, ``trained_datasets``.
    role
        [N] role of each pair, see :mod:`medtaskatlas.atlas.roles`.
    """

    frame: pd.DataFrame
    vectors: np.ndarray
    facts: dict[str, Any]
    role: np.ndarray

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return str(self.facts["encoder"])

    @property
    def seed(self) -> int:
        """Seed of the encoder."""
        return int(self.facts["seed"])


def load_embedding(
    path: str | Path,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
    wanted: Wanted | None = None,
) -> Embedding:
    """Read one file, check it, and bring the features to one scale where the encoder asks for it.

    Parameters
    ----------
    path
        results/<run>/embeddings/<encoder>/seed<k>.parquet.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run
        The run that the file must be of; not checked where it is None or the file does not say.
    wanted
        Which rows to keep in memory, told by the frame of all pairs and their roles; None: all.

    Returns
    -------
    Embedding
        Rows sorted by ``pair_id``, or in the order of ``wanted``. Where the file says
        ``standardise``, features have mean 0 and standard deviation 1 over the gallery; features
        that are constant there become 0.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another run or configuration, or its embeddings are
        not finite or all the same.
    """
    pairs = open_pairs(path, heldout_datasets, heldout_tasks, run=run)
    return pairs.read(wanted)[0]


def load_embeddings(
    paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
    wanted: Wanted | None = None,
) -> Iterator[Embedding]:
    """Read several files one after the other and check that they are of the same pairs.

    Parameters
    ----------
    paths
        Embedding files of one run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run, wanted
        As of :func:`load_embedding`.

    Yields
    ------
    Embedding
        Rows in the same order in each.

    Raises
    ------
    DataError
        As :func:`load_embedding`, and if two files are of different pairs.
    """
    first: tuple[Path, pd.Series] | None = None
    for path in map(Path, paths):
        pairs = open_pairs(path, heldout_datasets, heldout_tasks, run=run)
        names = pairs.frame["pair_id"]
        if first is None:
            first = (path, names)
        elif not names.equals(first[1]):
            raise DataError(
                f"{path} and {first[0]} are embeddings of different pairs",
                "delete the embeddings folder and start the run again",
            )
        yield pairs.read(wanted)[0]


@dataclass(frozen=True)
class Pairs:
    """The pairs of a file, their vectors not read yet.

    Attributes
    ----------
    file
        The file.
    order
        int [N], rows of the file by ``pair_id``.
    frame
        Columns of the pairs, sorted by ``pair_id``.
    role
        [N] role of each.
    """

    file: EmbeddingFile
    order: np.ndarray
    frame: pd.DataFrame
    role: np.ndarray

    def read(self, wanted: Wanted | None = None) -> tuple[Embedding, Scale | None]:
        """Read the vectors.

        Parameters
        ----------
        wanted
            As of :func:`load_embedding`.

        Returns
        -------
        Embedding
            The rows that are wanted, on the scale.
        Scale or None
            That of the gallery, where the encoder asks for one.
        """
        rows = np.arange(len(self.role)) if wanted is None else wanted(self.frame, self.role)
        measured = None
        if self.file.facts.get("standardise"):
            gallery = self.role == GALLERY
            measured = np.zeros(len(gallery), bool)
            measured[self.order] = gallery if gallery.any() else True
        vectors, scale = self.file.vectors(self.order[rows], measured)
        if scale is not None:
            vectors = scale.apply(vectors, inplace=True)
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return Embedding(frame, vectors, self.file.facts, self.role[rows]), scale


def open_pairs(
    path: str | Path,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
) -> Pairs:
    """Open one file and check it, all but its vectors.

    Parameters
    ----------
    path, heldout_datasets, heldout_tasks, run
        As of :func:`load_embedding`.

    Returns
    -------
    Pairs
        All pairs, sorted.

    Raises
    ------
    DataError
        As :func:`load_embedding`.
    """
    file = open_embedding(path)
    facts = file.facts
    if run is not None and facts.get("run", run) != run:
        raise DataError(
            f"{path} is of run {facts['run']!r}, not {run!r}",
            f"delete {path} and start the run again",
        )
    seen = sorted(set(heldout_datasets) & set(facts.get("trained_datasets", [])))
    seen += sorted(set(heldout_tasks) & set(facts.get("trained_tasks", [])))
    if seen:
        raise DataError(
            f"{path}: the encoder was trained on {', '.join(seen)}, which are held out now",
            "train it again: delete its folder under encoders/ and start the run again",
        )
    order = np.argsort(file.frame["pair_id"].to_numpy(dtype=str), kind="stable")
    frame = file.frame.iloc[order].reset_index(drop=True)
    return Pairs(file, order, frame, roles(frame, heldout_datasets, heldout_tasks))


def unit(vectors: np.ndarray, *, inplace: bool = False) -> np.ndarray:
    """Scale vectors to length 1, so that their products are cosines.

    Parameters
    ----------
    vectors
        float [N, D].
    inplace
        Whether to write over them, which spares their memory; they must be float32 then.

    Returns
    -------
    numpy.ndarray
        float32 [N, D]; a zero vector stays zero.
    """
    out = vectors if inplace else np.empty(vectors.shape, np.float32)
    for part in row_blocks(vectors, _UNIT_BLOCK):
        length = np.linalg.norm(vectors[part], axis=1, keepdims=True)
        out[part] = vectors[part] / np.maximum(length, 1e-12)
    return out
