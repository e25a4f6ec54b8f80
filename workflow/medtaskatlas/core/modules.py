"""What each module of this package imports, and its code as a hash.

Parsing all of them takes a second, which every start of Snakemake would pay and every job of a
cluster twice. So what was found is kept beside the compiled code of Python, by the content of the
files, and files that have not changed are not parsed again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
NAME = PACKAGE.name
# Of the way in which a module is read; another number makes what was kept be forgotten.
_VERSION = 1
_DIGITS = 64  # of a SHA-256


@dataclass(frozen=True)
class Module:
    """A module as it stands.

    Attributes
    ----------
    file
        Where it is.
    imports
        Dotted names of what it imports anywhere in its code, and of names within these; other
        packages left out.
    code
        Hash of its code without comments and docstrings, 64 hexadecimal digits. A file that is not
        Python imports nothing here and has its content for code: those who need it hear of it when
        they import it, and the others need not.
    """

    file: Path
    imports: tuple[str, ...]
    code: str


def modules() -> dict[str, Module]:
    """All modules of this package.

    Returns
    -------
    dict of str to Module
        By dotted name.
    """
    return _modules(PACKAGE)


def read_module(file: str | Path) -> Module:
    """A file of Python that is no part of this package, such as a task of the user's own.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    Module
        As it stands.
    """
    imports, code = _facts(Path(file).read_bytes())
    return Module(Path(file), tuple(imports), code)


@cache
def _modules(package: Path) -> dict[str, Module]:
    # The tree of a module is written otherwise by another Python.
    place = package / "__pycache__" / f"modules.{sys.implementation.cache_tag}.json"
    kept = _kept(place)
    found: dict[str, Module] = {}
    facts: dict[str, Any] = {}
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        content = hashlib.sha256(source).hexdigest()
        facts[content] = kept.get(content) or _facts(source)
        imports, code = facts[content]
        parts = [NAME, *file.relative_to(package).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(file, tuple(imports), code)
    if facts.keys() != kept.keys():
        _keep(place, facts)
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


def _kept(place: Path) -> dict[str, Any]:
    """Facts by content; without those that are none, and nothing where no such file can be read."""
    try:
        told = json.loads(place.read_bytes())
        facts = told["facts"].items() if told["version"] == _VERSION else ()
        return {content: fact for content, fact in facts if _is_fact(fact)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_fact(value: Any) -> bool:
    match value:
        case [list(imports), str(code)]:
            return len(code) == _DIGITS and all(isinstance(name, str) for name in imports)
    return False


def _keep(place: Path, facts: dict[str, Any]) -> None:
    """Write facts where one may: the package may be another's, or on a full disk."""
    part = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        place.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps({"version": _VERSION, "facts": facts}))
        part.replace(place)
    except OSError:
        with suppress(OSError):
            part.unlink()
