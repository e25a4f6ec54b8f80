"""What the options ask of the machine, and how it is set up for them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.encoders.network import pick_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from medtaskatlas.encoders.kinds.taco import Taco


def check_machine(options: Taco) -> None:
    """Make sure that the machine has what the options ask for.

    Parameters
    ----------
    options
        Of the encoder: devices, precision.

    Raises
    ------
    ConfigError
        If there are fewer GPUs than ``devices``, or no GPU for half precision.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < there < options.devices:
        raise ConfigError(
            f"`devices: {options.devices}` asks for more GPUs than there are: {there}",
            f"set `devices: {there}`, or train on a machine with more",
        )
    if options.precision == "16-mixed" and not there:
        raise ConfigError(
            "`precision: 16-mixed` needs a GPU, and there is none",
            "set `precision: 32-true`, or bf16-mixed, which runs anywhere",
        )
    if options.devices > 1:
        # Batch normalisation needs two pairs in the smallest part.
        smallest = options.batch_tasks * options.batch_images // options.devices
        if smallest < 2:
            raise ConfigError(
                f"`devices: {options.devices}` leave a process less than two pairs of a batch",
                "set fewer `devices`, or more `batch_tasks` or `batch_images`",
            )


def fabric_of(options: Taco) -> Fabric:
    """Devices, processes and precision as the options have them.

    Parameters
    ----------
    options
        Of the encoder.

    Returns
    -------
    lightning_fabric.Fabric
        Launched. With several devices this process must be one of those of
        :mod:`medtaskatlas.encoders.taco.launch`.
    """
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
