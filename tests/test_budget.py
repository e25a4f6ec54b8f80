"""What a run will cost: counted as Snakemake does, drawn from what was measured."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

import folders
from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.cli import app
from medtaskatlas.cli.plan import merged_config
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.files import REPOSITORY, write_json
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.run.budget.counts import PAIR_ROW_BYTES, Counts
from medtaskatlas.run.budget.estimate import estimate, price
from medtaskatlas.run.budget.jobs import LOCAL, jobs_of
from medtaskatlas.run.budget.medformer import (
    ArmTraining,
    PretrainingRun,
    all_arms,
    all_pretrainings,
)
from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.run.budget.multitask import Trainings
from medtaskatlas.run.budget.networks import cost_of, decoder, encoder
from medtaskatlas.run.budget.rates import Line, above, fit, load_rates, measure, prefixes
from medtaskatlas.run.budget.transformers import Form, Network
from medtaskatlas.run.medformer import ArmRun
from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.products import FACTS, SOURCES

CONFIG = REPOSITORY / "config"
STUDIES = {
    "scaling": {"encoder": "taco", "pairs": [6], "datasets": [2], "seeds": [0, 1], "steps": 2},
    "unseen_tasks": {"encoders": ["taco"], "folds": 2, "steps": 2},
    "trajectories_per_cell": 0,
    "cells_per_job": 4,
}
# Multi-task systems without encoders, on images and, of the fixture `volumes`, on volumes.
TOGETHER = {
    "encoders": {"taco": None, "pixels": None},
    "datasets": ["ihc_colon"],
    "heldout": {"datasets": []},
    "image_size": 64,
    "multitask": {
        "problems": {"cells": {"datasets": ["ihc_colon"], "targets": ["mask", "objects"]}},
        "systems": {
            "stl": {},
            "stl_wide": {"like": "hps"},
            "hps": {"weighting": "tuned"},
            "mtan": {},
            "ctan": {},
            "pairs": {},
            "full": {"system": "ums_rep", "strategy": "full"},
            "pcgrad": {"system": "hps", "weighting": "pcgrad", "first": 1},
        },
        "seeds": [0, 1],
        "steps": 100,
        "learning_rates": [0.001, 0.003],
        "trials": 3,
        "trial_steps": 50,
    },
}

# Graded codes, asked for other tasks, of the run and of folds that lack some tasks.
CODES = {
    "encoders": {"taco": None, "codes": {"kind": "taco_graded", "steps": 2}, "pixels": {}},
    "transfer": {},
    "unseen_tasks": {"encoders": ["codes"], "folds": 2},
}

# Medformer alone, on sets at two sizes of which nothing is fetched in a dry run.
FORMER = {
    "encoders": {"taco": None, "pixels": None},
    "heldout": {"datasets": []},
    "datasets": [
        "breastmnist",
        {"name": "breastmnist_64", "of": "breastmnist", "image_size": 64},
        "adrenalmnist3d",
        {"name": "adrenalmnist3d_64", "of": "adrenalmnist3d", "volume_size": 64},
        "ihc_colon",
    ],
    "image_size": 28,
    "volume_size": 28,
    "medformer": {
        "pretrainings": {
            "whole": {"pretexts": ["masked", "projection", "deblurring"]},
            "apart": {"pretexts": ["turns"], "leave_out": True},
            "unused": {"pretexts": ["contrast"]},
        },
        "arms": {
            "pixels": {"model": "pixels"},
            "photographs": {"model": "efficientnet_lite0"},
            "resnet18": {"model": "resnet18"},
            "vit": {"model": "vit"},
            "single": {},
            "longer": {"matched": "whole"},
            "multi": {"sets": "all"},
            "aligned": {"sets": "all", "align": "coral"},
            "warm": {"start": "whole"},
            "latents": {"start": "apart", "adapt": "latents"},
        },
        "label_fractions": [0.1, 1.0],
        "seeds": [0, 1],
        "steps": 100,
        "pretraining_steps": 50,
    },
}


def plan_of(name, **changes):
    return plan_run(merged_config([CONFIG / f"{name}.yaml"], []) | changes)


def counted_by_snakemake(folder, **changes):
    """Jobs a rule of a dry run; batches of pairs under the name of the rule for one cell."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)),
            *("--workflow-profile", "none", "--cores", "1"),
            *("--configfile", str(CONFIG / "smoke.yaml")),
            *(["--config"] if changes else []),
            *(f"{key}={json.dumps(value)}" for key, value in changes.items()),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    # The counts come at the beginning and again at the end.
    rows = dict(words for line in done.stdout.splitlines() if len(words := line.split()) == 2)
    counts: dict[str, int] = {}
    for name, n in rows.items():
        if n.isdigit() and name != "total":
            rule = name.split("_batch")[0]
            counts[rule] = counts.get(rule, 0) + int(n)
    return counts


@pytest.fixture
def volumes(tmp_path):
    """The run TOGETHER with a second problem, of a folder with a volume."""
    for folder in ("images", "masks"):
        folders.write_nifti(tmp_path / "mine/cubes" / folder / "a.nii", folders.head())
    folders.table(tmp_path / "mine/cubes", "labels.csv", "image,label", "a.nii,odd", "b.nii,even")
    how = {"masks": "masks", "classes": {1: "ball"}, "labels": "labels.csv"}
    folders.describe(tmp_path / "mine/cubes", name="cubes", modality="MR", **how)
    cubes = {"datasets": ["cubes"], "targets": ["mask", "label"], "volumes": True}
    problems = TOGETHER["multitask"]["problems"] | {"cubes": cubes}
    return TOGETHER | {
        "datasets": ["ihc_colon", "cubes"],
        "datasets_dir": str(tmp_path / "mine"),
        "volume_size": 28,
        "multitask": TOGETHER["multitask"] | {"problems": problems},
    }


def test_jobs_of_volumes_are_those_of_a_dry_run(tmp_path, volumes) -> None:
    test_jobs_are_those_of_a_dry_run(tmp_path, volumes)


@pytest.mark.parametrize(
    "changes",
    [{}, STUDIES, TOGETHER, FORMER, CODES],
    ids=["smoke", "studies in batches", "multi-task", "Medformer", "graded codes"],
)
def test_jobs_are_those_of_a_dry_run(tmp_path, changes) -> None:
    plan = plan_of("smoke", **changes)
    counts: dict[str, int] = {}
    for job in jobs_of(Counts(plan)):
        counts[job.rule] = counts.get(job.rule, 0) + 1
    assert counts == counted_by_snakemake(tmp_path, **changes)


def test_storage_of_the_papers_scale() -> None:
    """39 datasets x 30 tasks x 200 pairs at 224 px; what public.yaml has of it is less."""
    pixels = 3 * 224**2
    assert 39 * 30 * 200 * (pixels + PAIR_ROW_BYTES) < 40e9
    plan = plan_of("public", image_size=224, pairs_per_cell=200)
    wanted = list(plan.datasets)[:39]
    held = [name for name in plan.config.heldout.datasets if name in wanted]
    smaller = plan_of(
        "public",
        image_size=224,
        pairs_per_cell=200,
        failures_per_cell=20,
        trajectories_per_cell=4,
        datasets=wanted,
        heldout={"datasets": held},
        scaling=None,
    )
    assert len(smaller.datasets) == 39
    counts = Counts(smaller)
    expected = len(smaller.cells) * 200 * (pixels + PAIR_ROW_BYTES) / 1e6
    assert counts.pairs_mb("main") == pytest.approx(expected)
    sets = counts.disk_mb(1)
    assert sum(size for part, size in sets.items() if part.startswith("pairs")) < 40e3


def test_the_size_of_pairs_is_that_of_their_files(pair_files) -> None:
    paths, _ = pair_files
    for path in paths:
        pairs = ArrowFile(path)
        sides = sum(pairs.numpy(side).nbytes for side in ("input", "output") if side in pairs)
        rest = path.stat().st_size - sides
        assert sides == len(pairs) * 3 * 64**2 or sides == len(pairs) * 3 * 32**2
        # A header a file is more of twenty rows than of hundreds.
        assert rest < len(pairs) * PAIR_ROW_BYTES + 16_000


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "taco", "backbone": "resnet10", "width": 16, "stem": 3},
        {"kind": "taco", "backbone": "resnet50", "width": 16},
        {"kind": "taco", "backbone": "resnet18", "width": 16, "coordinates": "sides"},
        {"kind": "random", "backbone": "resnet10", "width": 16, "stem": 3},
    ],
)
def test_networks_are_counted_as_torch_counts_them(options) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    encoder = encoder_of(options)
    network = encoder.network(0).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        made = network(torch.zeros(1, 6, 48, 48))
    cost = cost_of(encoder.options(), 48, {})
    assert cost.macs == counter.get_total_flops() / 2
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert cost.features == made.shape[1]


def test_graded_codes_are_counted_as_torch_counts_them() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    made = encoder_of({"kind": "taco_graded", "backbone": "resnet10", "width": 16, "stem": 3})
    network = made.network(0).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.doer(torch.zeros(1, 3, 48, 48), network(torch.zeros(1, 6, 48, 48)))
    cost = cost_of(made.options(), 48, {})
    assert cost.macs == counter.get_total_flops() / 2
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert cost.features == made.embedding_dim


@pytest.mark.parametrize(
    ("options", "dims", "side"),
    [
        ({"width": 16}, 2, 50),
        ({"width": 8, "backbone": "resnet50", "norm": "batch", "stem": 5}, 2, 48),
        ({"width": 6, "backbone": "resnet18"}, 3, 20),
    ],
)
def test_multitask_networks_are_counted_as_torch_counts_them(options, dims, side) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from toy_targets import MASK

    from medtaskatlas.multitask.network import MultitaskNetwork
    from medtaskatlas.multitask.systems.options import NetworkOptions

    torch.set_num_threads(1)
    chosen = NetworkOptions(**options)
    network = MultitaskNetwork([MASK], chosen, 0, channels=1, dims=dims).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, *[side] * dims), {"mask": torch.arange(1)})
    shape = chosen.model_dump(), 1, side, dims
    cost = encoder(*shape) + decoder(*shape, outputs=1)
    assert cost.macs == counter.get_total_flops() / 2
    assert cost.parameters == pytest.approx(sum(p.numel() for p in network.parameters()), 1e-4)


def together(system: str, **section) -> Trainings:
    changes = TOGETHER | {"multitask": {**TOGETHER["multitask"], **section}}
    return Trainings.of(Counts(plan_of("smoke", **changes)), "cells", system)


def test_work_of_multitask_trainings_is_that_of_their_steps_trainings_and_folds() -> None:
    hps, stl = together("hps"), together("stl")
    # Both decoders once, and the encoder twice.
    [both], alone = hps.networks, stl.networks
    assert sum(n.cost.macs for n in alone) == both.cost.macs + encoder(hps.options, 3, 64, 2).macs
    # 3 passes of 32 images, and a look at a fifth of 64 images for each 50 steps.
    images = 3 * 100 * 32 + 2 * 0.2 * hps.images
    assert hps.tflop(100, after=0) == pytest.approx(both.cost.macs * images * 2e-12)
    assert hps.tflop(100, after=0.4) > hps.tflop(100, after=0)
    problem = {"cells": TOGETHER["multitask"]["problems"]["cells"] | {"folds": 5}}
    folded = together("hps", problems=problem)
    assert folded.tflop(100, after=0.4) == pytest.approx(5 * hps.tflop(100, after=0.4))
    # Two rates and two heavier targets, where weights are tuned; as often for all others.
    assert [hps.tries(n) for n in hps.networks] == [4]
    assert [stl.tries(n) for n in alone] == [4, 4]
    assert hps.tflop(50, after=0, tuning=True) == pytest.approx(4 * hps.tflop(50, after=0))
    one_rate = {"learning_rates": [0.001]}
    assert together("stl", **one_rate).tflop(50, after=0, tuning=True) == 0
    assert [together("hps", **one_rate).tries(n) for n in hps.networks] == [3]
    # A generative target has an input of its own, which the encoder sees as well.
    cells = {"datasets": ["ihc_colon"], "targets": ["mask", "denoising_gaussian"]}
    [two_inputs] = together("hps", problems={"cells": cells}).networks
    assert two_inputs.inputs == 2
    assert two_inputs.cost.macs > both.cost.macs
    wide = together("stl_wide").networks
    assert [n.cost.parameters for n in wide] == pytest.approx([both.cost.parameters] * 2, 0.05)


def test_memory_of_multitask_trainings_grows_with_what_they_hold(volumes) -> None:
    least = together("hps").memory_mb
    assert together("hps", batch_size=64).memory_mb > 1.8 * least
    for system in ("mtan", "ctan", "pcgrad"):
        assert together(system).memory_mb > together("hps").memory_mb
    assert together("hps", width=32).memory_mb > 1.8 * least
    assert together("hps", backbone="resnet50").memory_mb > 1.5 * least
    small, large = (
        Trainings.of(Counts(plan_of("smoke", **volumes | {"volume_size": side})), "cubes", "hps")
        for side in (16, 32)
    )
    assert large.memory_mb > 5 * small.memory_mb
    small = Memory(plan_of("smoke", **TOGETHER))
    request = small.request(lambda _: small.multitask_mb("cells", "hps"), least=3000)
    assert request(None, 1) == 3000
    assert request(None, 2) == 6000
    large = Memory(plan_of("smoke", **TOGETHER | {"image_size": 512}))
    wanted = large.request(lambda _: large.multitask_mb("cells", "hps"), least=3000)
    assert wanted(None, 1) > 5000
    assert large.representation_mb("HISTOLOGY") > 10 * small.representation_mb("HISTOLOGY")


def test_files_of_multitask_trainings_are_on_the_disk() -> None:
    counts = Counts(plan_of("smoke", **TOGETHER))
    once = Trainings.of(counts, "cells", "hps")
    assert once.file_mb > once.weights_mb > 1
    disk = counts.disk_mb(1)
    trained = [Trainings.of(counts, p, s).file_mb for p, s, _ in counts.plan.multitask_runs]
    represented = Trainings.of_representation(counts, "HISTOLOGY").file_mb
    assert disk["multi-task"] == pytest.approx(sum(trained) + 2 * represented)
    assert disk["checkpoints"] == 3 * max(
        Trainings.of(counts, *pair).weights_mb for pair in counts.plan.multitask.pairs
    )


@pytest.mark.parametrize(
    ("options", "dims", "channels", "side", "layout"),
    [
        ({}, 2, 1, 28, "vector"),
        ({"size": "tiny", "latents": "task"}, 2, 3, 50, "pixels"),
        ({"stem": "patches", "latents": "none"}, 3, 1, 28, "vector"),
        ({"stem_width": 8}, 3, 1, 30, "pixels"),
    ],
)
def test_medformer_is_counted_as_torch_counts_it(options, dims, channels, side, layout) -> None:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from medtaskatlas.medformer.model import Head, Medformer, Shape, Who
    from medtaskatlas.medformer.options import NetworkOptions

    chosen, head = NetworkOptions(**options), Head("t", layout, 3, dims)
    model, shape, who = Medformer(chosen, 0), Shape(dims, channels), Who("a", "b", "t")
    model.add(shape, [who], [head])
    # Attention that is written out is counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.answer(torch.rand(1, channels, *[side] * dims), shape, who, head)
    cost = Network(chosen.model_dump(), Form(dims, channels, side)).answer(layout, 3)
    assert cost.macs == counter.get_total_flops() / 2
    assert cost.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["masked", "turns", "contrast", "projection", "deblurring"])
def test_pretexts_are_counted_as_torch_counts_them(name) -> None:
    import numpy as np
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from medtaskatlas.medformer.model import Medformer, Shape, Who
    from medtaskatlas.medformer.options import NetworkOptions
    from medtaskatlas.medformer.pretexts import pretext_of

    dims = 2 if name == "deblurring" else 3
    pretext, shape, who = pretext_of(name), Shape(dims, 1), Who("a", "b", name)
    model = Medformer(NetworkOptions(), 0)
    for needed in (shape, *pretext.needs(shape)):
        model.add(needed, [who], pretext.heads(shape))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (1, 1, *[32] * dims), dtype=np.uint8)
    drawn = pretext.draw(images, model.grid(shape, images.shape[2:]), rng)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        pretext.loss(model, shape, who, drawn)
    cost = Network(NetworkOptions().model_dump(), Form(dims, 1, 32)).pretext(name)
    assert cost.macs == pytest.approx(counter.get_total_flops() / 2, 1e-3)


@pytest.mark.parametrize(
    ("kind", "dims"), [("vit", 2), ("vit", 3), ("resnet18", 2), ("resnet18", 3)]
)
def test_baselines_of_medformer_are_counted_as_torch_counts_them(kind, dims) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from medtaskatlas.medformer.baselines import Baseline
    from medtaskatlas.medformer.model import Head, Shape, Who
    from medtaskatlas.medformer.options import NetworkOptions

    head = Head("t", "vector", 3, dims)
    shape, options = Shape(dims, 1), NetworkOptions()
    made = Baseline(kind, shape, (28,) * dims, heads=[head], options=options, seed=0).eval()
    with FlopCounterMode(display=False) as counter:
        made.answer(torch.rand(1, 1, *[28] * dims), shape, Who(None, None, None), head)
    name = "breastmnist" if dims == 2 else "adrenalmnist3d"
    # Of two classes.
    [cost] = arm(kind, name).costs[0].values()
    assert cost.macs == pytest.approx(counter.get_total_flops() / 2, 1e-3)
    assert cost.parameters == pytest.approx(sum(p.numel() for p in made.parameters()), 1e-3)


def arm(name: str, on: str = "breastmnist", labels: int = 100, **section) -> ArmTraining:
    changes = FORMER | {"medformer": {**FORMER["medformer"], **section}}
    return ArmTraining(Counts(plan_of("smoke", **changes)), ArmRun(on, name, labels, 0))


def test_work_of_medformers_trainings_is_that_of_their_steps_and_sets() -> None:
    single = arm("single")
    [cost] = single.costs[0].values()
    # 3 passes of 100 x 32 images; 2 looks at 78 of them, and once at these and at 156.
    assert single.work == pytest.approx(cost.macs * (3 * 3200 + 3 * 78 + 156) * 2e-12, 1e-3)
    assert arm("single", labels=10).work == single.work, "as many steps on fewer labels"
    # 50 steps of pre-training, of two batches each.
    assert arm("longer").steps == 200
    frozen, warm = arm("latents"), arm("warm")
    assert frozen.work == pytest.approx(warm.work - cost.macs * 3200 * 2e-12)
    # Every image once, of a volume 24 slices.
    photographs = [arm("photographs", f"adrenalmnist3d{size}").work for size in ("", "_64")]
    assert photographs[0] == photographs[1]
    assert photographs[0] == pytest.approx(arm("photographs").work * 24 * 1584 / 780)
    fewer = arm("photographs", labels=10).work
    assert fewer == pytest.approx(arm("photographs").work * (54.6 + 78 + 156) / 780)
    multi, aligned = (arm(name, "all_sets") for name in ("multi", "aligned"))
    assert (multi.steps, multi.images) == (400, 400 * 32)
    assert aligned.images == 2 * multi.images
    assert aligned.work > 2 * multi.work
    # Sets by the square root of their sizes, larger images among them.
    assert arm("single", "adrenalmnist3d_64").work > 6 * arm("single", "adrenalmnist3d").work
    assert arm("multi", "all_sets", seeds=[0]).rows == 2 * (2 * 156 + 2 * 298) + 2 * (78 + 98)
    once, twice = (
        Counts(plan_of("smoke", **FORMER | {"medformer": {**FORMER["medformer"], **more}}))
        for more in ({}, {"pretraining_steps": 100})
    )
    whole = PretrainingRun(once, "whole", "all_sets")
    assert [len(of) for of in whole.costs] == [5, 2, 3], "sets that each pretext fits"
    assert whole.images == 50 * 2 * 32
    assert PretrainingRun(twice, "whole", "all_sets").work == pytest.approx(2 * whole.work)
    apart = PretrainingRun(once, "apart", "without_breastmnist")
    assert list(apart.sets) == ["adrenalmnist3d", "adrenalmnist3d_64", "ihc_colon"]
    costs = {name: cost.macs for name, cost in apart.costs[0].items()}
    assert apart.work == pytest.approx(3 * 3200 * apart.mean(costs) * 2e-12)
    assert apart.mean(dict.fromkeys(costs, 7.0)) == pytest.approx(7)


@pytest.mark.parametrize(
    ("section", "name", "on", "measured"),
    [
        ({}, "single", "breastmnist", 588),
        ({}, "single", "adrenalmnist3d", 723),
        ({}, "vit", "adrenalmnist3d", 843),
        ({}, "pixels", "adrenalmnist3d", 993),
        ({"size": "tiny"}, "single", "adrenalmnist3d_64", 3920),
        ({"size": "tiny"}, "resnet18", "adrenalmnist3d_64", 2627),
    ],
)
def test_memory_of_medformer_is_enough_and_not_much_more(section, name, on, measured) -> None:
    """Resident at the peak, MB, of single processes: see `added` in rates.json."""
    made = arm(name, on, **section)
    plan = plan_of("smoke", **FORMER | {"medformer": {**FORMER["medformer"], **section}})
    memory = Memory(plan)
    asked = memory.request(memory.medformer_mb)(made.run, 1)
    grows = measured - made.mapped_mb
    assert grows < asked < max(1501, 1.5 * grows)
    pretraining = memory.request(lambda _: memory.pretraining_mb("whole", "all_sets"))
    assert pretraining(None, 2) == 2 * pretraining(None, 1) > 3000


def test_files_and_jobs_of_medformer_are_counted() -> None:
    counts = Counts(plan_of("smoke", **FORMER))
    made = [*all_arms(counts), *all_pretrainings(counts)]
    disk = counts.disk_mb(1)
    assert disk["Medformer"] == pytest.approx(sum(one.file_mb for one in made))
    assert disk["volumes"] == pytest.approx(1584 * (28**3 + 64**3) / 1e6)
    assert disk["checkpoints"] == 3 * max(one.weights_mb for one in made)
    jobs = [job for job in jobs_of(counts) if job.rule.startswith("medformer")]
    on_gpu = [job for job in jobs if job.gpu_mb is not None]
    assert {job.key for job in jobs if job not in on_gpu} == {
        "medformer_pixels",
        "medformer_pictures",
    }
    assert all(job.work > 0 for job in jobs)
    found = estimate(counts.plan, load_rates(), cores=2)
    rows = {row["rule"]: row for row in found["rules"]}
    for rule in (
        *("medformer_train", "medformer_pretrain"),
        *("medformer_pictures", "prepare_volumes"),
    ):
        assert rows[rule]["measured"]
        assert rows[rule]["cpu_hours"] > 0
    # Raw data of each published size once: 28 and 64 pixels, 28 and 64 voxels, and a package's.
    assert rows["download"]["jobs"] == len(counts.raw_mb) == 5


def test_a_line_is_found_again() -> None:
    line = fit([(x, 2 + 0.5 * x) for x in (1, 10, 50)] + [(49, 1000.0), (50, 27.0)])
    assert (line.base, line.slope) == pytest.approx((2, 0.5), rel=0.05), "one slow job is no matter"
    assert fit([(0, 3), (0, 3)]) == Line(3, 0)
    assert fit([(4, 10.0)]) == Line(0, 2.5), "one amount of work"
    assert fit([(1, 5.0), (9, 4.0)]).slope == 0
    steep = fit([(1, 1e-3), (10, 4.0)])
    assert steep.base == 0, "nothing costs less than nothing"


def test_memory_suffices_for_every_job_that_was_measured() -> None:
    samples = [(1.0, 300.0), (2.0, 280.0), (30.0, 0.0), (20.0, 900.0)]
    line = above(samples)
    assert all(line.at(work) >= cost for work, cost in samples)
    assert line.slope >= 1
    assert above([(1.0, 0.0)]) == Line(0, 0)
    assert above([(80.0, 580.0), (100.0, 590.0)]) == Line(500, 1), "one size: held once"


def test_a_rate_of_the_like_will_do() -> None:
    assert prefixes("a/b/c") == ["a/b/c", "a/b", "a"]
    rates = load_rates()
    assert rates.of("make_pairs/of_my_own") == rates.by_key["make_pairs"]
    assert rates.of("nothing/like/it") is None


@pytest.fixture
def run(tmp_path):
    """Folder of a run whose jobs took a second and a tenth of one for a unit of work."""
    folder = tmp_path / "results" / "smoke"
    plan = plan_of("smoke")
    write_json(folder / "config.json", plan.config.model_dump(mode="json"))
    jobs = jobs_of(Counts(plan))
    for job in (job for job in jobs if job.rule != "all"):
        file = folder / "benchmarks" / f"{job.benchmark}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        mb = 100 + 3 * job.memory + job.mapped_mb
        file.write_text(f"s\th:m:s\tmax_rss\n{1 + 0.1 * job.work}\t0:00:01\t{mb}\n")
    return folder


def test_measured_rates_price_the_run_that_they_are_from(run, tmp_path) -> None:
    out = tmp_path / "rates.json"
    measure([run], out)
    rates, plan = load_rates(out), plan_of("smoke")
    jobs = jobs_of(Counts(plan))
    for job in jobs:
        if job.rule != "all":
            assert rates.of(job.key).seconds.at(job.work) == pytest.approx(1 + 0.1 * job.work, 1e-3)
            assert rates.of(job.key).megabytes.at(job.memory) >= 99.9 + 3 * job.memory
    assert rates.about["jobs"] == len(jobs) - 1
    assert rates.about["command"] == "medtaskatlas plan --measure results/smoke"
    again = tmp_path / "again.json"
    measure([run], again)
    assert again.read_bytes() == out.read_bytes()


def test_what_cannot_be_measured(tmp_path) -> None:
    with pytest.raises(DataError, match=r"config\.json is missing"):
        measure([tmp_path], tmp_path / "r.json")
    write_json(tmp_path / "config.json", plan_of("smoke").config.model_dump(mode="json"))
    with pytest.raises(DataError, match="has no file of a job"):
        measure([tmp_path], tmp_path / "r.json")
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(DataError, match="holds no rates"):
        load_rates(tmp_path / "r.json")
    with pytest.raises(DataError, match="is missing"):
        load_rates(tmp_path / "none.json")


def test_more_of_anything_takes_longer_and_more_hands_take_less() -> None:
    rates = load_rates()
    small, large = plan_of("embedded"), plan_of("embedded", image_size=128, pairs_per_cell=200)
    few, more = (estimate(plan, rates, cores=2) for plan in (small, large))
    for key in ("cpu_hours", "peak_mb_of_a_job"):
        assert more["total"][key] > few["total"][key]
    assert more["disk_gb"]["all"] > 4 * few["disk_gb"]["all"] * 0.9
    assert estimate(small, rates, cores=8)["wall_hours"]["all"] < few["wall_hours"]["all"]
    with_gpu = estimate(small, rates, cores=2, gpus=1)
    assert with_gpu["total"]["gpu_hours"] == pytest.approx(with_gpu["gpu_hours"]["H100-class"])
    hours = estimate(plan_of("public"), rates, cores=2)["gpu_hours"]
    assert hours["H100-class"] < hours["V100-class"]
    assert few["total"]["gpu_hours"] == 0


def test_the_default_run_is_priced_as_it_was_measured() -> None:
    """config/embedded.yaml took 8 to 40 minutes a core on machines of two cores."""
    found = estimate(plan_of("embedded"), load_rates(), cores=2)
    assert 0.2 < found["total"]["cpu_hours"] < 3
    assert not any(row["far_from_measured"] for row in found["rules"])
    assert all(row["measured"] for row in found["rules"])


@pytest.mark.parametrize(("folds", "seconds"), [(None, 30), (5, 135)])
def test_multitask_trainings_are_priced_as_they_were_measured(folds, seconds) -> None:
    """300 steps of a mask and a label together at 64 px, in config/multitask.yaml on folders."""
    brain = {"datasets": ["mni152_tissue"], "targets": ["mask", "plane"], "folds": folds}
    section = {"problems": {"brain": brain}, "steps": 300, "batch_size": 16}
    changes = {"datasets": ["mni152_tissue"], "multitask": TOGETHER["multitask"] | section}
    plan = plan_of("smoke", **TOGETHER | changes)
    jobs = {job.benchmark: job for job in jobs_of(Counts(plan))}
    found = price(jobs["multitask/brain/hps/seed0"], load_rates(), cores=1, card=None)
    assert found.core_seconds == pytest.approx(seconds, rel=0.3)
    assert 530 < found.megabytes < 700, "as measured, and hardly more"


@pytest.mark.parametrize(
    ("name", "on", "seconds"),
    [("single", "breastmnist", 13), ("multi", "all_sets", 42), ("resnet18", "adrenalmnist3d", 19)],
)
def test_medformer_is_priced_as_it_was_measured(name, on, seconds) -> None:
    """40 steps of 32 images, nano, at 28 pixels and voxels; see `added` in rates.json."""
    sets = {"datasets": ["breastmnist", "retinamnist", "adrenalmnist3d"]}
    section = FORMER["medformer"] | {"steps": 40, "look_every": 40, "seeds": [0]}
    plan = plan_of("smoke", **FORMER | sets | {"medformer": section})
    jobs = {job.benchmark: job for job in jobs_of(Counts(plan))}
    job = jobs[f"medformer/{on}/{name}/labels100/seed0"]
    found = price(job, load_rates(), cores=1, card=None)
    assert found.core_seconds == pytest.approx(seconds, rel=0.35)


def test_public_is_priced_at_once_without_torch_and_without_a_network() -> None:
    code = (
        "import socket, sys\n"
        "def no(*a, **k): raise OSError('asked for the network')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "from medtaskatlas.cli import main\n"
        "sys.argv = ['medtaskatlas', 'plan', '--configfile', 'config/public.yaml', '--json',\n"
        "            '--config', 'image_size=224', '--cores', '16', '--gpus', '4']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = [m for m in ('torch', 'pandas', 'snakemake') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    began = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert os.times().children_user - began.children_user < 15
    found = json.loads(done.stdout)
    assert found["total"]["jobs"] <= 3000
    assert found["slurm"]["of_pairs"] <= 60
    assert found["disk_gb"]["pairs: main"] == pytest.approx(
        plan_of("public", image_size=224).config.pairs_per_cell
        * len(plan_of("public").cells)
        * (3 * 224**2 + PAIR_ROW_BYTES)
        / 1e9
    )
    assert any("never measured by this project" in note for note in found["notes"])


def test_the_command_prints_a_table(tmp_path) -> None:
    file = str(CONFIG / "smoke.yaml")
    shown = CliRunner().invoke(app, ["plan", "--configfile", file, "--cores", "2"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("run smoke: 4 datasets")
    assert [line.split()[1] for line in lines if line.startswith("make_pairs")] == ["20"]
    for word in ("wall clock", "GPU-hours", "disk", "Slurm", "rates"):
        assert any(line.startswith(word) for line in lines)
    more = ["plan", "--configfile", file, "--config", "run=other", "pairs_per_cell=40", "--json"]
    found = json.loads(CliRunner().invoke(app, more).output)
    assert found["run"] == "other"
    assert "of 40 pairs" in found["summary"]


def test_configurations_are_put_together_as_snakemake_does(tmp_path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"run": "a", "heldout": {"datasets": ["x"]}, "seeds": [0, 1]}))
    got = merged_config([file], ["heldout={tasks: [t]}", "seeds=[2]", "image_size=96"])
    assert got == {
        "run": "a",
        "heldout": {"datasets": ["x"], "tasks": ["t"]},
        "seeds": [2],
        "image_size": 96,
    }
    for files, pairs, told in (
        ([tmp_path / "none.yaml"], [], "is missing"),
        ([], ["image_size"], "no key=value"),
        ([], ["seeds=[1"], "is not YAML"),
    ):
        with pytest.raises(ConfigError, match=told):
            merged_config(files, pairs)


def test_an_unknown_card_is_told() -> None:
    with pytest.raises(ConfigError, match="no card that is known"):
        estimate(plan_of("smoke"), load_rates(), cores=1, gpus=1, gpu="H10")


def test_rules_ask_for_memory_as_the_run_grows_and_twice_after_a_kill() -> None:
    small, large = Memory(plan_of("smoke")), Memory(plan_of("public"))
    for table in TABLES.values():
        assert small.of_table(table)(None, 1) == 1500, "a small run asks for the least"
    comparisons = large.of_table(TABLES["comparisons"])
    assert comparisons(None, 2) == 2 * comparisons(None, 1)
    # The widest embeddings of the paper's scale are some gigabytes; no table holds many of them.
    widest = max(large.embeddings_mb(name) for name in large.plan.encoders)
    assert 4000 < widest < 8000
    for table in TABLES.values():
        assert large.of_table(table)(None, 1) < 4 * widest, table
    assert large.embed_mb("imagenet") == 3 * large.embeddings_mb("imagenet")
    assert large.embed_mb("imagenet", "failure") < large.embed_mb("imagenet") / 5


def test_what_tables_hold_and_are_made_of_is_known() -> None:
    memory = Memory(plan_of("smoke"))
    for table in TABLES.values():
        assert table.memory.keys() <= memory.quantities.keys()
    for product in (*TABLES.values(), *FIGURES.values()):
        assert set(product.inputs.values()) <= TABLES.keys() | SOURCES.keys()
        assert set(product.params.values()) <= FACTS.keys()
        assert not SOURCES.keys() & TABLES.keys()


def test_jobs_that_no_cluster_gets_are_those_of_the_rules() -> None:
    """``all`` has no work; the rest say ``localrule``."""
    text = "\n".join(p.read_text() for p in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))
    rules = re.split(r"^rule (?=\w+:)", text, flags=re.MULTILINE)[1:]
    local = {rule.split(":")[0] for rule in rules if "localrule: True" in rule}
    assert "localrule: table.local" in text
    tables = {f"table_{table.name}" for table in TABLES.values() if table.local}
    assert {*local, *tables, "all"} == set(LOCAL)
