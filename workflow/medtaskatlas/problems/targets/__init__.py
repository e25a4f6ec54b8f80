"""All kinds of targets: every file here is one, and those of the user's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from medtaskatlas.core.code_hash import code_hash, read_module
from medtaskatlas.core.errors import ConfigError
from medtaskatlas.problems.targets.target import Target
from medtaskatlas.tasks.bank import load_files

CHECK = "medtaskatlas targets --targets-dir {.parent}"


@cache
def load_kinds(targets_dir: Path | None = None) -> Mapping[str, type[Target]]:
    """Kinds of targets by name, the user's own behind the others.

    Parameters
    ----------
    targets_dir
        Folder whose ``*.py`` files define kinds of the user's own.

    Raises
    ------
    ConfigError
        If the folder does not exist, or two kinds have one name.
    TaskError
        If a file cannot be loaded; names file and line.
    """
    modules = [
        import_module(f"{__name__}.{m}") for m in sorted(i.name for i in iter_modules(__path__))
    ]
    if targets_dir is not None:
        modules += load_files("targets_dir", targets_dir, CHECK)
    found: dict[str, type[Target]] = {}
    for thing in (thing for module in modules for thing in vars(module).values()):
        # Bases have no kind of their own.
        if not (isinstance(thing, type) and issubclass(thing, Target) and vars(thing).get("kind")):
            continue
        if found.setdefault(thing.kind, thing) is not thing:
            raise ConfigError(
                f"two kinds of targets are called {thing.kind}: {thing.__module__} and "
                f"{found[thing.kind].__module__}",
                "give yours a `kind` of its own",
            )
    return found


def code_of_kinds(targets_dir: Path | None = None) -> str:
    """Hash of the code of all kinds of targets, of the user's own ones too."""
    own = sorted(targets_dir.glob("*.py")) if targets_dir else []
    modules = [f"{__name__}.{found.name}" for found in iter_modules(__path__)]
    return "".join([code_hash(*modules), *(read_module(file).code[:16] for file in own)])


def target_of(facts: Mapping[str, Any], kinds: Mapping[str, type[Target]] | None = None) -> Target:
    """Target from its facts, as files keep them."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts.items()
        if name != "kind"
    }
    return (kinds or load_kinds())[facts["kind"]](**values)
