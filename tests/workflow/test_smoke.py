"""The whole way, for real: from packaged images to tables, figures and report."""

import json
import shutil
import subprocess

import pandas as pd
import pytest

from medtaskatlas.atlas.registry import TABLES as REGISTRY
from medtaskatlas.atlas.run_page import run_page
from medtaskatlas.atlas.tables import read_table
from medtaskatlas.core.errors import DataError
from medtaskatlas.formats.images import ImageSet
from runs import command, due_jobs, files, of_project, project_copy, snakemake

# Those of a run without studies, multi-task systems and Medformer.
ABSENT = (
    *("unseen_tasks", "scaling", "multitask", "medformer", "medformer_pretexts"),
    *("transfer", "transfer_starts", "transfer_affinity", "transfer_graded", "transfer_measured"),
)
TABLES = [name for name, table in REGISTRY.items() if table.when not in ABSENT]


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_there_and_keep_their_schema(smoke, name) -> None:
    frame = read_table(smoke / "results" / "smoke" / "tables" / f"{name}.parquet", name)
    assert len(frame)
    assert (frame["run"] == "smoke").all()


def test_identification_says_how_it_was_measured(smoke) -> None:
    frame = read_table(smoke / "results/smoke/tables/identification.parquet", "identification")
    overall = frame[(frame["level"] == "overall") & (frame["measure"] == "balanced_accuracy")]
    assert {"taco", "pixels"} == set(overall["encoder"])
    assert {"groups", "datasets"} <= set(overall["split"])
    assert {"knn", "linear"} <= set(overall["method"])
    assert overall["estimate"].between(0, 1).all()
    assert (overall[["n_pairs", "n_images", "n_groups"]] > 0).all(axis=None)
    few = overall["ci_low"].isna()
    assert overall.loc[few, "note"].str.len().gt(0).all(), "no interval and no reason"


def test_no_group_and_no_picture_is_in_two_splits(smoke) -> None:
    for path in (smoke / "results/smoke/images").glob("*.arrow"):
        images = ImageSet(path)
        split = images.numpy("split")
        for key in ("group_id", "image_id"):
            assert pd.Series(split).groupby(images.numpy(key)).nunique().max() == 1, path
        pictures = pd.Series([image.tobytes() for image in images.images])
        assert pd.Series(split).groupby(pictures).nunique().max() == 1, path


def test_training_never_saw_what_is_held_out(smoke) -> None:
    for path in (smoke / "results/smoke/encoders").glob("*/*/config.json"):
        assert "cell_light" not in json.loads(path.read_text())["datasets"]


def test_figures_and_report(smoke) -> None:
    figures = smoke / "results/smoke/figures"
    names = {p.stem for p in figures.glob("*.png")}
    assert {"gallery", "atlas_map", "task_distances", "confusion", "identification"} <= names
    assert "shortcuts" in names
    assert {p.stem for p in figures.glob("*.svg")} >= names - {"contact_sheets"}
    report = (smoke / "results/smoke/report.html").read_text()
    assert "Findings" in report or "findings" in report


def test_what_a_run_showed_can_be_kept(smoke, tmp_path) -> None:
    run_page(smoke / "results/smoke", tmp_path / "smoke.md", command="snakemake --cores 2")
    page = (tmp_path / "smoke.md").read_text()
    for heading in ("Findings", "Identification", "Controls", "Datasets", "Cost"):
        assert f"## {heading}\n" in page
    assert "| make_pairs |" in page or "| pairs |" in page
    with pytest.raises(DataError, match="lacks the tables"):
        run_page(tmp_path, tmp_path / "none.md", command="")


def test_a_second_run_does_nothing(smoke) -> None:
    done = snakemake(smoke, "--cores", "2")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_one_job_or_two_make_the_same_bytes(smoke, tmp_path) -> None:
    snakemake(tmp_path, "--cores", "1", "pairs")
    for pattern in ("data/**/*", "results/smoke/images/*", "results/smoke/pairs/**/*.arrow"):
        alone, together = files(tmp_path, pattern), files(smoke, pattern)
        assert alone.keys() == together.keys()
        assert [k for k in alone if alone[k] != together[k]] == []


def test_an_edit_of_a_helper_reruns_its_users_only(smoke, tmp_path) -> None:
    """In a copy of the repository, against the finished run."""
    project_copy(tmp_path)
    helper = tmp_path / "workflow/medtaskatlas/tasks/transformation.py"
    helper.write_text(helper.read_text() + "\nEDITED = 1\n")
    arguments = ("pairs", "--dry-run", "--quiet", "rules", "--rerun-triggers", "params")
    done = subprocess.run(
        command(smoke, *arguments, snakefile=tmp_path / "Snakefile"),
        capture_output=True,
        text=True,
        check=True,
        env=of_project(tmp_path),
    )
    due = due_jobs(done.stdout)
    # rotation and inversion on four datasets
    assert due["make_pairs"] == 8, done.stdout
    assert not {"download", "prepare"} & due.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tasks=[rotatoin]"], "did you mean rotation"),
        (["encoders={taco: {stepz: 3}}"], "did you mean steps"),
    ],
)
def test_mistakes_in_the_configuration_stop_before_the_dag(tmp_path, arguments, words) -> None:
    done = snakemake(tmp_path, "--dry-run", "--config", *arguments, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert words in text
    assert "Traceback" not in text
    assert not (tmp_path / "results").exists()


def test_a_damaged_file_is_named_in_the_output(smoke, tmp_path) -> None:
    shutil.copytree(smoke, tmp_path / "run", symlinks=True)
    folder = tmp_path / "run"
    broken = folder / "results/smoke/images/ct_dicom.arrow"
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    done = snakemake(
        folder, "--cores", "1", "results/smoke/pairs/main/rotation/ct_dicom.arrow", check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "ct_dicom.arrow is damaged or truncated" in text
    assert "remedy: delete" in text
