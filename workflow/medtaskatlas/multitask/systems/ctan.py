"""Cross-task attention network: our reading of Kim et al. (2023), whose equations are not public.

Hard sharing; and at some stages of the encoder each target projects the shared map, and its queries
attend to the keys and values of the *other* targets. What they find is added to the map that the
target's decoder sees, times a gate that is zero at first: before the first step this is hard
sharing, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from medtaskatlas.core.errors import ConfigError
from medtaskatlas.multitask.network import (
    MultitaskNetwork,
    Output,
    Rows,
    block,
    convolution,
    initialised,
    key,
    take,
)
from medtaskatlas.multitask.systems.options import CtanOptions

# Most places a side that are attended to; a finer map is averaged.
PLACES = 8
BOTTLENECK = 4


class Sender(nn.Module):
    """What a target makes of the shared map, and the keys and values that it offers."""

    project: nn.Module
    offer: nn.Module

    def __init__(self, options: CtanOptions, dims: int, width: int, inner: int) -> None:
        super().__init__()
        self.project = block(options, dims, width, inner, side=1)
        self.offer = convolution(dims, inner, 2 * inner, side=1)


class Receiver(nn.Module):
    """Queries of a target, and the way back of what they find."""

    def __init__(self, dims: int, width: int, inner: int) -> None:
        super().__init__()
        self.query = convolution(dims, inner, inner, side=1)
        self.back = convolution(dims, inner, width, side=1)
        self.gate = nn.Parameter(torch.zeros(width, *[1] * dims))


class Exchange(nn.Module):
    """Attention between targets at one stage."""

    def __init__(
        self,
        senders: Sequence[str],
        receivers: Sequence[str],
        options: CtanOptions,
        seed: int,
        *,
        stage: int,
        width: int,
        dims: int,
        alone: bool,
    ) -> None:
        super().__init__()
        self.heads, self.spatial = options.heads, options.attention == "spatial"
        inner = max(1, width // 2 // self.heads) * self.heads
        self.senders = nn.ModuleDict(
            {
                key(t): initialised(
                    lambda: Sender(options, dims, width, inner), seed, "sender", stage, t
                )
                for t in senders
            }
        )
        self.receivers = nn.ModuleDict(
            {
                key(t): initialised(
                    lambda: Receiver(dims, width, inner), seed, "receiver", stage, t
                )
                for t in receivers
            }
        )
        self.sources = {
            t: [t] if alone else [other for other in senders if other != t] for t in receivers
        }

    def forward(self, shared: torch.Tensor, rows: Rows) -> dict[str, torch.Tensor]:
        """What is added to the shared map of each receiver, of its own rows."""
        asked = {t: own for t, own in rows.items() if t in self.sources}
        senders = dict.fromkeys(s for t in asked for s in [t, *self.sources[t]])
        views = {s: self._sender(s).project(shared) for s in senders}
        offers = {
            s: self._sender(s).offer(pooled(view) if self.spatial else view)
            for s, view in views.items()
        }
        return {
            t: self._found(t, take(views[t], own), [take(offers[s], own) for s in self.sources[t]])
            for t, own in asked.items()
        }

    def _sender(self, target: str) -> Sender:
        """Sender of a target."""
        found = self.senders[key(target)]
        assert isinstance(found, Sender)
        return found

    def _found(
        self, target: str, view: torch.Tensor, offers: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Answer to a target's queries, float [n, width, *S]."""
        receiver = self.receivers[key(target)]
        assert isinstance(receiver, Receiver)
        query = receiver.query(view)
        attend = self._over_places if self.spatial else self._over_channels
        return receiver.gate * receiver.back(attend(query, offers).reshape(query.shape))

    def _over_places(self, query: torch.Tensor, offers: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean of the values of all places, by how their keys fit the query of each place."""
        keys, values = torch.cat([o.flatten(2) for o in offers], dim=2).chunk(2, dim=1)
        q, k, v = (
            self._split(x.flatten(2)) for x in (query, keys, values)
        )  # [n, heads, d, places]
        weights = (q.transpose(2, 3) @ k / q.shape[2] ** 0.5).softmax(dim=3)
        return v @ weights.transpose(2, 3)

    def _over_channels(self, query: torch.Tensor, offers: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean of the values of all channels of a head, by how their keys fit the query's."""
        keys, values = zip(*(o.chunk(2, dim=1) for o in offers), strict=True)
        q = self._split(pooled(query).flatten(2))
        k = torch.cat([self._split(pooled(x).flatten(2)) for x in keys], dim=2)
        v = torch.cat([self._split(x.flatten(2)) for x in values], dim=2)
        return (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3) @ v

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        """Float [n, channels, places] as [n, heads, channels of a head, places]."""
        return values.unflatten(1, (self.heads, -1))


def pooled(values: torch.Tensor) -> torch.Tensor:
    """Means over equal cells, of at most :data:`PLACES` a side or one less than twice as many.

    What is left at the far edges is not seen. Torch's own pooling is not deterministic on GPUs.
    """
    for dim in range(2, values.dim()):
        cell = max(1, values.shape[dim] // PLACES)
        if cell > 1:
            cells = values.shape[dim] // cell
            values = values.narrow(dim, 0, cells * cell).unflatten(dim, (cells, cell)).mean(dim + 1)
    return values


class Ctan(MultitaskNetwork):
    """Hard sharing, and attention between targets at the stages of the options."""

    alone: ClassVar[bool] = False

    def __init__(
        self,
        targets: Sequence[Output],
        options: CtanOptions,
        seed: int,
        *,
        channels: int,
        dims: int,
    ) -> None:
        super().__init__(targets, options, seed, channels=channels, dims=dims)
        names = [t.name for t in targets]
        if len(names) < 2:
            raise ConfigError(
                f"attention between targets needs two of them, not only {', '.join(names)}",
                "give the problem another target, or use `stl`",
            )
        layouts = {"all": ("pixels", "vector"), "pixels": ("pixels",), "vectors": ("vector",)}
        asking = [t for t in targets if t.layout in layouts[options.receivers]]
        self.exchanges = nn.ModuleDict()
        for stage in sorted(set(options.stages)):
            # A vector's head sees the bottleneck only.
            here = [t.name for t in asking if stage == BOTTLENECK or t.layout == "pixels"]
            if here:
                self.exchanges[str(stage)] = Exchange(
                    names,
                    here,
                    options,
                    seed,
                    stage=stage,
                    width=self.encoder.widths[stage - 1],
                    dims=dims,
                    alone=self.alone,
                )
        if not self.exchanges:
            raise ConfigError(
                f"no target receives anything: `receivers: {options.receivers}`, "
                f"`stages: {list(options.stages)}`, targets {', '.join(names)}",
                "set `receivers: all`, or add the stage 4",
            )

    def maps(self, images: torch.Tensor, rows: Rows) -> dict[str, list[torch.Tensor]]:
        """Shared maps, and what each target found with the others."""
        shared = self.encoder(images)
        maps = {name: [take(m, own) for m in shared] for name, own in rows.items()}
        for stage, exchange in self.exchanges.items():
            place = int(stage) - 1
            for name, found in exchange(shared[place], rows).items():
                maps[name][place] = maps[name][place] + found
        return maps


network = Ctan
