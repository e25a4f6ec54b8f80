"""GPUs are handed out once, to real processes over a list of made-up devices."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from medtaskatlas.core.code_hash import PACKAGE
from medtaskatlas.core.errors import ConfigError, DataError
from medtaskatlas.encoders.kinds import encoder_of
from medtaskatlas.snakemake_ext import gpus
from medtaskatlas.snakemake_ext.gpus import gpus_to_train, reserve_gpus, visible_gpus

# Holds GPUs for a while and tells which, from when to when; the clock is that of the machine.
HOLD = """
import json, os, sys, time
from pathlib import Path
from medtaskatlas.snakemake_ext.gpus import reserve_gpus
number, seconds, folder, devices = json.loads(sys.argv[1])
with reserve_gpus(number, listed=lambda: devices, folder=Path(folder)) as mine:
    begin = time.monotonic()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(mine)
    print(json.dumps([mine, begin]), flush=True)
    time.sleep(seconds)
    print(json.dumps(time.monotonic()), flush=True)
"""


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch) -> None:
    """As on a machine without scheduler and without a choice of devices."""
    for name in (gpus.VISIBLE, *gpus._SCOPES):
        monkeypatch.delenv(name, raising=False)


def holder(number, seconds, folder, devices, **environment) -> subprocess.Popen:
    arguments = json.dumps([number, seconds, str(folder), devices])
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, arguments],
        cwd=PACKAGE.parent,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_no_two_processes_ever_hold_the_same_device(tmp_path) -> None:
    devices = ["GPU-a", "GPU-b", "GPU-c"]
    numbers = [1, 2, 1, 3, 1, 2, 1]
    processes = [holder(number, 0.2, tmp_path, devices) for number in numbers]
    held: dict[str, list[tuple[float, float]]] = {device: [] for device in devices}
    waited = 0
    for process, number in zip(processes, numbers, strict=True):
        told, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        (mine, begin), end = map(json.loads, told.splitlines())
        assert len(set(mine)) == number
        for device in mine:
            held[device].append((begin, end))
        waited += f"waiting for {number} of 3 GPUs" in complaints
    for spans in held.values():
        spans.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert waited


def test_a_killed_holder_frees_its_device_at_once(tmp_path) -> None:
    process = holder(2, 600, tmp_path, ["0", "1"])
    assert json.loads(process.stdout.readline())[0] == ["0", "1"]
    said: list[str] = []

    def kill(message: str) -> None:
        said.append(message)
        process.send_signal(signal.SIGKILL)

    begin = time.monotonic()
    with reserve_gpus(1, listed=lambda: ["0", "1"], folder=tmp_path, tell=kill) as mine:
        assert mine == ["0"]
    assert said == [
        "waiting for 1 of 2 GPUs: other jobs use them "
        "(`--resources gpu=2` lets jobs wait before they start)"
    ]
    assert time.monotonic() - begin < 5
    process.communicate(timeout=10)


def test_a_job_of_a_scheduler_has_its_devices_to_itself(tmp_path) -> None:
    """Each may call its device 0: it waits for its own processes only."""
    process = holder(1, 600, tmp_path, ["0"], SLURM_JOB_ID="7")
    try:
        assert json.loads(process.stdout.readline())[0] == ["0"]
        messages: list[str] = []
        with reserve_gpus(1, listed=lambda: ["0"], folder=tmp_path, tell=messages.append) as mine:
            assert mine == ["0"]
        assert not messages
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_without_gpus_nothing_changes(tmp_path) -> None:
    with reserve_gpus(2, listed=list, folder=tmp_path) as mine:
        assert mine == []
        assert gpus.VISIBLE not in os.environ
    assert not list(tmp_path.iterdir())


def test_who_asks_for_none_sees_none(tmp_path) -> None:
    with reserve_gpus(0, listed=lambda: ["0"], folder=tmp_path) as mine:
        assert mine == []
        assert os.environ[gpus.VISIBLE] == ""
        assert visible_gpus() == []
    assert gpus.VISIBLE not in os.environ


def test_what_a_scheduler_gave_stays(tmp_path, monkeypatch) -> None:
    """Asked for as `gres`, the rule's own number is 0."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv(gpus.VISIBLE, "0")
    with reserve_gpus(0, folder=tmp_path):
        assert visible_gpus() == ["0"]


def test_more_than_there_are_is_an_error_and_not_a_wait(tmp_path) -> None:
    with (
        pytest.raises(ConfigError, match=r"`devices: 3` asks for more GPUs than there are: 2"),
        reserve_gpus(3, listed=lambda: ["0", "1"], folder=tmp_path),
    ):
        pass


def test_a_folder_that_cannot_hold_locks_is_named(tmp_path) -> None:
    missing = tmp_path / "file" / "locks"
    missing.parent.write_text("")
    with (
        pytest.raises(DataError, match=r"locks cannot hold(.|\n)*remedy: set TMPDIR"),
        reserve_gpus(1, listed=lambda: ["0"], folder=missing),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        ("2,3", ["2", "3"]),
        ("GPU-1a2b, MIG-3c", ["GPU-1a2b", "MIG-3c"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,2", ["1"]),
    ],
)
def test_what_may_be_used_is_read_as_cuda_reads_it(given, devices) -> None:
    assert visible_gpus({gpus.VISIBLE: given}) == devices


LISTING = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11aa-22)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-33bb-44)
  MIG 3g.40gb     Device  0: (UUID: MIG-55cc-66)
  MIG 3g.40gb     Device  1: (UUID: MIG-77dd-88)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-99ee-00)
"""


def test_the_tool_of_the_driver_is_asked(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && cat <<'END'\n{LISTING}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # A divided GPU is known by its parts.
    assert visible_gpus() == ["GPU-11aa-22", "MIG-55cc-66", "MIG-77dd-88", "GPU-99ee-00"]


def test_a_broken_tool_counts_as_none(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "_by_device_files", lambda: ["0"])
    assert visible_gpus() == ["0"]


def test_a_training_asks_for_its_devices() -> None:
    taco = encoder_of({"kind": "taco"})
    assert gpus_to_train(taco.options()) == 1
    assert gpus_to_train({**taco.options(), "devices": 4}) == 4
    assert gpus_to_train({**taco.options(), "steps": 0}) == 0
    assert gpus_to_train(encoder_of({"kind": "random"}).options()) == 0
