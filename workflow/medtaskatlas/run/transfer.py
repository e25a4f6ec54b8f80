"""What the section `transfer` asks of a run: sources, targets and their datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.transfer.options import SHUFFLED, Choice, Starts, Transfer

Cells = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Measured:
    """One of the ways in which gains are measured."""

    options: Choice
    targets: dict[str, list[str]]  # task to the datasets that it is asked on
    sources: list[str]  # tasks with a training cell

    @property
    def datasets(self) -> list[str]:
        """Datasets of all targets."""
        return list(dict.fromkeys(name for own in self.targets.values() for name in own))

    def tasks_on(self, dataset: str) -> list[str]:
        """Targets that are asked on a dataset."""
        return [task for task, own in self.targets.items() if dataset in own]


@dataclass(frozen=True)
class TransferPlan:
    """Sources and targets of all ways in which gains are measured."""

    options: Transfer
    measured: dict[str, Measured]  # by protocol
    messages: list[str]

    @property
    def starts(self) -> dict[str, Starts]:
        """Options of the protocols that begin with sources."""
        every = {name: one.options for name, one in self.measured.items()}
        return {name: own for name, own in every.items() if isinstance(own, Starts)}

    def folder(self, protocol: str) -> str:
        """Folder of a protocol's sources: equal ones are trained once."""
        equal = [n for n, s in self.starts.items() if s.source_params() == self._source(protocol)]
        return {"warm": "sources", "shared": "shared_sources"}[equal[0]]

    def _source(self, protocol: str) -> dict[str, Any]:
        return self.starts[protocol].source_params()

    def source_params(self, folder: str) -> dict[str, Any]:
        """What the weights of a folder's sources depend on."""
        return next(self._source(name) for name in self.starts if self.folder(name) == folder)

    def sources_in(self, folder: str) -> list[str]:
        """Sources of a folder, the control last; it learns from the cells of all others."""
        own = [name for name in self.starts if self.folder(name) == folder]
        return [*dict.fromkeys(s for name in own for s in self.measured[name].sources), SHUFFLED]

    def sources_of(self, protocol: str) -> list[str]:
        """Sources of a protocol, the control among them."""
        return [*self.measured[protocol].sources, SHUFFLED]

    @property
    def source_runs(self) -> list[tuple[str, str, int]]:
        """(folder, source, seed) of every training of a source, the control among them."""
        return list(
            dict.fromkeys(
                (self.folder(name), source, seed)
                for name, own in self.starts.items()
                for source in self.sources_of(name)
                for seed in own.seeds
            )
        )

    @property
    def target_runs(self) -> list[tuple[str, str, int]]:
        """(protocol, target, seed) of every job that starts a target from sources."""
        return [
            (name, target, seed)
            for name, own in self.starts.items()
            for target in self.measured[name].targets
            for seed in own.seeds
        ]

    @property
    def affinity_runs(self) -> list[tuple[str, int]]:
        """(dataset, seed) of every job that trains tasks together."""
        if "affinity" not in self.measured:
            return []
        own = self.measured["affinity"]
        return [(dataset, seed) for dataset in own.datasets for seed in own.options.seeds]

    def affinity_params(self) -> dict[str, Any]:
        """What errors of tasks trained together depend on."""
        return self.options.affinity.params() if self.options.affinity else {}


def plan_transfer(
    options: Transfer, families: Mapping[str, str], cells: Cells, training_cells: Cells
) -> TransferPlan:
    """Choose sources, targets and datasets.

    Parameters
    ----------
    options
        The section `transfer`.
    families
        Family of every task of the run.
    cells, training_cells
        (task, dataset) of the run, and those of them that may be trained on.

    Raises
    ------
    ConfigError
        If a task or dataset is not of the run, or no target is left.
    """
    measured, messages = {}, []
    for choice in (options.warm, options.shared, options.affinity):
        if choice is None:
            continue
        made, without = _measured(choice, families, cells, training_cells)
        measured[choice.protocol] = made
        if without:
            where = "transfer" if choice.protocol == "warm" else f"transfer.{choice.protocol}"
            messages.append(f"{where}: no dataset to ask {', '.join(without)} on")
    return TransferPlan(options, measured, messages)


def _measured(
    choice: Choice, families: Mapping[str, str], cells: Cells, training_cells: Cells
) -> tuple[Measured, list[str]]:
    """Sources and targets of one protocol, and tasks that no dataset is left for."""
    key = f"transfer.{choice.protocol}"
    datasets = list(dict.fromkeys(dataset for _, dataset in cells))
    named = _tasks(choice, families, {task for task, _ in cells})
    _check(f"{key}.tasks", "tasks", named, list(families))
    if isinstance(choice.datasets, list):
        _check(f"{key}.datasets", "datasets", choice.datasets, datasets)
    of_task: dict[str, list[str]] = {name: [] for name in named}
    for task, dataset in cells:
        if task in of_task:
            of_task[task].append(dataset)
    trained = {dataset for _, dataset in training_cells}
    learned = {task for task, _ in training_cells}
    # Datasets with many tasks first, so that targets share them as far as they can.
    size = Counter(dataset for task, dataset in cells if task in of_task)
    order = sorted(datasets, key=lambda name: (-size[name], name))
    targets = {task: _chosen(choice, own, order, trained) for task, own in of_task.items()}
    without = [task for task, own in targets.items() if not own]
    targets = {task: own for task, own in targets.items() if own}
    if not targets:
        raise ConfigError(
            f"{key}: no target has a dataset", "choose other `tasks` or `datasets` there"
        )
    return Measured(choice, targets, [name for name in named if name in learned]), without


def _check(key: str, kind: str, named: Sequence[str], known: Sequence[str]) -> None:
    """Raise ConfigError for a name that the run does not have."""
    for name in named:
        if name not in known:
            raise ConfigError(
                f"{key}: {name!r} is not among the {kind} of this run", nearest(name, known)
            )


def _tasks(choice: Choice, families: Mapping[str, str], asked: Collection[str]) -> list[str]:
    """Tasks by name, or so many of those with a cell: families by turns, in the bank's order."""
    if isinstance(choice.tasks, list):
        return choice.tasks
    if choice.tasks == "all":
        return list(families)
    each: dict[str, list[str]] = {}
    for task, family in families.items():
        if task in asked:
            each.setdefault(family, []).append(task)
    turns = [task for turn in zip_longest(*each.values()) for task in turn if task is not None]
    chosen = turns[: choice.tasks]
    return [task for task in families if task in chosen]


def _chosen(
    choice: Choice, own: Sequence[str], order: Sequence[str], trained: Collection[str]
) -> list[str]:
    """Datasets that a target is asked on: those named, or so many, a third of them held out."""
    there = [name for name in order if name in own]
    if isinstance(choice.datasets, list):
        return [name for name in there if name in choice.datasets]
    inside = [name for name in there if name in trained]
    outside = [name for name in there if name not in trained]
    held = min(len(outside), max(choice.datasets // 3, choice.datasets - len(inside)))
    return [*inside[: choice.datasets - held], *outside[:held]]
