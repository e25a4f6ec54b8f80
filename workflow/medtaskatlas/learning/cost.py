"""What a training has cost."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass
class Cost:
    """Cost of a training, all its starts and processes; times are the first one's times world."""

    steps: int = 0
    images: int = 0  # seen in training, those seen twice counted twice
    parameters: int = 0  # of the model and its loss, trained
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0  # that GPUs were held, idle or not
    flops: float = 0.0  # of the training steps; a multiplication with its addition is two
    peak_memory_mb: float = 0.0  # of the largest process, 1e6 bytes
    peak_gpu_memory_mb: float = 0.0


class Meter:
    """Adds what happens from now on to a cost."""

    def __init__(self, cost: Cost, device: torch.device, world: int) -> None:
        self.cost, self.device, self.world = cost, device, world
        self._flops_per_image = 0.0
        self._cpu, self._wall = time.process_time(), time.monotonic()

    @contextmanager
    def step(self, images: int, *, afresh: bool = False) -> Iterator[None]:
        """Count a step; the operations of the latest one ``afresh`` stand for those that follow."""
        if self._flops_per_image and not afresh:
            yield
        else:
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter:
                yield
            self._flops_per_image = counter.get_total_flops() * self.world / images
        self.cost.steps += 1
        self.cost.images += images
        self.cost.flops += self._flops_per_image * images

    def read(self) -> Cost:
        """The cost until now."""
        cpu, wall = time.process_time(), time.monotonic()
        self.cost.cpu_seconds += (cpu - self._cpu) * self.world
        on_gpu = self.device.type == "cuda"
        self.cost.gpu_seconds += (wall - self._wall) * self.world * on_gpu
        self._cpu, self._wall = cpu, wall
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        self.cost.peak_memory_mb = max(self.cost.peak_memory_mb, peak)
        if on_gpu:
            peak = torch.cuda.max_memory_allocated(self.device) / 1e6
            self.cost.peak_gpu_memory_mb = max(self.cost.peak_gpu_memory_mb, peak)
        return self.cost
