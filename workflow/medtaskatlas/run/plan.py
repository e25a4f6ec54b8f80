"""The plan of a run: its datasets, tasks, encoders, cells and paths, before the DAG is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medtaskatlas.core.code_hash import code_hash, modules, read_module
from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.sources.folder import find_folder_datasets, folder_messages
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.run.config import Config, dropped_encoders, parse_config
from medtaskatlas.run.selection import heldout_datasets, select_datasets, with_own
from medtaskatlas.run.studies import Point, points_of
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.task import Task


@dataclass(frozen=True)
class RunPlan:
    """The datasets, tasks and encoders of a run, resolved and checked."""

    config: Config
    datasets: dict[str, Dataset]  # by name, in catalogue order
    tasks: dict[str, Task]  # by name, in bank order
    trajectory_tasks: dict[str, Task]  # of which trajectories alone are made
    heldout: list[str]  # datasets that no encoder sees in training
    encoders: dict[str, EncoderKind]  # those that are available on this machine
    messages: list[str]  # for the user: what was left out or widened, and why

    @cached_property
    def cells(self) -> list[tuple[str, str]]:
        """(task, dataset) of every cell of the grid that has what the task needs."""
        return [
            (task.name, dataset.name)
            for task in self.tasks.values()
            for dataset in self.datasets.values()
            if task.needs <= dataset.offers
        ]

    @property
    def seed(self) -> int:
        """Seed of everything that is not training."""
        return self.config.seed

    @cached_property
    def made_tasks(self) -> dict[str, Task]:
        """Name to task, of all tasks that pairs of some set are made of."""
        return {**self.tasks, **self.trajectory_tasks}

    @cached_property
    def trajectory_cells(self) -> list[tuple[str, str]]:
        """Cells with trajectories: those of tasks that have degrees."""
        return [
            (task.name, dataset.name)
            for task in self.made_tasks.values()
            if task.ladder is not None
            for dataset in self.datasets.values()
            if task.needs <= dataset.offers
        ]

    @cached_property
    def made_cells(self) -> list[tuple[str, str]]:
        """Cells that pairs of some set are made of."""
        return list(dict.fromkeys([*self.cells, *self.trajectory_cells]))

    def cells_of(self, set: str) -> list[tuple[str, str]]:
        """Cells that a set of pairs has."""
        return self.trajectory_cells if set == "trajectory" else self.cells

    @property
    def described_sets(self) -> list[str]:
        """Sets of pairs, beside the main one, that the run makes."""
        config = self.config
        amounts = {
            "failure": config.failures_per_cell,
            "trajectory": config.trajectories_per_cell,
        }
        return [name for name, amount in amounts.items() if amount]

    @cached_property
    def points(self) -> dict[str, Point]:
        """Trainings of the studies of the run."""
        return points_of(
            self.config,
            families={name: task.family for name, task in self.tasks.items()},
            cells=self.cells,
            training_cells=self.training_cells,
            heldout=self.heldout,
        )

    def points_of(self, study: str) -> list[str]:
        """Points of one study."""
        return [key for key, point in self.points.items() if point.study == study]

    def named(self, role: str) -> list[str]:
        """Encoders of one role."""
        return [name for name, encoder in self.encoders.items() if encoder.role == role]

    @cached_property
    def training_cells(self) -> list[tuple[str, str]]:
        """Cells that encoders learn from: neither dataset nor task is held out."""
        return [
            (task, dataset)
            for task, dataset in self.cells
            if dataset not in self.heldout and task not in self.config.heldout.tasks
        ]

    @property
    def encoder_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) of every encoder that the run has."""
        return [(name, seed) for name in self.encoders for seed in self.config.seeds_of(name)]

    @property
    def described_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) whose failures and trajectories are looked at: not those of controls."""
        wanted = ("model", "baseline")
        return [(e, seed) for e, seed in self.encoder_runs if self.encoders[e].role in wanted]

    @property
    def trained_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) of the encoders that have weights."""
        return [(name, seed) for name, seed in self.encoder_runs if self.has_weights(name)]

    @property
    def results(self) -> str:
        """Folder of the run, relative to the working directory."""
        return f"results/{self.config.run}"

    def place(self, dataset: str) -> str:
        """Folder of a dataset's raw data below data/: ``source/dataset``, and its side in pixels.

        The side where the dataset is published at several sizes.
        """
        return self.datasets[dataset].place(self.config.image_size)

    @cached_property
    def dataset_at(self) -> dict[str, Dataset]:
        """Place of raw data to dataset."""
        return {self.place(name): dataset for name, dataset in self.datasets.items()}

    def manifest(self, dataset: str) -> str:
        """Path of the manifest of a dataset's raw data."""
        return f"data/{self.place(dataset)}/MANIFEST.json"

    def raw_folder(self, dataset: str) -> str:
        """Folder of a dataset's raw files: the user's own, or where its manifest lies."""
        return self.datasets[dataset].raw_folder(self.config.image_size)

    def entry(self, dataset: str) -> dict[str, Any]:
        """Entry of a dataset for a script; without times of files: content is in the manifest."""
        entry = self.datasets[dataset].model_dump(mode="json")
        return {**entry, "fingerprint": ""} if "fingerprint" in entry else entry

    def image_files(self, cells: list[tuple[str, str]]) -> list[str]:
        """Paths of the prepared images of the datasets of some cells, one a dataset."""
        datasets = dict.fromkeys(dataset for _, dataset in cells)
        return [f"{self.results}/images/{dataset}.arrow" for dataset in datasets]

    def pair_files(self, cells: list[tuple[str, str]], set: str = "main") -> list[str]:
        """Paths of the pairs of some cells."""
        return [f"{self.results}/pairs/{set}/{task}/{dataset}.arrow" for task, dataset in cells]

    def sets_of(self, task: str) -> list[str]:
        """Sets of pairs that are made of a task; trajectories of tasks with degrees alone."""
        whole = ["main", "failure"] if task in self.tasks else []
        return [*whole, *(["trajectory"] if self.made_tasks[task].ladder else [])]

    def pair_params(self, set: str, task: str, dataset: str) -> dict[str, Any]:
        """Everything that a file of pairs depends on besides the images, and nothing else.

        ``code``, and the arguments of :func:`medtaskatlas.pairs.sets.make_sets`.
        """
        config = self.config
        if set == "trajectory":
            amounts = {"trajectories": config.trajectories_per_cell}
            amounts |= {"pairs": 0, "levels": config.trajectory_levels}
        else:
            amounts = {"pairs": config.pairs_per_cell}
        if set == "failure":
            amounts["failures"] = config.failures_per_cell
        return {
            "amounts": amounts,
            "splits": {} if set == "trajectory" else config.splits.model_dump(),
            # Only trajectories may use the training images of a dataset that is held out.
            "heldout": set == "trajectory" and dataset in self.heldout,
            "seed": config.seed,
            "code": self.task_code(task),
        }

    def failure_files(self, encoder: Mapping[str, Any], cells: list[tuple[str, str]]) -> list[str]:
        """Paths of the failures that an encoder with these options learns from: none, or all."""
        return self.pair_files(cells, set="failure") if encoder.get("failures") else []

    def trained_on(self, cells: list[tuple[str, str]]) -> dict[str, list[str]]:
        """Tasks and datasets that an encoder has learned from, for its embeddings."""
        return {
            "trained_tasks": sorted({task for task, _ in cells}),
            "trained_datasets": sorted({dataset for _, dataset in cells}),
        }

    def model_file(self, encoder: str, seed: int) -> str:
        """Path of the weights of an encoder."""
        return f"{self.results}/encoders/{encoder}/seed{seed}/model.safetensors"

    def has_weights(self, encoder: str) -> bool:
        """Whether the training stage makes the weights of an encoder."""
        return self.encoders[encoder].has_weights

    def encoder_code(self, encoder: str, module: str) -> str:
        """Hash of the code of a stage (a module), and of the kind of an encoder."""
        return code_hash(module, type(self.encoders[encoder]).__module__)

    def task_code(self, task: str) -> str:
        """Hash of the code that makes the pairs of a task."""
        apply = self.made_tasks[task].apply
        if apply.__module__.startswith("medtaskatlas."):
            return code_hash("medtaskatlas.pairs.sets", apply.__module__)
        # A task of the user's own: a file outside the package.
        own = read_module(apply.__code__.co_filename)
        behind = [name for name in own.imports if name in modules()]
        return code_hash("medtaskatlas.pairs.sets", *behind) + own.code[:16]

    def summary(self) -> str:
        """One line that says what will run."""
        modalities = len({d.modality for d in self.datasets.values()})
        config = self.config
        encoders = ", ".join(f"{name} x{len(config.seeds_of(name))}" for name in self.encoders)
        return (
            f"run {config.run}: {len(self.datasets)} datasets of {modalities} modalities "
            f"({len(self.heldout)} held out) x {len(self.tasks)} tasks = {len(self.cells)} cells "
            f"of {config.pairs_per_cell} pairs at {config.image_size} px; encoders {encoders}"
        )


def plan_run(raw: Mapping[str, Any], catalogue: Path | None = None) -> RunPlan:
    """Resolve and check a configuration as Snakemake read it.

    Parameters
    ----------
    raw
        Keys and values of the YAML files and of ``--config``.
    catalogue
        Folder of the dataset catalogue; None takes the project's own.

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
    plan = RunPlan(
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
    """Encoders available on this machine, and a line for each of the others."""
    missing = {name: encoder.missing() for name, encoder in config.encoders.items()}
    here = {name: e for name, e in config.encoders.items() if missing[name] is None}
    lines = [f"encoder {name} is left out: {why}" for name, why in missing.items() if why]
    if not here:
        raise ConfigError("no encoder can be had on this machine", "\n".join(lines))
    return here, lines
