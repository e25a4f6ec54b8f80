"""Jobs in a container: what Apptainer is asked for, played by a script that runs it outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.snakemake_ext.startup import enter_container
from runs import command

pytestmark = pytest.mark.system

# Runs what would be run in the image, with the environment that Apptainer would hand on.
APPTAINER = """#!/bin/sh
if [ "$1" = --version ]; then echo apptainer version 1.3.6; exit; fi
echo "$@" >> "$ASKED"
while [ "$1" != IMAGE ]; do shift; done
shift
PYTHONPATH=$APPTAINERENV_PYTHONPATH exec "$@"
"""
TARGET = "results/smoke/config.json"


def apptainer(folder, image):
    """Make one small file with --sdm apptainer."""
    tool = folder / "bin" / "apptainer"
    tool.parent.mkdir()
    tool.write_text(APPTAINER.replace("IMAGE", str(image)))
    tool.chmod(0o755)
    # As in the image, `python` is one that has the packages.
    path = os.pathsep.join([str(tool.parent), f"{sys.prefix}/bin", os.environ["PATH"]])
    return subprocess.run(
        command(
            folder,
            *(TARGET, "--cores", "1", "--sdm", "apptainer"),
            *("--config", f"container={image}"),
        ),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path, "ASKED": str(folder / "asked")},
    )


def test_a_job_runs_in_the_image_with_the_code_of_the_checkout(tmp_path) -> None:
    image = tmp_path / "atlas.sif"
    image.touch()
    done = apptainer(tmp_path, image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / TARGET).read_text())["run"] == "smoke"
    [asked] = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith("exec")
    assert f" {image} " in asked


def test_an_image_that_is_not_there(tmp_path) -> None:
    done = apptainer(tmp_path, tmp_path / "none.sif")
    assert done.returncode != 0
    assert "runs jobs in" in done.stderr
    assert "remedy: build it (docs/containers.md)" in done.stderr
    assert not (tmp_path / "asked").exists()


def test_the_code_of_the_checkout_is_handed_on(tmp_path, monkeypatch) -> None:
    for name in ("APPTAINERENV_PYTHONPATH", "SINGULARITYENV_PYTHONPATH"):
        monkeypatch.setenv(name, "before")
    enter_container("docker://medtaskatlas")
    assert os.environ["APPTAINERENV_PYTHONPATH"] == str(REPOSITORY / "workflow")
    assert os.environ["SINGULARITYENV_PYTHONPATH"] == str(REPOSITORY / "workflow")
    with pytest.raises(ConfigError, match=r"no such file"):
        enter_container(str(tmp_path / "none.sif"))
