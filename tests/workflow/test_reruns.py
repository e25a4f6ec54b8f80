"""One change of a finished run each: what would run again, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from generated import write_task
from medtaskatlas.core.code_hash import read_module
from medtaskatlas.datasets.catalogue import load_catalogue
from runs import due_jobs, snakemake

pytestmark = pytest.mark.system

# Tasks with degrees, of which trajectories are made.
LADDER = ["deblurring", "denoising_gaussian", "rotation", "noise_addition"]


def due(folder: Path, *changes: str) -> tuple[dict[str, int], set[str]]:
    """Rule to number of jobs that a dry run would run, and what they say that they do."""
    config = ("--config", *changes) if changes else ()
    told = snakemake(folder, "all", "--dry-run", "--cores", "2", *config)
    text = told.stdout + told.stderr
    return (
        due_jobs(text),
        set(re.findall(r"^Job \d+: (.*)$", text, re.MULTILINE)),
    )


def of(jobs: set[str], what: str) -> set[str]:
    """Jobs that begin with some words, without these."""
    return {job.removeprefix(what) for job in jobs if job.startswith(what)}


def made(rules: dict[str, int]) -> set[str]:
    """Rules that make pairs, or what these are made of."""
    stages = {rule.split("_batch")[0] for rule in rules}
    return {s for s in stages if s.startswith("make_") or s in ("download", "prepare")}


# What every change of the configuration is written down by.
WRITTEN = {"run_config", "report"}


def licences() -> str:
    """All that the catalogue has, so that nothing is left out."""
    known = {part for d in load_catalogue().values() for part in d.licence.split(" AND ")}
    return f"licences=[{', '.join(sorted(known))}]"


@pytest.mark.parametrize("change", ["mirror=none", licences()], ids=["mirror", "licences"])
def test_what_changes_no_result_is_only_written_down(smoke, change) -> None:
    assert due(smoke, change)[0].keys() == WRITTEN


@pytest.mark.parametrize("change", ["container=other.sif", "cells_per_job=30"])
def test_what_is_no_part_of_the_run_makes_nothing(smoke, change) -> None:
    assert due(smoke, change)[0] == {}


def test_a_folder_of_tasks_makes_nothing_anew_until_one_is_named(smoke, tmp_path) -> None:
    write_task(tmp_path / "halve.py", "sample.image // 2")
    assert due(smoke, f"tasks_dir={tmp_path}")[0].keys() == WRITTEN
    tasks = "segmentation, boundary, denoising_gaussian, deblurring, rotation, inversion, halve"
    rules, jobs = due(smoke, f"tasks_dir={tmp_path}", f"tasks=[{tasks}]")
    cells = {f"halve on {d}" for d in ("cell_light", "ct_dicom", "mr_diffusion", "us_stills")}
    assert made(rules) == {"make_pairs", "make_failures"}
    assert of(jobs, "pairs of ") == cells


def test_a_dataset_held_out_makes_no_pairs_anew_but_its_trajectories(smoke) -> None:
    rules, jobs = due(smoke, "heldout={datasets: [cell_light, us_stills]}")
    assert made(rules) == {"make_trajectories"}
    assert of(jobs, "trajectories of ") == {f"{len(LADDER)} tasks on us_stills"}
    assert "table_task_grid" not in rules
    assert rules["train"] == 2
    assert of(jobs, "embed with ") == {"pixels, seed 0", "taco, seed 0", "taco, seed 1"}


def test_a_task_held_out_makes_no_pairs_anew(smoke) -> None:
    rules, jobs = due(smoke, "heldout={tasks: [rotation]}")
    assert not made(rules)
    assert rules["train"] == 2
    # Roles are in the file; those of failures and trajectories do not go by the task.
    assert of(jobs, "embed with ") == {"pixels, seed 0", "taco, seed 0", "taco, seed 1"}
    # Whatever was embedded anew is read anew.
    assert of(jobs, "name the tasks of held-out pairs with ") == of(jobs, "embed with ")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("failures_per_cell=7", "failures"),
        ("trajectories_per_cell=3", "trajectories"),
        ("trajectory_levels=12", "trajectories"),
        ("trajectory_tasks=[noise_addition, super_resolution]", "trajectories"),
    ],
)
def test_failures_and_trajectories_train_nothing_anew(smoke, change, what) -> None:
    rules, jobs = due(smoke, change)
    assert made(rules) == {f"make_{what}"}
    assert len(of(jobs, f"{what} of ")) == 4
    assert rules["embed_set"] == 3
    assert not {"train", "embed", "predict", "table_identification"} & rules.keys()


@pytest.mark.parametrize(
    ("change", "trained"),
    [
        ("encoders={more: {like: taco, steps: 3}}", {"more, seed 0", "more, seed 1"}),
        ("encoders={pixels: null}", set()),
        ("seeds=[0, 1, 2]", {"taco, seed 2"}),
    ],
)
def test_an_encoder_or_seed_more_or_less_trains_no_other(smoke, change, trained) -> None:
    rules, jobs = due(smoke, change)
    assert not made(rules)
    assert not {"table_shortcuts", "table_task_grid"} & rules.keys()
    assert of(jobs, "train ") == of(jobs, "embed with ") == trained


def test_a_dataset_more_makes_its_own_cells(smoke) -> None:
    names = "ct_dicom, mr_diffusion, us_stills, cell_light, xr_chest"
    rules, jobs = due(smoke, f"datasets=[{names}]")
    assert of(jobs, "prepare ") == {"xr_chest"}
    for what in ("pairs of ", "failures of ", "trajectories of "):
        assert of(jobs, what)
        assert all(cell.endswith(" on xr_chest") for cell in of(jobs, what))
    assert rules["train"] == 2


def test_threads_of_torch_change_no_pixels(smoke) -> None:
    rules, jobs = due(smoke, "torch_threads=2")
    assert not made(rules)
    assert of(jobs, "embed with ") == of(jobs, "train ") == {"taco, seed 0", "taco, seed 1"}


def test_a_study_leaves_the_rest_alone(smoke) -> None:
    rules, _ = due(smoke, "unseen_tasks={encoders: [taco], folds: 2, steps: 2}")
    after = {"table_unseen_tasks", "table_summary", "figure_unseen_tasks", "figure_findings"}
    assert rules.keys() == WRITTEN | after | {"train_point", "embed_point", "metrics"}


def test_an_edited_task_of_ones_own_is_another_and_a_commented_one_is_not(tmp_path) -> None:
    file, codes = write_task(tmp_path / "mine.py", "sample.image // 2"), []
    text = file.read_text()
    for edited in (text, f"{text}# comment", text.replace("Mine", "Own"), text.replace("2", "3")):
        file.write_text(edited)
        codes.append(read_module(file).code)
    assert codes[0] == codes[1] == codes[2] != codes[3]
