"""Processes that share a batch: who has which part, and how they see all of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from medtaskatlas.encoders.taco.batches import share_of


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and of how many.

    Attributes
    ----------
    rank
        0 to ``world - 1``; only 0 writes.
    world
        Number of processes.
    """

    rank: int = 0
    world: int = 1

    def part(self, size: int) -> slice:
        """Own part of a batch; see :func:`~medtaskatlas.encoders.taco.batches.share_of`."""
        return share_of(size, self.rank, self.world)

    def gather(self, own: torch.Tensor, size: int) -> torch.Tensor:
        """The parts of all processes, joined.

        Parameters
        ----------
        own
            float [b, D] of the own part.
        size
            Rows of the whole.

        Returns
        -------
        torch.Tensor
            float [size, D], without history.
        """
        own = own.detach()
        if self.world == 1:
            return own
        # Parts must be of one length: the last row of the shorter ones is left out again.
        longest = -(-size // self.world)
        padded = nn.functional.pad(own, (0, 0, 0, longest - len(own))).contiguous()
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        torch.distributed.all_gather(parts, padded)
        lengths = [share_of(size, r, self.world) for r in range(self.world)]
        return torch.cat([p[: s.stop - s.start] for p, s in zip(parts, lengths, strict=True)])


class _Sum(torch.autograd.Function):
    """Sum over processes; each passes its gradient to all."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: torch.Tensor) -> torch.Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of all processes, on the CPU.

    torch has it for GPUs only (SyncBatchNorm).
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected two dimensions or more, not {input.dim()}")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise float [B, C, ...]."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        others = [d for d in range(values.dim()) if d != 1]
        shape = [1, -1] + [1] * (values.dim() - 2)
        number = values.new_full((1,), values.numel() / values.shape[1])
        sums = _Sum.apply(torch.cat([values.sum(others), number]))
        number = sums[-1].detach()
        mean = sums[:-1] / number
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others)) / number
        self._follow(mean.detach(), variance.detach() * number / (number - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (normal * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics towards those of this batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.0
        self.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        self.running_var.mul_(1 - momentum).add_(variance, alpha=momentum)
        self.num_batches_tracked.add_(1)


def share_statistics(network: nn.Module, device: torch.device) -> nn.Module:
    """Make batch normalisation see the whole batch, whatever the number of processes.

    Parameters
    ----------
    network
        Its layers are exchanged in place; names and parameters stay the same.
    device
        Where it will run.

    Returns
    -------
    torch.nn.Module
        The network.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.weight, shared.bias = child.weight, child.bias
            shared._buffers = child._buffers
            network.add_module(name, shared)
        else:
            share_statistics(child, device)
    return network
