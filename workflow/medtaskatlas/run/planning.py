"""From a configuration as Snakemake read it to the plan of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.sources.folder import find_folder_datasets, folder_messages
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.run.config import Config, dropped_encoders, parse_config
from medtaskatlas.run.plan import Plan
from medtaskatlas.run.selection import heldout_datasets, select_datasets, with_own
from medtaskatlas.tasks.bank import load_bank, select_tasks


def plan_run(raw: Mapping[str, Any], catalogue: Path | None = None) -> Plan:
    """Resolve and check a configuration.

    Parameters
    ----------
    raw
        Keys and values as Snakemake read them.
    catalogue
        Folder of the dataset catalogue; None takes the project's own.

    Returns
    -------
    Plan
        What will run.

    Raises
    ------
    ConfigError
        Names the bad key, its value and the nearest valid names.
    """
    config = parse_config(raw)
    known = load_catalogue() if catalogue is None else load_catalogue(catalogue)
    own: dict[str, Dataset] = {}
    found: list[str] = []
    if config.datasets_dir is not None:
        own, found = find_folder_datasets(config.datasets_dir), folder_messages(config.datasets_dir)
    known, clashes = with_own(known, own)
    names, messages = select_datasets(config, known, list(own))
    messages = [*found, *clashes, *messages]
    heldout, more = heldout_datasets(config, names, known)
    bank = load_bank(config.tasks_dir)
    tasks = select_tasks(config.tasks, bank)
    for task in config.heldout.tasks:
        if task not in tasks:
            raise ConfigError(
                f"heldout.tasks: {task!r} is not among the tasks of this run", nearest(task, tasks)
            )
    trajectory_tasks = [t for t in config.trajectory_tasks if t not in tasks]
    for task in trajectory_tasks:
        if task not in bank or bank[task].ladder is None:
            raise ConfigError(
                f"trajectory_tasks: {task!r} is no task with degrees",
                nearest(task, [name for name, known in bank.items() if known.ladder]),
            )
    encoders, absent = _encoders_here(config)
    # An empty value in a file is null as well.
    dropped = [
        f"encoder {name} is dropped: its value is null; write `{name}: {{}}` for all defaults"
        for name in dropped_encoders(raw)
    ]
    plan = Plan(
        config=config,
        datasets={name: known[name] for name in names},
        tasks={name: bank[name] for name in tasks},
        trajectory_tasks={name: bank[name] for name in trajectory_tasks},
        heldout=heldout,
        encoders=encoders,
        messages=[*messages, *more, *dropped, *absent],
    )
    if not plan.training_cells and plan.trained_runs:
        raise ConfigError(
            "no cell is left to train on: every dataset or task is held out",
            "hold out less with `heldout:`, or choose more `datasets:`",
        )
    study, trained = config.unseen_tasks, {task for task, _ in plan.training_cells}
    if study is not None and study.folds > len(trained):
        raise ConfigError(
            f"unseen_tasks.folds: {study.folds} folds of {len(trained)} tasks that are trained on",
            f"give at most {len(trained)}: --config 'unseen_tasks={{folds: {len(trained)}}}'",
        )
    return plan


def _encoders_here(config: Config) -> tuple[dict[str, EncoderKind], list[str]]:
    """Encoders that can be had on this machine, and a line for each of the others."""
    missing = {name: encoder.missing() for name, encoder in config.encoders.items()}
    here = {name: e for name, e in config.encoders.items() if missing[name] is None}
    lines = [f"encoder {name} is left out: {why}" for name, why in missing.items() if why]
    if not here:
        raise ConfigError("no encoder can be had on this machine", "\n".join(lines))
    return here, lines
