"""The reference of the Python API: a page a public module, from its docstrings.

Docstrings are read from the sources (griffe), nothing is imported: no torch, no side effect.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import griffe

from medtaskatlas.core.text import markdown_table

PACKAGE = "medtaskatlas"
FOLDER = "api"
FRONT = """\
# Python API

Made from the docstrings. The workflow calls these functions, a job each; they can be called from a
notebook alike: paths in, one file out. Names with a leading underscore are private and may change
without notice. How the packages build on each other: [architecture](../architecture.md).
"""
_ROLE = re.compile(r":(?:func|class|mod|data|attr|meth|exc):`(~?)([\w.]+)`")
_SHAPE = re.compile(r"\[([\w, ]+)\]\[([\w, ]+)\]")
_MATH = re.compile(r":math:`([^`]+)`")


@cache
def modules(root: Path) -> dict[str, str]:
    """Dotted names of the public modules of a package's folder, each with its first line."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            name, text = ".".join(parts), ast.get_docstring(ast.parse(file.read_text())) or ""
            found[name] = as_markdown(text.split("\n", 1)[0], name, {}).replace("``", "`")
    return dict(sorted(found.items()))


def page_of(name: str) -> str:
    """Page of a module, from docs/; flat, as a package has a page next to its modules'."""
    return f"{FOLDER}/{name.removeprefix(PACKAGE).lstrip('.') or 'index'}.md"


def pages(root: Path) -> dict[str, str]:
    """All pages of the reference, from docs/, with their Markdown."""
    made = {}
    for name in modules(root):
        short = name.removeprefix(f"{PACKAGE}.")
        text = FRONT if name == PACKAGE else f"# {short}\n\n::: {name}\n"
        inside = {n: line for n, line in modules(root).items() if n.rpartition(".")[0] == name}
        if inside:
            rows = (
                [f"[`{n.removeprefix(f'{PACKAGE}.')}`]({Path(page_of(n)).name})", line]
                for n, line in inside.items()
            )
            text += "\n" + markdown_table(["module", "what it holds"], rows)
        made[page_of(name)] = text
    return made


def nav(root: Path) -> list[Any]:
    """Entries of the reference in the navigation: the front page, then packages with modules."""
    entries: list[Any] = [page_of(PACKAGE)]
    packages: dict[str, list[dict[str, str]]] = {}
    for name in modules(root):
        if name != PACKAGE:
            package, _, rest = name.removeprefix(f"{PACKAGE}.").partition(".")
            packages.setdefault(package, []).append({rest or "overview": page_of(name)})
    return [*entries, *({package: inside} for package, inside in packages.items())]


def as_markdown(text: str, module: str, known: Mapping[str, str]) -> str:
    """A docstring's roles, ``:func:`name```, as links to the ``known`` ones or as code."""

    def role(found: re.Match[str]) -> str:
        short, name = found[1], found[2]
        shown = name.rpartition(".")[2] if short else name
        target = known.get(name) or known.get(f"{module}.{name}")
        return f"[`{shown}`]{target}" if target else f"`{shown}`"

    # [T][T] is a shape and no reference.
    text = _SHAPE.sub(r"[\1]\\[\2]", text)
    joined = _MATH.sub(lambda found: f"\\({' '.join(found[1].split())}\\)", text)
    # A double colon before an indented block: Markdown takes the block as it is.
    return re.sub(r"::$", ":", _ROLE.sub(role, joined), flags=re.M)


class Roles(griffe.Extension):
    """Extension of griffe that turns the roles of all docstrings into Markdown."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Change the docstrings of a package that was read."""
        objects = list(_objects(pkg))
        known = {found.path: _target(found) for found in objects if _shown(found)}
        for found in objects:
            if found.docstring is not None:
                found.docstring.value = as_markdown(found.docstring.value, found.module.path, known)


def _objects(parent: griffe.Object) -> Iterator[griffe.Object]:
    """An object and all below it, without what was imported."""
    yield parent
    for member in parent.members.values():
        if isinstance(member, griffe.Object):
            yield from _objects(member)


def _shown(found: griffe.Object) -> bool:
    """Whether an object has a place in the reference: public, and with a docstring."""
    public = not any(part.startswith("_") for part in found.path.split("."))
    return public and found.docstring is not None


def _target(found: griffe.Object) -> str:
    """Target of a link to an object: modules are pages, others references."""
    return f"({Path(page_of(found.path)).name})" if found.is_module else f"[{found.path}]"
