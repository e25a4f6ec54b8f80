"""One change of a finished run each: what would run again, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runs import snakemake

LADDER = ["deblurring", "denoising_gaussian", "inversion", "rotation"]
MINE = """
from medtaskatlas.tasks.task import no_params, task

@task(family="transformation", draw=no_params)
def halve(sample, params):
    "Halve grey levels."
    return sample.image, sample.image // 2
"""
JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)


def due(
    folder: Path, *changes: str, target: str = "all", check: bool = True
) -> dict[str, list[str]]:
    """Rule to the first outputs of its jobs that a dry run would make."""
    config = ("--config", *changes) if changes else ()
    done = snakemake(folder, target, "--dry-run", "--cores", "2", *config, check=check)
    found: dict[str, list[str]] = {}
    for rule, about in JOB.findall(done.stdout + done.stderr):
        if rule != "all":
            output = re.search(r"output: ([^,\n]+)", about)
            found.setdefault(rule, []).append(output[1] if output else "")
    return {rule: sorted(set(outputs)) for rule, outputs in found.items()}


def pairs(set_name: str, *cells: tuple[str, str]) -> list[str]:
    return sorted(f"results/smoke/pairs/{set_name}/{t}/{d}.arrow" for t, d in cells)


# What every change of the configuration is written down by.
WRITTEN = {"run_config", "report"}


@pytest.mark.parametrize("change", ["mirror=none", "licences=[CC0-1.0, CC-BY-4.0, MIT]"])
def test_what_changes_no_result_makes_none(smoke, change) -> None:
    if change.startswith("licences"):
        change = "licences=[" + ", ".join(_licences()) + "]"
    assert due(smoke, change).keys() == WRITTEN


def _licences() -> list[str]:
    from medtaskatlas.datasets.catalogue import load_catalogue

    return sorted({part for d in load_catalogue().values() for part in d.licence.split(" AND ")})


@pytest.mark.parametrize("change", ["container=other.sif", "cells_per_job=30"])
def test_what_is_no_part_of_the_run_makes_nothing(smoke, change) -> None:
    assert due(smoke, change) == {}


def test_a_folder_of_tasks_makes_nothing_anew_until_one_is_named(smoke, tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    assert due(smoke, f"tasks_dir={tmp_path}").keys() == WRITTEN
    tasks = (
        "tasks=[segmentation, boundary, denoising_gaussian, deblurring, rotation, inversion, halve]"
    )
    found = due(smoke, f"tasks_dir={tmp_path}", tasks)
    datasets = ("cell_light", "ct_dicom", "mr_diffusion", "us_stills")
    cells = [("halve", dataset) for dataset in datasets]
    assert found["make_pairs"] == pairs("main", *cells)
    assert found["make_failures"] == pairs("failure", *cells)
    assert "make_trajectories" not in found
    assert not {"download", "prepare"} & found.keys()


def test_a_dataset_held_out_makes_no_pairs_anew_but_its_trajectories(smoke) -> None:
    found = due(smoke, "heldout={datasets: [cell_light, us_stills]}")
    assert not {"make_pairs", "make_failures", "prepare", "table_task_grid"} & found.keys()
    cells = [(task, "us_stills") for task in [*LADDER, "noise_addition"]]
    assert set(found["make_trajectories"]) <= set(pairs("trajectory", *cells))
    assert found["make_trajectories"]
    assert len(found["train"]) == 2
    assert found["embed"] == [f"results/smoke/embeddings/taco/seed{k}.parquet" for k in (0, 1)]


def test_a_task_held_out_makes_no_pairs_anew(smoke) -> None:
    found = due(smoke, "heldout={tasks: [rotation]}")
    assert not {r for r in found if r.startswith("make_")} | ({"prepare"} & found.keys())
    assert len(found["train"]) == len(found["embed"]) == 2


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("failures_per_cell=7", {"make_failures"}),
        ("trajectories_per_cell=3", {"make_trajectories"}),
        ("trajectory_levels=12", {"make_trajectories"}),
        ("trajectory_tasks=[noise_addition, super_resolution]", {"make_trajectories"}),
    ],
)
def test_failures_and_trajectories_train_nothing_anew(smoke, change, made) -> None:
    found = due(smoke, change)
    assert {rule for rule in found if rule.startswith("make_")} == made
    assert not {"prepare", "train", "embed", "predict", "table_identification"} & found.keys()
    assert "embed_set" in found


def test_an_encoder_more_or_less_trains_no_other(smoke) -> None:
    more = due(smoke, "encoders={random: {backbone: resnet10, width: 8}}")
    assert all("/random/" in path for rule in ("train", "embed") for path in more[rule])
    less = due(smoke, "encoders={pixels: null}")
    for found in (more, less):
        assert not {r for r in found if r.startswith("make_")} | ({"prepare"} & found.keys())
        assert not {"table_shortcuts", "table_task_grid"} & found.keys()
    assert not {"train", "embed", "embed_set", "predict"} & less.keys()


def test_a_seed_more_trains_that_one(smoke) -> None:
    found = due(smoke, "seeds=[0, 1, 2]")
    assert not {r for r in found if r.startswith("make_")}
    assert found["embed"] == ["results/smoke/embeddings/taco/seed2.parquet"]
    assert all("seed2" in path for path in found["train"])


def test_a_dataset_more_makes_its_own_cells(smoke) -> None:
    found = due(smoke, "datasets=[ct_dicom, mr_diffusion, us_stills, cell_light, xr_chest]")
    assert found["prepare"] == ["results/smoke/images/xr_chest.arrow"]
    assert all(path.endswith("/xr_chest.arrow") for path in found["make_pairs"])
    assert all(path.endswith("/xr_chest.arrow") for path in found["make_trajectories"])
    assert len(found["train"]) == 2


def test_threads_of_torch_change_no_pixels(smoke) -> None:
    found = due(smoke, "torch_threads=2")
    assert all("/taco/" in path for path in found["embed"])
    assert not {r for r in found if r.startswith("make_")}


def test_a_study_leaves_the_rest_alone(smoke) -> None:
    found = due(smoke, "unseen_tasks={encoders: [taco], folds: 2, steps: 2}")
    after = {"table_unseen_tasks", "table_summary", "figure_unseen_tasks", "figure_findings"}
    assert found.keys() == WRITTEN | after | {"train_point", "embed_point", "metrics"}


def test_an_edited_task_of_ones_own_makes_its_cells_and_a_comment_none(smoke, tmp_path) -> None:
    from medtaskatlas.modules import read_module

    file = tmp_path / "mine.py"
    codes = []
    for text in (
        MINE,
        MINE + "# a comment\n",
        MINE.replace("Halve", "Half"),
        MINE.replace("2", "3"),
    ):
        file.write_text(text)
        codes.append(read_module(file).code)
    assert codes[0] == codes[1] == codes[2] != codes[3]
