"""Multi-task attention network: masks of each target over one shared encoder (Liu et al., 2019).

Ours over the encoder that all systems share. After lorenmt/mtan's residual network a stage is cut
before its last block: a mask sees what comes before, and what its target kept of the stage below,
and is laid over what comes after. A stage of one block has nothing before, and its mask sees what
it is laid over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from medtaskatlas.multitask.network import (
    MultitaskNetwork,
    Output,
    Rows,
    block,
    convolution,
    initialised,
    key,
    normalisation,
    take,
)
from medtaskatlas.multitask.systems.options import NetworkOptions


class Mtan(MultitaskNetwork):
    """Hard sharing, and attention masks of each target at every stage."""

    def __init__(
        self,
        targets: Sequence[Output],
        options: NetworkOptions,
        seed: int,
        *,
        channels: int,
        dims: int,
    ) -> None:
        super().__init__(targets, options, seed, channels=channels, dims=dims)
        widths = self.encoder.widths
        # From the kept map of a stage to the size of the next: shared by the targets.
        self.lifts = nn.ModuleList(
            initialised(
                partial(block, options, dims, widths[i], widths[i + 1], stride=2), seed, "lift", i
            )
            for i in range(3)
        )

        def mask(i: int) -> nn.Module:
            inputs, middle = widths[i] * (1 + (i > 0)), max(4, widths[i] // 4)
            return nn.Sequential(
                block(options, dims, inputs, middle, side=1),
                convolution(dims, middle, widths[i], side=1),
                normalisation(options.norm, widths[i], dims),
                nn.Sigmoid(),
            )

        self.masks = nn.ModuleDict(
            {
                key(t.name): nn.ModuleList(
                    initialised(partial(mask, i), seed, "mask", t.name, i) for i in range(4)
                )
                for t in targets
            }
        )

    def maps(self, images: torch.Tensor, rows: Rows) -> dict[str, list[torch.Tensor]]:
        """Shared maps under each target's masks."""
        values, shared = self.encoder.stem(images), []
        for stage in self.encoder.stages:
            *first, last = stage.children()
            for part in first:
                values = part(values)
            before, values = values, last(values)
            shared.append((before if first else values, values))
        return {name: self._kept(name, shared, own) for name, own in rows.items()}

    def _kept(self, name: str, shared: list[Any], rows: torch.Tensor) -> list[torch.Tensor]:
        """Shared maps under one target's masks, of its rows."""
        masks = self.masks[key(name)]
        assert isinstance(masks, nn.ModuleList)
        kept: list[torch.Tensor] = []
        for i, (before, after) in enumerate(shared):
            seen = take(before, rows)
            if kept:
                seen = torch.cat([seen, self.lifts[i - 1](kept[-1])], dim=1)
            kept.append(masks[i](seen) * take(after, rows))
        return kept


network = Mtan
