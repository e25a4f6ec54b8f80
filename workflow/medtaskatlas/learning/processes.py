"""Processes that share a batch: who has which part, and how each sees all of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Processes:
    """The own rank, 0 to ``world - 1``, among the processes; only rank 0 writes."""

    rank: int = 0
    world: int = 1

    def part(self, size: int) -> slice:
        """Own rows of a batch; parts are contiguous and differ in size by one at most."""
        return self._parts(size)[self.rank]

    def gather(self, own: torch.Tensor, size: int) -> torch.Tensor:
        """Rows of all processes, [size, ...], from the own ones, with the gradient of them all."""
        return own if self.world == 1 else _Gather.apply(own, self, size)

    def _parts(self, size: int) -> list[slice]:
        each, more = divmod(size, self.world)
        begins = [rank * each + min(rank, more) for rank in range(self.world + 1)]
        return [slice(begin, end) for begin, end in pairwise(begins)]


class _Gather(torch.autograd.Function):
    """See :meth:`Processes.gather`."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, processes: Processes, size: int) -> torch.Tensor:
        ctx.processes, ctx.size = processes, size
        parts = processes._parts(size)
        # Parts must be of one length: the last row of the shorter ones is left out again.
        longest = parts[0].stop
        padded = own.new_zeros((longest, *own.shape[1:]))
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in parts]
        torch.distributed.all_gather(found, padded)
        return torch.cat([f[: p.stop - p.start] for f, p in zip(found, parts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        # DDP takes the mean over processes, and each has the gradient of its own part only.
        (gradient,) = gradients
        return gradient[ctx.processes.part(ctx.size)] * ctx.processes.world, None, None


class _Sum(torch.autograd.Function):
    """Sum over processes; each passes its gradient to all."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation over the batch of all processes on a CPU; SyncBatchNorm is for GPUs."""

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
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics towards those of this batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = self.momentum or 0.0
        self.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        self.running_var.mul_(1 - momentum).add_(variance, alpha=momentum)
        self.num_batches_tracked.add_(1)


def share_statistics(model: nn.Module, device: torch.device) -> nn.Module:
    """Make batch normalisation see the whole batch; changes the model, not its weights."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum, child.affine)
            shared.weight, shared.bias = child.weight, child.bias
            shared._buffers = child._buffers
            model.add_module(name, shared)
        else:
            share_statistics(child, device)
    return model
