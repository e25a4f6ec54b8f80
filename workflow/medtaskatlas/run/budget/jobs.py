"""Jobs of a run, without Snakemake's graph: a test holds their number to ``snakemake -n``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.run.batching import cells_per_job, pair_batches
from medtaskatlas.run.budget.counts import Cells, Counts
from medtaskatlas.run.budget.medformer import ArmTraining, PretrainingRun, all_arms, pictures
from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.run.budget.multitask import Trainings
from medtaskatlas.run.budget.networks import doer, unet
from medtaskatlas.run.products import Products
from medtaskatlas.run.studies import SCALING
from medtaskatlas.transfer.options import SourceTraining

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
    work: float = 0.0  # in the unit of its key
    memory: float = 0.0  # MB that grow with the run
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
        *_points(counts),
        *_multitask(counts),
        *_medformer(counts),
        *_transfer(counts),
        *_products(counts),
    ]


def _data(counts: Counts) -> Iterator[Job]:
    for place, mb in counts.raw_mb.items():
        fetched = mb if counts.plan.raw_data[place][0].downloaded else 0.0
        file = f"download/{place}"
        yield Job("download", "data", "download", benchmark=file, download_mb=fetched)
    for name in counts.plan.datasets:
        work = counts.images(name) * counts.image_megapixels(name)
        yield Job("prepare", "data", "prepare", work, benchmark=f"prepare/{name}")
    for name in counts.volume_datasets:
        work, file = counts.volumes_mb(name), f"prepare_volumes/{name}"
        yield Job("prepare_volumes", "data", "prepare_volumes", work, benchmark=file)


def _pairs(counts: Counts, *, on_cluster: bool) -> Iterator[Job]:
    """In megapixels of pairs; what a pair costs hardly depends on its set."""
    plan = counts.plan
    each = cells_per_job(plan.config.cells_per_job, on_cluster=on_cluster)
    for task, dataset in plan.cells if each == 1 else []:
        work, file = counts.megapixels * counts.pairs([(task, dataset)]), f"pairs/{task}/{dataset}"
        yield Job("make_pairs", "pairs", f"make_pairs/{task}", work, benchmark=file)
    for name, sets, batch in pair_batches(plan, each):
        for dataset in batch.datasets:
            n = sum(
                counts.pairs([(task, dataset)], set)
                for task in batch.tasks
                for set in plan.sets_of(task)
                if set in sets
            )
            file = f"{name}/{batch.name}/{dataset}"
            work = n * counts.megapixels
            yield Job(f"make_{name}", "pairs", "make_pairs", work, benchmark=file)


def _encoders(counts: Counts) -> Iterator[Job]:
    """Encoders of the run with all their seeds."""
    plan = counts.plan
    n = counts.pairs(plan.cells)
    for name, seed in plan.encoder_runs:
        options, file = plan.encoders[name].options(), f"{name}/seed{seed}"
        if plan.has_weights(name):
            yield _train(counts, options, plan.training_cells, file)
        yield _embed(counts, options, plan.cells, n, file)
        yield _predict(counts, options, n, file, probes=plan.encoders[name].role == "baseline")
        for set in plan.extra_sets if (name, seed) in plan.compared_runs else ():
            cells = plan.cells_of(set)
            m = counts.pairs(cells, set)
            yield _embed(counts, options, cells, m, f"{file}.{set}", rule="embed_set", set=set)


def _points(counts: Counts) -> Iterator[Job]:
    """Points of the studies."""
    for key, point in counts.plan.points.items():
        options, n = point.options, counts.point_pairs(point)
        yield _train(counts, options, point.training_cells, key, rule="train_point")
        yield _embed(counts, options, point.embedded_cells, n, key, rule="embed_point")
        if point.study == SCALING:
            yield _predict(counts, options, n, key, rule="predict_point")


def _multitask(counts: Counts) -> Iterator[Job]:
    """In TFLOP too, of hard sharing: what a system or weighting adds is in its rate."""
    plan = counts.plan.multitask
    if plan is None:
        return
    section, seeds = plan.options, plan.options.seeds
    for modality, seed in plan.representation_runs:
        made = Trainings.of_representation(counts, modality)
        file = f"representations/{modality}/seed{seed}"
        yield _together(counts, made, "represent", file, steps=section.steps)
    for problem, system in plan.pairs:
        made = Trainings.of(counts, problem, system)
        file, after = f"{problem}/{system}", made.val
        steps = section.trial_steps or section.steps
        yield _together(counts, made, "tune", f"{file}/tune", steps=steps, after=after)
        for seed in seeds:
            after = made.val + made.test
            path = f"{file}/seed{seed}"
            yield _together(counts, made, "train", path, steps=section.steps, after=after)


def _together(
    counts: Counts, made: Trainings, stage: str, file: str, *, steps: int, after: float = 0.0
) -> Job:
    """A job of multi-task trainings."""
    tuning = stage == "tune"
    return Job(
        f"multitask_{stage}",
        "train",
        made.rate_key,
        work=made.tflop(steps, after=after, tuning=tuning),
        memory=made.memory_mb,
        benchmark=f"multitask/{file}",
        threads=counts.plan.config.torch_threads,
        gpu_mb=made.read_mb(steps, tuning=tuning),
        mapped_mb=made.mapped_mb,
    )


def _transfer(counts: Counts) -> Iterator[Job]:
    """Maps without training in megapixels of pairs, the rest in TFLOP."""
    plan = counts.plan
    section = plan.config.transfer
    for dataset in plan.transfer_datasets if section else ():
        assert section is not None
        n = len(plan.cells_on(dataset)) * (section.fitted_pairs + section.asked_pairs)
        work, file = n * counts.megapixels, f"transfer/kernel/{dataset}"
        yield Job("transfer_kernel", "tables", "transfer_kernel", work, benchmark=file)
    yield from _cross_errors(counts)
    if plan.transfer is None:
        return
    transfer, threads = plan.transfer, plan.config.torch_threads

    def look(width: int, *, skips: bool = True) -> float:
        return 2e-12 * unet(width, plan.config.image_size, skips=skips)

    # A step is three times a look: forwards, and backwards.
    for folder, source, seed in transfer.source_runs:
        own = SourceTraining.model_validate(transfer.source_params(folder))
        work = 3 * look(own.width, skips=own.skips) * own.source_steps * own.batch_size
        yield Job(
            *("transfer_source", "train", "transfer_source", work),
            benchmark=f"transfer/{folder}/{source}/seed{seed}",
            threads=threads,
        )
    for protocol, target, seed in transfer.target_runs:
        made, options = transfer.measured[protocol], transfer.starts[protocol]
        each = 3 * options.steps * min(options.batch_size, options.pairs) + 2 * options.asked_pairs
        work = look(options.width, skips=options.skips) * each * len(made.targets[target])
        yield Job(
            *("transfer_starts", "train", "transfer_starts", work * (len(made.sources) + 5)),
            benchmark=f"transfer/{protocol}/{target}/seed{seed}",
            threads=threads,
        )
    for dataset, seed in transfer.affinity_runs:
        pair, n = transfer.options.affinity, len(transfer.measured["affinity"].tasks_on(dataset))
        assert pair is not None
        each = 3 * pair.steps * min(pair.batch_size, pair.pairs) + pair.asked_pairs
        # Each alone, with itself, with the control and with every other: heads are counted.
        heads = n * 5 + n * (n - 1)
        yield Job(
            *("transfer_affinity", "train", "transfer_affinity", look(pair.width) * each * heads),
            benchmark=f"transfer/affinity/{dataset}/seed{seed}",
            threads=threads,
        )


def _cross_errors(counts: Counts) -> Iterator[Job]:
    """Codes of all cells, and every code on the pairs of every task of its dataset."""
    plan = counts.plan
    section, side = plan.config.transfer, plan.config.image_size
    asked = [
        ("transfer_graded", f"{name}/seed{seed}", plan.encoders[name].options(), list(plan.tasks))
        for name, seed in plan.graded_runs
    ]
    for key in plan.graded_points:
        point = plan.points[key]
        asked.append(("transfer_graded_point", key, point.options, point.unseen_tasks))
    for rule, file, options, targets in asked:
        assert section is not None
        looks = section.asked_pairs * sum(
            len(plan.cells_on(dataset)) for task, dataset in plan.cells if task in targets
        )
        work = len(plan.cells) * section.fitted_pairs * counts.cost(options).macs
        work += looks * doer(options, side).macs
        yield Job(
            *(rule, "tables", "transfer_graded", 2e-12 * work),
            benchmark=f"transfer/graded/{file}",
            threads=plan.config.torch_threads,
        )


def _medformer(counts: Counts) -> Iterator[Job]:
    """In TFLOP too; logistic regressions in pixels."""
    plan = counts.plan.medformer
    for name, scope, seed in plan.pretraining_runs if plan else ():
        made, file = PretrainingRun(counts, name, scope), f"pretrained/{name}/{scope}/seed{seed}"
        yield _adapting(counts, "medformer_pretrain", made, file)
    for arm in all_arms(counts):
        yield _adapting(counts, "medformer_train", arm, arm.run.folder)
    if plan:
        work, memory = pictures(counts)
        rule, threads = "medformer_pictures", counts.plan.config.torch_threads
        file = "medformer/pictures"
        yield Job(rule, "train", rule, work, memory, benchmark=file, threads=threads)


def _adapting(counts: Counts, rule: str, made: ArmTraining | PretrainingRun, file: str) -> Job:
    """A job of Medformer."""
    return Job(
        rule,
        "train",
        made.rate_key,
        work=made.work,
        memory=made.memory_mb,
        benchmark=f"medformer/{file}",
        threads=counts.plan.config.torch_threads,
        gpu_mb=made.read_mb if made.on_gpu else None,
        mapped_mb=made.mapped_mb,
    )


def _train(
    counts: Counts, options: Mapping[str, Any], cells: Cells, file: str, rule: str = "train"
) -> Job:
    """In TFLOP: backward is twice forward, and a multiplication with its addition is two."""
    cost = counts.cost(options)
    batch = options.get("batch_tasks", 0) * options.get("batch_images", 0)
    seen = options.get("steps", 0) * batch
    return Job(
        rule,
        "train",
        f"train/{_rate_key(options)}",
        work=seen * cost.macs * 6 / 1e12,
        memory=batch * cost.activations * 4 / 1e6,
        benchmark=f"train/{file}",
        threads=counts.plan.config.torch_threads,
        gpu_mb=seen * 6 * counts.megapixels if encoder_of(dict(options)).learns else None,
        mapped_mb=counts.pixels_mb(cells, "main") if seen else 0,
    )


def _embed(
    counts: Counts,
    options: Mapping[str, Any],
    cells: Cells,
    n: int,
    file: str,
    *,
    rule: str = "embed",
    set: str = "main",
) -> Job:
    """In TFLOP, or for features without a network in megapixels."""
    kind, pixels = encoder_of(dict(options)), n * counts.megapixels
    network = kind.is_network
    return Job(
        rule,
        "embed",
        f"embed_{'network' if network else 'features'}/{_rate_key(options)}",
        work=n * counts.cost(options).macs * 2 / 1e12 if network else pixels,
        # In batches, joined, and as a table.
        memory=3 * counts.vectors_mb(n, options),
        benchmark=f"embed/{file}",
        # As the rules have it: what has no weights of the run takes one.
        threads=counts.plan.config.torch_threads if kind.has_weights else 1,
        gpu_mb=6 * pixels if network else None,
        mapped_mb=counts.pixels_mb(cells, set),
    )


def _predict(
    counts: Counts,
    options: Mapping[str, Any],
    n: int,
    file: str,
    *,
    rule: str = "predict",
    probes: bool = False,
) -> Job:
    """In megabytes of embeddings; supervised probes are fitted as well."""
    key, mb = f"predict/{'probes' if probes else 'neighbours'}", counts.vectors_mb(n, options)
    return Job(rule, "tables", key, mb, 1.5 * counts.held_mb(n, options), f"predict/{file}")


def _rate_key(options: Mapping[str, Any]) -> str:
    """What the rates of an encoder are known by."""
    parts = (options["kind"], options.get("fusion"), "steady" * bool(options.get("steadiness")))
    return "/".join(filter(None, parts))


def _products(counts: Counts) -> Iterator[Job]:
    """Tables in megabytes that they hold, figures in thousands of pairs that they draw."""
    memory, products = Memory(counts.plan), Products(counts.plan)
    for table in products.tables:
        rule, mb = f"table_{table.name}", memory.table_mb(table)
        yield Job(rule, "tables", rule, mb, mb, f"tables/{table.name}")
    rows = counts.pairs(counts.plan.cells) / 1e3
    for figure in products.figures:
        rule, drawn = f"figure_{figure.name}", "shown_embeddings" in figure.inputs.values()
        yield Job(rule, "report", rule, rows * drawn, rows * drawn, f"figures/{figure.name}")
    atlas = ["interactive_atlas"] if counts.plan.encoders else []
    for rule in (*atlas, "run_config", "metrics", "report", "all"):
        work = rows * len(counts.plan.encoders) * (rule == "interactive_atlas")
        yield Job(rule, "report", rule, work, work, f"report/{rule}")
