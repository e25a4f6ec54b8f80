"""What the names in the registries of tables and figures stand for in a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

from medtaskatlas.atlas.registry import TABLES, Product, Table
from medtaskatlas.figures.registry import FIGURES, Figure
from medtaskatlas.run.plan import RunPlan
from medtaskatlas.run.studies import SCALING, UNSEEN_TASKS

Paths = str | list[str]


def _of_runs(
    plan: RunPlan, runs: Sequence[tuple[str, int]], set: str = "", stage: str = "embeddings"
) -> list[str]:
    """Files of some encoders and seeds."""
    return [f"{plan.results}/{stage}/{e}/seed{seed}{set}.parquet" for e, seed in runs]


def _of_points(plan: RunPlan, study: str, stage: str) -> list[str]:
    return [f"{plan.results}/studies/{point}/{stage}.parquet" for point in plan.points_of(study)]


def _of_medformer(plan: RunPlan, file: str) -> list[str]:
    """A file of every training of Medformer's arms."""
    return [f"{plan.results}/medformer/{run.folder}/{file}" for run in plan.medformer_runs]


def _of_pictures(name: str, plan: RunPlan) -> str:
    """A file of what figures show of Medformer's weights."""
    return f"{plan.results}/medformer/pictures/{name}.arrow"


def _of_multitask(plan: RunPlan, file: str) -> list[str]:
    """Files of all trainings of multi-task systems."""
    return [
        f"{plan.results}/multitask/{problem}/{system}/seed{seed}/{file}"
        for problem, system, seed in plan.multitask_runs
    ]


def _pretexts(plan: RunPlan) -> dict[str, dict[str, str]]:
    """Pretext of every arm of Medformer that starts from one task of the run alone."""
    return plan.medformer.pretext_facts(plan.tasks) if plan.medformer else {}


def _first(plan: RunPlan, encoders: Sequence[str]) -> list[tuple[str, int]]:
    """Encoders with their first seed."""
    return [(name, plan.config.seeds_of(name)[0]) for name in encoders]


def shown_encoder(plan: RunPlan) -> str:
    """First model of the configuration, or first encoder: figures of one encoder show it."""
    return [*plan.named("model"), *plan.encoders][0]


def _baseline(plan: RunPlan) -> str | None:
    """Encoder that is shown next to it."""
    shown = shown_encoder(plan)
    others = [n for n in [*plan.named("baseline"), *plan.encoders] if n != shown]
    return others[0] if others else None


SOURCES: dict[str, Callable[[RunPlan], Paths]] = {
    "images": lambda p: [f"{p.results}/images/{dataset}.arrow" for dataset in p.datasets],
    "pairs": lambda p: p.pair_files(p.cells),
    "images_of_pairs": lambda p: p.image_files(p.cells),
    "embeddings": lambda p: _of_runs(p, p.encoder_runs),
    "predictions": lambda p: _of_runs(p, p.encoder_runs, stage="predictions"),
    # Of the encoders whose failures and trajectories are embedded.
    "compared_embeddings": lambda p: _of_runs(p, p.compared_runs),
    "failure_embeddings": lambda p: _of_runs(p, p.compared_runs, ".failure"),
    "trajectory_embeddings": lambda p: _of_runs(p, p.compared_runs, ".trajectory"),
    "trajectory_pairs": lambda p: p.pair_files(p.trajectory_cells, set="trajectory"),
    "trajectory_images": lambda p: p.image_files(p.trajectory_cells),
    "fold_embeddings": lambda p: _of_points(p, UNSEEN_TASKS, "embeddings"),
    "baseline_embeddings": lambda p: [
        f"{p.results}/embeddings/{name}/seed{p.config.seeds[0]}.parquet"
        for name in p.named("baseline")
    ],
    "scaling_predictions": lambda p: _of_points(p, SCALING, "predictions"),
    "shown_embeddings": lambda p: _of_runs(p, _first(p, [shown_encoder(p)]))[0],
    "shown_trajectories": lambda p: _of_runs(p, _first(p, [shown_encoder(p)]), ".trajectory")[0],
    "multitask_predictions": lambda p: _of_multitask(p, "predictions.parquet"),
    "multitask_costs": lambda p: _of_multitask(p, "cost.json"),
    "multitask_histories": lambda p: _of_multitask(p, "history.parquet"),
    # Trials are made once for all seeds.
    "multitask_trials": lambda p: [
        f"{p.results}/multitask/{problem}/{system}/trials.json"
        for problem, system in dict.fromkeys((p, s) for p, s, _ in p.multitask_runs)
    ],
    "multitask_examples": lambda p: _of_multitask(p, "examples.arrow"),
    "medformer_sets": lambda p: (
        p.medformer.files(list(p.medformer.targets), p.results) if p.medformer else []
    ),
    "medformer_predictions": lambda p: _of_medformer(p, "predictions.parquet"),
    "medformer_costs": lambda p: _of_medformer(p, "cost.json"),
    "medformer_histories": lambda p: _of_medformer(p, "history.parquet"),
    **{
        f"medformer_{name}": partial(_of_pictures, name)
        for name in ("reconstructions", "occlusions", "latents")
    },
    "transfer_kernels": lambda p: [
        f"{p.results}/transfer/kernel/{dataset}.safetensors" for dataset in p.transfer_datasets
    ],
    "transfer_starts": lambda p: [
        f"{p.results}/transfer/{protocol}/{target}/seed{seed}.parquet"
        for protocol, target, seed in (p.transfer.target_runs if p.transfer else [])
    ],
    "transfer_affinity": lambda p: [
        f"{p.results}/transfer/affinity/{dataset}/seed{seed}.parquet"
        for dataset, seed in (p.transfer.affinity_runs if p.transfer else [])
    ],
    # None in a run without encoders, whose gains are predicted all the same.
    "transfer_embeddings": lambda p: _of_runs(p, p.encoder_runs),
    "graded_errors": lambda p: [
        f"{p.results}/transfer/graded/{encoder}/seed{seed}.safetensors"
        for encoder, seed in p.graded_runs
    ],
    "graded_folds": lambda p: [
        f"{p.results}/studies/{point}/graded.safetensors" for point in p.graded_points
    ],
    "first_embeddings": lambda p: _of_runs(p, _first(p, list(p.encoders))),
}

# Sources that rest on no pairs and no encoder.
WITHOUT_ENCODERS = {
    "images",
    *(name for name in SOURCES if name.startswith(("multitask_", "medformer_", "transfer_"))),
}

FACTS: dict[str, Callable[[RunPlan], Any]] = {
    "run": lambda p: p.config.run,
    "seed": lambda p: p.config.seed,
    "heldout_datasets": lambda p: p.heldout,
    "heldout_tasks": lambda p: p.config.heldout.tasks,
    "tasks": lambda p: list(p.tasks),
    "families": lambda p: {name: task.family for name, task in p.tasks.items()},
    "format_identifiable": lambda p: [t.name for t in p.tasks.values() if t.format_identifiable],
    "steady_encoders": lambda p: [e for e, made in p.encoders.items() if made.asks_steadiness],
    "shown_encoder": shown_encoder,
    "atlas_encoder": lambda p: shown_encoder(p) if p.encoders else None,
    "parts_of_run": lambda p: [
        *(["atlas"] if p.encoders else []),
        *(["multitask"] if p.multitask_runs else []),
        *(["medformer"] if p.medformer_runs else []),
        *(["transfer"] if p.config.transfer else []),
    ],
    "baseline": _baseline,
    "unseen_tasks_encoder": lambda p: (
        p.config.unseen_tasks.encoders[0] if p.config.unseen_tasks else None
    ),
    "transfer_training": lambda p: {
        task: [dataset for name, dataset in p.training_cells if name == task] for task in p.tasks
    },
    "multitask_systems": lambda p: p.multitask_systems,
    "medformer_arms": lambda p: p.medformer.arm_facts() if p.medformer else {},
    "medformer_steps": lambda p: p.medformer.step_facts() if p.medformer else {},
    "medformer_pretexts": _pretexts,
    "medformer_targets": lambda p: p.medformer.target_facts() if p.medformer else {},
    # The description of a task is its docstring, which is no code.
    "bank": lambda p: [(p.task_code(name), task.description) for name, task in p.tasks.items()],
}


class Products:
    """Tables and figures of a run."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan

    def _has(self, when: str | None) -> bool:
        """Whether the run has what a table or figure needs."""
        transfer = self.plan.transfer
        known = {
            "trajectories": "trajectory" in self.plan.extra_sets,
            "failures": "failure" in self.plan.extra_sets,
            UNSEEN_TASKS: self.plan.config.unseen_tasks is not None,
            SCALING: self.plan.config.scaling is not None,
            "multitask": bool(self.plan.multitask_runs),
            "medformer": bool(self.plan.medformer_runs),
            "transfer": self.plan.config.transfer is not None,
            "transfer_starts": bool(transfer and transfer.target_runs),
            "transfer_affinity": bool(transfer and transfer.affinity_runs),
            "transfer_measured": bool(
                transfer and (transfer.target_runs or transfer.affinity_runs)
            ),
            "transfer_graded": bool(self.plan.graded_runs),
            "medformer_pretexts": bool(self.plan.encoders and _pretexts(self.plan)),
        }
        return when is None or known[when]

    @cached_property
    def tables(self) -> list[Table]:
        """Tables of the run."""
        return [table for table in self.known_tables if self._has(table.when)]

    @cached_property
    def figures(self) -> list[Figure]:
        """Figures of the run."""
        return [figure for figure in self.known_figures if self._has(figure.when)]

    @cached_property
    def known_tables(self) -> list[Table]:
        """Tables that have a rule: all, but without encoders none that rests on them."""
        return [table for table in TABLES.values() if self._can_be_made(table)]

    @cached_property
    def known_figures(self) -> list[Figure]:
        """Figures that have a rule."""
        return [figure for figure in FIGURES.values() if self._can_be_made(figure)]

    def _can_be_made(self, product: Product) -> bool:
        """Whether the run has encoders, or nothing that the product needs rests on them."""
        if self.plan.encoders or not product.inputs:
            return True
        sources = product.inputs.values()
        tables = [self._can_be_made(TABLES[source]) for source in sources if source in TABLES]
        files = [source in WITHOUT_ENCODERS for source in sources if source not in TABLES]
        enough = any(tables) or bool(files) if product.of_any else all(tables)
        return enough and all(files)

    def table(self, name: str) -> str:
        """Path of a table."""
        return f"{self.plan.results}/tables/{name}.parquet"

    def files(self, source: str) -> Paths:
        """Paths of one of :data:`SOURCES`."""
        return SOURCES[source](self.plan)

    def inputs(self, product: Product) -> dict[str, Paths]:
        """Argument to path or paths, without tables that the run lacks."""
        own = self.tables if self._has(product.when) else self.known_tables
        made = {table.name for table in own}
        return {
            argument: self.table(source) if source in TABLES else self.files(source)
            for argument, source in product.inputs.items()
            if source in made or source not in TABLES
        }

    def files_when(self, when: str) -> list[str]:
        """Tables and figures of a part of the run."""
        figures = [f for f in self.figures if f.when == when]
        return [self.table(t.name) for t in self.tables if t.when == when] + [
            f"{self.plan.results}/figures/{f.name}.{form}" for f in figures for form in f.formats
        ]

    def params(self, product: Product) -> dict[str, Callable[[Any], Any]]:
        """Parameters of a rule as functions of its wildcards: the function's, and `bank`."""
        wanted = dict(product.params) | ({"bank": "bank"} if product.bank else {})
        return {name: self._fact(FACTS[fact]) for name, fact in wanted.items()}

    def _fact(self, fact: Callable[[RunPlan], Any]) -> Callable[[Any], Any]:
        """A fact as a function of wildcards, so that it is asked for when a job needs it."""
        return lambda wildcards: fact(self.plan)
