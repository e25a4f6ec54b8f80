"""SIGKILL at any moment: nothing half is ever taken for whole, and the next call goes on.

Single stages are killed in processes of their own (unit_stages.py), the whole workflow as a user's
night ends: by a scheduler that kills all of it, or by a machine that kills Snakemake alone.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image
from unit_stages import INTERVAL, STAGES

from medtaskatlas.formats.arrow import ArrowFile
from medtaskatlas.learning.checkpoint import load_tensors
from runs import command, snakemake

pytestmark = pytest.mark.system

READERS = {
    ".arrow": ArrowFile,
    ".parquet": pq.read_table,
    ".safetensors": load_tensors,
    ".json": lambda path: json.loads(path.read_text()),
    ".png": lambda path: Image.open(path).load(),
    ".svg": ET.parse,
}


def final(folder: Path) -> list[Path]:
    """Files under the names that others look for."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]


def assert_readable(folder: Path) -> None:
    for path in final(folder):
        try:
            READERS.get(path.suffix, Path.read_bytes)(path)
        except Exception:
            # Jobs that outlive their Snakemake may take something away meanwhile.
            if path.exists():
                raise


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in final(folder)}


def left_over(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


class Nursery:
    """Where stages run and die."""

    def __init__(self, smoke: Path) -> None:
        script = Path(__file__).with_name("unit_stages.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(smoke)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def live(self, stage: str, out: Path, **order) -> dict:
        self.process.stdin.write(json.dumps({"stage": stage, "out": str(out), **order}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["failed"]:
            raise AssertionError(self.process.stderr.readline())
        return answer


@pytest.fixture(scope="module")
def nursery(smoke):
    nursery = Nursery(smoke)
    yield nursery
    nursery.process.kill()
    nursery.process.communicate()


@pytest.fixture(scope="module")
def unbroken(nursery, tmp_path_factory) -> dict[str, tuple[dict[str, bytes], float]]:
    """What every stage makes when it is left alone, and how long it takes."""
    made = {}
    for stage in STAGES:
        out = tmp_path_factory.mktemp(stage)
        seconds = nursery.live(stage, out)["seconds"]
        made[stage] = content(out), seconds
        assert made[stage][0], stage
        assert_readable(out)
    return made


def test_thirty_kills_of_single_stages(nursery, unbroken, tmp_path) -> None:
    rng = random.Random(0)
    stages = [*STAGES, *STAGES, *STAGES, *rng.sample([*STAGES], 6)]
    assert len(stages) == 30
    for number, stage in enumerate(stages):
        files, seconds = unbroken[stage]
        after = rng.uniform(0, seconds)
        for attempt in count():
            out = tmp_path / f"{number}-{attempt}"
            if nursery.live(stage, out, kill_after=after)["killed"]:
                break
            # The machine was busy with something else when the time was taken.
            after /= 2
        assert_readable(out)
        assert not nursery.live(stage, out)["killed"]
        assert content(out) == files, f"{stage}, killed after {after} s"
        assert not left_over(out), stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_before_the_last_moment_leaves_no_final_name(nursery, unbroken, tmp_path, stage):
    """The file is whole and has its temporary name still."""
    files, _ = unbroken[stage]
    assert nursery.live(stage, tmp_path, kill_at="rename")["killed"]
    assert not final(tmp_path)
    assert len(left_over(tmp_path)) == 1
    assert not nursery.live(stage, tmp_path)["killed"]
    assert content(tmp_path) == files
    assert not left_over(tmp_path)


def test_a_kill_amid_a_checkpoint_leaves_the_one_before(nursery, unbroken, tmp_path) -> None:
    files, _ = unbroken["train"]
    options = {"interval": 1e-9}
    assert nursery.live("train", tmp_path, kill_at="save", options=options)["killed"]
    checkpoint = tmp_path / "checkpoints" / "seed0.safetensors"
    assert final(tmp_path) == [checkpoint]
    load_tensors(checkpoint)
    assert len(left_over(tmp_path)) == 1
    # The next one clears up before its own first checkpoint.
    steps = tmp_path.with_name("steps")
    assert nursery.live("train", tmp_path, kill_at=2, steps=str(steps))["killed"]
    assert not left_over(tmp_path)
    nursery.live("train", tmp_path)
    assert content(tmp_path) == files


@pytest.mark.parametrize("last", [9, 23, 41])
def test_a_killed_training_loses_one_checkpoint_interval_at_most(
    nursery, unbroken, tmp_path, last
) -> None:
    files, _ = unbroken["train"]
    out = tmp_path / "out"
    first, second = tmp_path / "first", tmp_path / "second"
    assert nursery.live("train", out, kill_at=last, steps=str(first))["killed"]
    taken = [float(line.split()[1]) for line in first.read_text().splitlines()]
    assert len(taken) == last
    kept = 0
    if final(out):
        tensors, _ = load_tensors(out / "checkpoints" / "seed0.safetensors")
        kept = len(tensors["history.losses"])
    # It is written after the first step that ends beyond the interval, which takes some time too.
    longest = max(b - a for a, b in pairwise(taken))
    assert taken[-1] - taken[max(kept - 1, 0)] < INTERVAL + 2 * longest
    nursery.live("train", out, steps=str(second))
    assert second.read_text().split(maxsplit=1)[0] == str(kept + 1)
    assert content(out) == files


# What is sent, and to whom: to all processes as by a scheduler, or to Snakemake alone.
KILL_ALL = (signal.SIGKILL, True)
KILL_ONE = (signal.SIGKILL, False)
TERM_ALL = (signal.SIGTERM, True)


def progress(folder: Path) -> int:
    """How much of a run is made, in files that the tables need."""
    return sum(path.suffix in (".arrow", ".parquet", ".safetensors") for path in final(folder))


def outlive(folder: Path, shares: list[float], ways: list[tuple[int, bool]], whole: Path) -> None:
    """Kill a smoke run again and again, each time when a share of its files is made."""
    expected = progress(whole / "results")
    groups = []
    try:
        for share, (number, everyone) in zip(sorted(shares), ways, strict=True):
            process = subprocess.Popen(
                command(folder, "--cores", "2", "tables"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            groups.append(process.pid)
            deadline = time.monotonic() + 600
            while progress(folder / "results") < share * expected and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert process.poll() is None, "it ended before it was killed"
            (os.killpg if everyone else os.kill)(process.pid, number)
            process.wait(120)
            assert process.returncode
            assert_readable(folder / "results")
        snakemake(folder, "--cores", "2", "tables")
    finally:
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert_readable(folder / "results")
    for table in (whole / "results/smoke/tables").glob("*.parquet"):
        again = folder / "results/smoke/tables" / table.name
        pd.testing.assert_frame_equal(
            pd.read_parquet(table), pd.read_parquet(again), check_exact=True
        )
    assert not list(folder.rglob("*.tmp"))


@pytest.fixture
def lock_of_gpu(tmp_path_factory, monkeypatch) -> Path:
    """A machine whose driver tells of one GPU, which all trainings want; the file of its lock."""
    place = tmp_path_factory.mktemp("gpu")
    tool = place / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: made up (UUID: GPU-0)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(place))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return place / "medtaskatlas-gpus" / "GPU-0.lock"


def test_three_kills_of_the_whole_run(smoke, tmp_path, lock_of_gpu) -> None:
    rng = random.Random(1)
    shares = [rng.uniform(low, low + 0.2) for low in (0.05, 0.4, 0.75)]
    outlive(tmp_path, shares, [KILL_ALL, KILL_ONE, KILL_ALL], smoke)
    assert lock_of_gpu.is_file(), "no job asked for a GPU"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_thirty_kills_of_the_whole_run(smoke, tmp_path, lock_of_gpu, seed) -> None:
    """Five in each of six runs, and a polite request to stop."""
    rng = random.Random(100 + seed)
    ways = [TERM_ALL, *(rng.choice([KILL_ALL, KILL_ONE]) for _ in range(5))]
    rng.shuffle(ways)
    outlive(tmp_path, [rng.uniform(0.0, 0.97) for _ in ways], ways, smoke)


def test_a_training_that_is_asked_to_stop_goes_on_when_it_is_tried_again(smoke, tmp_path) -> None:
    """As a scheduler asks it before it takes the node away; Snakemake sends the job again."""
    for part in ("data", "results", ".snakemake/metadata"):
        shutil.copytree(smoke / part, tmp_path / part)
    model = "results/smoke/encoders/taco/seed0/model.safetensors"
    options = "encoders={taco: {steps: 60, checkpoint_seconds: 0.1}}"
    process = subprocess.Popen(
        command(tmp_path, model, "--cores", "1", "--retries", "1", "--config", options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    checkpoint = tmp_path / "results/smoke/checkpoints/taco/seed0.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (job,) = (
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.name().startswith("python") and child.cmdline()[-1].endswith("train.py")
    )
    job.send_signal(signal.SIGTERM)
    psutil.wait_procs([job], timeout=60)
    tensors, _ = load_tensors(checkpoint)
    done = len(tensors["history.losses"])
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert "Trying to restart job" in told
    losses = pq.read_table((tmp_path / model).with_name("history.parquet"))["loss"].to_numpy()
    assert 0 < done < len(losses) == 60
    assert (losses[:done] == tensors["history.losses"].numpy()).all()
    assert not checkpoint.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_snakemake_alone_ends_its_jobs(smoke, tmp_path, number) -> None:
    """Two trainings without an end; a terminal would send Ctrl-C to them as well."""
    for part in ("data", "results", ".snakemake/metadata"):
        shutil.copytree(smoke / part, tmp_path / part)
    models = [f"results/smoke/encoders/taco/seed{seed}/model.safetensors" for seed in (0, 1)]
    options = "encoders={taco: {steps: 1000000, checkpoint_seconds: 0.1}}"
    process = subprocess.Popen(
        command(tmp_path, *models, "--cores", "2", "--config", options, "seeds=[0, 1]"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Tests that run in the background ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    places = [
        tmp_path / f"results/smoke/checkpoints/taco/seed{seed}.safetensors" for seed in (0, 1)
    ]
    try:
        deadline = time.monotonic() + 120
        while not all(place.exists() for place in places):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        jobs = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        told, _ = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode, told
    assert "the same command goes on" in told
    assert not [job for job in jobs if job.is_running()], told
    assert_readable(tmp_path / "results")
    assert not left_over(tmp_path / "results")
