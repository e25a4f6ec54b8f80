"""The machine is used as the options say, and what it lacks is named."""

import platform
import subprocess
import sys

import pytest
import torch

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.learning.machine import check_machine, seed_torch
from medtaskatlas.learning.options import Training

# Faults of pages while 64 MB are taken and given back a hundred times.
FAULTS = """
import resource, sys
import torch
from medtaskatlas.learning.machine import keep_memory

if sys.argv[1] == "kept":
    assert keep_memory()
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    torch.empty(16 * 2**20).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_arrays_are_taken_again():
    assert faults("kept") * 10 < faults("not kept")


def test_what_the_machine_lacks_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="`precision: 16-mixed` needs a GPU"):
        check_machine(Training(precision="16-mixed"))
    check_machine(Training(precision="bf16-mixed", devices=2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"`devices: 2` asks for more GPUs than there are: 1"):
        check_machine(Training(devices=2))


def test_learning_rate_rises_and_falls() -> None:
    options = Training(steps=100, learning_rate=1e-3, warmup=0.1)
    rates = [options.rate(i) for i in range(100)]
    assert rates[9] == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-6


def test_seeding_is_that_of_torch_and_queues_nothing_for_absent_gpus() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        asked = torch.rand(9)
        queued = len(torch.cuda._queued_calls)
        seed_torch(5, torch.device("cpu"))
        assert torch.equal(torch.rand(9), asked)
    assert len(torch.cuda._queued_calls) == queued
