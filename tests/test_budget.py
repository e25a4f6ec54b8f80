"""What a run will cost: counted as Snakemake does, drawn from what was measured."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from medtaskatlas.atlas.registry import TABLES
from medtaskatlas.cli import app
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.core.files import REPOSITORY, write_json
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.figures.registry import FIGURES
from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.run.budget.config import merged_config
from medtaskatlas.run.budget.counts import PAIR_ROW_BYTES, Counts
from medtaskatlas.run.budget.estimate import estimate
from medtaskatlas.run.budget.jobs import LOCAL, jobs_of
from medtaskatlas.run.budget.memory import Memory
from medtaskatlas.run.budget.networks import cost_of
from medtaskatlas.run.budget.rates import Line, above, fit, load_rates, measure, prefixes
from medtaskatlas.run.plan import plan_run
from medtaskatlas.run.products import FACTS, SOURCES

CONFIG = REPOSITORY / "config"
STUDIES = {
    "scaling": {"encoder": "taco", "pairs": [6], "datasets": [2], "seeds": [0, 1], "steps": 2},
    "unseen_tasks": {"encoders": ["taco"], "folds": 2, "steps": 2},
    "trajectories_per_cell": 0,
    "cells_per_job": 4,
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


@pytest.mark.parametrize("changes", [{}, STUDIES], ids=["smoke", "studies in batches"])
def test_jobs_are_those_of_a_dry_run(tmp_path, changes) -> None:
    plan = plan_of("smoke", **changes)
    counts: dict[str, int] = {}
    for job in jobs_of(Counts(plan, {})):
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
    counts = Counts(smaller, {})
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
    jobs = jobs_of(Counts(plan, {}))
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
    jobs = jobs_of(Counts(plan, {}))
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
