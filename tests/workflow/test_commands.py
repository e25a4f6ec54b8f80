"""The commands that the README names."""

import yaml

from medtaskatlas.run.plan import plan_run
from runs import REPOSITORY, due_jobs, snakemake

# Not `volumes`, of which this run has none: test_volumes_rule.py.
TARGETS = (
    "all",
    "data",
    "images",
    "pairs",
    "encoders",
    "embeddings",
    "tables",
    "figures",
    "report",
)


def test_every_target_resolves(tmp_path) -> None:
    done = snakemake(tmp_path, *TARGETS, "--dry-run", "--quiet", "rules")
    assert "medtaskatlas: run smoke" in done.stderr


def test_embedded_is_the_default_and_small_enough(tmp_path) -> None:
    config = REPOSITORY / "config" / "embedded.yaml"
    done = snakemake(tmp_path, "--dry-run", "--quiet", "rules", config=config)
    assert "run embedded: 13 datasets" in done.stderr


def test_the_multitask_run_on_public_sets_resolves(tmp_path) -> None:
    config = REPOSITORY / "config" / "multitask_public.yaml"
    done = snakemake(tmp_path, "multitask", "--dry-run", "--quiet", "rules", config=config)
    due, plan = due_jobs(done.stdout), plan_run(yaml.safe_load(config.read_text()))
    assert due["download"] == due["prepare"] == 9
    assert due["multitask_train"] == len(plan.multitask_runs)
    assert "make_pairs" not in due


def test_dag_is_a_graph(tmp_path) -> None:
    assert snakemake(tmp_path, "--dag").stdout.startswith("digraph snakemake_dag")


def test_an_empty_configuration_says_what_to_do(tmp_path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--directory", str(tmp_path), "--workflow-profile", "none", "-n"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--configfile config/embedded.yaml" in done.stdout + done.stderr
