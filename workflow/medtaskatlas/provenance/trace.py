"""Trace of a table, or of one number of it: what it was made of, and what changed since.

The layout of a run (DESIGN.md, section 2) and the metadata of each file tell what lies behind it;
nothing outside the run's folder and data/ is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medtaskatlas import __version__
from medtaskatlas.core import code_hash
from medtaskatlas.core.errors import DataError, nearest
from medtaskatlas.core.files import existing_run, sha256
from medtaskatlas.provenance.stamp import FORMAT, config_sha256, file_facts, libraries

if TYPE_CHECKING:
    import pandas as pd

Entry = dict[str, Any]  # one file of a trace

REMEDY = "make it anew: delete it and start the run again (its encoders are not trained again)"
_ENCODED = re.compile(r".*results/[^/]+/(?:predictions|embeddings)/([^/]+)/seed(\d+).*")
PAIRS = re.compile(r"(.*results/[^/]+/pairs/[^/]+)/.+\.arrow")
# A file of a run, the one that it was made of, and the rule of that one.
_BEHIND = (
    (r"/predictions/(.+)\.parquet", r"/embeddings/\1.parquet", "embed"),
    (r"/embeddings/(.+/seed\d+).*\.parquet", r"/encoders/\1/model.safetensors", "train"),
    (r"/studies/(.+)/predictions\.parquet", r"/studies/\1/embeddings.parquet", "embed_point"),
    (r"/studies/(.+)/embeddings\.parquet", r"/studies/\1/model.safetensors", "train_point"),
)
# What is worth telling of a file, of all its metadata; of weights, of the config.json beside them.
_FACTS = ("encoder", "seed", "kind", "role", "point", "steps", "trained_datasets", "trained_tasks")
_FACTS_OF_WEIGHTS = ("code", "datasets", "encoder", "seed")


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
        results/<run>/tables/<table>.parquet.
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
    parents = table.resolve().parents
    known = len(parents) > 3 and parents[0].name == "tables" and parents[2].name == "results"
    # Where results/ and data/ are; the working directory for a table that was moved.
    folder = parents[3] if known else Path.cwd()
    run = f"results/{facts['run']}"
    narrow, note = (None, None) if rows is None else _encoders_of(rows)
    inputs = [
        _input(folder, path, recorded, quick)
        for path, recorded in stamp["inputs"].items()
        if _concerns(path, narrow)
    ]
    whole = table.resolve()
    config = folder / run / "config.json"
    config_now = config_sha256(json.loads(config.read_text())) if config.is_file() else None
    here = libraries()
    manifests = stamp["manifests"] or dict.fromkeys(sorted(_trained_datasets(inputs)))
    return {
        "table": facts["table"],
        "path": (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix(),
        "rows": None if rows is None else json.loads(rows.to_json(orient="records")),
        "note": note,
        "run": facts["run"],
        "rule": stamp["rule"],
        "script": "workflow/scripts/table.py",
        "command": f"snakemake {run}/tables/{facts['table']}.parquet --cores all "
        f"--configfile {run}/config.json --force",
        "seed": stamp["seed"],
        "params": stamp["params"],
        "config": {
            "sha256": stamp["config_sha256"],
            "path": f"{run}/config.json",
            "state": _state(config_now, stamp["config_sha256"]),
        },
        "code": {
            "hash": stamp["code"],
            "package": stamp["package"],
            "package_now": __version__,
            "modules": stamp["modules"],
            "changed": [name for name, own in stamp["modules"].items() if _code_now(name) != own],
        },
        "libraries": {
            "versions": stamp["libraries"],
            "differ_here": {
                name: here.get(name)
                for name, version in stamp["libraries"].items()
                if here.get(name) != version
            },
        },
        "inputs": inputs,
        "data_sha256": stamp["data_sha256"],
        "data": _origins(folder, run, manifests),
    }


def conditions(text: str | None) -> dict[str, str]:
    """Column to value, of ``column=value`` parted by commas as typed after ``--where``."""
    found = {}
    for part in (text or "").split(","):
        column, equals, value = part.partition("=")
        if part and not equals:
            raise DataError(f"--where: {part!r} is no condition", "write column=value")
        if part:
            found[column.strip()] = value.strip()
    return found


def _stamp_of(table: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The stamp in the metadata of a table."""
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


def _rows(
    table: Path, frame: pd.DataFrame, row: int | None, where: Mapping[str, str]
) -> pd.DataFrame | None:
    """The chosen rows; None: the whole table."""
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


def _encoders_of(rows: pd.DataFrame) -> tuple[tuple[set[str], set[int]] | None, str | None]:
    """Encoders and seeds behind some rows (no seeds: all); else None, and why all inputs count."""
    if "encoder" not in rows:
        return None, None
    if "p_adjusted" in rows and rows["p_adjusted"].notna().any():
        return None, "p_adjusted is over all rows of its p_family, so all inputs count"
    names = set(rows["encoder"].dropna())
    if "other" in rows:
        names |= set(rows["other"].dropna())
    one_each = "seed" in rows and rows["seed"].notna().all()
    return (names, set(rows["seed"].astype(int)) if one_each else set()), None


def _concerns(path: str, narrow: tuple[set[str], set[int]] | None) -> bool:
    """Whether an input is behind the rows: those of other encoders and seeds are not."""
    match = _ENCODED.fullmatch(path)
    if narrow is None or match is None:
        return True
    names, seeds = narrow
    return match[1] in names and (not seeds or int(match[2]) in seeds)


def _input(folder: Path, path: str, recorded: Mapping[str, Any], quick: bool) -> Entry:
    """An input of a table: as it was, as it is, and what is behind it."""
    file = folder / path
    if not file.is_file():
        return {
            "path": path,
            **recorded,
            "state": "gone",
            "facts": {},
            "from": _behind(folder, path),
        }
    state = "same size" if quick else "same"
    if file.stat().st_size != recorded["bytes"] or not (
        quick or _hash_now(file) == recorded["sha256"]
    ):
        state = "changed"
    if file.parent.name == "tables":
        stamp = file_facts(file).get("provenance", {})
        inputs = stamp["inputs"] if stamp.get("format") == FORMAT else {}
        facts, below = {}, [_input(folder, p, known, quick) for p, known in inputs.items()]
    else:
        facts = {} if PAIRS.fullmatch(path) else _facts_of(file)
        below = _behind(folder, path)
    return {"path": path, **recorded, "state": state, "facts": facts, "from": below}


def _behind(folder: Path, path: str) -> list[Entry]:
    """The file that predictions or embeddings were made of, as it is now; images are in `data`."""
    for pattern, source, rule in _BEHIND:
        before, found = re.subn(f"{pattern}$", source, path)
        file = folder / before
        # Encoders without training have no weights.
        if found and (file.is_file() or rule != "train"):
            there = file.is_file()
            return [
                {
                    "path": before,
                    "rule": rule,
                    "sha256": _hash_now(file) if there else None,
                    "facts": _facts_of(file) if there else {},
                    "from": _behind(folder, before),
                }
            ]
    return []


def _hash_now(file: Path) -> str:
    """SHA-256 of a file; of one that many tables have as input only once."""
    return _hash(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=65536)
def _hash(file: Path, changed: int) -> str:
    return sha256(file)


def _facts_of(file: Path) -> dict[str, Any]:
    """What is worth telling of a file of a run."""
    if file.suffix == ".safetensors":
        beside = file.with_name("config.json")
        facts = json.loads(beside.read_text()) if beside.is_file() else {}
        return {name: facts[name] for name in _FACTS_OF_WEIGHTS if name in facts}
    facts = file_facts(file)
    return {name: facts[name] for name in _FACTS if name in facts}


def _trained_datasets(inputs: Iterable[Entry]) -> set[str]:
    """Datasets that encoders behind a table learned from."""
    names: set[str] = set()
    for entry in inputs:
        names |= set(entry["facts"].get("trained_datasets", [])) | _trained_datasets(entry["from"])
    return names


def _state(now: str | None, recorded: str | None) -> str:
    """Whether something is as it was."""
    return "gone" if now is None else ("same" if now == recorded else "changed")


def _code_now(module: str) -> str | None:
    """Hash of a module; None where there is no such module any more."""
    try:
        return code_hash.module_hash(module)
    except ValueError:
        return None


def _origins(folder: Path, run: str, manifests: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Raw files of datasets; each with the recorded hash of its list of files, where known."""
    lists = [
        (file, sha256(file), json.loads(file.read_text()))
        for file in sorted((folder / "data").glob("**/MANIFEST.json"))
    ]
    found = []
    for dataset, recorded in manifests.items():
        images = folder / run / "images" / f"{dataset}.arrow"
        facts = file_facts(images) if images.is_file() else {}
        wanted = recorded or facts.get("manifest_sha256")
        own = [entry for entry in lists if entry[2].get("dataset") == dataset]
        # A dataset that is published at several sizes has a list of each.
        file, now, content = next(
            (entry for entry in own if entry[1] == wanted), own[0] if own else (None, None, {})
        )
        path = None if file is None else file.relative_to(folder).as_posix()
        images_state = _state(facts.get("manifest_sha256"), wanted)
        found.append(
            {
                "dataset": dataset,
                "manifest_sha256": wanted,
                "images": {"path": f"{run}/images/{dataset}.arrow", "state": images_state},
                "manifest": {"path": path, "state": _state(now, wanted)},
                "licence": content.get("licence", facts.get("licence")),
                "files": content.get("files", []),
            }
        )
    return found
