"""The task bank: the project's own tasks and those of the user."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from medtaskatlas.core.errors import ConfigError, TaskError, nearest
from medtaskatlas.tasks import acquisition, extras, generative, semantic, transformation
from medtaskatlas.tasks.contract import described, line_in
from medtaskatlas.tasks.task import FAMILIES, REGISTRY, Task

# The first three hold the thirty tasks of the default grid, the others hold extras.
BUILT_IN = (semantic, generative, transformation, acquisition, extras)


def load_bank(tasks_dir: str | Path | None = None) -> dict[str, Task]:
    """All tasks by name and family, with those of ``*.py`` in a folder of the user's own.

    Within a family the thirty come first, then the user's own, then extras. Raises ConfigError if
    the folder does not exist, TaskError if a file cannot be loaded.
    """
    if tasks_dir is not None:
        load_files("tasks_dir", tasks_dir, CHECK)
    by_family = sorted(REGISTRY.values(), key=lambda t: (FAMILIES.index(t.family), t.extra))
    return {t.name: t for t in by_family}


CHECK = "medtaskatlas tasks check {}"
_LOADED: dict[Path, ModuleType] = {}


def load_files(key: str, folder: str | Path, check: str) -> list[ModuleType]:
    """Run the ``*.py`` files of a folder of the user's own, each once a process.

    Parameters
    ----------
    key
        Key of the configuration that names the folder.
    folder
        The folder.
    check
        Command that a user checks a file with, with a place for it.

    Returns
    -------
    list of module
        In the order of their names.

    Raises
    ------
    ConfigError
        If the folder does not exist.
    TaskError
        If a file cannot be loaded; names file and line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        hint = f", e.g. {folder.parent}" if folder.is_file() else ""
        raise ConfigError(f"{key}: {folder} is no folder", f"give a folder with *.py files{hint}")
    return [load_file(key, file, check) for file in sorted(folder.glob("*.py"))]


def load_file(key: str, file: Path, check: str) -> ModuleType:
    """Run one file of the user's own, once a process; see :func:`load_files`."""
    whole = file.resolve()
    if whole in _LOADED:
        return _LOADED[whole]
    name = f"medtaskatlas_user_{key.removesuffix('_dir')}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, whole)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = line_in(whole, error)
        raise TaskError(
            f"{file}: {f'line {line}: ' if line else ''}{described(error)}",
            f"mend the file, then: {check.format(file)}",
        ) from error
    _LOADED[whole] = module
    return module


def select_tasks(names: list[str] | str, bank: dict[str, Task]) -> list[str]:
    """Resolve ``tasks:`` of a configuration into names in the order of the bank.

    ``all`` are the thirty and the user's own, without the extras. Raises ConfigError if a name is
    unknown or there is none.
    """
    if isinstance(names, str):
        return [name for name, task in bank.items() if not task.extra]
    if not names:
        raise ConfigError("tasks: the list is empty", "name some tasks, or write `tasks: all`")
    unknown = [n for n in names if n not in bank]
    if unknown:
        raise ConfigError(f"tasks: unknown task {unknown[0]!r}", nearest(unknown[0], bank))
    return [n for n in bank if n in set(names)]
