"""The command line lists what there is."""

import os
import subprocess
import sys

from typer.testing import CliRunner

from folders import flat
from generated import write_dataset
from medtaskatlas.cli import app

run = CliRunner().invoke


def test_help_names_the_commands() -> None:
    text = run(app, ["--help"]).output
    assert "datasets" in text
    assert "tasks" in text


def test_datasets_are_listed_and_filtered(tmp_path) -> None:
    (tmp_path / "embedded" / "xr_leg").mkdir(parents=True)
    (tmp_path / "embedded" / "xr_leg" / "MANIFEST.json").write_text("[]")
    lines = run(app, ["datasets", "--modality", "XR", "--data", str(tmp_path)]).output.splitlines()
    fetched = {line.split()[0]: " yes " in line for line in lines[1:]}
    assert {"xr_chest", "xr_leg", "chestmnist"} <= set(fetched)
    assert [name for name, there in fetched.items() if there] == ["xr_leg"]


def test_names_beyond_ascii_need_no_locale(tmp_path):
    """LC_ALL=C and PYTHONUTF8=0, as some clusters set them."""
    root = flat(tmp_path / "größe", n=1, name="groesse", title="Größe", modality="XR")
    (root / "images" / "a0.png").rename(root / "images" / "ä.png")
    medtaskatlas = [sys.executable, "-c", "from medtaskatlas.cli import main; main()"]
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in (["check", str(root)], ["--datasets-dir", str(root)]):
        done = subprocess.run(
            [*medtaskatlas, "datasets", *arguments],
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            check=True,
        )
        assert "größe" in done.stdout.decode() or "Größe" in done.stdout.decode()
        assert not done.stderr


def test_tasks_are_listed() -> None:
    output = run(app, ["tasks"]).output
    assert len(output.splitlines()) >= 31
    assert "0 to 90" in output


def test_targets_of_entries_and_of_prepared_images_are_listed(tmp_path) -> None:
    output = run(app, ["targets", "--dataset", "retinamnist"]).output
    assert output.splitlines()[1].split()[:4] == ["retinamnist", "label", "ordinal", "1,600"]
    assert "denoising_gaussian" in output
    (tmp_path / "images").mkdir()
    write_dataset(tmp_path / "images" / "brain.arrow", n=12, groups=6)
    lines = run(app, ["targets", str(tmp_path)]).output.splitlines()
    assert ["brain", "mask", "segmentation", "12", "6"] in [line.split()[:5] for line in lines]


def test_errors_come_without_a_traceback(tmp_path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from medtaskatlas.cli import main; main()",
            "tasks",
            "--tasks-dir",
            str(tmp_path / "none"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is no folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pairs_job_imports_nothing_heavy() -> None:
    code = (
        "import sys; import medtaskatlas.snakemake_ext.jobs;"
        "import medtaskatlas.pairs.sets, medtaskatlas.tasks.bank;"
        "print([m for m in ('torch', 'monai', 'pandas', 'pandera', 'pydantic', 'sklearn')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
