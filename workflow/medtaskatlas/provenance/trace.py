"""Trace a table, or one number of it, to the files and the code that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medtaskatlas import __version__
from medtaskatlas.core import code_hash as provenance
from medtaskatlas.core.errors import DataError, nearest
from medtaskatlas.core.files import existing_run
from medtaskatlas.provenance.stamp import FORMAT, config_sha256, file_facts, libraries
from medtaskatlas.provenance.upstream import PAIRS, behind, encoded, facts_of, hash_now, origins

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "make it anew: delete it and start the run again (its encoders are not trained again)"


def trace(
    table: str | Path,
    *,
    row: int | None = None,
    where: Mapping[str, str] | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """Trace a table, or some of its rows.

    Parameters
    ----------
    table
        results/<run>/tables/<table>.parquet. Only files of its run and of data/ are read.
    row
        Number of a row, from 0; None: all.
    where
        Column to value, as text; rows that have all of them.
    quick
        Compare sizes of inputs, not hashes: for runs whose pairs are tens of gigabytes.

    Returns
    -------
    dict
        JSON-able; docs/provenance.md describes it.

    Raises
    ------
    DataError
        If the file is missing, no table of ours, of an older or newer version, or has no such row.
    """
    from medtaskatlas.atlas.tables import read_table

    table = Path(table)
    if table.exists() and table.suffix != ".parquet":
        raise DataError(f"{table} is no table", "name a results/<run>/tables/<table>.parquet")
    if not table.exists():
        if table.parent.name == "tables":
            existing_run(table.parent.parent)
        others = [file.stem for file in table.parent.glob("*.parquet")]
        raise DataError(f"{table} is missing", nearest(table.stem, others))
    frame = read_table(table)
    facts = frame.attrs["meta"]
    stamp = _stamp_of(table, facts)
    rows = _rows(table, frame, row, where or {})
    folder = _folder_of(table)
    run = f"results/{facts['run']}"
    narrow, note = _encoders_of(frame if rows is None else rows, rows is not None)
    inputs = [
        _input(folder, path, recorded, quick)
        for path, recorded in stamp["inputs"].items()
        if _concerns(path, narrow)
    ]
    return {
        "table": facts["table"],
        "path": _relative(table, folder),
        "rows": None if rows is None else json.loads(rows.to_json(orient="records")),
        "note": note,
        "run": facts["run"],
        "rule": stamp["rule"],
        "script": "workflow/scripts/table.py",
        "command": f"snakemake {run}/tables/{facts['table']}.parquet --cores all "
        f"--configfile {run}/config.json --force",
        "seed": stamp["seed"],
        "params": stamp["params"],
        "config": _config(folder / run / "config.json", stamp["config_sha256"]),
        "code": _code(stamp),
        "libraries": _libraries(stamp["libraries"]),
        "inputs": inputs,
        "data_sha256": stamp["data_sha256"],
        "data": origins(folder, run, stamp["manifests"] or _named(folder, inputs)),
    }


def conditions(text: str | None) -> dict[str, str]:
    """Conditions on columns, as they are typed.

    Parameters
    ----------
    text
        ``column=value``, several parted by commas; None or empty: none.

    Returns
    -------
    dict of str to str
        Column to value.

    Raises
    ------
    DataError
        If a part has no ``=``.
    """
    found = {}
    for part in (text or "").split(","):
        column, equals, value = part.partition("=")
        if part and not equals:
            raise DataError(f"--where: {part!r} is no condition", "write column=value")
        if part:
            found[column.strip()] = value.strip()
    return found


def _stamp_of(table: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of how it was made."""
    if "table" not in facts:
        raise DataError(
            f"{table} was not written by medtaskatlas",
            "name a table of a run, results/<run>/tables/<table>.parquet",
        )
    stamp: dict[str, Any] | None = facts.get("provenance")
    if stamp is None:
        raise DataError(
            f"{table} does not say how it was made: an older version of medtaskatlas wrote it, or "
            "a program other than the workflow",
            REMEDY,
        )
    if stamp["format"] != FORMAT:
        raise DataError(
            f"{table} has provenance of format {stamp['format']}, this version reads {FORMAT}",
            f"use the version that wrote it, medtaskatlas {stamp.get('package')}, or {REMEDY}",
        )
    return stamp


def _folder_of(table: Path) -> Path:
    """Where results/ and data/ are; the working directory for a table that was moved."""
    parents = table.resolve().parents
    known = len(parents) > 3 and parents[0].name == "tables" and parents[2].name == "results"
    return parents[3] if known else Path.cwd()


def _relative(path: Path, folder: Path) -> str:
    """A path below a folder, or the whole of it."""
    whole = path.resolve()
    return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()


def _rows(
    table: Path, frame: pd.DataFrame, row: int | None, where: Mapping[str, str]
) -> pd.DataFrame | None:
    """Rows that are asked for; None: the whole table."""
    if row is None and not where:
        return None
    if row is not None and not 0 <= row < len(frame):
        raise DataError(f"{table} has no row {row}", f"its rows are 0 to {len(frame) - 1}")
    found = frame if row is None else frame.iloc[[row]]
    for column, value in where.items():
        if column not in frame:
            raise DataError(f"{table} has no column {column!r}", nearest(column, frame.columns))
        texts = found[column].astype("string").fillna("")
        if not (texts == value).any():
            others = sorted(set(texts))
            shown = ", ".join(others[:12]) + (", ..." if len(others) > 12 else "")
            raise DataError(f"{table} has no row with {column}={value}", f"it has {shown}")
        found = found[texts == value]
    return found


def _encoders_of(
    rows: pd.DataFrame, chosen: bool
) -> tuple[tuple[set[str], set[int]] | None, str | None]:
    """Encoders and seeds that some rows tell of, and why all count where they do."""
    if not chosen or "encoder" not in rows:
        return None, None
    if "p_adjusted" in rows and rows["p_adjusted"].notna().any():
        return None, "p_adjusted is over all rows of its p_family, so all inputs count"
    names = set(rows["encoder"].dropna())
    if "other" in rows:
        names |= set(rows["other"].dropna())
    if "seed" in rows and rows["seed"].notna().all():
        return (names, set(rows["seed"].astype(int))), None
    return (names, set()), None


def _concerns(path: str, narrow: tuple[set[str], set[int]] | None) -> bool:
    """Whether an input is behind the rows: those of other encoders and seeds are not."""
    named = encoded(path)
    if narrow is None or named is None:
        return True
    names, seeds = narrow
    return named.encoder in names and (not seeds or named.seed in seeds)


def _input(folder: Path, path: str, recorded: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """An input of a table: as it was, as it is, and what is behind it."""
    file = folder / path
    there = file.is_file()
    nested = there and file.parent.name == "tables"
    return {
        "path": path,
        **recorded,
        "state": _state(file, recorded, quick) if there else "gone",
        "facts": facts_of(file) if there and not nested and not PAIRS.fullmatch(path) else {},
        "from": _behind_table(folder, file, quick) if nested else behind(folder, path),
    }


def _behind_table(folder: Path, file: Path, quick: bool) -> list[dict[str, Any]]:
    """Inputs of a table that another table was made of; none where it does not say."""
    stamp = file_facts(file).get("provenance")
    if stamp is None or stamp["format"] != FORMAT:
        return []
    return [_input(folder, path, known, quick) for path, known in stamp["inputs"].items()]


def _state(file: Path, recorded: Mapping[str, Any], quick: bool) -> str:
    """Whether a file is as it was."""
    if file.stat().st_size != recorded["bytes"]:
        return "changed"
    if quick:
        return "same size"
    return "same" if hash_now(file) == recorded["sha256"] else "changed"


def _config(file: Path, recorded: str) -> dict[str, Any]:
    """The configuration, and whether the run's is still that one."""
    if not file.is_file():
        return {"sha256": recorded, "path": str(file.name), "state": "gone"}
    now = config_sha256(json.loads(file.read_text()))
    place = "/".join(file.parts[-3:])
    return {"sha256": recorded, "path": place, "state": "same" if now == recorded else "changed"}


def _code(stamp: Mapping[str, Any]) -> dict[str, Any]:
    """The code, and which modules of it have changed since."""
    changed = []
    for module, hash in stamp["modules"].items():
        try:
            now = provenance.module_hash(module)
        except ValueError:
            now = None
        if now != hash:
            changed.append(module)
    return {
        "hash": stamp["code"],
        "package": stamp["package"],
        "package_now": __version__,
        "modules": stamp["modules"],
        "changed": changed,
    }


def _libraries(recorded: Mapping[str, str]) -> dict[str, Any]:
    """Versions then, and which are others here."""
    here = libraries()
    differ = {name: here.get(name) for name, v in recorded.items() if here.get(name) != v}
    return {"versions": dict(recorded), "differ_here": differ}


def _named(folder: Path, inputs: list[dict[str, Any]]) -> dict[str, str | None]:
    """Datasets that files behind a table name, where the table does not know their raw data."""
    names: set[str] = set()
    for entry in inputs:
        names |= set(entry["facts"].get("trained_datasets", []))
        names |= set(_named(folder, entry["from"]))
    return dict.fromkeys(sorted(names))
