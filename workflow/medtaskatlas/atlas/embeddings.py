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
from medtaskatlas.atlas.roles import GALLERY, roles
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


def load_embedding(
    path: str | Path,
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
) -> Embedding:
    """Read one file, check it, and bring the features to one scale where the encoder asks for it.

    Parameters
    ----------
    path
        results/<run>/embeddings/<encoder>/seed<k>.parquet.
    heldout_datasets, heldout_tasks
        What was kept out of training.

    Returns
    -------
    Embedding
        Rows sorted by ``pair_id``. Where the file says ``standardise``, features have mean 0 and
        standard deviation 1 over the gallery; features that are constant there become 0.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another configuration, or its embeddings are not
        finite or all the same.
    """
    path = Path(path)
    frame, vectors, facts = read_embedding(path)
    seen = sorted(set(heldout_datasets) & set(facts.get("trained_datasets", [])))
    seen += sorted(set(heldout_tasks) & set(facts.get("trained_tasks", [])))
    if seen:
        raise DataError(
            f"{path}: the encoder was trained on {', '.join(seen)}, which are held out now",
            "train it again: delete its folder under encoders/ and start the run again",
        )
    order = np.argsort(frame["pair_id"].to_numpy(dtype=str), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    role = roles(frame, heldout_datasets, heldout_tasks)
    vectors = vectors[order]
    if facts.get("standardise"):
        vectors = standardise(vectors, role == GALLERY)
    return Embedding(frame, vectors, facts, role)


def load_embeddings(
    paths: Iterable[str | Path],
    heldout_datasets: Collection[str] = (),
    heldout_tasks: Collection[str] = (),
) -> Iterator[Embedding]:
    """Read several files one after the other and check that they are of the same pairs.

    Parameters
    ----------
    paths
        Embedding files of one run.
    heldout_datasets, heldout_tasks
        What was kept out of training.

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
        embedding = load_embedding(path, heldout_datasets, heldout_tasks)
        pairs = embedding.frame["pair_id"]
        if first is None:
            first = (path, pairs)
        elif not pairs.equals(first[1]):
            raise DataError(
                f"{path} and {first[0]} are embeddings of different pairs",
                "delete the embeddings folder and start the run again",
            )
        yield embedding


# Standard deviations from the gallery's mean beyond which a feature counts no more.
CUT = 5.0


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
    known = vectors[gallery if gallery.any() else slice(None)].astype(np.float64)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    usable = spread > 1e-7 * np.maximum(1, np.abs(mean))
    scaled = (vectors - mean) / np.where(usable, spread, 1)
    return np.where(usable, np.clip(scaled, -CUT, CUT), 0).astype(np.float32)


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
