"""Which code a result depends on.

Snakemake reruns a rule when its parameters change, but does not look into the package that the
rule's script calls. So every rule has a hash of that code among its parameters: an edit of a helper
reruns the rules that use it, and no other.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _file_of(module: str) -> Path | None:
    """File of a module of this package; None for other modules and for names inside modules."""
    if module != "medtaskatlas" and not module.startswith("medtaskatlas."):
        return None
    base = PACKAGE.parent / Path(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this package that a module imports, anywhere in its code."""
    file = _file_of(module)
    assert file is not None
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in found if _file_of(name) is not None)


def modules_behind(*modules: str) -> list[str]:
    """Modules of this package that some modules need, they themselves included.

    Parameters
    ----------
    modules
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
    for module in modules:
        if _file_of(module) is None:
            raise ValueError(f"{module} is no module of medtaskatlas")
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(_imports(module))
    return sorted(seen)


@cache
def code_hash(*modules: str) -> str:
    """Hash of the code of some modules and of all that they import from this package.

    Comments and docstrings are not code: a change of them alone changes nothing.

    Parameters
    ----------
    modules
        Dotted names.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for module in modules_behind(*modules):
        file = _file_of(module)
        assert file is not None
        digest.update(f"{module}\n{_code(file)}\n".encode())
    return digest.hexdigest()[:16]


def module_hash(module: str) -> str:
    """Hash of the code of one module, without what it imports.

    Parameters
    ----------
    module
        Dotted name.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    ValueError
        If it is no module of this package.
    """
    file = _file_of(module)
    if file is None:
        raise ValueError(f"{module} is no module of medtaskatlas")
    return hashlib.sha256(_code(file).encode()).hexdigest()[:16]


def module_hashes(*modules: str) -> dict[str, str]:
    """Hash of each module behind some modules, so that one can say which of them changed.

    Parameters
    ----------
    modules
        Dotted names.

    Returns
    -------
    dict of str to str
        Dotted name to hash, of all of :func:`modules_behind`.
    """
    return {module: module_hash(module) for module in modules_behind(*modules)}


@cache
def _code(file: Path) -> str:
    """Code of a file without comments and docstrings."""
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                body[0].value.value = ""
    return ast.dump(tree)
