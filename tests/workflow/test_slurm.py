"""The workflow on a real Slurm of one node: started, killed, put back, and the same tables."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from runs import REPOSITORY, command, snakemake

pytestmark = pytest.mark.system

CLUSTER = REPOSITORY / "slurm" / "local-cluster.sh"
# Seconds that the whole run may take on a machine that is busy with other things.
PATIENCE = 1500
CORES = min(2, os.cpu_count() or 1)


def why_not() -> str | None:
    """Why there can be no cluster here."""
    if os.geteuid() != 0:
        return "only root can start a Slurm"
    path = os.environ["PATH"] + ":/usr/sbin"
    missing = [p for p in ("slurmctld", "slurmd", "munged") if not shutil.which(p, path=path)]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)"
    return None


NO_CLUSTER = why_not()
needs_cluster = pytest.mark.skipif(NO_CLUSTER is not None, reason=NO_CLUSTER or "")


def control(word: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["sh", str(CLUSTER), word], capture_output=True, text=True, check=False, timeout=90
    )


@pytest.fixture(scope="module")
def cluster():
    """A running cluster; one that was there before stays."""
    was_there = control("status").returncode == 0
    started = control("start")
    if started.returncode:
        pytest.skip(f"the cluster does not start: {started.stderr}")
    yield
    if not was_there:
        control("stop")


def queue(folder) -> list[tuple[str, str, str]]:
    """(job, rule, state) of the jobs of a folder that wait or run."""
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%i|%k|%T|%Z"], capture_output=True, text=True, check=True
    )
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if row[3] == str(folder)]


def strike(process, folder, rule: str, blow: list[str]) -> str:
    """Wait for a running job of a rule, and give it a blow; its number."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        for job, comment, state in queue(folder):
            if state == "RUNNING" and comment.startswith(f"rule_{rule}"):
                # Into its work, not only into its start.
                time.sleep(2)
                subprocess.run([*blow, job], capture_output=True, check=False)
                return job
        time.sleep(0.2)
    raise AssertionError(f"no job of {rule} was seen:\n{process.communicate()[0]}")


def assert_same_tables(folder, other) -> None:
    ours, theirs = (f / "results/smoke/tables" for f in (folder, other))
    names = sorted(path.name for path in theirs.glob("*.parquet"))
    assert names == sorted(path.name for path in ours.glob("*.parquet"))
    for name in names:
        pd.testing.assert_frame_equal(
            pd.read_parquet(ours / name), pd.read_parquet(theirs / name), check_exact=True
        )


@needs_cluster
def test_tables_are_those_of_a_local_run_though_jobs_are_killed(smoke, cluster, tmp_path) -> None:
    # Snakemake's own words go to a file: a full pipe would stop it.
    log = tmp_path / "log.txt"
    folder = tmp_path / "run"
    folder.mkdir()
    arguments = command(
        *(folder, "tables", "--profile", REPOSITORY / "slurm"),
        # The profile's are meant for jobs of minutes.
        *("--seconds-between-status-checks", "1", "--latency-wait", "10"),
    )
    with log.open("w") as told:
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=told, stderr=subprocess.STDOUT, text=True
        )
        try:
            strike(process, folder, "make_pairs", ["scontrol", "requeue"])
            cancelled = strike(process, folder, "train", ["scancel"])
            process.wait(PATIENCE)
        finally:
            process.terminate()
            process.wait()
    text = log.read_text()
    assert process.returncode == 0, text[-5000:]
    assert f"'{cancelled}' failed, SLURM status is: 'CANCELLED'" in text
    assert "Trying to restart job" in text
    assert_same_tables(folder, smoke)
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("*.kept"))
    # At home again: nothing is left to do but what needs no cluster.
    again = subprocess.run(
        command(folder, "tables", "--cores", "2", "--dry-run"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing to be done" in again.stdout + again.stderr


def test_minutes_of_a_training_make_nothing_anew(smoke) -> None:
    done = snakemake(smoke, "--cores", "2", "--dry-run", "--config", "train_minutes=99")
    assert "Nothing to be done" in done.stdout + done.stderr


def facts_of(job: str) -> dict[str, str]:
    """What Slurm says of a job."""
    done = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    )
    return dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)


@needs_cluster
def test_a_run_in_one_job_goes_on_after_its_wall_clock_limit(smoke, cluster, tmp_path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    log = tmp_path / "log.txt"
    _python, _m, _snakemake, *arguments = command(folder, "tables")
    job = subprocess.run(
        [
            *("sbatch", "--parsable", f"--output={log}", f"--cpus-per-task={CORES}", "--mem=0"),
            *(str(REPOSITORY / "slurm" / "one-job.sh"), *arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    ).stdout.strip()
    deadline = time.monotonic() + PATIENCE
    limit_sent = False
    while time.monotonic() < deadline:
        # Slurm sends this some minutes before the limit; here, when a training has begun.
        if not limit_sent and list(folder.glob("results/smoke/logs/train/**/*.log")):
            signal = ["scancel", "--batch", "--signal=USR1", job]
            subprocess.run(signal, capture_output=True, check=True)
            limit_sent = True
        if facts_of(job)["JobState"] in ("COMPLETED", "FAILED", "CANCELLED"):
            break
        time.sleep(0.2)
    text = log.read_text()
    facts = facts_of(job)
    assert facts["JobState"] == "COMPLETED", text[-5000:]
    assert facts["Restarts"] == "1", text[-5000:]
    assert "put back, to go on" in text
    assert_same_tables(folder, smoke)


@needs_cluster
def test_starting_twice_is_starting_once(cluster) -> None:
    again = control("start")
    assert again.returncode == 0
    assert again.stdout.strip() == "running already"


def test_who_may_not_start_it_is_told_why(tmp_path) -> None:
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid", "65534", "--clear-groups", "sh", str(CLUSTER), "start"]
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is missing")
    else:
        words = ["sh", str(CLUSTER), "start"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    if "Permission denied" in done.stderr:
        pytest.skip("the repository cannot be read by others")
    assert done.returncode == 1
    assert "only root can start and stop a cluster" in done.stderr


def test_usage(tmp_path) -> None:
    done = control("restart")
    assert done.returncode == 2
    assert "start|stop|status" in done.stderr


@pytest.mark.parametrize("layered", [False, True])
def test_a_profile_of_the_users_own_is_layered_by_its_path(tmp_path, layered) -> None:
    """The repository's wins by name, from the root; the user's is named behind it."""
    own = tmp_path / "config" / "snakemake" / "slurm"
    own.mkdir(parents=True)
    (own / "config.yaml").write_text("executor: local\ncores: 3\n")
    done = subprocess.run(
        [
            *command(tmp_path / "run", "pairs", "--dry-run", "--quiet", "rules"),
            *("--profile", "slurm"),
            *(["--profile", str(own)] if layered else []),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")},
    )
    used = [line for line in done.stderr.splitlines() if line.startswith("Using profile")]
    assert used[0].startswith("Using profiles slurm and " if layered else "Using profile slurm ")
    assert "make_pairs_batch" in done.stdout, "what the user's does not say is kept"
    assert (str(own) in used[0]) == layered
