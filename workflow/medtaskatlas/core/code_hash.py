"""Which code a result depends on.

Snakemake reruns a rule when its parameters change, but does not look into the package that the
rule's script calls. So every rule has a hash of that code among its parameters: an edit of a helper
reruns the rules that use it, and no other.
"""

from __future__ import annotations

import hashlib
from functools import cache

from medtaskatlas.core.modules import modules


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
        if name not in known:
            raise ValueError(f"{name} is no module of medtaskatlas")
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
    """Hash of the code of one module, without what it imports.

    Parameters
    ----------
    name
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
    known = modules()
    if name not in known:
        raise ValueError(f"{name} is no module of medtaskatlas")
    return known[name].code[:16]


def module_hashes(*names: str) -> dict[str, str]:
    """Hash of each module behind some modules, so that one can say which of them changed.

    Parameters
    ----------
    names
        Dotted names.

    Returns
    -------
    dict of str to str
        Dotted name to hash, of all of :func:`modules_behind`.
    """
    return {name: module_hash(name) for name in modules_behind(*names)}
