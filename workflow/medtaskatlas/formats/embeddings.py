"""The contract of embeddings: results/<run>/embeddings/<encoder>/seed<k>.parquet.

The file of a wide encoder is the largest that a table reads, and most tables need some of its rows
only. So it is mapped into memory and decoded a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.parquet import facts_of, reading, remedy, write_parquet

if TYPE_CHECKING:
    import pandas as pd

# Columns of a pair.
PAIR_COLUMNS = (
    "pair_id",
    "dataset",
    "modality",
    "image_id",
    "subject_id",
    "group_id",
    "split",
    "task",
    "family",
)
# The role is that of the pair, see medtaskatlas.pairs.roles; facts hold that of the encoder.
NEEDED = (*PAIR_COLUMNS, "role", "encoder", "seed")
# Numbers decoded at once: they stay in the cache of the processor.
BLOCK = 2**20


def write_embeddings(
    path: str | Path, pairs: pa.Table, vectors: np.ndarray, facts: Mapping[str, Any]
) -> None:
    """Write the embeddings of one encoder and seed.

    Parameters
    ----------
    path
        The file to make.
    pairs
        Columns of the pairs, among them :data:`PAIR_COLUMNS` and ``role``.
    vectors
        float32 [N, D].
    facts
        What the encoder is: ``encoder``, ``seed``, ``kind``, ``role``, ``standardise`` and more.
    """
    n, dim = vectors.shape
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
    table = (
        pairs.append_column("encoder", pa.array([facts["encoder"]] * n))
        .append_column("seed", pa.array([facts["seed"]] * n, pa.int32()))
        .append_column("embedding", values)
    )
    write_parquet(path, table, facts)


@dataclass(frozen=True)
class EmbeddingFile:
    """A file that was opened, its vectors not read yet."""

    path: Path
    frame: pd.DataFrame  # columns NEEDED of the pairs, and `failure_of` where the file has it
    facts: dict[str, Any]  # what the encoder is
    dim: int  # of the embedding

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Other columns of the pairs, in the order of the file."""
        with reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
            absent = [name for name in names if name not in file.schema_arrow.names]
            if absent:
                raise DataError(f"{self.path} lacks {', '.join(absent)}", remedy(self.path))
            return file.read(columns=list(names), use_threads=False).to_pandas()

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All vectors, some rows at a time: their slice and float32 [b, D], not to be kept.

        A DataError at the end says if any embedding is not finite, or all are the same.
        """
        bad, first, differ, start = 0, None, False, 0
        with reading(self.path), pq.ParquetFile(self.path, memory_map=True) as file:
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
        A file made by :func:`write_embeddings`.

    Returns
    -------
    EmbeddingFile
        Rows in the order of the file.

    Raises
    ------
    DataError
        If the file is missing, damaged, lacks a column or its metadata, holds no pairs or one
        twice.
    """
    import pandas as pd

    path = Path(path)
    facts = read_facts(path)
    with reading(path), pq.ParquetFile(path, memory_map=True) as file:
        schema = file.schema_arrow
        if file.metadata.num_rows == 0:
            raise DataError(f"{path} holds no pairs", remedy(path))
        dim = int(getattr(schema.field("embedding").type, "list_size", 0))
        if dim < 1:
            raise DataError(f"{path} holds no embeddings of one length", remedy(path))
        kept = [name for name in (*NEEDED, "failure_of") if name in schema.names]
        frame = file.read(columns=kept, use_threads=False).to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    if frame["pair_id"].duplicated().any():
        raise DataError(f"{path}: a pair stands in it twice", remedy(path))
    return EmbeddingFile(path, frame, facts, dim)


def read_facts(path: str | Path) -> dict[str, Any]:
    """Read what the encoder of a file is, and check that it has the columns; nothing else."""
    with reading(path):
        schema = pq.read_schema(path)
    absent = [name for name in (*NEEDED, "embedding") if name not in schema.names]
    facts = facts_of(schema)
    if absent or not facts:
        raise DataError(f"{path} lacks {', '.join(absent) or 'its metadata'}", remedy(path))
    return facts
