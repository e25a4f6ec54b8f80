"""Jobs of a run, without Snakemake's graph, which takes longer than a look may.

A test holds the number of jobs of each rule to ``snakemake -n``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.encoders.kind import EncoderKind
from medtaskatlas.run.batching import cells_per_job, pair_batches
from medtaskatlas.run.budget.counts import Cells, Counts
from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.run.products import Products
from medtaskatlas.run.studies import SCALING

STAGES = ("data", "pairs", "train", "embed", "tables", "report")
# Run where Snakemake itself runs, never sent to a cluster.
LOCAL = (
    *("all", "download", "metrics", "report"),
    *(f"table_{table.name}" for table in TABLES.values() if table.local),
)


@dataclass(frozen=True)
class Job:
    """A job, as far as its cost is concerned."""

    rule: str
    stage: str
    key: str  # of its rate, in parts with slashes; the rate of the first parts will do
    work: float  # in the unit of its key
    memory: float  # MB that grow with the run
    benchmark: str = ""  # its file below benchmarks/
    threads: int = 1
    gpu_mb: float | None = None  # pixels read for the GPU, of jobs whose work is in TFLOP
    download_mb: float = 0.0
    mapped_mb: float = 0.0  # pixels read memory-mapped: held while there is enough memory


def jobs_of(counts: Counts, *, on_cluster: bool = False) -> list[Job]:
    """All jobs of the target ``all``; sent to a cluster, one job makes the pairs of many cells."""
    return [
        *_data(counts),
        *_pairs(counts, on_cluster=on_cluster),
        *_encoders(counts),
        *_tables(counts),
        *_report(counts),
    ]


def _data(counts: Counts) -> Iterator[Job]:
    plan = counts.plan
    for name, dataset in plan.datasets.items():
        mb = counts.download_mb(name) if dataset.downloaded else 0.0
        place = f"download/{plan.place(name)}"
        yield Job("download", "data", "download", 0, 0, place, download_mb=mb)
        work = counts.images[name].n * counts.megapixels
        yield Job("prepare", "data", "prepare", work, 0, f"prepare/{name}")


def _pairs(counts: Counts, *, on_cluster: bool) -> Iterator[Job]:
    """In megapixels of pairs; what a pair costs hardly depends on its set."""
    plan = counts.plan
    each = cells_per_job(plan.config.cells_per_job, on_cluster=on_cluster)
    for task, dataset in plan.cells if each == 1 else []:
        work = counts.megapixels * counts.pairs([(task, dataset)])
        yield Job("make_pairs", "pairs", f"make_pairs/{task}", work, 0, f"pairs/{task}/{dataset}")
    for name, sets, batch in pair_batches(plan, each):
        for dataset in batch.datasets:
            n = sum(
                counts.pairs([(task, dataset)], set)
                for task in batch.tasks
                for set in plan.sets_of(task)
                if set in sets
            )
            place = f"{name}/{batch.name}/{dataset}"
            yield Job(f"make_{name}", "pairs", "make_pairs", n * counts.megapixels, 0, place)


def _rate_key(kind: EncoderKind, options: Mapping[str, Any]) -> str:
    """What the rates of an encoder are known by."""
    if not kind.learns:
        return str(options["kind"])
    return f"{options['kind']}/{options['fusion']}{'/steady' * bool(options.get('steadiness'))}"


def _train(counts: Counts, kind: EncoderKind, options: Mapping[str, Any], cells: Cells) -> Job:
    """In TFLOP: backward is twice forward, and a multiplication with its addition is two."""
    cost = counts.cost(options)
    batch = options.get("batch_tasks", 0) * options.get("batch_images", 0)
    seen = options.get("steps", 0) * batch
    return Job(
        "train",
        "train",
        f"train/{_rate_key(kind, options)}",
        work=seen * cost.macs * 6 / 1e12,
        memory=batch * cost.activations * 4 / 1e6,
        threads=counts.plan.config.torch_threads,
        gpu_mb=seen * 6 * counts.megapixels if kind.learns else None,
        mapped_mb=counts.pixels_mb(cells, "main") if seen else 0,
    )


def _embed(
    counts: Counts,
    kind: EncoderKind,
    options: Mapping[str, Any],
    cells: Cells,
    *,
    n: int,
    set: str = "main",
) -> Job:
    """In TFLOP, or for features without a network in megapixels."""
    network, pixels = kind.is_network, n * counts.megapixels
    return Job(
        "embed",
        "embed",
        f"embed_{'network' if network else 'features'}/{_rate_key(kind, options)}",
        work=n * counts.cost(options).macs * 2 / 1e12 if network else pixels,
        # In batches, joined, and as a table.
        memory=3 * counts.vectors_mb(n, options),
        # As the rules have it: what has no weights of the run takes one.
        threads=counts.plan.config.torch_threads if kind.has_weights else 1,
        gpu_mb=6 * pixels if network else None,
        mapped_mb=counts.pixels_mb(cells, set),
    )


def _predict(counts: Counts, options: Mapping[str, Any], n: int, *, probes: bool) -> Job:
    """In megabytes of embeddings; supervised probes are fitted beside the neighbours."""
    mb = counts.vectors_mb(n, options)
    key = f"predict/{'probes' if probes else 'neighbours'}"
    return Job("predict", "tables", key, mb, 1.5 * counts.held_mb(n, options))


def _encoders(counts: Counts) -> Iterator[Job]:
    """Encoders of the run, and points of its studies."""
    plan = counts.plan
    described = set(plan.described_runs)
    n = counts.pairs(plan.cells)
    for name, seed in plan.encoder_runs:
        kind, place = plan.encoders[name], f"{name}/seed{seed}"
        options = kind.options()
        if plan.has_weights(name):
            yield _at(_train(counts, kind, options, plan.training_cells), place)
        yield _at(_embed(counts, kind, options, plan.cells, n=n), place)
        yield _at(_predict(counts, options, n, probes=kind.role == "baseline"), place)
        for other in plan.described_sets if (name, seed) in described else ():
            cells = plan.cells_of(other)
            job = _embed(counts, kind, options, cells, n=counts.pairs(cells, other), set=other)
            yield _at(job, f"{place}.{other}", "_set")
    for key, point in plan.points.items():
        kind, m = plan.encoders[point.encoder], counts.point_pairs(point)
        yield _at(_train(counts, kind, point.options, point.training_cells), key, "_point")
        job = _embed(counts, kind, point.options, point.embedded_cells, n=m)
        yield _at(job, key, "_point")
        if point.study == SCALING:
            yield _at(_predict(counts, point.options, m, probes=False), key, "_point")


def _at(job: Job, place: str, suffix: str = "") -> Job:
    """A job with its benchmark file, of a rule that is made from its rule."""
    return replace(job, rule=job.rule + suffix, benchmark=f"{job.rule}/{place}")


def _tables(counts: Counts) -> Iterator[Job]:
    """In megabytes that they hold: what they read and what they make of it."""
    memory = Memory(counts.plan)
    for table in Products(counts.plan).tables:
        rule, mb = f"table_{table.name}", memory.table_mb(table)
        yield Job(rule, "tables", rule, mb, mb, f"tables/{table.name}")


def _report(counts: Counts) -> Iterator[Job]:
    """In thousands of pairs, where they are drawn one by one."""
    rows = counts.pairs(counts.plan.cells) / 1e3
    for figure in Products(counts.plan).figures:
        rule = f"figure_{figure.name}"
        work = rows if "shown_embeddings" in figure.inputs.values() else 0.0
        yield Job(rule, "report", rule, work, work, f"figures/{figure.name}")
    for rule in ("interactive_atlas", "run_config", "metrics", "report", "all"):
        work = rows * len(counts.plan.encoders) if rule == "interactive_atlas" else 0.0
        yield Job(rule, "report", rule, work, work, f"report/{rule}")
