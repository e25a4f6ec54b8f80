"""Cells of pairs in few jobs: the same files, and Snakemake cannot tell afterwards."""

import json
import shutil

import pytest
import yaml

from generated import write_task
from medtaskatlas.run.plan import plan_run
from runs import REPOSITORY, due_jobs, files, snakemake

pytestmark = pytest.mark.system

PROFILE = REPOSITORY / "slurm"


def dry(folder, *arguments, **options) -> str:
    done = snakemake(folder, "pairs", "--dry-run", "--quiet", "rules", *arguments, **options)
    return done.stdout


def test_twenty_cells_a_submission_at_the_scale_of_the_paper(tmp_path) -> None:
    config = REPOSITORY / "config" / "public.yaml"
    cells = plan_run(yaml.safe_load(config.read_text())).pair_cells
    due = due_jobs(dry(tmp_path, "--profile", PROFILE, config=config))
    submissions = sum(n for rule, n in due.items() if rule.startswith("make_pairs"))
    assert len(cells) > 1200
    assert submissions <= 60
    assert submissions <= 60 / 1200 * len(cells)
    assert sum(due.values()) <= 3000


def test_here_a_job_makes_one_cell_and_on_a_cluster_a_dataset(tmp_path) -> None:
    assert due_jobs(dry(tmp_path, "--cores", "2"))["make_pairs"] == 20
    sent = due_jobs(dry(tmp_path, "--profile", PROFILE))
    assert "make_pairs" not in sent
    assert sum(n for rule, n in sent.items() if rule.startswith("make_pairs_batch")) == 4
    wanted = due_jobs(dry(tmp_path, "--profile", PROFILE, "--config", "cells_per_job=1"))
    assert wanted["make_pairs"] == 20


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """Folder with the pairs of the smoke run, made in four jobs."""
    folder = tmp_path_factory.mktemp("batched")
    snakemake(folder, "--cores", "2", "pairs", "--config", "cells_per_job=30")
    return folder


def test_batches_make_the_same_bytes(smoke, batched) -> None:
    pattern = "results/smoke/pairs/**/*.arrow"
    alone, together = files(smoke, pattern), files(batched, pattern)
    assert alone.keys() == together.keys()
    assert [k for k in alone if alone[k] != together[k]] == []


@pytest.mark.parametrize("n", [1, 3, 30])
def test_going_on_with_another_size_makes_nothing_anew(smoke, batched, n) -> None:
    for folder in (smoke, batched):
        assert "Nothing to be done" in dry(folder, "--config", f"cells_per_job={n}")


def test_what_changed_is_made_anew_whatever_the_size(batched) -> None:
    due = due_jobs(dry(batched, "--config", "cells_per_job=30", "failures_per_cell=7"))
    assert sum(n for rule, n in due.items() if rule.startswith("make_pairs")) == 4
    due = due_jobs(dry(batched, "--config", "failures_per_cell=7"))
    assert {rule for rule in due if rule.startswith("make_")} == {
        rule for rule in due if rule.startswith("make_failures_batch")
    }
    assert sum(n for rule, n in due.items() if rule.startswith("make_failures_batch")) == 4


def test_the_size_is_no_part_of_the_run(smoke) -> None:
    assert "cells_per_job" not in json.loads((smoke / "results/smoke/config.json").read_text())


def test_a_bad_cell_in_a_batch_is_named_at_the_end(batched, tmp_path) -> None:
    folder, tasks = tmp_path / "run", tmp_path / "tasks"
    shutil.copytree(batched, folder)
    write_task(tasks / "halve.py", "None")
    options = (f"tasks_dir={tasks}", "tasks=[rotation, halve]", "cells_per_job=30")
    target = "results/smoke/pairs/main/halve/us_stills.arrow"
    done = snakemake(folder, target, "--cores", "1", "--config", *options, check=False)
    assert done.returncode == 1
    assert "failed: pairs of halve on us_stills" in done.stderr
    assert "failed: pairs of rotation" not in done.stderr
