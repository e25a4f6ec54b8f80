"""What surrounds the one call of every script of the workflow."""

import ast
import json
import os
import subprocess
import sys

import pytest

from medtaskatlas.core.files import REPOSITORY
from medtaskatlas.snakemake_ext.jobs import IDLE_THREADS

SCRIPTS = sorted((REPOSITORY / "workflow/scripts").glob("*.py"))
JOB = """
import json, os, sys
from types import SimpleNamespace
from medtaskatlas.snakemake_ext.jobs import job
loaded = [name for name in ("torch", "numpy", "sklearn", "cv2") if name in sys.modules]
with job(SimpleNamespace(threads=2, log=[sys.argv[1]], rule="train")):
    print(json.dumps({"loaded": loaded, "environment": dict(os.environ)}), flush=True)
    import torch
"""


def run(tmp_path, **environment) -> tuple[dict, str]:
    clean = {k: v for k, v in os.environ.items() if k not in IDLE_THREADS}
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(tmp_path / "job.log")],
        capture_output=True,
        text=True,
        check=True,
        env={**clean, "OMP_DISPLAY_ENV": "true", **environment},
    )
    return json.loads(done.stdout), done.stderr


def test_threads_of_a_job_sleep_while_they_wait(tmp_path) -> None:
    """Told to every library before one of them is loaded, as OpenMP itself says."""
    job, said = run(tmp_path)
    assert job["loaded"] == []
    assert IDLE_THREADS.items() <= job["environment"].items()
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said


def test_what_a_user_has_set_is_left(tmp_path) -> None:
    job, said = run(tmp_path, OMP_WAIT_POLICY="active")
    assert job["environment"]["OMP_WAIT_POLICY"] == "active"
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_does_all_its_work_inside_of_a_job(script) -> None:
    *imports, work = ast.parse(script.read_text()).body
    light = {"from pathlib import Path", "from medtaskatlas.snakemake_ext.jobs import job"}
    assert {ast.unparse(line) for line in imports} <= light
    assert ast.unparse(work).startswith("with job(snakemake):")
