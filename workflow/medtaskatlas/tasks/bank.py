"""The task bank: the project's own tasks and those of the user."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from medtaskatlas.core.errors import ConfigError, TaskError, nearest
from medtaskatlas.tasks import acquisition, extras, generative, semantic, transformation
from medtaskatlas.tasks.contract import described, line_in
from medtaskatlas.tasks.task import FAMILIES, REGISTRY, Task

# The first three hold the thirty tasks of the default grid, the others hold extras.
BUILT_IN = (semantic, generative, transformation, acquisition, extras)


def load_bank(tasks_dir: str | Path | None = None) -> dict[str, Task]:
    """All tasks, extras among them, by family and then in the order of their definition.

    Within a family the thirty come first, then the user's own, then extras.

    Parameters
    ----------
    tasks_dir
        Folder whose ``*.py`` files register tasks of the user's own.

    Returns
    -------
    dict
        Name to task.

    Raises
    ------
    ConfigError
        If the folder does not exist.
    TaskError
        If a file cannot be loaded.
    """
    if tasks_dir is not None:
        folder = Path(tasks_dir)
        if not folder.is_dir():
            hint = f", e.g. {folder.parent}" if folder.is_file() else ""
            raise ConfigError(
                f"tasks_dir: {folder} is no folder", f"give a folder with *.py files{hint}"
            )
        for file in sorted(folder.glob("*.py")):
            _load_file(file)
    by_family = sorted(REGISTRY.values(), key=lambda t: (FAMILIES.index(t.family), t.extra))
    return {t.name: t for t in by_family}


_LOADED: set[Path] = set()


def _load_file(file: Path) -> None:
    """Run one file of tasks, once a process."""
    whole = file.resolve()
    if whole in _LOADED:
        return
    spec = importlib.util.spec_from_file_location(f"medtaskatlas_user_tasks.{file.stem}", whole)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = line_in(whole, error)
        raise TaskError(
            f"{file}: {f'line {line}: ' if line else ''}{described(error)}",
            f"mend the file, then: medtaskatlas tasks check {file}",
        ) from error
    _LOADED.add(whole)


def select_tasks(names: list[str] | str, bank: dict[str, Task]) -> list[str]:
    """Resolve ``tasks:`` of a configuration.

    Parameters
    ----------
    names
        Names of tasks, or ``all``: the thirty and the user's own, without the extras, which run
        only where they are named.
    bank
        What :func:`load_bank` returned.

    Returns
    -------
    list of str
        Names in the order of the bank.

    Raises
    ------
    ConfigError
        If a name is unknown or there is none.
    """
    if isinstance(names, str):
        return [name for name, task in bank.items() if not task.extra]
    if not names:
        raise ConfigError("tasks: the list is empty", "name some tasks, or write `tasks: all`")
    unknown = [n for n in names if n not in bank]
    if unknown:
        raise ConfigError(f"tasks: unknown task {unknown[0]!r}", nearest(unknown[0], bank))
    return [n for n in bank if n in set(names)]
