"""The jobs of a run, without Snakemake's graph, which takes longer than a look may.

A test holds the number of jobs of each rule to ``snakemake -n``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medtaskatlas.run.batching import cells_per_job, pair_batches
from medtaskatlas.run.budget.counts import Images, pairs_of
from medtaskatlas.run.budget.encoder_jobs import EncoderJobs, megabytes
from medtaskatlas.run.budget.job import Job
from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.run.budget.networks import cost_of
from medtaskatlas.run.plan import Plan
from medtaskatlas.run.studies import SCALING, UNSEEN_TASKS

# What the work of a table grows with.
FLOATS = (
    "comparisons",
    "separation",
    "task_distances",
    "dataset_distances",
    "neighbours",
    "clusters",
    "controls",
)
ROWS = ("identification", "confusion")
PAIRS = ("task_grid", "shortcuts")
FIXED_FIGURES = (
    "gallery",
    "contact_sheets",
    "task_grid",
    "shortcuts",
    "identification",
    "identification_by_task",
    "confusion",
    "task_distances",
    "atlas_map",
    "variance_shares",
    "geometry",
    "dendrogram",
    "dataset_distances",
)
# Run where Snakemake itself runs, never sent to a cluster.
LOCAL = ("all", "download", "metrics", "report", "table_summary", "table_tasks")


def jobs_of(
    plan: Plan,
    images: Mapping[str, Images],
    counted: Mapping[str, Any],
    *,
    sent_away: bool = False,
) -> list[Job]:
    """All jobs of the target ``all``.

    Parameters
    ----------
    plan
        The run.
    images
        Pictures of each dataset.
    counted
        ``networks`` of assumed.json.
    sent_away
        Whether jobs are sent to a cluster, where one makes many cells.

    Returns
    -------
    list of Job
        Nothing is taken as finished.
    """
    return [
        *_data(plan, images),
        *_pairs(plan, images, sent_away=sent_away),
        *_encoders(plan, counted),
        *_studies(plan, counted),
        *_tables(plan, images, counted),
        *_report(plan, counted),
    ]


def _data(plan: Plan, images: Mapping[str, Images]) -> Iterator[Job]:
    pixels = plan.config.image_size**2 / 1e6
    for name, dataset in plan.datasets.items():
        mb = download_mb(plan, name)
        yield Job(
            "download",
            "data",
            "download",
            0,
            0,
            f"download/{plan.place(name)}",
            download_mb=mb if dataset.downloaded else 0,
        )
        yield Job("prepare", "data", "prepare", images[name].n * pixels, 0, f"prepare/{name}")


def download_mb(plan: Plan, dataset: str) -> float:
    """Size of what is fetched of a dataset.

    Parameters
    ----------
    plan
        The run.
    dataset
        Name of the dataset.

    Returns
    -------
    float
        Megabytes; where the source does not state it, what it would be without compression.
    """
    return plan.datasets[dataset].most_raw_bytes(plan.config.image_size) / 1e6


def _pairs(plan: Plan, images: Mapping[str, Images], *, sent_away: bool) -> Iterator[Job]:
    pixels = plan.config.image_size**2 / 1e6
    each = cells_per_job(plan.config.cells_per_job, sent_away=sent_away)
    for task, dataset in plan.cells if each == 1 else []:
        work = pixels * pairs_of(plan, [(task, dataset)], "main")
        yield Job("make_pairs", "pairs", f"make_pairs/{task}", work, 0, f"pairs/{task}/{dataset}")
    for name, sets, batch in pair_batches(plan, each):
        for dataset in batch.datasets:
            whole = pixels * sum(
                pairs_of(plan, [(task, dataset)], set_name)
                for task in batch.tasks
                for set_name in plan.sets_of(task)
                if set_name in sets
            )
            where = f"{name}/{batch.name}/{dataset}"
            # Priced alike: what a pair costs hardly depends on its set.
            yield Job(f"make_{name}", "pairs", "make_pairs", whole, 0, where)


def _encoders(plan: Plan, counted: Mapping[str, Any]) -> Iterator[Job]:
    described = set(plan.described_runs)
    n = pairs_of(plan, plan.cells, "main")
    for name, seed in plan.encoder_runs:
        kind, where = plan.encoders[name], f"{name}/seed{seed}"
        encoder = EncoderJobs(plan, kind, kind.options(), counted)
        if plan.has_weights(name):
            yield encoder.train(plan.training_cells, "train", f"train/{where}")
        yield encoder.embed(n, plan.cells, "main", "embed", f"embed/{where}")
        yield encoder.predict(n, "predict", f"predict/{where}", probes=kind.role == "baseline")
        if (name, seed) in described:
            for set_name in plan.described_sets:
                cells = plan.cells_of(set_name)
                m = pairs_of(plan, cells, set_name)
                place = f"embed/{where}.{set_name}"
                yield encoder.embed(m, cells, set_name, "embed_set", place)


def _studies(plan: Plan, counted: Mapping[str, Any]) -> Iterator[Job]:
    for key, point in plan.points.items():
        encoder = EncoderJobs(plan, plan.encoders[point.encoder], point.options, counted)
        n = pairs_of(plan, point.asked_cells, "main", point.pairs_per_cell)
        yield encoder.train(point.training_cells, "train_point", f"train/{key}")
        yield encoder.embed(n, point.asked_cells, "main", "embed_point", f"embed/{key}")
        if point.study == SCALING:
            yield encoder.predict(n, "predict_point", f"predict/{key}", probes=False)


def embeddings_mb(plan: Plan, counted: Mapping[str, Any], set_name: str = "main") -> list[float]:
    """Size of the embeddings of a set, each encoder and seed.

    Parameters
    ----------
    plan
        The run.
    counted
        ``networks`` of assumed.json.
    set_name
        main, failure or trajectory.

    Returns
    -------
    list of float
        Megabytes, as float32 without compression.
    """
    runs = plan.encoder_runs if set_name == "main" else plan.described_runs
    n, side = pairs_of(plan, plan.cells_of(set_name), set_name), plan.config.image_size
    return [megabytes(n, cost_of(plan.encoders[name].options(), side, counted)) for name, _ in runs]


def points_mb(plan: Plan, counted: Mapping[str, Any], study: str) -> float:
    """Size of the embeddings of a study.

    Parameters
    ----------
    plan
        The run.
    counted
        ``networks`` of assumed.json.
    study
        Name of the study.

    Returns
    -------
    float
        Megabytes, as float32 without compression.
    """
    side = plan.config.image_size
    return sum(
        megabytes(
            pairs_of(plan, point.asked_cells, "main", point.pairs_per_cell),
            cost_of(point.options, side, counted),
        )
        for point in plan.points.values()
        if point.study == study
    )


def _tables(plan: Plan, images: Mapping[str, Images], counted: Mapping[str, Any]) -> Iterator[Job]:
    n, runs = pairs_of(plan, plan.cells, "main"), len(plan.encoder_runs)
    floats = sum(embeddings_mb(plan, counted))
    works = {
        **dict.fromkeys(FLOATS, floats),
        **dict.fromkeys(ROWS, runs * n / 1e3),
        **dict.fromkeys(PAIRS, n / 1e3),
        "datasets": sum(found.n for found in images.values()) / 1e3,
        "tasks": 0.0,
        "summary": 0.0,
    }
    for table, set_name in (("failures", "failure"), ("trajectories", "trajectory")):
        if set_name in plan.described_sets:
            works[table] = sum(embeddings_mb(plan, counted, set_name))
    for study in (UNSEEN_TASKS, SCALING):
        if getattr(plan.config, study):
            works[study] = points_mb(plan, counted, study)
    held = Memory(plan).tables
    for table, work in works.items():
        name = f"table_{table}"
        yield Job(name, "tables", name, work, held.get(table, 0.0), f"tables/{table}")


def _report(plan: Plan, counted: Mapping[str, Any]) -> Iterator[Job]:
    rows = pairs_of(plan, plan.cells, "main") / 1e3
    named = list(FIXED_FIGURES)
    if "trajectory" in plan.described_sets:
        named += ["trajectories", "severity_curves"]
    if "failure" in plan.described_sets:
        named.append("failures")
    named += [study for study in (UNSEEN_TASKS, SCALING) if getattr(plan.config, study)]
    for figure in [*named, "findings"]:
        size = rows if figure in ("atlas_map", "trajectories") else 0.0
        yield Job(f"figure_{figure}", "report", f"figure_{figure}", size, size, f"figures/{figure}")
    for rule in ("interactive_atlas", "run_config", "metrics", "report"):
        size = rows * len(plan.encoders) if rule == "interactive_atlas" else 0.0
        yield Job(rule, "report", rule, size, size, f"report/{rule}")
    yield Job("all", "report", "all", 0, 0, "none")
