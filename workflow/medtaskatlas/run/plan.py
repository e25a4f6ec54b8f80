"""The plan of a run: its datasets, tasks, encoders, cells and paths, before the DAG is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from medtaskatlas.core.code_hash import code_hash, modules, read_module
from medtaskatlas.core.errors import ConfigError, nearest
from medtaskatlas.datasets.catalogue import load_catalogue
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.datasets.own import find_folder_datasets, folder_messages
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.run.config import Config, dropped_encoders, parse_config
from medtaskatlas.run.medformer import ArmRun, MedformerPlan, plan_medformer
from medtaskatlas.run.multitask import MultitaskPlan, plan_multitask
from medtaskatlas.run.selection import (
    check_sizes,
    heldout_datasets,
    select_datasets,
    with_copies,
    with_own,
)
from medtaskatlas.run.studies import UNSEEN_TASKS, Point, points_of
from medtaskatlas.run.transfer import TransferPlan, plan_transfer
from medtaskatlas.tasks.bank import load_bank, select_tasks
from medtaskatlas.tasks.task import Task
from medtaskatlas.transfer.options import SHUFFLED


@dataclass(frozen=True)
class RunPlan:
    """The datasets, tasks and encoders of a run, resolved and checked."""

    config: Config
    datasets: dict[str, Dataset]  # by name, in catalogue order
    tasks: dict[str, Task]  # by name, in bank order
    trajectory_tasks: dict[str, Task]  # of which trajectories alone are made
    heldout: list[str]  # datasets that no encoder sees in training
    encoders: dict[str, EncoderKind]  # those that are available on this machine
    multitask: MultitaskPlan | None
    medformer: MedformerPlan | None
    transfer: TransferPlan | None
    messages: list[str]  # for the user: what was left out or widened, and why

    @cached_property
    def cells(self) -> list[tuple[str, str]]:
        """(task, dataset) of every cell of the grid that has what the task needs.

        None without encoders and transfer, which alone need pairs.
        """
        return [
            (task.name, dataset.name)
            for task in self.tasks.values()
            for dataset in self.datasets.values()
            if (self.encoders or self.config.transfer) and task.needs <= dataset.offers
        ]

    @property
    def seed(self) -> int:
        """Seed of everything that is not training."""
        return self.config.seed

    @cached_property
    def pair_tasks(self) -> dict[str, Task]:
        """Name to task, of all tasks that pairs of some set are made of."""
        return {**self.tasks, **self.trajectory_tasks}

    @cached_property
    def trajectory_cells(self) -> list[tuple[str, str]]:
        """Cells with trajectories: those of tasks that have degrees."""
        return [
            (task.name, dataset.name)
            for task in self.pair_tasks.values()
            if self.encoders and task.ladder is not None
            for dataset in self.datasets.values()
            if task.needs <= dataset.offers
        ]

    @cached_property
    def pair_cells(self) -> list[tuple[str, str]]:
        """Cells that pairs of some set are made of."""
        return list(dict.fromkeys([*self.cells, *self.trajectory_cells]))

    def cells_of(self, set: str) -> list[tuple[str, str]]:
        """Cells that a set of pairs has."""
        return self.trajectory_cells if set == "trajectory" else self.cells

    @property
    def extra_sets(self) -> list[str]:
        """Sets of pairs that the run makes besides the main one."""
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
    def compared_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) of models and baselines, which embed failures and trajectories too."""
        wanted = ("model", "baseline")
        return [(e, seed) for e, seed in self.encoder_runs if self.encoders[e].role in wanted]

    @property
    def trained_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) of the encoders that have weights."""
        return [(name, seed) for name, seed in self.encoder_runs if self.has_weights(name)]

    @property
    def multitask_runs(self) -> list[tuple[str, str, int]]:
        """(problem, system, seed) of every training of a multi-task system."""
        return self.multitask.runs if self.multitask else []

    @property
    def multitask_systems(self) -> dict[str, dict[str, Any]]:
        """Options of every multi-task system, by name: its ``system``, ``weighting`` and others."""
        return self.multitask.systems if self.multitask else {}

    @property
    def medformer_runs(self) -> list[ArmRun]:
        """All trainings of Medformer's arms."""
        return self.medformer.runs if self.medformer else []

    def cells_on(self, dataset: str) -> list[tuple[str, str]]:
        """Cells of one dataset."""
        return [cell for cell in self.cells if cell[1] == dataset]

    @property
    def transfer_sources(self) -> list[str]:
        """Sources of all protocols, the control among them; none in a run without."""
        runs = self.transfer.source_runs if self.transfer else []
        return list(dict.fromkeys(name for _, name, _ in runs))

    @property
    def transfer_targets(self) -> list[str]:
        """Targets of all protocols that begin with sources."""
        runs = self.transfer.target_runs if self.transfer else []
        return list(dict.fromkeys(name for _, name, _ in runs))

    def transfer_cells(self, folder: str, source: str) -> list[tuple[str, str]]:
        """Cells that a source of a folder learns from; the control from those of all sources."""
        assert self.transfer is not None
        known = self.transfer.sources_in(folder) if source == SHUFFLED else [source]
        return [cell for cell in self.training_cells if cell[0] in known]

    def target_cells(self, protocol: str, target: str) -> list[tuple[str, str]]:
        """Cells that a target is asked on."""
        assert self.transfer is not None
        return [(target, name) for name in self.transfer.measured[protocol].targets[target]]

    def affinity_cells(self, dataset: str) -> list[tuple[str, str]]:
        """Cells of a dataset whose tasks are trained together."""
        assert self.transfer is not None
        return [(task, dataset) for task in self.transfer.measured["affinity"].tasks_on(dataset)]

    @property
    def graded_runs(self) -> list[tuple[str, int]]:
        """(encoder, seed) of encoders whose codes are asked for other tasks, for `transfer`."""
        return [run for run in self.trained_runs if self._asks_codes(run[0])]

    @property
    def graded_points(self) -> list[str]:
        """Points of the study of unseen tasks, of such encoders."""
        return [
            key
            for key in self.points_of(UNSEEN_TASKS)
            if self._asks_codes(self.points[key].encoder)
        ]

    def _asks_codes(self, encoder: str) -> bool:
        return self.config.transfer is not None and self.encoders[encoder].kind == "taco_graded"

    @property
    def transfer_datasets(self) -> list[str]:
        """Datasets on which tasks are described as functions."""
        return list(dict.fromkeys(dataset for _, dataset in self.cells))

    @property
    def results(self) -> str:
        """Folder of the run, relative to the working directory."""
        return f"results/{self.config.run}"

    @cached_property
    def volume_datasets(self) -> list[str]:
        """Datasets that volumes are made of."""
        return _volume_datasets(self.config, self.datasets)

    def place(self, dataset: str, size: int | None = None) -> str:
        """Folder of a dataset's raw data below data/: ``source/dataset``, and its side in pixels.

        The side where the dataset is published at several sizes: for images, or for volumes of
        a `size`.
        """
        return self.datasets[dataset].place(size or self.config.image_size_of(dataset))

    @cached_property
    def raw_data(self) -> dict[str, tuple[Dataset, int]]:
        """Place of raw data to dataset, and the size of images or volumes that it is fetched for.

        Volumes may need another published side than images; where they do not, images decide, and
        of a dataset at several sizes the one that has its name.
        """
        size_of = self.config.volume_size_of
        wanted = [(name, side) for name in self.volume_datasets if (side := size_of(name))]
        wanted += [(name, self.config.image_size_of(name)) for name in self.datasets]
        wanted.sort(key=lambda one: self.datasets[one[0]].copy_of is None)
        return {
            self.place(name, side): (self.datasets[name].as_published(), side)
            for name, side in wanted
        }

    def manifest(self, dataset: str, size: int | None = None) -> str:
        """Path of the manifest of a dataset's raw data, for images or volumes of a `size`."""
        return f"data/{self.place(dataset, size)}/MANIFEST.json"

    def raw_folder(self, dataset: str, size: int | None = None) -> str:
        """Folder of a dataset's raw files: the user's own, or where its manifest lies."""
        return self.datasets[dataset].raw_folder(size or self.config.image_size_of(dataset))

    def like(self, dataset: str) -> list[str]:
        """Prepared images of the dataset that one shows at another size: one file or none."""
        other = self.datasets[dataset].copy_of
        return [] if other is None else [f"{self.results}/images/{other}.arrow"]

    def entry(self, dataset: str) -> dict[str, Any]:
        """Entry of a dataset for a script; without times of files: content is in the manifest."""
        entry = self.datasets[dataset].model_dump(mode="json")
        return {**entry, "fingerprint": ""} if "fingerprint" in entry else entry

    def image_files(self, cells: list[tuple[str, str]]) -> list[str]:
        """Paths of the prepared images of the datasets of some cells, one a dataset."""
        datasets = dict.fromkeys(dataset for _, dataset in cells)
        return [f"{self.results}/images/{dataset}.arrow" for dataset in datasets]

    def volume_files(self) -> list[str]:
        """Paths of the prepared volumes; an error where the run makes none."""
        if not self.volume_datasets:
            size = self.config.volume_size
            raise ConfigError(
                "this run makes no volumes: "
                + ("`volume_size` is not set" if size is None else "none of its datasets has any"),
                "give --config volume_size=28, and datasets with volumes, such as adrenalmnist3d",
            )
        return [f"{self.results}/volumes/{dataset}.arrow" for dataset in self.volume_datasets]

    def pair_files(self, cells: list[tuple[str, str]], set: str = "main") -> list[str]:
        """Paths of the pairs of some cells."""
        return [f"{self.results}/pairs/{set}/{task}/{dataset}.arrow" for task, dataset in cells]

    def sets_of(self, task: str) -> list[str]:
        """Sets of pairs that are made of a task; trajectories of tasks with degrees alone."""
        whole = ["main", "failure"] if task in self.tasks else []
        return [*whole, *(["trajectory"] if self.pair_tasks[task].ladder else [])]

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
        apply = self.pair_tasks[task].apply
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
    if folders := config.datasets_dirs:
        own, found = find_folder_datasets(*folders), folder_messages(*folders)
    known, clashes = with_own(known, own)
    known = with_copies(config, known)
    names, messages = select_datasets(config, known, list(own))
    messages = [*found, *clashes, *messages]
    check_sizes(config, {name: known[name] for name in names})
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
    chosen = {name: known[name] for name in names}
    multitask = plan_multitask(config.multitask, chosen) if config.multitask else None
    volumes = _volume_datasets(config, chosen)
    medformer = plan_medformer(config.medformer, chosen, volumes) if config.medformer else None
    plan = RunPlan(
        config=config,
        datasets=chosen,
        tasks={name: bank[name] for name in tasks},
        trajectory_tasks={name: bank[name] for name in trajectory_tasks},
        heldout=heldout,
        encoders=encoders,
        multitask=multitask,
        medformer=medformer,
        transfer=None,
        messages=[
            *(*messages, *more, *dropped, *absent),
            *(multitask.messages if multitask else []),
            *(medformer.messages if medformer else []),
        ],
    )
    if config.transfer:
        families = {name: task.family for name, task in plan.tasks.items()}
        transfer = plan_transfer(config.transfer, families, plan.cells, plan.training_cells)
        plan = replace(plan, transfer=transfer, messages=[*plan.messages, *transfer.messages])
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
    if not here and config.encoders:
        raise ConfigError("no encoder is available on this machine", "\n".join(lines))
    return here, lines


def _volume_datasets(config: Config, datasets: Mapping[str, Dataset]) -> list[str]:
    """Datasets that volumes are made of."""
    return [
        name
        for name, dataset in datasets.items()
        if config.volume_size_of(name) is not None and dataset.has_volumes
    ]
