"""Memory that was used once is not asked of the system again."""

import platform
import subprocess
import sys

import pytest

# Faults of pages while 64 MB are taken and given back a hundred times.
FAULTS = """
import resource, sys
import torch
from medtaskatlas.learning.allocator import keep_memory

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
