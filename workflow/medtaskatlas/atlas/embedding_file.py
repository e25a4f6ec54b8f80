"""A file of embeddings, read a block of rows at a time.

A wide encoder's file is the largest thing that the atlas touches, and most tables need some of its
rows only. So a file is mapped into memory and decoded block by block: what is held is what was
asked for, and no list of all values with their levels is ever made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.atlas.gallery_scale import Scale, ScaleSum
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.arrow import META_KEY

# What is known of a pair, and of the file's encoder.
PAIR_COLUMNS = (
    "pair_id",
    "dataset",
    "modality",
    "image_id",
    "group_id",
    "split",
    "task",
    "family",
)
NEEDED = (*PAIR_COLUMNS, "encoder", "seed")
# Numbers decoded at once: they stay in the cache of the processor.
BLOCK = 2**20


@dataclass(frozen=True)
class EmbeddingFile:
    """A file that was opened, its vectors not read yet.

    Attributes
    ----------
    path
        results/<run>/embeddings/<encoder>/seed<k>.parquet, or a set beside it.
    frame
        Columns of the pairs: :data:`NEEDED`, and ``failure_of`` where the file has it.
    facts
        What the encoder is; see :class:`~medtaskatlas.atlas.embeddings.Embedding`.
    dim
        Dimensions of the embedding.
    """

    path: Path
    frame: pd.DataFrame
    facts: dict[str, Any]
    dim: int

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Other columns of the pairs.

        Parameters
        ----------
        names
            Which.

        Returns
        -------
        pandas.DataFrame
            Rows in the order of the file.

        Raises
        ------
        DataError
            If the file lacks one of them, or is damaged.
        """
        with _reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
            absent = [name for name in names if name not in file.schema_arrow.names]
            if absent:
                raise DataError(f"{self.path} lacks {', '.join(absent)}", _remedy(self.path))
            return file.read(columns=list(names), use_threads=False).to_pandas()

    def vectors(
        self, rows: np.ndarray, scale_rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, Scale | None]:
        """Read some vectors, and the scale of others on the way.

        Parameters
        ----------
        rows
            int [M], different rows of the file, in the order in which they are wanted.
        scale_rows
            bool [N], rows of the file that the scale is measured on; None: of none.

        Returns
        -------
        numpy.ndarray
            float32 [M, D], as in the file.
        Scale or None
            Their scale; None where there are no ``scale_rows``.

        Raises
        ------
        DataError
            If the file is damaged, or any of its embeddings is not finite, or all are the same.
        """
        place = np.full(len(self.frame), -1)
        place[rows] = np.arange(len(rows))
        out = np.empty((len(rows), self.dim), np.float32)
        scale = None if scale_rows is None else ScaleSum(self.dim)
        for part, block in self._blocks():
            to = place[part]
            out[to[to >= 0]] = block[to >= 0]
            if scale is not None and scale_rows is not None:
                scale.add(block[scale_rows[part]])
        return out, None if scale is None else scale.scale()

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All vectors, some rows at a time: slice of the rows and float32 [b, D], not to be kept.

        What is wrong with any of them is told at the end.
        """
        bad, first, differ, start = 0, None, False, 0
        with _reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
            batches = file.iter_batches(
                max(1, BLOCK // self.dim), columns=["embedding"], use_threads=False
            )
            for batch in batches:
                flat = batch.column(0).flatten().to_numpy(zero_copy_only=False)
                block = flat.reshape(-1, self.dim).astype(np.float32, copy=False)
                finite = np.isfinite(block)
                if not finite.all():
                    bad += int((~finite).any(axis=1).sum())
                first = block[0].copy() if first is None else first
                differ = differ or bool((block != first).any())
                yield slice(start, start + len(block)), block
                start += len(block)
        if bad:
            raise DataError(
                f"{self.path}: {bad} of {start} embeddings are not finite (NaN or infinite)",
                "the training diverged: lower its learning_rate and delete its folder in encoders/",
            )
        if start > 1 and not differ:
            raise DataError(
                f"{self.path}: all embeddings are the same vector",
                "the encoder has collapsed: lower its learning_rate or raise its steps, train it "
                "again",
            )


def open_embedding(path: str | Path) -> EmbeddingFile:
    """Open a file and read all of it but the vectors.

    Parameters
    ----------
    path
        results/<run>/embeddings/<encoder>/seed<k>.parquet.

    Returns
    -------
    EmbeddingFile
        Rows in the order of the file.

    Raises
    ------
    DataError
        As :func:`read_facts`, and if it holds no pairs or one of them twice.
    """
    path = Path(path)
    facts = read_facts(path)
    with _reading(path), pq.ParquetFile(path, memory_map=True) as file:
        schema = file.schema_arrow
        if file.metadata.num_rows == 0:
            raise DataError(f"{path} holds no pairs", _remedy(path))
        dim = int(getattr(schema.field("embedding").type, "list_size", 0))
        if dim < 1:
            raise DataError(f"{path} holds no embeddings of one length", _remedy(path))
        kept = [name for name in (*NEEDED, "failure_of") if name in schema.names]
        frame = file.read(columns=kept, use_threads=False).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    if frame["pair_id"].duplicated().any():
        raise DataError(f"{path}: a pair stands in it twice", _remedy(path))
    return EmbeddingFile(path, frame, facts, dim)


def read_facts(path: str | Path) -> dict[str, Any]:
    """Read what the encoder of a file is, and nothing else.

    Parameters
    ----------
    path
        As of :func:`open_embedding`.

    Returns
    -------
    dict
        Facts of the file.

    Raises
    ------
    DataError
        If the file is missing, damaged or lacks its metadata or a column.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is missing", "start the run again to make it")
    with _reading(path):
        schema = pq.read_schema(path)
    absent = [name for name in (*NEEDED, "embedding") if name not in schema.names]
    if absent or META_KEY not in (schema.metadata or {}):
        raise DataError(f"{path} lacks {', '.join(absent) or 'its metadata'}", _remedy(path))
    return dict(json.loads(schema.metadata[META_KEY]))


def _remedy(path: Path) -> str:
    """What to do about a file that is not whole."""
    return f"delete {path} and start the run again: Snakemake makes it anew"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What Arrow says of a damaged file, as an error that a user can act on."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        text = f"{path} is damaged or truncated ({error})"
        raise DataError(text, _remedy(path)) from error
