"""A Snakemake that was killed hard stands in nobody's way; one that runs does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medtaskatlas.core.errors import DataError
from medtaskatlas.snakemake_ext.startup import check_writable, mark_running

pytestmark = pytest.mark.system

SNAKEFILE = """
from medtaskatlas.snakemake_ext.startup import mark_running

if workflow.is_main_process:
    RUNNING = mark_running()

rule slow:
    output: "out.txt"
    shell: "touch begun; while [ -e wait ]; do sleep 0.05; done; echo done > {output}"
"""


def start(folder: Path) -> subprocess.Popen:
    (folder / "Snakefile").write_text(SNAKEFILE)
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def running(tmp_path):
    """A Snakemake whose job runs as long as the file `wait` is there."""
    (tmp_path / "wait").touch()
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline, process.communicate()
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_after_sigkill_the_next_call_goes_on_by_itself(running, tmp_path) -> None:
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(10)
    assert list((tmp_path / ".snakemake/locks").glob("*.lock")), "nothing to take away"
    (tmp_path / "wait").unlink()
    process = start(tmp_path)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert (tmp_path / "out.txt").read_text() == "done\n"


def test_a_second_one_stops_and_leaves_the_first_in_peace(running, tmp_path) -> None:
    second = start(tmp_path)
    told, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "Directory cannot be locked" in told
    assert "no other Snakemake process is trying to create the same files" in told
    (tmp_path / "wait").unlink()
    told, _ = running.communicate(timeout=60)
    assert running.returncode == 0, told
    assert (tmp_path / "out.txt").read_text() == "done\n"


@pytest.mark.parametrize("owner", ["", "here", "elsewhere"])
def test_locks_of_another_machine_are_left_alone(tmp_path, monkeypatch, owner) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "0.output.lock").touch()
    (tmp_path / "alive").write_text(owner)
    for _ in range(2):
        alive = mark_running(tmp_path)
        assert alive is not None
        alive.close()
        assert list(locks.glob("*.lock")) == ([locks / "0.output.lock"] * (owner == "elsewhere"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / ".snakemake"
    for ask in (mark_running, check_writable):
        with pytest.raises(DataError, match=rf"cannot write {folder}: Not a directory\n  remedy: "):
            ask(folder)


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path) -> None:
    check_writable(tmp_path / "results" / "run")
    assert list(tmp_path.rglob("*")) == [tmp_path / "results", tmp_path / "results" / "run"]
