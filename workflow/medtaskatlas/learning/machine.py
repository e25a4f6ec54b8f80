"""The machine that a network runs on: devices, threads, memory, precision."""

from __future__ import annotations

import ctypes
import os
import platform
import warnings
from typing import TYPE_CHECKING

import torch

from medtaskatlas.core.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from medtaskatlas.learning.options import Training

# Of malloc.h: parameters of mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def pick_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    # Deterministic matrix products on CUDA need this before the first one.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_memory() -> bool:
    """Tell glibc not to give freed arrays back to the system; whether it is there and took it.

    Activations are larger than what glibc keeps (32 MiB at most), so that every step of a network
    asks the system for its memory anew, and it comes as zeroed pages: a fifth of the time of a
    training on CPU. No number changes. The process holds its peak until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    taken = [mallopt(name, value) == 1 for name, value in wanted]
    return all(taken)


def set_up_torch(threads: int) -> None:
    """Make torch deterministic, on so many threads."""
    keep_memory()
    torch.set_num_threads(max(1, threads))
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be written shows mistakes and costs a fifth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what a network on a device draws from, as ``torch.manual_seed`` does.

    That one also queues a call, with the stack of its caller, for every kind of device that is not
    in use: time and memory that grow with the steps of a training.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


def check_machine(options: Training) -> None:
    """Raise ConfigError for more ``devices`` than GPUs, or half precision without any."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < available < options.devices:
        raise ConfigError(
            f"`devices: {options.devices}` asks for more GPUs than there are: {available}",
            f"set `devices: {available}`, or train on a machine with more",
        )
    if options.precision == "16-mixed" and not available:
        raise ConfigError(
            "`precision: 16-mixed` needs a GPU, and there is none",
            "set `precision: 32-true`, or bf16-mixed, which runs anywhere",
        )


def fabric_of(options: Training) -> Fabric:
    """Devices, processes and precision of the options, launched."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy

    with warnings.catch_warnings():
        # Fabric advises other numbers of threads; ours come from the configuration.
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=pick_device().type,
            devices=options.devices,
            # Statistics are the same everywhere: no need to send them with every batch.
            strategy=DDPStrategy(forward_sync_buffers=False) if options.devices > 1 else "auto",
            precision=options.precision,
            # Stated, since Fabric would otherwise take a Slurm job's tasks for its processes.
            plugins=LightningEnvironment(),
        )
        fabric.launch()
    return fabric
