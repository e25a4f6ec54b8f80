"""The reference of the Python API: a page a public module, from its docstrings.

Docstrings are read from the sources (griffe), nothing is imported: no torch, no side effect.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import griffe

PACKAGE = "medtaskatlas"
FOLDER = "api"
_ROLE = re.compile(r":(?:func|class|mod|data|attr|meth|exc):`(~?)([\w.]+)`")
_SHAPE = re.compile(r"\[([\w, ]+)\]\[([\w, ]+)\]")
_MATH = re.compile(r":math:`([^`]+)`")


@cache
def modules(root: Path) -> tuple[str, ...]:
    """Names of the public modules and packages.

    Parameters
    ----------
    root
        Folder of the package.

    Returns
    -------
    tuple of str
        Sorted, such as ``medtaskatlas.atlas.resampling``; looked up once, so that all of a site
        agrees.
    """
    names = []
    for file in root.rglob("*.py"):
        parts = file.relative_to(root.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return tuple(sorted(names))


def page_of(name: str) -> str:
    """Page of a module, from docs/.

    Parameters
    ----------
    name
        Of the module.

    Returns
    -------
    str
        Path. Names are flat, as a package has a page beside those of its modules.
    """
    return f"{FOLDER}/{name.removeprefix(PACKAGE).lstrip('.') or 'index'}.md"


def pages(root: Path) -> dict[str, str]:
    """All pages of the reference.

    Parameters
    ----------
    root
        Folder of the package.

    Returns
    -------
    dict
        Page, from docs/, to its Markdown.
    """
    names = modules(root)
    made = {}
    for name in names:
        inside = [n for n in names if n.startswith(f"{name}.") and "." not in n[len(name) + 1 :]]
        if name == PACKAGE:
            made[page_of(name)] = _front(names, inside, root)
            continue
        text = f"# {name.removeprefix(PACKAGE + '.')}\n\n::: {name}\n"
        if inside:
            text += "\n" + _listed(inside, root)
        made[page_of(name)] = text
    return made


def nav(root: Path) -> list[Any]:
    """Entries of the reference in the navigation.

    Parameters
    ----------
    root
        Folder of the package.

    Returns
    -------
    list
        The front page, the packages with their modules, then the modules beside them.
    """
    names = [name for name in modules(root) if name != PACKAGE]
    entries: list[Any] = [page_of(PACKAGE)]
    alone = []
    for name in names:
        inside = [n for n in names if n.startswith(f"{name}.")]
        if name.count(".") > 1:
            continue
        if inside:
            own = {"overview": page_of(name)}
            rest = [{n.removeprefix(f"{name}."): page_of(n)} for n in inside]
            entries.append({name.removeprefix(f"{PACKAGE}."): [own, *rest]})
        else:
            alone.append({name.removeprefix(f"{PACKAGE}."): page_of(name)})
    return [*entries, {"modules": alone}]


def summary_of(name: str, root: Path) -> str:
    """First line of a module's docstring.

    Parameters
    ----------
    name
        Of the module.
    root
        Folder of the package.

    Returns
    -------
    str
        Empty where there is none.
    """
    base = root.parent / Path(*name.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return as_markdown(text.split("\n", 1)[0], name, {}).replace("``", "`")


def _front(names: Sequence[str], inside: list[str], root: Path) -> str:
    """Page that lists all packages and modules."""
    packages = [n for n in inside if any(other.startswith(f"{n}.") for other in names)]
    alone = [n for n in inside if n not in packages]
    return (
        "# Python API\n\n"
        "Made from the docstrings. The workflow calls these functions, a job each; they can be "
        "called from a notebook alike: paths in, one file out. Names with a leading underscore are "
        "private and may change without notice.\n\n"
        f"## Packages\n\n{_listed(packages, root)}\n## Modules\n\n{_listed(alone, root)}"
    )


def _listed(names: list[str], root: Path) -> str:
    """Table of modules with their first lines."""
    rows = ["| module | what it holds |", "|---|---|"]
    for name in names:
        page = page_of(name).removeprefix(f"{FOLDER}/")
        short = name.removeprefix(f"{PACKAGE}.")
        rows.append(f"| [`{short}`]({page}) | {summary_of(name, root)} |")
    return "\n".join(rows) + "\n"


def as_markdown(text: str, module: str, known: Mapping[str, str]) -> str:
    r"""A docstring's roles as Markdown.

    Parameters
    ----------
    text
        Docstring, with roles such as ``:func:`name```.
    module
        Full name of the module that it stands in.
    known
        Full name of every object of the reference to where it is, from :data:`FOLDER`.

    Returns
    -------
    str
        Roles of known objects are links, those of others code; formulas are in ``\(...\)``.
    """

    def role(found: re.Match[str]) -> str:
        short, name = found[1], found[2]
        shown = name.rpartition(".")[2] if short else name
        for full in (name, f"{module}.{name}"):
            if full in known:
                return f"[`{shown}`]({known[full]})"
        return f"`{shown}`"

    # [T][T] is a shape and no reference.
    text = _SHAPE.sub(r"[\1]\\[\2]", text)
    joined = _MATH.sub(lambda found: f"\\({' '.join(found[1].split())}\\)", text)
    # A double colon before an indented block: Markdown takes the block as it is.
    return re.sub(r"::$", ":", _ROLE.sub(role, joined), flags=re.M)


class Roles(griffe.Extension):
    """Extension of griffe that turns the roles of all docstrings into Markdown."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Change the docstrings of a package that was read.

        Parameters
        ----------
        pkg
            The package, with all its modules.
        **kwargs
            Not looked at.
        """
        objects = list(_objects(pkg))
        known = {found.path: _place(found) for found in objects if _shown(found)}
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
    return public and (found.is_module or found.docstring is not None)


def _place(found: griffe.Object) -> str:
    """Where an object is, from the folder of the reference."""
    page = page_of(found.module.path).removeprefix(f"{FOLDER}/")
    return page if found.is_module else f"{page}#{found.path}"
