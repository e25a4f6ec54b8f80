"""The code that a result depends on, as hashes.

Snakemake reruns a rule when its parameters change, but does not look into the package that the
rule's script calls. So every rule has a hash of that code among its parameters: an edit of a helper
reruns the rules that use it, and no other.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from medtaskatlas.core.files import REPOSITORY

PACKAGE = Path(__file__).resolve().parents[1]
NAME = PACKAGE.name
# Of the format of the cache and of how a module is read; another number discards what was cached.
_VERSION = 1
_DIGITS = 64  # of a SHA-256


@dataclass(frozen=True)
class Module:
    """A module as it stands.

    Attributes
    ----------
    file
        Its path.
    imports
        Dotted names of what it imports from this package, anywhere in its code.
    code
        SHA-256 of its code without comments and docstrings. A file that is not valid Python imports
        nothing here and is hashed as it is: its users fail when they import it.
    """

    file: Path
    imports: tuple[str, ...]
    code: str


def modules() -> dict[str, Module]:
    """All modules of this package by dotted name."""
    return _modules(PACKAGE)


def read_module(file: str | Path) -> Module:
    """A Python file outside of this package, such as a task of the user's own."""
    imports, code = _facts(Path(file).read_bytes())
    return Module(Path(file), tuple(imports), code)


def modules_behind(*names: str) -> list[str]:
    """Modules of this package that some modules need, they themselves included.

    Parameters
    ----------
    names
        Dotted names.

    Returns
    -------
    list of str
        Sorted dotted names.

    Raises
    ------
    ValueError
        If a name is no module of this package.
    """
    known = modules()
    for name in names:
        _of_package(name)
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in known and name not in seen:
            seen.add(name)
            waiting.extend(known[name].imports)
    return sorted(seen)


@cache
def code_hash(*names: str) -> str:
    """Hash of the code of some modules and of all that they import from this package.

    Comments and docstrings are not code: a change of them alone changes nothing.

    Parameters
    ----------
    names
        Dotted names.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in modules_behind(*names):
        digest.update(f"{name}\n{modules()[name].code}\n".encode())
    return digest.hexdigest()[:16]


def module_hash(name: str) -> str:
    """Hash of the code of one module, without what it imports: 16 hexadecimal digits."""
    return _of_package(name).code[:16]


def commit() -> str:
    """Commit of the code, as ``git describe`` names it: with ``-dirty`` where files are changed."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "not in git"


def _of_package(name: str) -> Module:
    """A module of this package."""
    known = modules()
    if name not in known:
        raise ValueError(f"{name} is no module of medtaskatlas")
    return known[name]


@cache
def _modules(package: Path) -> dict[str, Module]:
    """Modules of a package; files that have not changed since the last call are not parsed again.

    Parsing all takes a second, which every start of Snakemake would pay, and every job of a
    cluster twice.
    """
    # Another Python writes the tree of a module otherwise.
    cache_file = package / "__pycache__" / f"modules.{sys.implementation.cache_tag}.json"
    cached = _read_cache(cache_file)
    found: dict[str, Module] = {}
    facts: dict[str, Any] = {}
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        content = hashlib.sha256(source).hexdigest()
        facts[content] = cached.get(content) or _facts(source)
        imports, code = facts[content]
        parts = [NAME, *file.relative_to(package).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(file, tuple(imports), code)
    if facts.keys() != cached.keys():
        _write_cache(cache_file, facts)
    return found


def _facts(source: bytes) -> list[Any]:
    """Names that a source imports from this package, and the hash of its code."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return [[], hashlib.sha256(source).hexdigest()]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                body[0].value.value = ""
    ours = sorted(name for name in names if name.split(".")[0] == NAME)
    return [ours, hashlib.sha256(ast.dump(tree).encode()).hexdigest()]


def _read_cache(file: Path) -> dict[str, Any]:
    """Facts by content; without damaged ones, and empty where the file cannot be read."""
    try:
        read = json.loads(file.read_bytes())
        facts = read["facts"].items() if read["version"] == _VERSION else ()
        return {content: fact for content, fact in facts if _is_fact(fact)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_fact(value: Any) -> bool:
    match value:
        case [list(imports), str(code)]:
            return len(code) == _DIGITS and all(isinstance(name, str) for name in imports)
    return False


def _write_cache(file: Path, facts: dict[str, Any]) -> None:
    """Write facts where that is possible: the package may be read-only, or its disk full."""
    part = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps({"version": _VERSION, "facts": facts}))
        part.replace(file)
    except OSError:
        with suppress(OSError):
            part.unlink()
