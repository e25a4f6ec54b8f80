"""Embeddings: results/<run>/embeddings/<encoder>/seed<k>.parquet, read and checked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.arrow import META_KEY
from medtaskatlas.atlas.gallery_scale import Scale
from medtaskatlas.atlas.roles import GALLERY, NO_ROLE, roles
from medtaskatlas.errors import DataError

NEEDED = (
    "pair_id",
    "dataset",
    "modality",
    "image_id",
    "group_id",
    "split",
    "task",
    "family",
    "encoder",
    "seed",
)


@dataclass(frozen=True)
class Embedding:
    """One encoder with one seed, on all pairs.

    Attributes
    ----------
    frame
        One row a pair, columns :data:`NEEDED` and others of the pair.
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

    def only(self, mask: np.ndarray) -> Embedding:
        """Some of the pairs.

        Parameters
        ----------
        mask
            [N] bool.

        Returns
        -------
        Embedding
            The pairs where ``mask`` holds, in the same order.
        """
        frame = self.frame.loc[mask].reset_index(drop=True)
        return replace(self, frame=frame, vectors=self.vectors[mask], role=self.role[mask])

    def holding_out(
        self,
        heldout_datasets: Collection[str] = (),
        heldout_tasks: Collection[str] = (),
        *,
        scaled: bool = True,
    ) -> Embedding:
        """The same pairs with the roles, and on the scale, of a gallery that lacks something.

        Parameters
        ----------
        heldout_datasets, heldout_tasks
            What the gallery lacks.
        scaled
            Whether to bring the features to one scale where the encoder asks for it; this
            embedding must not be scaled yet.

        Returns
        -------
        Embedding
            Rows in the same order.
        """
        role = roles(self.frame, heldout_datasets, heldout_tasks)
        vectors = self.vectors
        if scaled and self.facts.get("standardise"):
            vectors = standardise(vectors, role == GALLERY)
        return replace(self, vectors=vectors, role=role)


def load_embedding(
    path: str | Path,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
    scaled: bool = True,
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
    scaled
        False leaves the features as they are in the file.

    Returns
    -------
    Embedding
        Rows sorted by ``pair_id``. Where the file says ``standardise``, features have mean 0 and
        standard deviation 1 over the gallery; features that are constant there become 0.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another run or configuration, or its embeddings are
        not finite or all the same.
    """
    path = Path(path)
    frame, vectors, facts = read_embedding(path)
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
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    as_read = Embedding(frame, vectors[order], facts, np.full(len(frame), NO_ROLE, dtype=object))
    return as_read.holding_out(heldout_datasets, heldout_tasks, scaled=scaled)


def load_embeddings(
    paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
    *,
    run: str | None = None,
) -> Iterator[Embedding]:
    """Read several files one after the other and check that they are of the same pairs.

    Parameters
    ----------
    paths
        Embedding files of one run.
    heldout_datasets, heldout_tasks
        What was kept out of training.
    run
        The run that they must be of, see :func:`load_embedding`.

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
        embedding = load_embedding(path, heldout_datasets, heldout_tasks, run=run)
        pairs = embedding.frame["pair_id"]
        if first is None:
            first = (path, pairs)
        elif not pairs.equals(first[1]):
            raise DataError(
                f"{path} and {first[0]} are embeddings of different pairs",
                "delete the embeddings folder and start the run again",
            )
        yield embedding


def standardise(vectors: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Bring features to mean 0 and standard deviation 1 over the gallery, cut off at 5.

    Without the cut a feature that hardly varies in the gallery but does in a query outweighs all
    others there, and a baseline would look weaker than it is.

    Parameters
    ----------
    vectors
        float32 [N, D].
    gallery
        [N] bool.

    Returns
    -------
    numpy.ndarray
        float32 [N, D] in -5..5; features that are constant over the gallery are 0.
    """
    return Scale.of(vectors[gallery if gallery.any() else slice(None)]).apply(vectors)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1, so that their products are cosines.

    Parameters
    ----------
    vectors
        float [N, D].

    Returns
    -------
    numpy.ndarray
        float32 [N, D]; a zero vector stays zero.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)


def read_embedding(path: Path) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Read one file as it is.

    Parameters
    ----------
    path
        results/<run>/embeddings/<encoder>/seed<k>.parquet.

    Returns
    -------
    pandas.DataFrame
        Columns of the pairs.
    numpy.ndarray
        float32 [N, D].
    dict
        Facts of the file.

    Raises
    ------
    DataError
        If the file is missing, damaged, or its embeddings are not finite or all the same.
    """
    remedy = f"delete {path} and start the run again: Snakemake makes it anew"
    if not path.exists():
        raise DataError(f"{path} is missing", "start the run again to make it")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is damaged or truncated ({error})", remedy) from error
    absent = [name for name in (*NEEDED, "embedding") if name not in table.column_names]
    if absent or META_KEY not in (table.schema.metadata or {}):
        raise DataError(f"{path} lacks {', '.join(absent) or 'its metadata'}", remedy)
    if table.num_rows == 0:
        raise DataError(f"{path} holds no pairs", remedy)
    facts: dict[str, Any] = json.loads(table.schema.metadata[META_KEY])
    kept = [name for name in (*NEEDED, "failure_of") if name in table.column_names]
    frame = table.select(kept).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    column = table.column("embedding").combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    if vectors.shape[1] == 0 or not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors)).any(axis=1).sum())
        raise DataError(
            f"{path}: {bad} of {len(vectors)} embeddings are not finite (NaN or infinite)",
            "the training diverged: lower its learning_rate and delete its folder in encoders/",
        )
    if len(vectors) > 1 and np.ptp(vectors, axis=0).max() == 0:
        raise DataError(
            f"{path}: all embeddings are the same vector",
            "the encoder has collapsed: lower its learning_rate or raise its steps, train it again",
        )
    if frame["pair_id"].duplicated().any():
        raise DataError(f"{path}: a pair stands in it twice", remedy)
    return frame, vectors.astype(np.float32, copy=False), facts
