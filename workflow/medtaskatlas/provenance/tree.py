"""A trace as a tree for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from medtaskatlas.provenance.upstream import PAIRS

Branch = tuple[str, list["Branch"]]
_SHOWN_ROWS = 10
_SHOWN_FILES = 4
_WORDS = {
    "same": "unchanged",
    "same size": "of the same size",
    "changed": "CHANGED since",
    "gone": "no longer there",
}


def as_tree(trace: Mapping[str, Any]) -> str:
    """Lines of a tree.

    Parameters
    ----------
    trace
        What :func:`medtaskatlas.provenance.trace.trace` found.

    Returns
    -------
    str
        The text.
    """
    seen: set[str] = set()
    branches: list[Branch] = []
    if trace["rows"] is not None:
        n = len(trace["rows"])
        shown = [_row(row) for row in trace["rows"][:_SHOWN_ROWS]]
        more = [f"... {n - _SHOWN_ROWS} more"] if n > _SHOWN_ROWS else []
        branches.append((f"{n} row{'s' * (n != 1)}", [(line, []) for line in [*shown, *more]]))
    branches += [
        (
            f"made by rule {trace['rule']} ({trace['script']})",
            [(f"again: {trace['command']}", []), *_params(trace)],
        ),
        _config(trace["config"]),
        _code(trace["code"]),
        _libraries(trace["libraries"]),
        (_told("inputs", trace["note"]), _inputs(trace["inputs"], seen)),
        (_data_line(trace), [_origin(entry) for entry in trace["data"]]),
    ]
    head = f"{trace['path']}  (table {trace['table']} of run {trace['run']})"
    return "\n".join([head, *_draw(branches)])


def _draw(branches: list[Branch], indent: str = "") -> Iterable[str]:
    """Lines of branches with their lines to the left."""
    for i, (text, below) in enumerate(branches):
        last = i == len(branches) - 1
        yield f"{indent}{'└─' if last else '├─'} {text}"
        yield from _draw(below, indent + ("   " if last else "│  "))


def _row(row: Mapping[str, Any]) -> str:
    """A row without what is null."""
    told = {k: v for k, v in row.items() if v is not None and k != "run"}
    return ", ".join(
        f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in told.items()
    )


def _told(text: str, note: str | None) -> str:
    return f"{text} ({note})" if note else text


def _params(trace: Mapping[str, Any]) -> list[Branch]:
    params = {"seed": trace["seed"], **trace["params"]}
    lines = [f"{name}: {_short(value)}" for name, value in params.items() if name != "run"]
    return [(line, []) for line in lines]


def _short(value: Any) -> str:
    """A value on one line; long lists by their length."""
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values, {value[0]!r} to {value[-1]!r}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _config(config: Mapping[str, Any]) -> Branch:
    state = _WORDS[config["state"]]
    return f"configuration {config['sha256'][:12]}, {config['path']}: {state}", []


def _code(code: Mapping[str, Any]) -> Branch:
    changed = code["changed"]
    state = f"{len(changed)} of them CHANGED since" if changed else "unchanged"
    package = f"medtaskatlas {code['package']}"
    if code["package_now"] != code["package"]:
        package += f" (here {code['package_now']})"
    head = f"code {code['hash']}, {package}, {len(code['modules'])} modules: {state}"
    return head, [(module, []) for module in changed]


def _libraries(libraries: Mapping[str, Any]) -> Branch:
    versions = ", ".join(f"{k} {v}" for k, v in libraries["versions"].items())
    differ = libraries["differ_here"]
    here = ", ".join(f"{name} {version or 'absent'}" for name, version in differ.items())
    return f"libraries: {versions}", [(f"OTHER here: {here}", [])] if differ else []


def _inputs(entries: Iterable[Mapping[str, Any]], seen: set[str]) -> list[Branch]:
    """Inputs; pairs as one line a set, and each file once."""
    branches: list[Branch] = []
    sets: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        pairs = PAIRS.fullmatch(entry["path"])
        if pairs:
            sets.setdefault(f"{pairs['run']}/pairs/{pairs['set']}", []).append(entry)
        else:
            branches.append(_input(entry, seen))
    for place, members in sets.items():
        states = Counter(_WORDS[member["state"]] for member in members)
        told = ", ".join(f"{n} {state}" for state, n in states.items())
        size = sum(member["bytes"] for member in members) / 1e6
        branches.append((f"{place}: {len(members)} files, {size:,.1f} MB: {told}", []))
    return branches


def _input(entry: Mapping[str, Any], seen: set[str]) -> Branch:
    """One file, its state, and what is behind it."""
    hash = (entry["sha256"] or "")[:12]
    state = _WORDS[entry["state"]] if "state" in entry else f"by rule {entry['rule']}"
    if entry["sha256"] is None:
        state = _WORDS["gone"]
    head = " ".join(filter(None, [entry["path"], hash, state]))
    if entry["path"] in seen:
        return f"{head} (above)", []
    seen.add(entry["path"])
    told = _facts(entry["facts"])
    return (f"{head}: {told}" if told else head), _inputs(entry["from"], seen)


def _facts(facts: Mapping[str, Any]) -> str:
    """What a file says of itself, on one line."""
    parts = []
    encoder = facts.get("encoder")
    if isinstance(encoder, Mapping):
        steps = encoder.get("steps")
        parts.append(f"kind {encoder['kind']}" + (f", {steps} steps" if steps else ""))
    elif encoder is not None:
        parts.append(f"encoder {encoder} ({facts.get('role')})")
    if "seed" in facts:
        parts.append(f"seed {facts['seed']}")
    learned = facts.get("datasets", facts.get("trained_datasets"))
    if learned:
        parts.append(f"learned from {len(learned)} datasets")
    if "code" in facts:
        parts.append(f"code {facts['code']}")
    return ", ".join(parts)


def _data_line(trace: Mapping[str, Any]) -> str:
    known = trace["data_sha256"]
    head = f"data {known[:12]}" if known else "data (their lists of files are not in the table)"
    return f"{head}: {len(trace['data'])} datasets"


def _origin(entry: Mapping[str, Any]) -> Branch:
    """A dataset, its licence and its raw files."""
    manifest, files = entry["manifest"], entry["files"]
    place = manifest["path"] or "its list of files"
    wanted = (entry["manifest_sha256"] or "")[:12]
    head = f"{entry['dataset']}: {place} {wanted} {_WORDS[manifest['state']]}"
    if entry["images"]["state"] != "same":
        head += f"; {entry['images']['path']} {_WORDS[entry['images']['state']]}"
    head += f"; {entry['licence'] or 'licence unknown'}"
    lines = [f"{f['file']} {f['sha256'][:12]} from {f['origin']}" for f in files[:_SHOWN_FILES]]
    if len(files) > _SHOWN_FILES:
        lines.append(f"... {len(files) - _SHOWN_FILES} more files (--json names them)")
    return head, [(line, []) for line in lines]
