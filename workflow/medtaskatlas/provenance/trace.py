"""Trace of a table, or of one number of it: what it was made of, and what changed since.

The layout of a run (DESIGN.md, section 2) and the metadata of each file tell what lies behind it;
nothing outside the run's folder and data/ is read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
Branch = tuple[str, list["Branch"]]

REMEDY = "make it anew: delete it and start the run again (its encoders are not trained again)"
_ENCODED = re.compile(
    r"(?P<run>.*results/[^/]+)/(?P<stage>predictions|embeddings|encoders)"
    r"/(?P<encoder>[^/]+)/seed(?P<seed>\d+)(?P<rest>.*)"
)
_POINT = re.compile(
    r"(?P<run>.*results/[^/]+)/studies/(?P<point>.+)/(?P<stage>predictions|embeddings)\.parquet"
)
_PAIRS = re.compile(
    r"(?P<run>.*results/[^/]+)/pairs/(?P<set>[^/]+)/(?P<task>[^/]+)/(?P<dataset>.+)\.arrow"
)
# What is worth telling of a file, of all its metadata; of weights, of the config.json beside them.
_FACTS = ("encoder", "seed", "kind", "role", "point", "steps", "trained_datasets", "trained_tasks")
_FACTS_OF_WEIGHTS = ("code", "datasets", "encoder", "seed")
_SHOWN_ROWS = 10
_SHOWN_FILES = 4
_WORDS = {
    "same": "unchanged",
    "same size": "of the same size",
    "changed": "CHANGED since",
    "gone": "no longer there",
}


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
        "config": _config(folder / run / "config.json", stamp["config_sha256"]),
        "code": _code(stamp),
        "libraries": _libraries(stamp["libraries"]),
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
    return match["encoder"] in names and (not seeds or int(match["seed"]) in seeds)


def _input(folder: Path, path: str, recorded: Mapping[str, Any], quick: bool) -> Entry:
    """An input of a table: as it was, as it is, and what is behind it."""
    file = folder / path
    state, facts, below = "gone", {}, None
    if file.is_file():
        state = "same size" if quick else "same"
        if file.stat().st_size != recorded["bytes"] or not (
            quick or _hash_now(file) == recorded["sha256"]
        ):
            state = "changed"
        if file.parent.name == "tables":
            stamp = file_facts(file).get("provenance")
            readable = stamp is not None and stamp["format"] == FORMAT
            nested = stamp["inputs"].items() if stamp is not None and readable else ()
            below = [_input(folder, path, known, quick) for path, known in nested]
        elif not _PAIRS.fullmatch(path):
            facts = _facts_of(file)
    below = _behind(folder, path) if below is None else below
    return {"path": path, **recorded, "state": state, "facts": facts, "from": below}


def _behind(folder: Path, path: str) -> list[Entry]:
    """The file that predictions, embeddings or weights were made of; images are in `data`."""
    match, point = _ENCODED.fullmatch(path), _POINT.fullmatch(path)
    if match is not None:
        place, name = match["run"], f"{match['encoder']}/seed{match['seed']}"
        if match["stage"] == "predictions":
            return [_made(folder, f"{place}/embeddings/{name}.parquet", "embed")]
        model = f"{place}/encoders/{name}/model.safetensors"
        trained = match["stage"] == "embeddings" and (folder / model).exists()
        return [_made(folder, model, "train")] if trained else []
    if point is not None:
        place = f"{point['run']}/studies/{point['point']}"
        if point["stage"] == "predictions":
            return [_made(folder, f"{place}/embeddings.parquet", "embed_point")]
        return [_made(folder, f"{place}/model.safetensors", "train_point")]
    return []


def _made(folder: Path, path: str, rule: str) -> Entry:
    """A file that no table has recorded, as it is now, and what is behind it."""
    file = folder / path
    there = file.is_file()
    return {
        "path": path,
        "rule": rule,
        "sha256": _hash_now(file) if there else None,
        "facts": _facts_of(file) if there else {},
        "from": _behind(folder, path),
    }


def _hash_now(file: Path) -> str:
    """SHA-256 of a file; of one that many tables have as input only once."""
    stat = file.stat()
    return _hash(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _hash(file: Path, size: int, changed: int) -> str:
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


def _config(file: Path, recorded: str) -> dict[str, Any]:
    """The configuration, and whether the run's is still that one."""
    there = file.is_file()
    now = config_sha256(json.loads(file.read_text())) if there else None
    place = "/".join(file.parts[-3:]) if there else file.name
    return {"sha256": recorded, "path": place, "state": _state(now, recorded)}


def _code(stamp: Mapping[str, Any]) -> dict[str, Any]:
    """The code, and which modules of it have changed since."""
    changed = []
    for module, hash in stamp["modules"].items():
        try:
            now = code_hash.module_hash(module)
        except ValueError:
            now = None
        if now != hash:
            changed.append(module)
    package = {"package": stamp["package"], "package_now": __version__}
    return {"hash": stamp["code"], **package, "modules": stamp["modules"], "changed": changed}


def _libraries(recorded: Mapping[str, str]) -> dict[str, Any]:
    """Recorded versions, and those that differ here."""
    here = libraries()
    differ = {name: here.get(name) for name, v in recorded.items() if here.get(name) != v}
    return {"versions": dict(recorded), "differ_here": differ}


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


def as_tree(trace: Mapping[str, Any]) -> str:
    """What :func:`trace` found, as a tree of lines for people."""
    config, code, differ = trace["config"], trace["code"], trace["libraries"]["differ_here"]
    branches: list[Branch] = []
    if trace["rows"] is not None:
        n = len(trace["rows"])
        shown = [_row(row) for row in trace["rows"][:_SHOWN_ROWS]]
        more = [f"... {n - _SHOWN_ROWS} more"] if n > _SHOWN_ROWS else []
        branches.append((f"{n} row{'s' * (n != 1)}", _leaves([*shown, *more])))
    params = {"seed": trace["seed"], **trace["params"]}
    told = [f"{name}: {_short(value)}" for name, value in params.items() if name != "run"]
    here = f" (here {code['package_now']})" if code["package_now"] != code["package"] else ""
    changed = code["changed"]
    versions = ", ".join(f"{name} {v}" for name, v in trace["libraries"]["versions"].items())
    others = ", ".join(f"{name} {version or 'absent'}" for name, version in differ.items())
    known = trace["data_sha256"]
    data = f"data {known[:12]}" if known else "data (their lists of files are not in the table)"
    branches += [
        (
            f"made by rule {trace['rule']} ({trace['script']})",
            _leaves([f"again: {trace['command']}", *told]),
        ),
        (
            f"configuration {config['sha256'][:12]}, {config['path']}: {_WORDS[config['state']]}",
            [],
        ),
        (
            f"code {code['hash']}, medtaskatlas {code['package']}{here}, "
            f"{len(code['modules'])} modules: "
            + (f"{len(changed)} of them CHANGED since" if changed else "unchanged"),
            _leaves(changed),
        ),
        (f"libraries: {versions}", _leaves([f"OTHER here: {others}"] if differ else [])),
        (
            "inputs" + (f" ({trace['note']})" if trace["note"] else ""),
            _inputs(trace["inputs"], set()),
        ),
        (f"{data}: {len(trace['data'])} datasets", [_origin(entry) for entry in trace["data"]]),
    ]
    head = f"{trace['path']}  (table {trace['table']} of run {trace['run']})"
    return "\n".join([head, *_draw(branches)])


def _draw(branches: list[Branch], indent: str = "") -> Iterator[str]:
    """Lines of branches with their lines to the left."""
    for i, (text, below) in enumerate(branches):
        last = i == len(branches) - 1
        yield f"{indent}{'└─' if last else '├─'} {text}"
        yield from _draw(below, indent + ("   " if last else "│  "))


def _leaves(lines: Iterable[str]) -> list[Branch]:
    return [(line, []) for line in lines]


def _row(row: Mapping[str, Any]) -> str:
    """A row without what is null."""
    told = {k: v for k, v in row.items() if v is not None and k != "run"}
    return ", ".join(
        f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in told.items()
    )


def _short(value: Any) -> str:
    """A value on one line; long lists by their length."""
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values, {value[0]!r} to {value[-1]!r}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _inputs(entries: Iterable[Entry], seen: set[str]) -> list[Branch]:
    """Inputs and what is behind them; pairs as one line a set, and each file once."""
    branches: list[Branch] = []
    sets: dict[str, list[Entry]] = {}
    for entry in entries:
        path, hash = entry["path"], entry["sha256"]
        if pairs := _PAIRS.fullmatch(path):
            sets.setdefault(f"{pairs['run']}/pairs/{pairs['set']}", []).append(entry)
            continue
        state = _WORDS[entry["state"]] if "state" in entry else f"by rule {entry['rule']}"
        state = _WORDS["gone"] if hash is None else state
        head = " ".join(filter(None, [path, (hash or "")[:12], state]))
        if path in seen:
            branches.append((f"{head} (above)", []))
            continue
        seen.add(path)
        told = _facts_line(entry["facts"])
        branches.append((f"{head}: {told}" if told else head, _inputs(entry["from"], seen)))
    for place, members in sets.items():
        states = Counter(_WORDS[member["state"]] for member in members)
        told = ", ".join(f"{n} {state}" for state, n in states.items())
        size = sum(member["bytes"] for member in members) / 1e6
        branches.append((f"{place}: {len(members)} files, {size:,.1f} MB: {told}", []))
    return branches


def _facts_line(facts: Mapping[str, Any]) -> str:
    """Facts of a file on one line."""
    parts = []
    encoder = facts.get("encoder")
    if isinstance(encoder, Mapping):
        steps = encoder.get("steps")
        parts.append(f"kind {encoder['kind']}" + (f", {steps} steps" if steps else ""))
    elif encoder is not None:
        parts.append(f"encoder {encoder} ({facts.get('role')})")
    if "seed" in facts:
        parts.append(f"seed {facts['seed']}")
    if learned := facts.get("datasets", facts.get("trained_datasets")):
        parts.append(f"learned from {len(learned)} datasets")
    if "code" in facts:
        parts.append(f"code {facts['code']}")
    return ", ".join(parts)


def _origin(entry: Mapping[str, Any]) -> Branch:
    """A dataset, its licence and its raw files."""
    manifest, images, files = entry["manifest"], entry["images"], entry["files"]
    wanted = (entry["manifest_sha256"] or "")[:12]
    place = manifest["path"] or "its list of files"
    head = f"{entry['dataset']}: {place} {wanted} {_WORDS[manifest['state']]}"
    if images["state"] != "same":
        head += f"; {images['path']} {_WORDS[images['state']]}"
    head += f"; {entry['licence'] or 'licence unknown'}"
    lines = [f"{f['file']} {f['sha256'][:12]} from {f['origin']}" for f in files[:_SHOWN_FILES]]
    if len(files) > _SHOWN_FILES:
        lines.append(f"... {len(files) - _SHOWN_FILES} more files (--json names them)")
    return head, _leaves(lines)
