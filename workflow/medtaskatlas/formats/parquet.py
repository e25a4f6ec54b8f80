"""Parquet files with JSON facts in their metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medtaskatlas.core.errors import DataError
from medtaskatlas.core.files import atomic_write
from medtaskatlas.formats.arrow import META_KEY
from medtaskatlas.formats.checksums import NoChecksumsError, pages_of, remedy, seal

__all__ = ["facts_of", "read_parquet", "reading", "remedy", "write_parquet"]


def write_parquet(path: str | Path, table: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write a table with JSON-able facts about it, whole or not at all."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    metadata = {**(table.schema.metadata or {}), META_KEY: text.encode()}
    with atomic_write(path) as part:
        table = table.replace_schema_metadata(metadata)
        # Checksums of pages serve other readers; ours are of page headers and the footer, too.
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
        seal(part)


def read_parquet(path: str | Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a table and its facts, which are empty where it was not written by medtaskatlas.

    A DataError says whether the file is missing or damaged.
    """
    with reading(path):
        table = pq.read_table(path)
    return table, facts_of(table.schema)


def facts_of(schema: pa.Schema) -> dict[str, Any]:
    """Facts in the metadata of a schema; empty where there are none."""
    return dict(json.loads((schema.metadata or {}).get(META_KEY, b"{}")))


def _verify(path: str | Path) -> None:
    """Compare a file with its checksums; one that is not ours has none."""
    try:
        pages_of(path).verify()
    except NoChecksumsError:
        if META_KEY in (pq.read_schema(path).metadata or {}):
            raise


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Verify a file, once a process, and turn errors of Arrow into errors a user can act on."""
    try:
        _verify(path)
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", "start the run again to make it") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is damaged or truncated ({error})", remedy(path)) from error
