"""What a run consists of, known before the DAG is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medtaskatlas.core.code_hash import code_hash
from medtaskatlas.core.modules import modules, read_module
from medtaskatlas.datasets.dataset import Dataset
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.formats.pairs import SETS
from medtaskatlas.run.config import Config
from medtaskatlas.run.studies import Point, points_of
from medtaskatlas.tasks.task import Task


@dataclass(frozen=True)
class Plan:
    """The datasets, tasks and encoders of a run, resolved and checked.

    Attributes
    ----------
    config
        The checked configuration.
    datasets
        Name to catalogue entry, in catalogue order.
    tasks
        Name to task, in bank order.
    trajectory_tasks
        Name to task, of the tasks of which trajectories alone are made.
    heldout
        Names of the datasets that no encoder sees in training.
    encoders
        Name to encoder, of those that can be had here.
    messages
        Lines for the user: what was left out or widened, and why.
    """

    config: Config
    datasets: dict[str, Dataset]
    tasks: dict[str, Task]
    trajectory_tasks: dict[str, Task]
    heldout: list[str]
    encoders: dict[str, EncoderKind]
    messages: list[str]

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
        """Cells that a set of pairs has.

        Parameters
        ----------
        set
            main, failure or trajectory.

        Returns
        -------
        list of tuple
            (task, dataset) of each.
        """
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
        return points_of(self)

    def points_of(self, study: str) -> list[str]:
        """Points of one study.

        Parameters
        ----------
        study
            Name of the study.

        Returns
        -------
        list of str
            Keys of :attr:`points`.
        """
        return [key for key, point in self.points.items() if point.study == study]

    def named(self, role: str) -> list[str]:
        """Encoders of one role.

        Parameters
        ----------
        role
            model, ablation, control or baseline.

        Returns
        -------
        list of str
            Their names, as they stand in the configuration.
        """
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
        """Folder of a dataset's raw data below data/.

        Parameters
        ----------
        dataset
            Name of the dataset.

        Returns
        -------
        str
            ``source/dataset``, and the side in pixels where it is published at several.
        """
        return self.datasets[dataset].place(self.config.image_size)

    @cached_property
    def dataset_at(self) -> dict[str, Dataset]:
        """Place of raw data to dataset."""
        return {self.place(name): dataset for name, dataset in self.datasets.items()}

    def manifest(self, dataset: str) -> str:
        """Path of the manifest of a dataset's raw data.

        Parameters
        ----------
        dataset
            Name of the dataset.

        Returns
        -------
        str
            Relative path with forward slashes, as all paths of rules.
        """
        return f"data/{self.place(dataset)}/MANIFEST.json"

    def raw_folder(self, dataset: str) -> str:
        """Folder of a dataset's raw files: the user's own, or where its manifest lies.

        Parameters
        ----------
        dataset
            Name of the dataset.

        Returns
        -------
        str
            Path of the folder.
        """
        return self.datasets[dataset].raw_folder(self.config.image_size)

    def entry(self, dataset: str) -> dict[str, Any]:
        """What is known of a dataset, as rules pass it to their scripts.

        Parameters
        ----------
        dataset
            Name of the dataset.

        Returns
        -------
        dict
            All keys of its entry, but no times of files: their content is in the manifest.
        """
        entry = self.datasets[dataset].model_dump(mode="json")
        return {**entry, "fingerprint": ""} if "fingerprint" in entry else entry

    def image_files(self, cells: list[tuple[str, str]]) -> list[str]:
        """Paths of the prepared images of the datasets of some cells.

        Parameters
        ----------
        cells
            (task, dataset) pairs.

        Returns
        -------
        list of str
            One path a dataset.
        """
        datasets = dict.fromkeys(dataset for _, dataset in cells)
        return [f"{self.results}/images/{dataset}.arrow" for dataset in datasets]

    def pair_files(self, cells: list[tuple[str, str]], set: str = "main") -> list[str]:
        """Paths of the pairs of some cells.

        Parameters
        ----------
        cells
            (task, dataset) pairs.
        set
            main, failure or trajectory.

        Returns
        -------
        list of str
            One path a cell.

        Raises
        ------
        ValueError
            If there is no such set: a mistake in the caller.
        """
        if set not in SETS:
            raise ValueError(f"sets of pairs are {SETS}, not {set!r}")
        return [f"{self.results}/pairs/{set}/{task}/{dataset}.arrow" for task, dataset in cells]

    def sets_of(self, task: str) -> list[str]:
        """Sets of pairs that are made of a task.

        Parameters
        ----------
        task
            Name of the task.

        Returns
        -------
        list of str
            Of main, failure and trajectory: the last of tasks with degrees alone.
        """
        whole = ["main", "failure"] if task in self.tasks else []
        return [*whole, *(["trajectory"] if self.made_tasks[task].ladder else [])]

    def pair_params(self, set: str, task: str, dataset: str) -> dict[str, Any]:
        """What a file of pairs depends on, beside the images; nothing that it does not depend on.

        Parameters
        ----------
        set
            main, failure or trajectory.
        task, dataset
            Names.

        Returns
        -------
        dict
            ``code``, and what :func:`medtaskatlas.pairs.sets.make_sets` takes.
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
        """Paths of the failures that an encoder learns from.

        Parameters
        ----------
        encoder
            Options of the encoder.
        cells
            (task, dataset) pairs that it learns from.

        Returns
        -------
        list of str
            None where it does not learn from failures.
        """
        return self.pair_files(cells, set="failure") if encoder.get("failures") else []

    def trained_on(self, cells: list[tuple[str, str]]) -> dict[str, list[str]]:
        """What an encoder has learned from, as its embeddings say.

        Parameters
        ----------
        cells
            (task, dataset) pairs that it learns from.

        Returns
        -------
        dict
            ``trained_tasks`` and ``trained_datasets``, sorted.
        """
        return {
            "trained_tasks": sorted({task for task, _ in cells}),
            "trained_datasets": sorted({dataset for _, dataset in cells}),
        }

    def model_file(self, encoder: str, seed: int) -> str:
        """Path of the weights of an encoder.

        Parameters
        ----------
        encoder, seed
            Name and training seed.

        Returns
        -------
        str
            Relative path.
        """
        return f"{self.results}/encoders/{encoder}/seed{seed}/model.safetensors"

    def has_weights(self, encoder: str) -> bool:
        """Whether the training stage makes the weights of an encoder.

        Parameters
        ----------
        encoder
            Name of the encoder.

        Returns
        -------
        bool
            True where the training stage makes a model.
        """
        return self.encoders[encoder].has_weights

    def encoder_code(self, encoder: str, module: str) -> str:
        """Hash of the code of a stage, and of the kind of an encoder.

        Parameters
        ----------
        encoder
            Name of the encoder.
        module
            Module of the stage.

        Returns
        -------
        str
            Changes when one of them changes, or what they import.
        """
        return code_hash(module, type(self.encoders[encoder]).__module__)

    def task_code(self, task: str) -> str:
        """Hash of the code that makes the pairs of a task.

        Parameters
        ----------
        task
            Name of the task.

        Returns
        -------
        str
            Changes when the task's module or a helper of it changes.
        """
        apply = self.made_tasks[task].apply
        if apply.__module__.startswith("medtaskatlas."):
            return code_hash("medtaskatlas.pairs.sets", apply.__module__)
        # A task of the user's own: a file outside the package.
        own = read_module(apply.__code__.co_filename)
        behind = [name for name in own.imports if name in modules()]
        return code_hash("medtaskatlas.pairs.sets", *behind) + own.code[:16]

    def summary(self) -> str:
        """One line that says what will run.

        Returns
        -------
        str
            Counts of datasets, tasks, cells, pairs and encoders.
        """
        modalities = len({d.modality for d in self.datasets.values()})
        config = self.config
        encoders = ", ".join(f"{name} x{len(config.seeds_of(name))}" for name in self.encoders)
        return (
            f"run {config.run}: {len(self.datasets)} datasets of {modalities} modalities "
            f"({len(self.heldout)} held out) x {len(self.tasks)} tasks = {len(self.cells)} cells "
            f"of {config.pairs_per_cell} pairs at {config.image_size} px; encoders {encoders}"
        )
