"""Which command answers what became of a job, and how often it is asked."""

import os
from types import SimpleNamespace

import pytest

from medtaskatlas.snakemake_ext.patches import poll_steadily
from medtaskatlas.snakemake_ext.slurm import (
    SHORTEST_MEMORY,
    has_gpus,
    min_job_age,
    status_command,
)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands of a cluster: name to script."""

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            file = tmp_path / name
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")

    return make


def config(age: int) -> str:
    return f"echo 'MessageTimeout = 10 sec'; echo 'MinJobAge               = {age} sec'"


def test_accounts_are_asked_where_they_are_kept(cluster, capsys) -> None:
    cluster(sacct="exit 0", scontrol=config(2))
    assert status_command() == "sacct"
    assert capsys.readouterr().err == ""


def test_the_queue_is_asked_where_sacct_is_there_and_fails(cluster, capsys) -> None:
    cluster(sacct="echo Slurm accounting storage is disabled >&2; exit 1", scontrol=config(300))
    assert status_command() == "squeue"
    assert capsys.readouterr().err == ""


def test_a_forgetful_queue_is_said(cluster, capsys) -> None:
    cluster(sacct="exit 1", scontrol=config(SHORTEST_MEMORY - 1))
    assert status_command() == "squeue"
    said = capsys.readouterr().err
    assert f"forgets ended jobs after {SHORTEST_MEMORY - 1} s" in said
    assert "remedy: ask for MinJobAge=300" in said


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo '(null)'; echo '(null)'", False),
        ("echo '(null)'; echo 'gpu:a100:4(S:0-1)'", True),
        ("echo 'shard:4,gpu:1'", True),
        ("exit 1", True),
    ],
)
def test_gpus_are_asked_for_where_a_node_has_one(cluster, capsys, script, found) -> None:
    cluster(sinfo=script)
    assert has_gpus() == found
    assert ("training on CPUs" in capsys.readouterr().err) == (not found)


def test_a_laptop_without_slurm_can_read_the_profile(cluster) -> None:
    cluster()
    assert status_command() == "squeue"
    assert min_job_age("") is None


def test_the_pinned_executor_looks_as_often_as_it_is_told() -> None:
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    poll_steadily(plugin)
    settings = SimpleNamespace(seconds_between_status_checks=7)
    executor = object.__new__(plugin.Executor)
    executor.workflow = SimpleNamespace(remote_execution_settings=settings)
    executor.next_seconds_between_status_checks = 90
    assert executor.next_seconds_between_status_checks == 7


def test_another_executor_is_left_alone() -> None:
    poll_steadily(None)
    other = SimpleNamespace(Executor=type("Executor", (), {}))
    poll_steadily(other)
    assert not hasattr(other.Executor, "next_seconds_between_status_checks")
