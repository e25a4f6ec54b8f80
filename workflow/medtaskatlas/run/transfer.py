"""What the section `transfer` asks of a run: sources, targets and their datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.transfer.options import SHUFFLED, Transfer, WarmStarts

Cells = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class TransferPlan:
    """Sources and targets of warm starts."""

    options: Transfer
    sources: list[str]  # tasks with a training cell
    targets: dict[str, list[str]]  # task to the datasets that it is asked on
    messages: list[str]

    @property
    def warm(self) -> WarmStarts:
        """Options of warm starts, in a run that has them."""
        assert self.options.warm is not None
        return self.options.warm

    @property
    def source_runs(self) -> list[tuple[str, int]]:
        """(source, seed) of every training of a source, the control among them."""
        if self.options.warm is None:
            return []
        return [(name, seed) for name in (*self.sources, SHUFFLED) for seed in self.warm.seeds]

    @property
    def target_runs(self) -> list[tuple[str, int]]:
        """(target, seed) of every job of warm starts."""
        if self.options.warm is None:
            return []
        return [(name, seed) for name in self.targets for seed in self.warm.seeds]

    def warm_params(self) -> dict[str, Any]:
        """What the weights and errors depend on: options without what chooses the jobs."""
        return self.warm.model_dump(mode="json", exclude={"tasks", "datasets", "seeds"})


def plan_transfer(
    options: Transfer, tasks: Collection[str], cells: Cells, training_cells: Cells
) -> TransferPlan:
    """Choose sources, targets and datasets.

    Raises
    ------
    ConfigError
        If a task or dataset is not of the run, or no target is left.
    """
    warm = options.warm
    if warm is None:
        return TransferPlan(options, [], {}, [])
    named = list(tasks) if warm.tasks == "all" else warm.tasks
    for name in named:
        if name not in tasks:
            raise ConfigError(
                f"transfer.warm.tasks: {name!r} is not among the tasks of this run",
                nearest(name, list(tasks)),
            )
    datasets = list(dict.fromkeys(dataset for _, dataset in cells))
    if isinstance(warm.datasets, list):
        for name in warm.datasets:
            if name not in datasets:
                raise ConfigError(
                    f"transfer.warm.datasets: {name!r} is not among the datasets of this run",
                    nearest(name, datasets),
                )
    of_task: dict[str, list[str]] = {name: [] for name in named}
    for task, dataset in cells:
        if task in of_task:
            of_task[task].append(dataset)
    trained = {dataset for _, dataset in training_cells}
    learned = {task for task, _ in training_cells}
    # Datasets with many tasks first, so that targets share them as far as they can.
    size = Counter(dataset for _, dataset in cells)
    order = sorted(datasets, key=lambda name: (-size[name], name))
    targets = {task: _chosen(warm, own, order, trained) for task, own in of_task.items()}
    without = [task for task, own in targets.items() if not own]
    targets = {task: own for task, own in targets.items() if own}
    if not targets:
        raise ConfigError(
            "transfer.warm: no target has a dataset", "choose other `tasks` or `datasets` there"
        )
    sources = [name for name in named if name in learned]
    messages = [f"transfer: no dataset to ask {', '.join(without)} on"] if without else []
    return TransferPlan(options, sources, targets, messages)


def _chosen(
    warm: WarmStarts, own: Sequence[str], order: Sequence[str], trained: Collection[str]
) -> list[str]:
    """Datasets that a target is asked on: those named, or so many, a third of them held out."""
    there = [name for name in order if name in own]
    if isinstance(warm.datasets, list):
        return [name for name in there if name in warm.datasets]
    inside = [name for name in there if name in trained]
    outside = [name for name in there if name not in trained]
    held = min(len(outside), max(warm.datasets // 3, warm.datasets - len(inside)))
    return [*inside[: warm.datasets - held], *outside[:held]]
