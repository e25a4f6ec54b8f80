"""``medtaskatlas provenance``: the files, the code and the raw data behind a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Branch = tuple[str, list["Branch"]]

SHOWN_ROWS = 10
SHOWN_FILES = 4
STATES = {
    "same": "unchanged",
    "same size": "of the same size",
    "changed": "CHANGED since",
    "gone": "no longer there",
}


def provenance(
    table: Annotated[Path, typer.Argument(help="results/<run>/tables/<table>.parquet")],
    row: Annotated[int | None, typer.Option(help="number of one row, from 0")] = None,
    where: Annotated[
        str | None, typer.Option(help='rows by value: "encoder=taco,measure=kappa"')
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="compare sizes, not hashes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Trace a table, or a number of it, to the files, the code and the raw data behind it."""
    from medtaskatlas.provenance.trace import conditions, trace

    found = trace(table, row=row, where=conditions(where), quick=quick)
    typer.echo(json.dumps(found, indent=1, ensure_ascii=False) if as_json else as_tree(found))


def as_tree(trace: Mapping[str, Any]) -> str:
    """A trace as a tree of lines for people."""
    config, code, differ = trace["config"], trace["code"], trace["libraries"]["differ_here"]
    rows, changed = trace["rows"] or [], code["changed"]
    here = f" (here {code['package_now']})" if code["package_now"] != code["package"] else ""
    n_changed = f"{len(changed)} of them CHANGED since" if changed else "unchanged"
    others = ", ".join(f"{name} {version or 'absent'}" for name, version in differ.items())
    known = trace["data_sha256"]
    data = f"data {known[:12]}" if known else "data (their lists of files are not in the table)"
    params = {"seed": trace["seed"], **trace["params"]}
    texts = [f"{name}: {_short(value)}" for name, value in params.items() if name != "run"]
    branches: list[Branch] = [
        (
            f"made by rule {trace['rule']} ({trace['script']})",
            _leaves([f"again: {trace['command']}", *texts]),
        ),
        (
            f"configuration {config['sha256'][:12]}, {config['path']}: {STATES[config['state']]}",
            [],
        ),
        (
            f"code {code['hash']}, medtaskatlas {code['package']}{here}, "
            f"{len(code['modules'])} modules: {n_changed}",
            _leaves(changed),
        ),
        (
            f"libraries: {_pairs(trace['libraries']['versions'], ' ')}",
            _leaves([f"OTHER here: {others}"] if differ else []),
        ),
        (
            "inputs" + (f" ({trace['note']})" if trace["note"] else ""),
            _inputs(trace["inputs"], set()),
        ),
        (f"{data}: {len(trace['data'])} datasets", [_origin(entry) for entry in trace["data"]]),
    ]
    if trace["rows"] is not None:
        more = [f"... {len(rows) - SHOWN_ROWS} more"] if len(rows) > SHOWN_ROWS else []
        shown = [_pairs(row, "=") for row in rows[:SHOWN_ROWS]]
        branches.insert(0, (f"{len(rows)} row{'s' * (len(rows) != 1)}", _leaves([*shown, *more])))
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


def _pairs(values: Mapping[str, Any], sign: str) -> str:
    """Names and values on one line, but for the run and what is null."""
    known = {k: v for k, v in values.items() if v is not None and k != "run"}
    return ", ".join(f"{name}{sign}{_short(value)}" for name, value in known.items())


def _short(value: Any) -> str:
    """A value on one line; long lists by their length, options of an encoder by its kind."""
    if isinstance(value, Mapping):
        return f"of kind {value.get('kind')}"
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values, {value[0]!r} to {value[-1]!r}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _inputs(entries: Iterable[Mapping[str, Any]], seen: set[str]) -> list[Branch]:
    """Inputs and what is behind them; pairs as one line a set, and each file once."""
    from medtaskatlas.provenance.trace import PAIRS

    branches: list[Branch] = []
    sets: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        path, hash = entry["path"], entry["sha256"]
        if pairs := PAIRS.fullmatch(path):
            sets.setdefault(pairs[1], []).append(entry)
            continue
        state = STATES[entry["state"]] if "state" in entry else f"by rule {entry['rule']}"
        head = f"{path} {hash[:12]} {state}" if hash else f"{path} {STATES['gone']}"
        if path in seen:
            branches.append((f"{head} (above)", []))
            continue
        seen.add(path)
        facts = _pairs(entry["facts"], " ")
        branches.append((f"{head}: {facts}" if facts else head, _inputs(entry["from"], seen)))
    for folder, members in sets.items():
        states = Counter(STATES[member["state"]] for member in members)
        size = sum(member["bytes"] for member in members) / 1e6
        counts = ", ".join(f"{n} {state}" for state, n in states.items())
        branches.append((f"{folder}: {len(members)} files, {size:,.1f} MB: {counts}", []))
    return branches


def _origin(entry: Mapping[str, Any]) -> Branch:
    """A dataset, its licence and its raw files."""
    manifest, images, files = entry["manifest"], entry["images"], entry["files"]
    wanted = (entry["manifest_sha256"] or "")[:12]
    listed = manifest["path"] or "its list of files"
    head = f"{entry['dataset']}: {listed} {wanted} {STATES[manifest['state']]}"
    if images["state"] != "same":
        head += f"; {images['path']} {STATES[images['state']]}"
    head += f"; {entry['licence'] or 'licence unknown'}"
    lines = [f"{f['file']} {f['sha256'][:12]} from {f['origin']}" for f in files[:SHOWN_FILES]]
    if len(files) > SHOWN_FILES:
        lines.append(f"... {len(files) - SHOWN_FILES} more files (--json names them)")
    return head, _leaves(lines)
